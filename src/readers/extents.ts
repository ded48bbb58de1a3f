import type { ByteRange } from './byte-range.ts';
import type { SharedFetch } from './shared-fetch.ts';

/** A run of content that is at hand or on its way. */
export interface Extent extends ByteRange {
  /** Undefined until it has arrived. */
  bytes: Uint8Array | undefined;
  readonly fetch: SharedFetch | undefined;
  /** Stays whatever the limit says: what the opening request brought. */
  readonly pinned: boolean;
}

/**
 * The extents of one object: in order, none overlapping another. What has arrived is held up to a limit in bytes; beyond it what
 * was used longest ago goes first.
 */
export class Extents {
  readonly #sorted: Extent[] = [];
  /** What has arrived and may go, in the order of its last use. */
  readonly #used = new Set<Extent>();
  readonly #limit: number;
  #held = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Those that have bytes of the range, in order. */
  overlapping({ start, end }: ByteRange): Extent[] {
    const found: Extent[] = [];
    for (let i = this.#indexAfter(start); i < this.#sorted.length; i++) {
      const extent = this.#sorted[i] as Extent;
      if (extent.start >= end) break;
      found.push(extent);
    }
    return found;
  }

  /** Adds one that overlaps none. */
  add(extent: Extent): void {
    this.#sorted.splice(this.#indexAfter(extent.start), 0, extent);
  }

  /** Keeps what has arrived, unless it would take the place of too much else: a quarter of the limit at most. */
  arrived(extent: Extent, bytes: Uint8Array): void {
    extent.bytes = bytes;
    if (bytes.length > this.#limit / 4 && !extent.pinned) {
      this.remove(extent);
      return;
    }
    if (extent.pinned) return;
    this.#held += bytes.length;
    this.#used.add(extent);
    for (const oldest of this.#used) {
      if (this.#held <= this.#limit) break;
      this.remove(oldest);
    }
  }

  /** Says that an extent was of use just now. */
  touch(extent: Extent): void {
    if (this.#used.delete(extent)) this.#used.add(extent);
  }

  remove(extent: Extent): void {
    const index = this.#indexAfter(extent.start);
    if (this.#sorted[index] === extent) this.#sorted.splice(index, 1);
    if (this.#used.delete(extent)) this.#held -= extent.end - extent.start;
  }

  /** Empties it. @returns what it held */
  clear(): Extent[] {
    this.#used.clear();
    this.#held = 0;
    return this.#sorted.splice(0);
  }

  /** Index of the first extent that ends after the offset. */
  #indexAfter(offset: number): number {
    let [low, high] = [0, this.#sorted.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sorted[middle] as Extent).end > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
