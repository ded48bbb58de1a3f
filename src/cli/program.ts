/** The main program: finds the command, has it run, returns the exit status. */
import { Command, CommanderError, type Help, Option } from 'commander';
import type { CommandFactory, ExitCell } from './command.ts';
import { exitStatus } from './exit-status.ts';
import { packageVersion } from './package-folder.ts';
import { UsageError } from './usage-error.ts';

interface CommandEntry {
  readonly name: string;
  readonly operands: string;
  readonly summary: string;
  readonly group: string;
  /** Only the command that is called is loaded: the SDK alone takes a quarter of a second. */
  readonly load: () => Promise<CommandFactory>;
}

const objects = 'Objects:';
const buckets = 'Buckets:';
const trying = 'Trying out:';

const commands: readonly CommandEntry[] = [
  {
    name: 'put',
    operands: '<file|-> <s3://bucket/key>',
    summary: 'encrypt and upload',
    group: objects,
    load: async () => (await import('./commands/put.ts')).putCommand,
  },
  {
    name: 'get',
    operands: '<s3://bucket/key> <file|->',
    summary: 'download, decrypt and authenticate',
    group: objects,
    load: async () => (await import('./commands/get.ts')).getCommand,
  },
  {
    name: 'cat',
    operands: '<s3://bucket/key>',
    summary: 'decrypt to stdout',
    group: objects,
    load: async () => (await import('./commands/cat.ts')).catCommand,
  },
  {
    name: 'ls',
    operands: '<s3://bucket/prefix>',
    summary: 'list with plaintext sizes',
    group: objects,
    load: async () => (await import('./commands/ls.ts')).lsCommand,
  },
  {
    name: 'stat',
    operands: '<s3://bucket/key>',
    summary: 'everything about one object',
    group: objects,
    load: async () => (await import('./commands/stat.ts')).statCommand,
  },
  {
    name: 'footer',
    operands: '<s3://bucket/key>',
    summary: 'schema and row groups of Parquet, ORC, Arrow',
    group: objects,
    load: async () => (await import('./commands/footer.ts')).footerCommand,
  },
  {
    name: 'rows',
    operands: '<s3://bucket/key>',
    summary: 'rows of Parquet, ORC, Arrow as JSON lines',
    group: objects,
    load: async () => (await import('./commands/rows.ts')).rowsCommand,
  },
  {
    name: 'rm',
    operands: '<s3://bucket/key>',
    summary: 'delete, companions included',
    group: objects,
    load: async () => (await import('./commands/rm.ts')).rmCommand,
  },
  {
    name: 'index',
    operands: '<s3://bucket/key>',
    summary: 'make ranges of an object authentic',
    group: objects,
    load: async () => (await import('./commands/index.ts')).indexCommand,
  },
  {
    name: 'mb',
    operands: '<s3://bucket>',
    summary: 'make a bucket',
    group: buckets,
    load: async () => (await import('./commands/mb.ts')).mbCommand,
  },
  {
    name: 'rb',
    operands: '<s3://bucket>',
    summary: 'remove an empty bucket',
    group: buckets,
    load: async () => (await import('./commands/rb.ts')).rbCommand,
  },
  {
    name: 'local',
    operands: '',
    summary: 'run the embedded S3 and KMS endpoint',
    group: trying,
    load: async () => (await import('./commands/local.ts')).localCommand,
  },
  {
    name: 'demo',
    operands: '[file]',
    summary: 'the main job from end to end, with no account',
    group: trying,
    load: async () => (await import('./commands/demo.ts')).demoCommand,
  },
];

const epilogue = `
Examples:
  sealpipe put data.parquet s3://bucket/data.parquet --kms-key-id alias/my-key
  sealpipe get s3://bucket/data.parquet copy.parquet --kms-key-id alias/my-key
  pg_dump db | sealpipe put - s3://bucket/db.sql --aes-key-file key.hex
  sealpipe put data.csv s3://try/data.csv --local ./try --kms-key-id alias/sealpipe

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
A failure is one line on stderr, \`sealpipe: CODE: sentence\`; --verbose adds what led to it.
\`sealpipe <command> --help\` has the options of a command.`;

/** Runs the command line. @returns the exit status */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  const exit: ExitCell = { status: undefined };
  const program = new Command('sealpipe')
    .description(
      'Client-side encryption for Amazon S3, as streams: encrypts on the way up, authenticates on the way down.',
    )
    .usage('<command> [options]')
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('--help', 'print help')
    .helpCommand(false)
    .showSuggestionAfterError(true)
    .addHelpText('after', epilogue);
  const called = args.find((argument) => !argument.startsWith('-'));
  for (const { name, operands, summary, group, load } of commands) {
    const command = name === called ? (await load())(exit) : new Command(name).usage(operands);
    command.summary(summary).addHelpOption(new Option('--help', 'print help').helpGroup('Output:')).helpGroup(group);
    program.addCommand(command);
  }
  for (const each of [program, ...program.commands]) {
    each
      .exitOverride()
      .configureOutput({ writeErr: () => undefined })
      .configureHelp({ ...each.configureHelp(), ...helpStyle });
  }
  try {
    if (called === undefined && args.length === 0) {
      process.stderr.write(program.helpInformation());
      return exitStatus.usage;
    }
    await program.parseAsync([...args], { from: 'user' });
    return exit.status ?? exitStatus.done;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return exitStatus.done;
    const known = commands.some(({ name }) => name === called);
    // The library comes with it, which help and version should not wait for.
    const { reportFailure } = await import('./command-run.ts');
    return reportFailure(error instanceof CommanderError ? asUsageError(error) : error, {
      command: known ? `sealpipe ${called}` : 'sealpipe',
      verbose: args.includes('--verbose'),
      interrupted: false,
    });
  }
}

/** commander's sentence about a wrong argument, as ours. */
function asUsageError({ message }: CommanderError): UsageError {
  return new UsageError(message.replace(/^error: /, '').replace(/\n\(Did you mean (.*)\?\)$/s, ': did you mean $1?'));
}

const helpStyle: Partial<Help> = {
  // A subcommand's own usage line has more than fits here.
  subcommandTerm: (command) => `${command.name()} ${operandsOf(command.name())}`.trim(),
  // Choices and defaults stand in the flags and the descriptions, where they can be explained.
  optionDescription: ({ description, envVar }) =>
    envVar === undefined ? description : `${description} (or ${envVar})`,
};

function operandsOf(name: string): string {
  return commands.find((command) => command.name === name)?.operands ?? '';
}
