/** Ctrl-C and its relatives: the first one ends the command with its cleaning up, the second one at once. */
import { SealpipeError } from '../index.ts';
import { exitStatus } from './exit-status.ts';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export class Interruption {
  readonly #controller = new AbortController();
  readonly #onSignal = (name: NodeJS.Signals): void => this.#interrupt(name);

  constructor() {
    for (const name of signals) process.on(name, this.#onSignal);
  }

  /** Fires at the first signal; its reason is a SealpipeError ABORTED. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Hands the signals back to their default. */
  close(): void {
    for (const name of signals) process.off(name, this.#onSignal);
  }

  #interrupt(name: NodeJS.Signals): void {
    // A clean-up can wait for a network that is gone; whoever asks twice does not want to.
    if (this.#controller.signal.aborted) process.exit(exitStatus.interrupted);
    if (process.stderr.isTTY)
      process.stderr.write('\nsealpipe: interrupted, cleaning up (once more to leave at once)\n');
    this.#controller.abort(new SealpipeError('ABORTED', `interrupted by ${name}`));
  }
}
