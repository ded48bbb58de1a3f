/** One command of the command line: its own parser, loaded when it is called. */
import { Command } from 'commander';
import type { ZodType } from 'zod';
import { type CommandContext, runCommand } from './command-run.ts';
import type { CommonOptions } from './options/common-options.ts';
import { UsageError } from './usage-error.ts';

/** How a command ended; read by the main program after parsing. */
export interface ExitCell {
  status: number | undefined;
}

export interface CommandDefinition<Options extends CommonOptions> {
  readonly name: string;
  /** Operands as the usage line shows them: `<file...> <s3://bucket/key>`. */
  readonly operands: string;
  readonly description: string;
  /** Further paragraphs of the help, each a title with its lines. */
  readonly help: Readonly<Record<string, readonly string[]>>;
  /** How many operands it takes. */
  readonly least: number;
  readonly most: number;
  readonly addOptions: (command: Command) => void;
  /** The name of its schema in schemas.ts, for `--json-schema`. */
  readonly schema?: string;
  readonly run: (operands: readonly string[], options: Options, context: CommandContext) => Promise<void>;
}

/** Makes the parser of a command; what it comes to is put into `exit`. */
export type CommandFactory = (exit: ExitCell) => Command;

export function defineCommand<Options extends CommonOptions>(definition: CommandDefinition<Options>): CommandFactory {
  return (exit) => {
    const { name, operands, description, help, addOptions, least, most, schema, run } = definition;
    const command = new Command(name).description(description).usage(`[options] ${operands}`).argument('[operands...]');
    command.configureHelp({ visibleArguments: () => [] });
    addOptions(command);
    for (const [title, lines] of Object.entries(help)) {
      command.addHelpText('after', `\n${title}:\n${lines.map((line) => `  ${line}`).join('\n')}`);
    }
    command.addHelpText('after', '\nExit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.');
    command.action(async (given: readonly string[], options: Options) => {
      exit.status = await runCommand(`sealpipe ${name}`, options, async (context) => {
        if (options.jsonSchema === true && schema !== undefined) return context.output.line(await jsonSchema(schema));
        checkOperands(given, { operands, least, most });
        return run(given, options, context);
      });
    });
    return command;
  };
}

function checkOperands(
  given: readonly string[],
  { operands, least, most }: { operands: string; least: number; most: number },
): void {
  if (given.length < least)
    throw new UsageError(`${given.length === 0 ? 'operands are' : 'an operand is'} missing: expected ${operands}`);
  const surplus = given[most];
  if (surplus !== undefined)
    throw new UsageError(`${JSON.stringify(surplus)} is one operand too many: expected ${operands}`);
}

async function jsonSchema(name: string): Promise<string> {
  const [{ z }, schemas] = await Promise.all([import('zod'), import('./schemas.ts')]);
  const schema = (schemas as unknown as Readonly<Record<string, ZodType>>)[name];
  if (schema === undefined) throw new Error(`internal error: there is no schema ${name}`);
  return JSON.stringify(z.toJSONSchema(schema), undefined, 2);
}
