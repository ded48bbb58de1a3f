import { formatUnsupported } from './format-error.ts';

/** What rows given at once may always take, and above that: so many bytes for each byte of their batch. */
const always = 512 * 1024 * 1024;
const perStoredByte = 32;

/** An element of a list takes about as much, whatever it is. */
const elementBytes = 16;

/**
 * What the rows that are given at once may take. Lists, views and dictionaries can refer to the same bytes any number
 * of times, and lists of them to each other, so that a row of some kilobytes has more values than there is memory.
 */
export class RowAllowance {
  #stored = 0;
  #taken = 0;

  /** A record batch begins. */
  startBatch(): void {
    this.#stored = 0;
    this.#taken = 0;
  }

  /** Rows are made that are given at once. */
  startRows(): void {
    this.#taken = 0;
  }

  /** A buffer of the batch has so many bytes. */
  addStored(bytes: number): void {
    this.#stored += bytes;
  }

  /** So many elements are put into a list. @throws SealpipeError FORMAT_UNSUPPORTED */
  takeElements(count: number): void {
    this.takeBytes(count * elementBytes);
  }

  /** A value of so many bytes is made. @throws SealpipeError FORMAT_UNSUPPORTED */
  takeBytes(bytes: number): void {
    this.#taken += bytes;
    const most = Math.max(always, this.#stored * perStoredByte);
    if (this.#taken > most) {
      throw formatUnsupported(
        `its rows take more than ${most} bytes, stored in ${this.#stored}: ask for fewer at once (batchSize)`,
      );
    }
  }
}
