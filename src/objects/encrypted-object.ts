import type { Readable } from 'node:stream';
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { type ContentKey, wipe } from '../crypto/content-key.ts';
import { SealpipeError } from '../errors.ts';
import { type Envelope, userMetadata } from '../format/envelope.ts';
import { assertRange, type ByteRange } from '../readers/byte-range.ts';
import { CachedRanges, type ReadOptions } from '../readers/cached-ranges.ts';
import { RangeReadStream } from '../readers/range-read-stream.ts';
import type { RangeSource } from '../readers/range-source.ts';
import type { AccessPolicy } from '../readers/read-ahead.ts';
import type { SegmentVerifier } from '../readers/segment-verifier.ts';
import { throwIfAborted } from '../retry/retry-sends.ts';
import type { PlaintextRanges } from './plaintext-ranges.ts';
import type { StoredObject } from './stored-ranges.ts';
import { TargetFile } from './target-file.ts';

/**
 * What a reader of ranges wants to be sure of.
 * - `required`: nothing comes out that was not authenticated. An object whose ranges cannot be is opened, and its reads refused.
 * - `when-possible`: authenticated where the object has a segment index, or is small enough to be verified by its own tag; else
 *   as `never`. It guards against accident alone: whoever can write can take the index away.
 * - `never`: as decrypted. Whoever can write to the bucket can change what is read, bit by bit.
 */
export type AuthenticateRule = 'required' | 'when-possible' | 'never';

/** What makes the ranges of an object authentic, or why nothing does. */
export type Authentication =
  | { readonly by: 'tag' }
  | { readonly by: 'index'; readonly verifier: SegmentVerifier }
  | { readonly by: false; readonly because: UnauthenticatedBecause };

/** Why reads of an object are not authenticated. */
export type UnauthenticatedBecause = 'not asked for' | 'plaintext' | 'cbc' | 'no index' | 'stale index';

/** Content that came with the opening request. */
export interface PinnedRange {
  readonly start: number;
  readonly bytes: Uint8Array;
}

/** How the reads of an object become requests; see OpenOptions for each. */
export interface AccessOptions {
  readonly access?: AccessPolicy | undefined;
  readonly cacheSize?: number | undefined;
  readonly readAhead?: number | undefined;
  readonly maxGap?: number | undefined;
  readonly maxRequest?: number | undefined;
  readonly concurrency?: number | undefined;
}

/** What an opening has come to. */
export interface ObjectParts {
  readonly answer: GetObjectCommandOutput;
  readonly stored: StoredObject;
  /** Counts what `stored.onRetry` is told of. */
  readonly tally: { readonly retries: number };
  readonly envelope: Envelope | undefined;
  /** Handed over: the object overwrites it. */
  readonly contentKey: ContentKey | undefined;
  readonly ranges: PlaintextRanges;
  readonly authentication: Authentication;
  readonly authenticate: AuthenticateRule;
  readonly pinned: PinnedRange;
  readonly options: AccessOptions;
}

/** A part of an object: from `start` (default 0) up to and without `end` (default: the end of the content), in bytes. */
export interface PartOptions extends ReadOptions {
  readonly start?: number | undefined;
  readonly end?: number | undefined;
}

/** A part of an object that is downloaded to a file. */
export interface PartDownloadOptions extends PartOptions {
  /** Told of the plaintext bytes that have arrived so far. */
  readonly onProgress?: ((loaded: number) => void) | undefined;
}

const MiB = 1024 * 1024;

/**
 * An encrypted object as a file one can seek in: its length is known exactly, its key is open, and a read costs one GET at most,
 * none where the bytes are at hand. All requests are held to the object that was opened: one that is overwritten meanwhile is the
 * error OBJECT_CHANGED, never a mixture.
 *
 * Ranges are half-open, [start, end), in bytes of plaintext.
 */
export class EncryptedObject implements RangeSource, AsyncDisposable {
  readonly bucket: string;
  readonly key: string;
  /** Bytes of plaintext, exact. */
  readonly size: number;
  /** Bytes as stored. */
  readonly storedSize: number;
  /** Undefined for a plaintext object that the policy allows. */
  readonly envelope: Envelope | undefined;
  /** User metadata without the envelope. */
  readonly metadata: Record<string, string>;
  readonly etag: string;
  readonly versionId: string | undefined;
  readonly contentType: string | undefined;
  readonly lastModified: Date | undefined;
  /**
   * What every byte that a read returns was verified by: `tag`, the object's own (it fitted into the tail); `index`, its segment
   * index. False: nothing, whoever can write to the bucket can change what is read.
   */
  readonly authenticated: 'tag' | 'index' | false;
  /** Why reads are not authenticated; undefined where they are. */
  readonly unauthenticatedBecause: UnauthenticatedBecause | undefined;
  /** Bytes of a segment where `authenticated` is `index`: what a read is widened to. */
  readonly segmentSize: number | undefined;
  readonly #reader: CachedRanges;
  readonly #opened: ObjectParts;

  constructor(opened: ObjectParts) {
    const { answer, stored, envelope, ranges, authentication, pinned, options } = opened;
    this.bucket = stored.address.Bucket;
    this.key = stored.address.Key;
    this.size = ranges.size;
    this.storedSize = stored.size;
    this.envelope = envelope;
    this.metadata = userMetadata(answer.Metadata ?? {});
    this.etag = answer.ETag ?? '';
    this.versionId = answer.VersionId;
    this.contentType = answer.ContentType;
    this.lastModified = answer.LastModified;
    this.authenticated = authentication.by;
    this.unauthenticatedBecause = authentication.by === false ? authentication.because : undefined;
    this.segmentSize = authentication.by === 'index' ? authentication.verifier.segmentSize : undefined;
    this.#opened = opened;
    this.#reader = new CachedRanges(ranges, {
      access: options.access ?? 'adaptive',
      cacheSize: options.cacheSize ?? 32 * MiB,
      readAhead: options.readAhead ?? 8 * MiB,
      maxGap: options.maxGap ?? 64 * 1024,
      maxRequest: options.maxRequest ?? 16 * MiB,
      concurrency: options.concurrency ?? 8,
    });
    this.#reader.pin(pinned.start, pinned.bytes);
  }

  /** Requests so far that had to be made again, or for the rest of one that broke off. */
  get retries(): number {
    return this.#opened.tally.retries;
  }

  /**
   * The bytes of [start, end).
   * @throws RangeError for what is no range within the content
   * @throws SealpipeError RANGE_UNAUTHENTICATED where authentication is required and cannot be had; AUTHENTICATION_FAILED;
   *   OBJECT_CHANGED; NETWORK; ABORTED
   */
  async read(start: number, end: number, options: ReadOptions = {}): Promise<Uint8Array> {
    assertRange({ start, end }, this.size);
    this.#assertAuthenticated();
    return this.#reader.read(start, end, options);
  }

  /** The last `length` bytes, all of them if there are fewer. No request where the opening one brought them. */
  async tail(length: number, options: ReadOptions = {}): Promise<Uint8Array> {
    if (!Number.isSafeInteger(length) || length < 0)
      throw new RangeError(`length is ${length}, expected a number of bytes`);
    this.#assertAuthenticated();
    return this.#reader.readPiece(Math.max(0, this.size - length), this.size, options);
  }

  /**
   * The bytes of many ranges, in the order given. They may overlap; those close together are fetched by one request, long ones by
   * several, at the same time.
   */
  async readMany(ranges: readonly ByteRange[], options: ReadOptions = {}): Promise<Uint8Array[]> {
    for (const range of ranges) assertRange(range, this.size);
    this.#assertAuthenticated();
    return this.#reader.readMany(ranges, options);
  }

  /**
   * A Readable over the content, or a part of it. What comes out is authenticated as that of a read.
   * @throws RangeError at once for what is no range within the content
   */
  createReadStream({ start = 0, end = this.size, signal }: PartOptions = {}): Readable {
    const range = { start, end };
    assertRange(range, this.size);
    return new RangeReadStream({
      range,
      signal,
      read: async (from, to, stopped) => {
        this.#assertAuthenticated();
        return this.#reader.readPiece(from, to, { signal: stopped });
      },
    });
  }

  /** Writes the content, or a part of it, to a file, which appears when all of it is there. On any failure nothing is left. */
  async download(path: string, part: PartDownloadOptions = {}): Promise<{ bytes: number }> {
    const { start = 0, end = this.size, signal } = part;
    assertRange({ start, end }, this.size);
    this.#assertAuthenticated();
    const target = await TargetFile.create(path);
    try {
      let bytes = 0;
      for await (const chunk of this.createReadStream(part) as AsyncIterable<Buffer>) {
        await target.write(chunk);
        bytes += chunk.length;
        part.onProgress?.(bytes);
      }
      throwIfAborted(signal);
      await target.commit();
      return { bytes };
    } catch (error) {
      await target.discard();
      throw error;
    }
  }

  /** Ends all reads, and overwrites the key and what was kept. Resolves when no request is under way any more. */
  async close(): Promise<void> {
    const { contentKey, authentication } = this.#opened;
    await this.#reader.close();
    if (contentKey !== undefined) wipe(contentKey.key);
    if (authentication.by === 'index') authentication.verifier.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertAuthenticated(): void {
    const { authenticate, authentication } = this.#opened;
    if (authenticate !== 'required' || authentication.by !== false) return;
    throw new SealpipeError(
      'RANGE_UNAUTHENTICATED',
      `a range of s3://${this.bucket}/${this.key} cannot be authenticated: ${reasons[authentication.because]}. ` +
        "Read the whole object, or take unauthenticated bytes by name (authenticate: 'never', --authenticate never)",
      { bucket: this.bucket, key: this.key },
    );
  }
}

const reasons: Readonly<Record<UnauthenticatedBecause, string>> = {
  'not asked for': 'authentication was not asked for',
  plaintext: 'it is not encrypted',
  cbc: 'its content is AES-256-CBC, which nothing authenticates',
  'no index': 'it has no segment index, and the tag covers the object as a whole',
  'stale index': 'its segment index is that of an earlier object',
};
