import { Readable } from 'node:stream';
import { streamBufferLength } from '../buffer-length.ts';
import { destroyOnAbort } from '../streams/destroy-on-abort.ts';
import type { ByteRange } from './byte-range.ts';

/** The first piece is short, so that the first byte comes soon; each is twice as long as the one before. */
const firstPiece = 256 * 1024;
const longestPiece = 8 * 1024 * 1024;
/** Pieces that are read while one is handed out. */
const piecesAhead = 2;
/** Bytes that are pushed at once. */
const chunkLength = 256 * 1024;

export interface RangeReadStreamOptions {
  readonly range: ByteRange;
  /** The bytes of [start, end). The signal fires when the stream is destroyed. */
  readonly read: (start: number, end: number, signal: AbortSignal) => Promise<Uint8Array>;
  readonly signal?: AbortSignal | undefined;
}

/** A Readable over a range of a source. It asks when it is first read from, and no further ahead than a few pieces. */
export class RangeReadStream extends Readable {
  readonly #read: RangeReadStreamOptions['read'];
  readonly #end: number;
  readonly #stop = new AbortController();
  /** Pieces that have been asked for, in order. */
  readonly #pieces: Promise<Uint8Array>[] = [];
  #asked: number;
  #pieceLength = firstPiece;
  /** What has arrived and was not pushed yet. */
  #rest: Uint8Array = new Uint8Array(0);
  #waiting = false;

  constructor({ range, read, signal }: RangeReadStreamOptions) {
    super({ highWaterMark: streamBufferLength });
    this.#read = read;
    this.#asked = range.start;
    this.#end = range.end;
    destroyOnAbort(this, signal, 'read');
  }

  override _read(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#pump().catch((error: unknown) => {
      this.destroy(error as Error);
    });
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#stop.abort(error ?? undefined);
    // The requests are over before the stream is: nothing goes on behind the caller's back.
    void Promise.allSettled(this.#pieces).then(() => callback(error));
  }

  /** Pushes one chunk, or the end. */
  async #pump(): Promise<void> {
    if (this.#rest.length === 0) {
      this.#ask();
      const next = this.#pieces[0];
      if (next === undefined) {
        this.push(null);
        return;
      }
      this.#rest = await next;
      void this.#pieces.shift();
      if (this.destroyed) return;
      this.#ask();
    }
    const chunk = this.#rest.subarray(0, chunkLength);
    this.#rest = this.#rest.subarray(chunk.length);
    // Node calls _read again from within push: it has to find that nobody waits.
    this.#waiting = false;
    this.push(chunk);
  }

  #ask(): void {
    while (this.#pieces.length <= piecesAhead && this.#asked < this.#end) {
      // Cut at round offsets, where segments end, too: none is fetched for two pieces.
      const cut = this.#asked + this.#pieceLength;
      const end = Math.min(this.#end, cut - (cut % this.#pieceLength));
      const piece = this.#read(this.#asked, end, this.#stop.signal);
      piece.catch(() => undefined);
      this.#pieces.push(piece);
      this.#asked = end;
      this.#pieceLength = Math.min(longestPiece, 2 * this.#pieceLength);
    }
  }
}
