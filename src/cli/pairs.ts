/** `name=value` arguments. Pure. */
import { UsageError } from './usage-error.ts';

/**
 * Adds one `name=value` to those before it; for commander's repeatable options. The first `=` divides: values may hold more.
 * @throws UsageError
 */
export function collectPair(
  option: string,
): (argument: string, previous?: Record<string, string>) => Record<string, string> {
  return (argument, previous = {}) => {
    const [name, value] = splitPair(argument, option);
    if (Object.hasOwn(previous, name)) throw new UsageError(`${option} gives ${JSON.stringify(name)} twice`);
    return { ...previous, [name]: value };
  };
}

/** Adds one argument to those before it; for commander's repeatable options. */
export function collect<T extends string>(argument: T, previous: readonly T[] = []): readonly T[] {
  return [...previous, argument];
}

function splitPair(argument: string, option: string): [string, string] {
  const at = argument.indexOf('=');
  if (at < 1) throw new UsageError(`${option} is given ${JSON.stringify(argument)}: expected name=value`);
  return [argument.slice(0, at), argument.slice(at + 1)];
}

/**
 * Reads `DESC=FILE`, where DESC is a materials description: a JSON object of strings, or `name=value[,name=value]`.
 *
 * With JSON, the file is what follows the object's closing brace and `=`; else what follows the last `=`. So values may hold
 * `=` in both forms, a file's name only with JSON, and a value with a comma only in JSON. An empty DESC is the empty description.
 * @throws UsageError
 */
export function parseDescribedFile(
  argument: string,
  option: string,
): { description: Record<string, string>; file: string } {
  const found = argument.startsWith('{') ? splitJson(argument) : splitLast(argument, option);
  if (found === undefined || found.file === '')
    throw new UsageError(
      `${option} is given ${JSON.stringify(argument)}: expected name=value=FILE, name=value,name=value=FILE or {"name":"value"}=FILE`,
    );
  return found;
}

function splitJson(argument: string): { description: Record<string, string>; file: string } | undefined {
  for (let at = argument.indexOf('}='); at !== -1; at = argument.indexOf('}=', at + 1)) {
    let value: unknown;
    try {
      value = JSON.parse(argument.slice(0, at + 1));
    } catch {
      continue;
    }
    const entries = Object.entries(value as object);
    if (!entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')) return undefined;
    return { description: Object.fromEntries(entries), file: argument.slice(at + 2) };
  }
  return undefined;
}

function splitLast(
  argument: string,
  option: string,
): { description: Record<string, string>; file: string } | undefined {
  const at = argument.lastIndexOf('=');
  if (at === -1) return undefined;
  const pairs = argument.slice(0, at);
  const collectOne = collectPair(option);
  const description =
    pairs === '' ? {} : pairs.split(',').reduce<Record<string, string>>((all, pair) => collectOne(pair, all), {});
  return { description, file: argument.slice(at + 1) };
}
