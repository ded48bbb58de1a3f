import type { KeyObject } from 'node:crypto';
import { segmentCount, trailerLength } from '../crypto/segment-index.ts';
import { entryLength, findForgedSegment } from '../crypto/segment-index-macs.ts';
import { SealpipeError } from '../errors.ts';
import type { CiphertextSegments, SegmentVerifier } from '../readers/segment-verifier.ts';
import { throwIfAborted } from '../retry/retry-sends.ts';
import { unlessAborted } from '../streams/unless-aborted.ts';
import type { IndexRequests, IndexTail } from './segment-index-reader.ts';

/** An index up to this many bytes is fetched whole, once (DECISIONS section 13). Of a longer one, blocks; those used last are kept. */
const wholeLimit = 1024 * 1024;
const blockLength = 16 * 1024;
const keptBlocks = wholeLimit / blockLength;

export interface IndexVerifierOptions {
  readonly requests: IndexRequests;
  readonly tail: IndexTail;
  readonly key: KeyObject;
  readonly segmentSize: number;
  /** Plaintext bytes of the object. */
  readonly contentLength: number;
}

/** Verifies segments by an index whose trailer was found authentic. Entries are believed one by one: each is a MAC. */
export class IndexVerifier implements SegmentVerifier {
  readonly segmentSize: number;
  readonly #options: Omit<IndexVerifierOptions, 'key'>;
  readonly #blockLength: number;
  /** By number; in the order of use. Several readers wait for one request. */
  readonly #blocks = new Map<number, Promise<Buffer>>();
  readonly #stop = new AbortController();
  #key: KeyObject | undefined;
  #etag: string;

  constructor({ key, ...options }: IndexVerifierOptions) {
    this.segmentSize = options.segmentSize;
    this.#options = options;
    this.#key = key;
    this.#etag = options.tail.etag;
    this.#blockLength = options.tail.size <= wholeLimit ? wholeLimit : blockLength;
  }

  async verify(
    { start, ciphertext }: CiphertextSegments,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    const { segmentSize, contentLength, requests } = this.#options;
    const end = start + ciphertext.length;
    if (start % segmentSize !== 0 || end > contentLength || (end % segmentSize !== 0 && end !== contentLength))
      throw new Error('internal error: the range to verify is not one of whole segments');
    if (ciphertext.length === 0) return;
    const firstSegment = start / segmentSize;
    const entries = await this.#entries(firstSegment, segmentCount(ciphertext.length, segmentSize), signal);
    if (this.#key === undefined) throw closed();
    const forged = findForgedSegment({
      key: this.#key,
      segmentSize,
      contentLength,
      firstSegment,
      ciphertext,
      entries,
    });
    if (forged === undefined) return;
    throw new SealpipeError(
      'AUTHENTICATION_FAILED',
      `the content from byte ${forged * segmentSize} on does not match its entry in the segment index ${requests.place}: object or index was altered`,
      { offset: forged * segmentSize },
    );
  }

  close(): void {
    this.#key = undefined;
    this.#stop.abort(closed());
    this.#blocks.clear();
  }

  async #entries(first: number, count: number, signal: AbortSignal | undefined): Promise<Buffer> {
    const { tail } = this.#options;
    const from = first * entryLength;
    const to = from + count * entryLength;
    if (from >= tail.start) return tail.bytes.subarray(from - tail.start, to - tail.start);
    const firstBlock = Math.floor(from / this.#blockLength);
    const blocks = this.#require(firstBlock, Math.ceil(to / this.#blockLength));
    const fetched = signal === undefined ? await blocks : await unlessAborted(blocks, signal, () => undefined);
    throwIfAborted(signal);
    const at = from - firstBlock * this.#blockLength;
    return (fetched ?? Buffer.alloc(0)).subarray(at, at + to - from);
  }

  /** The blocks from number `from` on, up to but not including `to`. What is missing between two that are there is one request. */
  async #require(from: number, to: number): Promise<Buffer> {
    if (this.#key === undefined) throw closed();
    const wanted: Promise<Buffer>[] = [];
    for (let block = from; block < to; block++) {
      if (!this.#blocks.has(block)) this.#start(block, to);
      const found = this.#blocks.get(block) as Promise<Buffer>;
      this.#blocks.delete(block);
      this.#blocks.set(block, found);
      wanted.push(found);
    }
    for (const block of this.#blocks.keys()) {
      if (this.#blocks.size <= Math.max(keptBlocks, wanted.length)) break;
      this.#blocks.delete(block);
    }
    return Buffer.concat(await Promise.all(wanted));
  }

  /** Asks for the blocks from `first` on that are not there yet. */
  #start(first: number, limit: number): void {
    let last = first;
    while (last + 1 < limit && !this.#blocks.has(last + 1)) last += 1;
    const start = first * this.#blockLength;
    const end = Math.min((last + 1) * this.#blockLength, this.#options.tail.size - trailerLength);
    const run = this.#fetch(start, end);
    for (let block = first; block <= last; block++) {
      const at = (block - first) * this.#blockLength;
      // A copy: a view would keep all of a long run alive for one block of it.
      const own = run.then((bytes) => Buffer.from(bytes.subarray(at, at + this.#blockLength)));
      this.#blocks.set(block, own);
      own.catch(() => {
        if (this.#blocks.get(block) === own) this.#blocks.delete(block);
      });
    }
  }

  async #fetch(start: number, end: number): Promise<Buffer> {
    const { requests, tail } = this.#options;
    const { size } = tail;
    const { signal } = this.#stop;
    const bytes = await requests.range({ start, end, size, etag: this.#etag }, signal);
    if (bytes !== undefined) return bytes;
    // Made anew of the same object, it says the same: its trailer is authentic, and every entry is a MAC.
    const now = await requests.tail(signal);
    const trailer = tail.bytes.subarray(-trailerLength);
    const same = now?.size === size && trailer.equals(now.bytes.subarray(-trailerLength));
    const again = same ? await requests.range({ start, end, size, etag: now.etag }, signal) : undefined;
    if (now === undefined || again === undefined) {
      throw new SealpipeError(
        'OBJECT_CHANGED',
        `the segment index ${requests.place} was ${now === undefined ? 'removed' : 'overwritten'} while its object was being read: open the object again`,
      );
    }
    this.#etag = now.etag;
    return again;
  }
}

function closed(): SealpipeError {
  return new SealpipeError('ABORTED', 'the object has been closed');
}
