/**
 * Reading a segment index: asked for beside the object, believed once its trailer is authentic, then fetched as ranges need it.
 *
 *   404 = absent, 403 = an error
 *   bad magic, length or checksum                                     = damaged
 *   good checksum, other fingerprint                                  = stale
 *   same fingerprint, but a wrong GMAC, or another content length     = damaged
 */
import { createSecretKey } from 'node:crypto';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { wipe } from '../crypto/content-key.ts';
import {
  indexFingerprint,
  isTrailerAuthentic,
  parseTrailer,
  segmentIndexKeyInfo,
  segmentSizes,
  trailerLength,
} from '../crypto/segment-index.ts';
import { SealpipeError } from '../errors.ts';
import type {
  IndexedObject,
  PendingSegmentIndex,
  SegmentIndexRequest,
  SegmentIndexState,
  StartSegmentIndex,
} from '../readers/segment-verifier.ts';
import { retrySends, throwIfAborted } from '../retry/retry-sends.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { withDeadline } from '../retry/send-deadline.ts';
import { withoutResponseChecksum, withoutSdkRetries } from '../s3-command.ts';
import { describeFailure } from '../service-failure.ts';
import { unlessAborted } from '../streams/unless-aborted.ts';
import { segmentIndexKey } from './segment-index-key.ts';
import { IndexVerifier } from './segment-index-verifier.ts';

/** Bytes at the end of the index that are asked for at once: of small objects it is all of it. */
const tailLength = 4096;

/** Sends of one request, and milliseconds for each. */
const attempts = 5;
const timeout = 60_000;

/** The end of a stored index. */
export interface IndexTail {
  readonly bytes: Buffer;
  /** Offset of `bytes`. */
  readonly start: number;
  /** Bytes of the whole index. */
  readonly size: number;
  readonly etag: string;
}

interface IndexPiece {
  readonly bytes: Buffer;
  readonly contentRange: string | undefined;
  readonly etag: string;
}

/** Fetches pieces of one object's index. */
export class IndexRequests {
  readonly #request: Omit<SegmentIndexRequest, 'signal'>;
  readonly #key: string | undefined;

  constructor(request: Omit<SegmentIndexRequest, 'signal'>) {
    this.#request = request;
    this.#key = segmentIndexKey(request.address.Key ?? '');
  }

  /** What errors call it. */
  get place(): string {
    return `s3://${this.#request.address.Bucket}/${this.#key}`;
  }

  /**
   * The last 4 KiB.
   * @returns undefined where there is no index
   * @throws SealpipeError ACCESS_DENIED and whatever else S3 fails with
   */
  async tail(signal: AbortSignal): Promise<IndexTail | undefined> {
    if (this.#key === undefined) return undefined;
    try {
      const { bytes, contentRange = '', etag } = await this.#get({ Range: `bytes=-${tailLength}` }, tailLength, signal);
      const [, start = '', end = '', size = ''] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(contentRange) ?? [];
      if (Number(end) !== Number(size) - 1 || bytes.length !== Number(size) - Number(start))
        throw this.damaged(`S3 answered the request for its end with the range ${contentRange || 'none'}`);
      return { bytes, start: Number(start), size: Number(size), etag };
    } catch (error) {
      const { statusCode, name } = describeFailure(error);
      if (statusCode === 404 && name !== 'NoSuchBucket') return undefined;
      // Nothing that is empty has a last byte.
      if (statusCode === 416) return { bytes: Buffer.alloc(0), start: 0, size: 0, etag: '' };
      throw this.#failure(error);
    }
  }

  /**
   * The bytes from `start` on, up to but not including `end`.
   * @returns undefined when the index is not the one with that ETag any more
   */
  async range(
    { start, end, size, etag }: { start: number; end: number; size: number; etag: string },
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    try {
      const answer = await this.#get({ Range: `bytes=${start}-${end - 1}`, IfMatch: etag }, end - start, signal);
      if (answer.contentRange !== `bytes ${start}-${end - 1}/${size}` || answer.bytes.length !== end - start)
        throw this.damaged(
          `S3 answered with the range ${answer.contentRange ?? 'none'}, asked for was ${start}-${end - 1}`,
        );
      return answer.bytes;
    } catch (error) {
      const { statusCode, name } = describeFailure(error);
      if (statusCode === 412 || (statusCode === 404 && name !== 'NoSuchBucket')) return undefined;
      throw this.#failure(error);
    }
  }

  damaged(how: string, cause?: unknown): SealpipeError {
    const { Bucket } = this.#request.address;
    return new SealpipeError(
      'INDEX_DAMAGED',
      `the segment index ${this.place} is damaged or was altered (${how}): make it anew (sealpipe index) once the object is known to be right`,
      { bucket: Bucket, key: this.#key, cause },
    );
  }

  /** Head and body together are one attempt: half an answer is none. */
  #get(input: { Range: string; IfMatch?: string }, most: number, signal: AbortSignal): Promise<IndexPiece> {
    const { client, address } = this.#request;
    const { Bucket, ExpectedBucketOwner, RequestPayer } = address;
    const full = { Bucket, ExpectedBucketOwner, RequestPayer, Key: this.#key, ...input };
    const send = async (abortSignal: AbortSignal): Promise<IndexPiece> => {
      const command = withoutSdkRetries(withoutResponseChecksum(new GetObjectCommand(full)));
      const { Body, ContentRange, ContentLength = 0, ETag = '' } = await client.send(command, { abortSignal });
      if (ContentLength > most) {
        // A store that ignores ranges sends all of whatever lies there.
        (Body as { destroy?: () => void } | undefined)?.destroy?.();
        throw this.damaged(`S3 answered a request for ${most} bytes with ${ContentLength}`);
      }
      const bytes = Buffer.from((await Body?.transformToByteArray()) ?? []);
      return { bytes, contentRange: ContentRange, etag: ETag };
    };
    return retrySends(() => withDeadline(send, { timeout, signal, what: 'GetObject' }), { attempts, signal });
  }

  #failure(cause: unknown): SealpipeError {
    return s3Failure(cause, { operation: 'GetObject', bucket: this.#request.address.Bucket, key: this.#key });
  }
}

/** Asks for an object's index, beside the object itself. */
export const startSegmentIndex: StartSegmentIndex = (request) => new PendingIndex(request);

class PendingIndex implements PendingSegmentIndex {
  readonly derive: readonly Uint8Array[] = segmentSizes.map(segmentIndexKeyInfo);
  readonly #requests: IndexRequests;
  readonly #tail: Promise<IndexTail | undefined>;
  readonly #stop = new AbortController();

  constructor({ signal, ...request }: SegmentIndexRequest) {
    this.#requests = new IndexRequests(request);
    this.#tail = this.#requests.tail(AbortSignal.any([signal, this.#stop.signal]));
    // Whoever resolves it hears of the failure; nobody may.
    this.#tail.catch(() => undefined);
  }

  async resolve(
    { envelope, contentLength, keys }: IndexedObject,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): Promise<SegmentIndexState> {
    try {
      const tail = await (signal === undefined ? this.#tail : unlessAborted(this.#tail, signal, () => undefined));
      throwIfAborted(signal);
      if (tail === undefined) return { state: 'absent' };
      const end = tail.bytes.subarray(-trailerLength);
      const trailer = parseTrailer(end, tail.size);
      if (typeof trailer === 'string') throw this.#requests.damaged(trailer);
      if (Buffer.compare(indexFingerprint(envelope.iv), trailer.fingerprint) !== 0) return { state: 'stale' };
      const key = createSecretKey(keys[segmentSizes.indexOf(trailer.segmentSize)] ?? new Uint8Array(0));
      if (!isTrailerAuthentic(key, end)) throw this.#requests.damaged('its trailer is not authentic');
      if (trailer.contentLength !== contentLength)
        throw this.#requests.damaged(
          `it is of ${trailer.contentLength} bytes of content, the object has ${contentLength}`,
        );
      const { segmentSize } = trailer;
      const verifier = new IndexVerifier({ requests: this.#requests, tail, key, segmentSize, contentLength });
      return { state: 'usable', verifier };
    } finally {
      for (const key of keys) wipe(key);
    }
  }

  discard(): void {
    this.#stop.abort(new SealpipeError('ABORTED', 'the segment index is not needed'));
  }
}
