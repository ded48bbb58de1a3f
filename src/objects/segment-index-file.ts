/**
 * Putting a segment index in place beside its object, and finding one that is there.
 *
 * What lies under an index's key is overwritten or deleted only if it is an index of ours. A failed overwrite can leave an object
 * without a usable index, never with wrong bytes: an index says which object it belongs to.
 */
import { crc32 } from 'node:zlib';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { isTrailer, trailerLength } from '../crypto/segment-index.ts';
import { SealpipeError } from '../errors.ts';
import { base64Crc, type UploadParams } from '../multipart/upload-requests.ts';
import { type RetryOptions, retrySends } from '../retry/retry-sends.ts';
import { type S3FailureContext, s3Failure } from '../retry/s3-failure.ts';
import { answerTimeout, withDeadline } from '../retry/send-deadline.ts';
import { withLeanBody, withoutResponseChecksum, withoutSdkRetries } from '../s3-command.ts';
import { describeFailure } from '../service-failure.ts';
import { requiredIndexKey, segmentIndexKey } from './segment-index-key.ts';

/** Which object an index belongs to, and how S3 is to store it. */
export type IndexedParams = Pick<
  UploadParams,
  | 'Bucket'
  | 'Key'
  | 'RequestPayer'
  | 'ExpectedBucketOwner'
  | 'ServerSideEncryption'
  | 'SSEKMSKeyId'
  | 'SSEKMSEncryptionContext'
  | 'BucketKeyEnabled'
  | 'IfMatch'
  | 'IfNoneMatch'
>;

/** What has to hold of the object that stands there, for it to be overwritten. */
export type WriteCondition = Pick<IndexedParams, 'IfMatch' | 'IfNoneMatch'>;

export interface SegmentIndexFileOptions extends Pick<RetryOptions, 'attempts' | 'onRetry'> {
  readonly client: S3Client;
  readonly params: IndexedParams;
  /** Milliseconds until an unanswered send counts as lost. */
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
}

/** An index of ours that lies beside an object. */
export interface FoundSegmentIndex {
  readonly key: string;
  readonly etag: string;
  readonly trailer: Uint8Array;
  /** Bytes of the whole index; NaN where S3 did not say. */
  readonly size: number;
}

export class SegmentIndexFile {
  readonly #options: SegmentIndexFileOptions;
  readonly #key: string;
  #found: FoundSegmentIndex | undefined;
  /** Whether S3 does not tell what lies there, or that nothing does. */
  #denied = false;
  #etag: string | undefined;

  /** @throws SealpipeError COMMAND_REFUSED for a key that can have no index */
  constructor(options: SegmentIndexFileOptions) {
    this.#options = options;
    this.#key = requiredIndexKey(options.params);
  }

  /** Key of the index. */
  get key(): string {
    return this.#key;
  }

  /**
   * Looks at what would be overwritten. Called before anything is sent, so that a failure costs nothing.
   * @throws SealpipeError COMMAND_REFUSED for something that is no index of ours
   */
  async prepare(): Promise<void> {
    const { client, params, signal } = this.#options;
    const found = await lookForIndex(client, params, signal);
    if (found === 'foreign') throw this.#foreign();
    this.#denied = found === 'denied';
    this.#found = found === 'denied' ? undefined : found;
  }

  /**
   * Whether the index that {@link prepare} has found is the one with this end, of which there is one under each data key.
   * @param size bytes of the whole index
   */
  holds(trailer: Uint8Array, size: number): boolean {
    return this.#found !== undefined && this.#found.size === size && Buffer.from(this.#found.trailer).equals(trailer);
  }

  /**
   * Writes the index, immediately before its object becomes visible.
   * @param condition of the object's own write
   * @throws SealpipeError PRECONDITION_FAILED where the object's own write would fail its condition: its index must stay then
   */
  async publish(index: Buffer, condition: WriteCondition = this.#options.params): Promise<void> {
    await this.#checkObject(condition);
    // Only where there is nothing: what cannot be looked at must not be overwritten.
    this.#etag = this.#denied ? await this.#putUnlessThere(index, { IfNoneMatch: '*' }) : await this.#put(index, {});
  }

  /**
   * Writes the index of an object that is there already, unless the object or its index changed in the meantime.
   * @param etag of the object that the index was made of
   * @throws SealpipeError OBJECT_CHANGED
   */
  async publishBeside(index: Buffer, etag: string): Promise<void> {
    await this.#head({ IfMatch: etag }, 'changed');
    const condition = this.#found === undefined ? { IfNoneMatch: '*' } : { IfMatch: this.#found.etag };
    this.#etag = await this.#putUnlessThere(index, condition);
  }

  async #putUnlessThere(index: Buffer, condition: { IfMatch: string } | { IfNoneMatch: string }): Promise<string> {
    try {
      return await this.#put(index, condition);
    } catch (error) {
      if (!(error instanceof SealpipeError) || error.code !== 'ERR_SEALPIPE_PRECONDITION_FAILED') throw error;
      const { client, params, signal } = this.#options;
      const found = await lookForIndex(client, params, signal);
      // An answer that was lost: what a second send met is what the first one wrote.
      if (typeof found === 'object' && index.subarray(-trailerLength).equals(found.trailer)) return found.etag;
      if (found === 'denied')
        throw new SealpipeError(
          'ACCESS_DENIED',
          `s3://${params.Bucket}/${this.#key} is there, and S3 does not let it be read: it is not overwritten; allow s3:GetObject on it`,
          { cause: error, bucket: params.Bucket, key: this.#key },
        );
      throw new SealpipeError(
        'OBJECT_CHANGED',
        `s3://${params.Bucket}/${this.#key} was written by somebody else while the index was made: run it again`,
        { cause: error, bucket: params.Bucket, key: this.#key },
      );
    }
  }

  /** After the object's write has failed: removes the index again. One that stays would be stale, and count as none. */
  async withdraw(): Promise<void> {
    if (this.#etag === undefined) return;
    const IfMatch = this.#etag === '' ? undefined : this.#etag;
    this.#etag = undefined;
    const { client } = this.#options;
    await client
      .send(new DeleteObjectCommand({ ...this.#address(), IfMatch }), { abortSignal: AbortSignal.timeout(30_000) })
      .catch(() => undefined);
  }

  async #put(index: Buffer, condition: { IfMatch?: string; IfNoneMatch?: string }): Promise<string> {
    const { client, params } = this.#options;
    const { ServerSideEncryption, SSEKMSKeyId, SSEKMSEncryptionContext, BucketKeyEnabled } = params;
    const input = {
      ...this.#address(),
      ServerSideEncryption,
      SSEKMSKeyId,
      SSEKMSEncryptionContext,
      BucketKeyEnabled,
      ...condition,
      ContentType: 'application/octet-stream',
      Body: index,
      ContentLength: index.length,
      ChecksumCRC32: base64Crc(crc32(index)),
    };
    const context = { key: this.#key, precondition: 'conditional-write' } as const;
    const answer = await this.#send('PutObject', context, (signal) =>
      client.send(withoutSdkRetries(withLeanBody(new PutObjectCommand(input))), { abortSignal: signal }),
    );
    return answer.ETag ?? '';
  }

  /** An overwrite that S3 will refuse must not cost the object that stays its index. */
  async #checkObject({ IfMatch, IfNoneMatch }: WriteCondition): Promise<void> {
    if (IfMatch !== undefined) await this.#head({ IfMatch }, 'conditional-write');
    if (IfNoneMatch === undefined) return;
    const there = await this.#head({}, 'conditional-write').then(
      () => true,
      (error: unknown) => {
        // Denied is what is not there, too, to whoever may not list the bucket; the object's own write has the condition once more.
        const absent = ['ERR_SEALPIPE_OBJECT_NOT_FOUND', 'ERR_SEALPIPE_ACCESS_DENIED'];
        if (error instanceof SealpipeError && absent.includes(error.code)) return false;
        throw error;
      },
    );
    if (!there) return;
    const { Bucket, Key } = this.#options.params;
    throw new SealpipeError('PRECONDITION_FAILED', `s3://${Bucket}/${Key} exists, and was not to be overwritten`, {
      bucket: Bucket,
      key: Key,
    });
  }

  async #head(
    condition: { IfMatch?: string },
    precondition: NonNullable<S3FailureContext['precondition']>,
  ): Promise<void> {
    const { client, params } = this.#options;
    const input = { ...this.#address(), Key: params.Key, ...condition };
    await this.#send('HeadObject', { key: params.Key, precondition }, (signal) =>
      client.send(withoutSdkRetries(new HeadObjectCommand(input)), { abortSignal: signal }),
    );
  }

  async #send<T>(
    operation: string,
    context: Pick<S3FailureContext, 'key' | 'precondition'>,
    send: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { attempts, timeout, signal, onRetry, params } = this.#options;
    try {
      return await retrySends(() => withDeadline(send, { timeout, signal, what: operation }), {
        attempts,
        signal,
        onRetry,
      });
    } catch (cause) {
      throw s3Failure(cause, { operation, bucket: params.Bucket, ...context, fields: { attempts } });
    }
  }

  #address(): Pick<UploadParams, 'Bucket' | 'Key' | 'RequestPayer' | 'ExpectedBucketOwner'> {
    const { Bucket, RequestPayer, ExpectedBucketOwner } = this.#options.params;
    return { Bucket, Key: this.#key, RequestPayer, ExpectedBucketOwner };
  }

  #foreign(): SealpipeError {
    const { Bucket } = this.#options.params;
    return new SealpipeError(
      'COMMAND_REFUSED',
      `s3://${Bucket}/${this.#key} exists and is no segment index: it would be overwritten`,
      { bucket: Bucket, key: this.#key },
    );
  }
}

/**
 * The index of ours that lies beside an object, whether or not it is up to date: at one GET of 64 bytes.
 * @returns `foreign` for something else under its key; `denied` where S3 does not say, as of what is not there to whoever may not list
 * the bucket
 */
export async function lookForIndex(
  client: S3Client,
  {
    Bucket,
    Key,
    RequestPayer,
    ExpectedBucketOwner,
  }: Pick<IndexedParams, 'Bucket' | 'Key' | 'RequestPayer' | 'ExpectedBucketOwner'>,
  signal: AbortSignal | undefined,
): Promise<FoundSegmentIndex | 'foreign' | 'denied' | undefined> {
  const key = segmentIndexKey(Key);
  if (key === undefined) return undefined;
  const Range = `bytes=-${trailerLength}`;
  const command = new GetObjectCommand({ Bucket, Key: key, RequestPayer, ExpectedBucketOwner, Range });
  try {
    const send = async (abortSignal: AbortSignal): Promise<{ trailer: Uint8Array; etag: string; range: string }> => {
      const answer = await client.send(withoutResponseChecksum(command), { abortSignal });
      const { Body, ETag = '', ContentLength, ContentRange = '' } = answer;
      const fits = ContentLength === trailerLength;
      if (!fits) (Body as { destroy?: () => void } | undefined)?.destroy?.();
      const trailer = fits ? await Body?.transformToByteArray() : undefined;
      return { trailer: trailer ?? new Uint8Array(0), etag: ETag, range: ContentRange };
    };
    const what = `GetObject of s3://${Bucket}/${key}`;
    const { trailer, etag, range } = await withDeadline(send, { timeout: answerTimeout, signal, what });
    const size = Number(range.slice(range.lastIndexOf('/') + 1) || Number.NaN);
    return isTrailer(trailer) ? { key, etag, trailer, size } : 'foreign';
  } catch (cause) {
    const { statusCode, name } = describeFailure(cause);
    if (statusCode === 404 && name !== 'NoSuchBucket') return undefined;
    // Nothing that is empty has a last byte.
    if (statusCode === 416) return 'foreign';
    const failure = s3Failure(cause, { operation: 'GetObject', bucket: Bucket, key });
    if (failure.code === 'ERR_SEALPIPE_ACCESS_DENIED') return 'denied';
    throw failure;
  }
}

/** The key of the index of ours that lies beside an object, to be deleted with it. */
export async function findSegmentIndex(
  client: S3Client,
  address: Parameters<typeof lookForIndex>[1],
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const found = await lookForIndex(client, address, signal);
  return typeof found === 'object' ? found.key : undefined;
}
