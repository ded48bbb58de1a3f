import { HeldIndexKey } from './held-index-key.ts';
import { encodeTrailer, indexFingerprint, indexLength, segmentCount, trailerLength } from './segment-index.ts';
import { entryLength, type IndexKey, lastEntry, SegmentMacs } from './segment-index-macs.ts';

export interface SegmentIndexBuilderOptions {
  /** K_idx, 32 bytes; overwritten at the latest when the builder is closed. */
  readonly key: Uint8Array;
  readonly segmentSize: number;
  /** The content IV (format V2) or message id (V3) of the object. */
  readonly iv: Uint8Array;
  /** Plaintext bytes, where known. */
  readonly contentLength?: number | undefined;
}

/** Puts an object's segment index together while its content is encrypted. One instance, one data key, one index. */
export class SegmentIndexBuilder {
  readonly segmentSize: number;
  readonly #fingerprint: Uint8Array;
  #key: HeldIndexKey | undefined;
  #entries: Buffer;
  #filled = 0;

  constructor({ key, segmentSize, iv, contentLength = 0 }: SegmentIndexBuilderOptions) {
    this.#key = new HeldIndexKey(key);
    this.segmentSize = segmentSize;
    this.#fingerprint = indexFingerprint(iv);
    this.#entries = Buffer.alloc(segmentCount(contentLength, segmentSize) * entryLength);
  }

  /** K_idx, for one other thread. */
  handOverKey(): SharedArrayBuffer {
    return this.#held.handOver();
  }

  /** Computes entries on this thread, from a segment on. */
  macs(firstSegment: number): SegmentMacs {
    return new SegmentMacs({ key: this.#keyInUse, segmentSize: this.segmentSize, firstSegment });
  }

  /**
   * Takes entries as {@link SegmentMacs} makes them, in any order, each once.
   * @param offset of the first of their segments in the content: a multiple of the segment size
   */
  add(offset: number, entries: Uint8Array): void {
    if (offset % this.segmentSize !== 0) throw new Error('internal error: entries do not begin with a segment');
    const at = (offset / this.segmentSize) * entryLength;
    if (at + entries.length > this.#entries.length) {
      const grown = Buffer.alloc(Math.max(at + entries.length, 2 * this.#entries.length));
      grown.set(this.#entries);
      this.#entries = grown;
    }
    this.#entries.set(entries, at);
    this.#filled += entries.length / entryLength;
  }

  /** Whether the entries of all segments are there. */
  isWhole(contentLength: number): boolean {
    return this.#filled === segmentCount(contentLength, this.segmentSize);
  }

  /** What the index ends with: it tells an index of this object from any other, and takes no entries to know. */
  trailer(contentLength: number): Buffer {
    const { segmentSize } = this;
    return encodeTrailer(this.#keyInUse, { segmentSize, contentLength, fingerprint: this.#fingerprint });
  }

  /** The whole index, once all of the content has been seen. */
  finish(contentLength: number): Buffer {
    const { segmentSize } = this;
    const count = segmentCount(contentLength, segmentSize);
    if (!this.isWhole(contentLength))
      throw new Error(`internal error: ${this.#filled} segments were indexed, the content has ${count}`);
    const index = Buffer.alloc(indexLength(contentLength, segmentSize));
    index.set(this.#entries.subarray(0, count * entryLength));
    index.set(this.trailer(contentLength), index.length - trailerLength);
    if (count > 0) {
      const last = index.subarray((count - 1) * entryLength, count * entryLength);
      last.set(lastEntry(this.#keyInUse, count - 1, last));
    }
    return index;
  }

  /** Lets go of the key: nothing can be made with it any more. */
  close(): void {
    this.#key?.close();
    this.#key = undefined;
  }

  get #held(): HeldIndexKey {
    if (this.#key === undefined) throw new Error('internal error: the segment index has been closed');
    return this.#key;
  }

  get #keyInUse(): IndexKey {
    return this.#held.key;
  }
}
