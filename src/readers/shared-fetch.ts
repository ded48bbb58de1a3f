import { SealpipeError } from '../errors.ts';
import { throwIfAborted } from '../retry/retry-sends.ts';

/**
 * One request that several readers wait for. A reader that gives up lets go of it alone; the request ends when nobody waits for
 * it any more, unless it was made ahead of any reader.
 */
export class SharedFetch {
  /** For whoever keeps what arrives; taking it is not waiting for it. */
  readonly result: Promise<Uint8Array>;
  /** Resolves when the request is over, however it ended. */
  readonly settled: Promise<void>;
  readonly #controller = new AbortController();
  readonly #abandoned: () => void;
  readonly #ahead: boolean;
  #waiting = 0;

  /**
   * @param ahead whether it goes on without a waiter
   * @param abandoned told at once when the last waiter has gone, so that nobody joins any more
   */
  constructor(
    fetch: (signal: AbortSignal) => Promise<Uint8Array>,
    { ahead, abandoned }: { ahead: boolean; abandoned: () => void },
  ) {
    this.#ahead = ahead;
    this.#abandoned = abandoned;
    this.result = fetch(this.#controller.signal);
    this.settled = this.result.then(
      () => undefined,
      () => undefined,
    );
  }

  /** Waits for the bytes. @throws SealpipeError ABORTED when the signal fires first */
  async join(signal: AbortSignal | undefined): Promise<Uint8Array> {
    if (signal === undefined) {
      // It is never let go of.
      this.#waiting += 1;
      return this.result;
    }
    throwIfAborted(signal);
    this.#waiting += 1;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#leave();
        const cause = signal.reason as unknown;
        reject(new SealpipeError('ABORTED', 'the read was aborted by its signal', { cause }));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.result.finally(() => signal.removeEventListener('abort', onAbort)).then(resolve, reject);
    });
  }

  /** Ends the request, whoever waits for it. */
  abort(reason: Error): void {
    this.#controller.abort(reason);
  }

  #leave(): void {
    this.#waiting -= 1;
    if (this.#waiting > 0 || this.#ahead) return;
    this.#abandoned();
    this.#controller.abort(new Error('nobody waits for the request any more'));
  }
}
