import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Lets bytes through at a rate: one of these for each connection and direction.
 *
 * Time is reserved ahead, so that several takers share the rate in order of asking; what was not used while idle is
 * not saved up, as a link does not save up either.
 */
export class Pace {
  readonly #bytesPerMs: number;
  #freeAt = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  /** Resolves when `bytes` more may have passed. */
  async take(bytes: number): Promise<void> {
    const now = performance.now();
    this.#freeAt = Math.max(this.#freeAt, now) + bytes / this.#bytesPerMs;
    const wait = this.#freeAt - now;
    // Timers have a grain of a millisecond: shorter debts are carried over instead of rounded up.
    if (wait >= 1) await sleep(wait);
  }
}
