/** What the command line says and returns when something fails. */
import { SealpipeError } from '../index.ts';
import { exitStatus } from './exit-status.ts';
import { printable } from './printable.ts';
import { UsageError } from './usage-error.ts';

export interface Failure {
  readonly status: number;
  readonly code: string;
  /** One line. */
  readonly message: string;
}

/** Describes whatever a command threw. */
export function describeError(thrown: unknown): Failure {
  if (thrown instanceof UsageError) return usage(thrown.message);
  if (thrown instanceof SealpipeError) {
    const { code, message } = thrown;
    const interrupted = code === 'ERR_SEALPIPE_ABORTED';
    return { status: interrupted ? exitStatus.interrupted : exitStatus.failed, code, message: oneLine(message) };
  }
  const { name = 'Error', message = String(thrown) } = thrown instanceof Error ? thrown : {};
  // The library throws these two for values that an option brought, with a sentence about them; V8 for a mistake of ours.
  if ((thrown instanceof TypeError || thrown instanceof RangeError) && !isOurMistake(thrown))
    return usage(namingFlag(message));
  return {
    status: exitStatus.failed,
    code: 'ERR_SEALPIPE_INTERNAL',
    message: oneLine(`unexpected ${name}: ${message}; run it again with --verbose and report what it says`),
  };
}

function usage(message: string): Failure {
  return { status: exitStatus.usage, code: 'ERR_SEALPIPE_USAGE', message: oneLine(message) };
}

/** Options of the library whose flags are called alike. */
const optionAtStart =
  /^(?:partSize|queueSize|workers|partAttempts|restarts|concurrency|maxBuffered|encryptionContext|materialsDescription|segmentIndex)(?= )/;

/** The library's sentence with the name that whoever types a command knows the option by. */
function namingFlag(message: string): string {
  return message.replace(
    optionAtStart,
    (name) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
  );
}

/** V8's own errors, and Node's, whose codes begin with ERR_. */
function isOurMistake(error: TypeError | RangeError): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return (
    code !== undefined ||
    /is not (a function|a constructor|iterable|defined|extensible)|Cannot (read|set|assign|convert|destructure|delete|define|mix)|Invalid (array|string|typed array) length|Maximum call stack|circular structure|Illegal invocation|Class constructor|must be called/.test(
      error.message,
    )
  );
}

/** What led to a failure, one cause a line, each with what identifies the request to AWS. No headers, no bodies: they hold secrets. */
export function describeCauses(thrown: unknown): string[] {
  const lines: string[] = [];
  const seen = new Set<unknown>();
  for (let error = thrown; error instanceof Error && !seen.has(error); error = error.cause) {
    seen.add(error);
    if (error instanceof SealpipeError) {
      const { code, message, retryable, cause, ...fields } = error;
      const known = Object.entries(fields).map(([name, value]) => `${name} ${oneLine(String(value))}`);
      if (known.length > 0) lines.push(`  ${error === thrown ? 'with' : `${code}:`} ${known.join(', ')}`);
    }
    if (error === thrown) continue;
    lines.push(`  caused by ${error.name}: ${oneLine(error.message)}${requestOf(error)}`);
  }
  const { code } = describeError(thrown);
  if (code === 'ERR_SEALPIPE_INTERNAL' && thrown instanceof Error)
    lines.push(...(thrown.stack ?? '').split('\n').slice(1));
  return lines;
}

function requestOf(error: Error): string {
  const { $metadata } = error as { $metadata?: { requestId?: unknown; httpStatusCode?: unknown; attempts?: unknown } };
  const known = [
    typeof $metadata?.httpStatusCode === 'number' ? `status ${$metadata.httpStatusCode}` : undefined,
    typeof $metadata?.requestId === 'string' ? `request id ${$metadata.requestId}` : undefined,
    typeof $metadata?.attempts === 'number' && $metadata.attempts > 1 ? `${$metadata.attempts} attempts` : undefined,
  ].filter((part) => part !== undefined);
  return known.length === 0 ? '' : ` (${known.join(', ')})`;
}

/** Services' messages can hold line ends, keys anything. */
function oneLine(text: string): string {
  return printable(text.replace(/\s*[\r\n]+\s*/g, ' ').trim());
}
