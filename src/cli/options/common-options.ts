import { type Command, Option } from 'commander';

export interface CommonOptions {
  readonly verbose?: boolean;
  readonly json?: boolean;
  readonly jsonSchema?: boolean;
}

const group = 'Output:';

/** `--verbose`, of every command. */
export function addVerboseOption(command: Command): Command {
  return command.addOption(
    new Option('--verbose', 'say more on stderr: what led to a failure, request ids, what was sent again').helpGroup(
      group,
    ),
  );
}

/** `--json` and the schema of what it prints. */
export function addJsonOptions(command: Command, what: string): Command {
  return command
    .addOption(new Option('--json', `print ${what}`).helpGroup(group))
    .addOption(
      new Option('--json-schema', 'print the JSON Schema of what --json prints, and do nothing else').helpGroup(group),
    );
}

/** `--progress`, of commands that transfer. */
export function addProgressOption(command: Command): Command {
  return command.addOption(
    new Option('--progress <auto|json|none>', 'auto (default): a bar where stderr is a terminal; json: lines on stderr')
      .choices(['auto', 'json', 'none'])
      .default('auto')
      .helpGroup(group),
  );
}
