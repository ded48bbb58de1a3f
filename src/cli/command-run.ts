/** What every command has around it: signals, stdout, the one line of a failure, and the exit status. */
import { SealpipeError } from '../index.ts';
import { exitStatus } from './exit-status.ts';
import { describeCauses, describeError } from './failure.ts';
import { Interruption } from './interruption.ts';
import type { CommonOptions } from './options/common-options.ts';
import { OutputClosed, StandardOutput } from './standard-output.ts';

/** What a command is given to work with. */
export interface CommandContext {
  readonly output: StandardOutput;
  /** Fires at Ctrl-C. */
  readonly signal: AbortSignal;
  readonly verbose: boolean;
  /** Tells people something on stderr that is no failure. */
  readonly note: (message: string) => void;
  /** As `note`, with --verbose alone. */
  readonly detail: (message: string) => void;
  /** As `note`, with --verbose and to a person at a terminal: a program that reads stderr gets the one line of a failure and no more. */
  readonly warn: (message: string) => void;
}

/**
 * Runs a command's work, and turns however it ends into an exit status.
 * @param name what it is called by: `sealpipe put`
 */
export async function runCommand(
  name: string,
  { verbose = false }: CommonOptions,
  work: (context: CommandContext) => Promise<void>,
): Promise<number> {
  const output = new StandardOutput();
  const interruption = new Interruption();
  const { signal } = interruption;
  const context: CommandContext = {
    output,
    signal,
    verbose,
    note: (message) => output.note(message),
    detail: (message) => {
      if (verbose) output.note(message);
    },
    warn: (message) => {
      if (verbose || process.stderr.isTTY === true) output.note(message);
    },
  };
  try {
    await work(context);
    await output.flush();
    return exitStatus.done;
  } catch (error) {
    if (error instanceof OutputClosed) return exitStatus.done;
    // What fails because of the interruption is the interruption, whatever it fails with; what the library says of its clean-up stays.
    const cutOff = signal.aborted && !(error instanceof SealpipeError);
    return reportFailure(cutOff ? signal.reason : error, { command: name, verbose, interrupted: signal.aborted });
  } finally {
    interruption.close();
  }
}

/** Writes the one line (more with --verbose) and returns the exit status. */
export function reportFailure(
  error: unknown,
  { command, verbose, interrupted }: { command: string; verbose: boolean; interrupted: boolean },
): number {
  const { status, code, message } = describeError(error);
  const hint = status === exitStatus.usage ? ` (see ${command} --help)` : '';
  process.stderr.write(`sealpipe: ${code}: ${message}${hint}\n`);
  if (verbose) for (const line of describeCauses(error)) process.stderr.write(`${line}\n`);
  return interrupted ? exitStatus.interrupted : status;
}
