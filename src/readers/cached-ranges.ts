import { SealpipeError } from '../errors.ts';
import { Semaphore } from '../multipart/semaphore.ts';
import { throwIfAborted } from '../retry/retry-sends.ts';
import { alignRange, assertRange, type ByteRange, mergeRanges, splitRange } from './byte-range.ts';
import { type Extent, Extents } from './extents.ts';
import type { RangeSource } from './range-source.ts';
import { type AccessPolicy, ReadAhead } from './read-ahead.ts';
import { SharedFetch } from './shared-fetch.ts';

/** Where the bytes come from: one request a call. */
export interface RangeFetcher {
  /** Bytes of the content. */
  readonly size: number;
  /** Ranges are fetched from multiples of this, and to multiples of this or the end. */
  readonly alignment: number;
  /** Exactly the bytes of [start, end). */
  fetch(range: ByteRange, signal: AbortSignal): Promise<Uint8Array>;
}

export interface CachedRangesOptions {
  readonly access: AccessPolicy;
  /** Bytes of content that are kept for later reads. */
  readonly cacheSize: number;
  /** The most that is fetched ahead of one sequential reader, in bytes. */
  readonly readAhead: number;
  /** Ranges of one {@link CachedRanges.readMany} that lie at most this many bytes apart become one request. */
  readonly maxGap: number;
  /** A request asks for at most this many bytes. */
  readonly maxRequest: number;
  /** Requests under way at a time. */
  readonly concurrency: number;
}

/** Bytes of one read: Node 20 has no longer buffers. */
const maxRead = 2 ** 32 - 1;

/** How one range is read. */
export interface ReadOptions {
  /** Ends this read; a request that others wait for goes on. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads ranges by as few requests as there can be: what was fetched is kept up to a limit, what is on its way is waited for by all
 * who want it, what lies close together is fetched together, what is long in parallel pieces.
 */
export class CachedRanges implements RangeSource {
  readonly #fetcher: RangeFetcher;
  readonly #options: CachedRangesOptions;
  readonly #extents: Extents;
  readonly #ahead: ReadAhead;
  readonly #limiter: Semaphore;
  readonly #underway = new Set<SharedFetch>();
  /** Where reads end that have not been answered; an end for each. */
  readonly #unanswered: number[] = [];
  #closed = false;

  constructor(fetcher: RangeFetcher, options: CachedRangesOptions) {
    this.#fetcher = fetcher;
    this.#options = options;
    this.#extents = new Extents(options.cacheSize);
    const limit = Math.min(options.readAhead, options.cacheSize / 2);
    this.#ahead = new ReadAhead({ policy: options.access, limit, size: fetcher.size });
    this.#limiter = new Semaphore(options.concurrency);
  }

  get size(): number {
    return this.#fetcher.size;
  }

  /** Gives bytes that were fetched otherwise. They stay, and count towards no limit. */
  pin(start: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#extents.add({ start, end: start + bytes.length, bytes, fetch: undefined, pinned: true });
  }

  /** The bytes of [start, end), a copy. @throws RangeError at once for what is no range of the content */
  async read(start: number, end: number, { signal }: ReadOptions = {}): Promise<Uint8Array> {
    this.#assertRead({ start, end });
    this.#assertOpen(signal);
    const extents = this.#cover({ start, end });
    const following = this.#ahead.after({ start, end }, { parallel: this.#unanswered.includes(start) });
    if (following !== undefined) this.#cover(following, { ahead: true });
    this.#unanswered.push(end);
    try {
      return await this.#assemble({ start, end }, extents, signal);
    } finally {
      this.#unanswered.splice(this.#unanswered.indexOf(end), 1);
    }
  }

  /** As {@link CachedRanges.read}, for a reader that fetches ahead itself. */
  async readPiece(start: number, end: number, { signal }: ReadOptions = {}): Promise<Uint8Array> {
    this.#assertRead({ start, end });
    this.#assertOpen(signal);
    return this.#assemble({ start, end }, this.#cover({ start, end }), signal);
  }

  /** The bytes of many ranges, in the order given. They may overlap. */
  async readMany(ranges: readonly ByteRange[], { signal }: ReadOptions = {}): Promise<Uint8Array[]> {
    for (const range of ranges) this.#assertRead(range);
    this.#assertOpen(signal);
    if (ranges.length > 1) this.#ahead.vectored();
    // What is at hand already is no reason to fetch what lies between.
    const missing = ranges.filter((range) => !this.#isCovered(range));
    for (const span of mergeRanges(missing, this.#options.maxGap)) this.#cover(span);
    const results = ranges.map((range) => this.#assemble(range, this.#cover(range), signal));
    // All are waited for before the first failure is passed on: nothing goes on behind the caller's back.
    const settled = await Promise.allSettled(results);
    return settled.map((result) => {
      if (result.status === 'rejected') throw result.reason;
      return result.value;
    });
  }

  /** Ends all requests, and overwrites what is held. Reads fail from now on. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const underway = [...this.#underway];
    for (const fetch of underway) fetch.abort(closed());
    await Promise.all(underway.map((fetch) => fetch.settled));
    for (const { bytes } of this.#extents.clear()) bytes?.fill(0);
  }

  #assertRead(range: ByteRange): void {
    assertRange(range, this.size);
    if (range.end - range.start > maxRead) {
      throw new RangeError(
        `a read of ${range.end - range.start} bytes was asked for, at most ${maxRead} come at once: use createReadStream`,
      );
    }
  }

  #assertOpen(signal: AbortSignal | undefined): void {
    throwIfAborted(signal);
    if (this.#closed) throw closed();
  }

  #isCovered(range: ByteRange): boolean {
    let at = range.start;
    for (const { start, end } of this.#extents.overlapping(range)) {
      if (start > at) return false;
      at = end;
    }
    return at >= range.end;
  }

  /** The extents that have the range, in order; what is missing is asked for. */
  #cover(range: ByteRange, { ahead = false }: { ahead?: boolean } = {}): Extent[] {
    if (range.end <= range.start) return [];
    const { alignment, size } = this.#fetcher;
    const found = this.#extents.overlapping(range);
    const covering: Extent[] = [];
    let at = range.start;
    for (const extent of [...found, undefined]) {
      const end = extent === undefined ? range.end : extent.start;
      if (end > at) {
        // Extents begin and end at multiples of the alignment (or where the content does), so a gap widened to it hits none.
        const longest = this.#longestRequest(ahead);
        for (const piece of splitRange(alignRange({ start: at, end }, alignment, size), { longest, alignment }))
          covering.push(this.#fetch(piece, ahead));
      }
      if (extent === undefined) break;
      this.#extents.touch(extent);
      covering.push(extent);
      at = extent.end;
      if (at >= range.end) break;
    }
    return covering;
  }

  /** What is fetched ahead has to be worth keeping. */
  #longestRequest(ahead: boolean): number {
    const { maxRequest, cacheSize } = this.#options;
    const longest = ahead ? Math.min(maxRequest, cacheSize / 4) : maxRequest;
    return Math.max(longest, this.#fetcher.alignment);
  }

  #fetch(range: ByteRange, ahead: boolean): Extent {
    const remove = (): void => this.#extents.remove(extent);
    const fetch = new SharedFetch(
      (signal) =>
        this.#limiter.run(async () => {
          signal.throwIfAborted();
          return this.#fetcher.fetch(range, signal);
        }),
      { ahead, abandoned: remove },
    );
    const extent: Extent = { ...range, bytes: undefined, fetch, pinned: false };
    this.#extents.add(extent);
    this.#underway.add(fetch);
    fetch.result
      .then((bytes) => {
        // One that was abandoned stands in nobody's way any more.
        if (this.#extents.overlapping(range).includes(extent)) this.#extents.arrived(extent, bytes);
      }, remove)
      .finally(() => this.#underway.delete(fetch));
    return extent;
  }

  /** Waits for extents and puts a range together from them. */
  async #assemble(range: ByteRange, extents: readonly Extent[], signal: AbortSignal | undefined): Promise<Uint8Array> {
    const parts = await Promise.all(
      extents.map(async (extent) => extent.bytes ?? (await (extent.fetch as SharedFetch).join(signal))),
    );
    // What was held has been overwritten by then.
    if (this.#closed) throw closed();
    // Everything has arrived, so this is no allocation from a length that somebody claims.
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(range.end - range.start).buffer);
    for (const [i, { start }] of extents.entries()) {
      const from = Math.max(range.start, start);
      const part = (parts[i] as Uint8Array).subarray(from - start, range.end - start);
      bytes.set(part, from - range.start);
    }
    return bytes;
  }
}

function closed(): SealpipeError {
  return new SealpipeError('ABORTED', 'the object was closed: open it again to read from it');
}
