/** Cuts the stored bytes of an object, as they arrive, into segments in shared memory. */
import { SealpipeError } from '../errors.ts';
import { tagLength } from '../format/lengths.ts';
import type { PartBuffers } from '../multipart/part-buffers.ts';
import { type BytesReceiver, StoredBytes, type StoredBytesOptions } from './stored-bytes.ts';

/** A run of the content in a buffer of its own, which whoever gets it gives back. */
export interface CollectedSegment {
  readonly content: Buffer;
  /** In the object's content. */
  readonly offset: number;
  readonly buffer: Buffer;
}

export interface CollectingOptions extends StoredBytesOptions {
  readonly storedSize: number;
  /** Bytes of a segment; the last one may have fewer. */
  readonly segmentLength: number;
  /** Waiting for one slows the connection down. */
  readonly buffers: PartBuffers;
  readonly onSegment: (segment: CollectedSegment) => void;
  /** Ends the collecting; its reason is what it fails with. */
  readonly signal: AbortSignal;
}

/** @returns what follows the content, when all has arrived */
export function collectSegments(options: CollectingOptions): Promise<Uint8Array> {
  return new SegmentCollector(options).collected;
}

interface Settle {
  resolve(trailer: Uint8Array): void;
  reject(error: unknown): void;
}

class SegmentCollector implements BytesReceiver {
  readonly inPlace = true;
  readonly collected: Promise<Uint8Array>;
  readonly #options: CollectingOptions;
  readonly #contentLength: number;
  readonly #trailer = new Uint8Array(tagLength);
  readonly #stored: StoredBytes;
  /** Undefined when it is settled. */
  #settle: Settle | undefined;
  #received = 0;
  /** The segment in the making. */
  #buffer: Buffer | undefined;
  #offset = 0;
  #filled = 0;
  /** What came when there was no buffer. */
  #held: Uint8Array | undefined;
  #ended = false;

  constructor(options: CollectingOptions) {
    this.#options = options;
    this.#contentLength = options.storedSize - tagLength;
    this.collected = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.#stored = new StoredBytes(options, this);
    options.signal.addEventListener('abort', this.#onAbort, { once: true });
    if (options.signal.aborted) this.#onAbort();
  }

  take(chunk: Uint8Array): boolean {
    try {
      return this.#take(chunk);
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  end(): void {
    this.#ended = true;
    // What is held still has its segment to fill.
    if (this.#held === undefined) this.#close((settle) => settle.resolve(this.#trailer));
  }

  fail(error: unknown): void {
    this.#close((settle) => settle.reject(error));
  }

  readonly #onAbort = (): void => this.fail(this.#options.signal.reason);

  #close(settling: (settle: Settle) => void): void {
    const settle = this.#settle;
    this.#settle = undefined;
    if (settle === undefined) return;
    this.#options.signal.removeEventListener('abort', this.#onAbort);
    this.#stored.close();
    if (this.#buffer !== undefined) this.#options.buffers.release(this.#buffer);
    this.#buffer = undefined;
    settling(settle);
  }

  #take(chunk: Uint8Array): boolean {
    const content = chunk.subarray(0, Math.max(0, this.#contentLength - this.#received));
    const rest = chunk.subarray(content.length);
    const at = Math.max(0, this.#received - this.#contentLength);
    if (at + rest.length > tagLength)
      throw new SealpipeError('OBJECT_CHANGED', 'S3 sent more bytes than the object has: open it again');
    this.#trailer.set(rest, at);
    this.#received += chunk.length;
    return this.#fill(content);
  }

  /** @returns whether there is a buffer for more */
  #fill(content: Uint8Array): boolean {
    const { segmentLength, onSegment } = this.#options;
    let rest = content;
    while (rest.length > 0) {
      if (this.#buffer === undefined) {
        // A copy: where it lies is received into anew.
        this.#held = Uint8Array.from(rest);
        void this.#awaitBuffer();
        return false;
      }
      const taken = rest.subarray(0, segmentLength - this.#filled);
      this.#buffer.set(taken, this.#filled);
      this.#filled += taken.length;
      rest = rest.subarray(taken.length);
      if (this.#filled < segmentLength && this.#offset + this.#filled < this.#contentLength) continue;
      const buffer = this.#buffer;
      const segment = { content: buffer.subarray(0, this.#filled), offset: this.#offset, buffer };
      this.#buffer = undefined;
      this.#offset += this.#filled;
      this.#filled = 0;
      onSegment(segment);
    }
    return true;
  }

  async #awaitBuffer(): Promise<void> {
    const { buffers, segmentLength } = this.#options;
    try {
      const buffer = await buffers.acquire(segmentLength);
      if (this.#settle === undefined) {
        buffers.release(buffer);
        return;
      }
      this.#buffer = buffer;
      const held = this.#held ?? new Uint8Array(0);
      this.#held = undefined;
      // More than a segment is never held: a chunk is far shorter.
      if (!this.#fill(held)) return;
      if (this.#ended) this.end();
      else this.#stored.resume();
    } catch (error) {
      this.fail(error);
    }
  }
}
