/** Milliseconds of unused rate that an idle connection may catch up on. */
const idleCredit = 20;

/**
 * Holds one direction of one connection to a rate. Bytes are booked when they have moved; the answer is how long to wait until
 * they are paid for. Being late costs nothing: what was held back by the pace is made up for, however coarse the timers are.
 */
export class Pace {
  /** When everything booked so far is paid for, in the clock's milliseconds. */
  #paidAt = Number.NEGATIVE_INFINITY;
  #held = false;

  /**
   * @param bytes moved now
   * @param rate bytes a second; 0 for any
   * @param now milliseconds
   * @returns milliseconds to wait before more may move
   */
  book(bytes: number, rate: number, now: number): number {
    if (rate === 0) return 0;
    if (!this.#held) this.#paidAt = Math.max(this.#paidAt, now - idleCredit);
    this.#paidAt += (bytes / rate) * 1000;
    const wait = this.#paidAt - now;
    this.#held = wait > 0;
    return Math.max(0, wait);
  }
}
