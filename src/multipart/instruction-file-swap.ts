/**
 * Putting an instruction file in place beside its object (DECISIONS section 1).
 *
 * The old file holds the only wrapped key of the old object, so it is read and kept before it is overwritten, the new one is
 * written immediately before the object becomes visible, and when that fails for certain the old one is put back. What a
 * crash in between and two writers can do stands in docs/retry.md. Metadata storage has no such window.
 */
import {
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  type PutObjectCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { SealpipeError } from '../errors.ts';
import { instructionFileMarker } from '../format/envelope.ts';
import { maxInstructionFileLength, writeInstructionFile } from '../format/instruction-file.ts';
import { retrySends } from '../retry/retry-sends.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { answerTimeout, withDeadline } from '../retry/send-deadline.ts';
import { withoutResponseChecksum, withoutSdkRetries } from '../s3-command.ts';
import { describeFailure } from '../service-failure.ts';
import type { UploadParams } from './upload-requests.ts';

interface OldFile {
  readonly body: Uint8Array;
  readonly metadata: Record<string, string>;
  readonly contentType: string | undefined;
  readonly etag: string | undefined;
}

/** Sends of a request, the first included. */
const attempts = 5;

export interface InstructionFileSwapOptions {
  readonly client: S3Client;
  readonly params: UploadParams;
  /** Key of the instruction file. */
  readonly key: string;
  readonly content: Record<string, string>;
  readonly signal: AbortSignal;
  /** Milliseconds until a request counts as lost. Default 60 000. */
  readonly timeout?: number | undefined;
}

export class InstructionFileSwap {
  readonly #options: InstructionFileSwapOptions;
  #old: OldFile | undefined;
  /** Whether S3 does not tell what stands there, or that nothing does. */
  #denied = false;
  #newEtag: string | undefined;
  #published = false;

  constructor(options: InstructionFileSwapOptions) {
    this.#options = options;
  }

  /**
   * Reads what would be overwritten. Called before anything is sent, so that a failure costs nothing, and again before the file is
   * written where that is long after: what is put back must not be older than what was overwritten.
   */
  async prepare(): Promise<void> {
    // Of a file of our own the old one is known.
    if (this.#published) return;
    this.#old = undefined;
    this.#denied = false;
    try {
      this.#old = await this.#read(this.#options.signal);
    } catch (cause) {
      if (describeFailure(cause).statusCode === 404 && describeFailure(cause).name !== 'NoSuchBucket') return;
      const failure = this.#failure(cause, 'GetObject');
      if (failure.code !== 'ERR_SEALPIPE_ACCESS_DENIED') throw failure;
      // So S3 answers of what is not there, too, to whoever may not list the bucket.
      this.#denied = true;
    }
  }

  /**
   * Writes the new file. Not cut off by an abort: a file that was written and is not known to be would never be rolled back, and with
   * the old one the old object would be lost.
   * @param condition of the object's own write
   */
  async publish({ IfNoneMatch }: Pick<UploadParams, 'IfNoneMatch'> = this.#options.params): Promise<void> {
    const { client, key, content } = this.#options;
    const body = writeInstructionFile(content);
    const input = {
      ...this.#address(),
      Key: key,
      Body: body,
      ContentType: 'application/json',
      Metadata: { [instructionFileMarker]: '' },
      ...this.#encryptionAtRest(),
      // Somebody who creates the same object at the same time must not lose the key to it, nor what nobody could look at its own.
      ...(IfNoneMatch === undefined && !this.#denied ? {} : { IfNoneMatch: IfNoneMatch ?? '*' }),
    };
    try {
      const put = (abortSignal: AbortSignal): Promise<PutObjectCommandOutput> =>
        client.send(withoutSdkRetries(new PutObjectCommand(input)), { abortSignal });
      this.#newEtag = (await retrySends(() => this.#send('PutObject', put), { attempts })).ETag;
    } catch (cause) {
      // The answer may be what was lost, or a 412 the answer to a second send of ours.
      const there = mayHaveArrived(cause) ? await this.#read().catch(() => undefined) : undefined;
      if (there === undefined || !Buffer.from(there.body).equals(Buffer.from(body)))
        throw this.#denied && describeFailure(cause).statusCode === 412
          ? this.#unreadable(cause)
          : this.#failure(cause, 'PutObject');
      this.#newEtag = there.etag;
    }
    this.#published = true;
  }

  /** Sees to it that the file of an object that is in place is, too. */
  async ensure(): Promise<void> {
    await this.prepare();
    const body = writeInstructionFile(this.#options.content);
    if (this.#old === undefined || !Buffer.from(this.#old.body).equals(Buffer.from(body))) await this.publish({});
  }

  /** After a definite failure: puts the old file back, or removes the new one if there was none. */
  async rollBack(): Promise<void> {
    if (!this.#published) return;
    const { client, key } = this.#options;
    const abortSignal = AbortSignal.timeout(30_000);
    const own = this.#newEtag === undefined ? {} : { IfMatch: this.#newEtag };
    try {
      if (this.#old !== undefined) {
        const { body, metadata, contentType } = this.#old;
        await client.send(
          new PutObjectCommand({
            ...this.#address(),
            Key: key,
            Body: body,
            Metadata: metadata,
            ContentType: contentType,
            ...this.#encryptionAtRest(),
            ...own,
          }),
          { abortSignal },
        );
      } else {
        await client.send(new DeleteObjectCommand({ ...this.#address(), Key: key, ...own }), { abortSignal });
      }
      this.#published = false;
    } catch (cause) {
      // A failed precondition: another writer's file stands there now, and is theirs.
      if (describeFailure(cause).statusCode === 412) return;
      throw this.#failure(cause, this.#old === undefined ? 'DeleteObject' : 'PutObject');
    }
  }

  /** What stands there now. A request that is not answered is sent again. */
  async #read(signal?: AbortSignal): Promise<OldFile> {
    const { client, key } = this.#options;
    const request = async (abortSignal: AbortSignal): Promise<OldFile> => {
      const command = withoutResponseChecksum(new GetObjectCommand({ ...this.#address(), Key: key }));
      const answer = await client.send(withoutSdkRetries(command), { abortSignal });
      if ((answer.ContentLength ?? 0) > maxInstructionFileLength) {
        (answer.Body as { destroy?: () => void } | undefined)?.destroy?.();
        throw new SealpipeError(
          'COMMAND_REFUSED',
          `${key} exists and is no instruction file (${answer.ContentLength} bytes): it would be overwritten`,
        );
      }
      const body = (await answer.Body?.transformToByteArray()) ?? new Uint8Array(0);
      if (answer.Metadata === undefined || !Object.hasOwn(answer.Metadata, instructionFileMarker)) {
        throw new SealpipeError(
          'COMMAND_REFUSED',
          `${key} exists and is no instruction file (it lacks ${instructionFileMarker}): it would be overwritten`,
        );
      }
      return { body, metadata: answer.Metadata, contentType: answer.ContentType, etag: answer.ETag };
    };
    return retrySends(() => this.#send('GetObject', request, signal), { attempts, signal });
  }

  #send<T>(operation: string, send: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const { params, key, timeout = answerTimeout } = this.#options;
    return withDeadline(send, { timeout, signal, what: `${operation} of s3://${params.Bucket}/${key}` });
  }

  #address(): Pick<UploadParams, 'Bucket' | 'RequestPayer' | 'ExpectedBucketOwner'> {
    const { Bucket, RequestPayer, ExpectedBucketOwner } = this.#options.params;
    return { Bucket, RequestPayer, ExpectedBucketOwner };
  }

  #encryptionAtRest(): Pick<
    UploadParams,
    'ServerSideEncryption' | 'SSEKMSKeyId' | 'SSEKMSEncryptionContext' | 'BucketKeyEnabled'
  > {
    const { ServerSideEncryption, SSEKMSKeyId, SSEKMSEncryptionContext, BucketKeyEnabled } = this.#options.params;
    return { ServerSideEncryption, SSEKMSKeyId, SSEKMSEncryptionContext, BucketKeyEnabled };
  }

  #unreadable(cause: unknown): SealpipeError {
    const { params, key } = this.#options;
    return new SealpipeError(
      'ACCESS_DENIED',
      `s3://${params.Bucket}/${key} is there, and S3 does not let it be read: it may hold the only key of an object, so it is not overwritten; allow s3:GetObject on it`,
      { cause, bucket: params.Bucket, key },
    );
  }

  #failure(cause: unknown, operation: string): SealpipeError {
    return s3Failure(cause, {
      operation,
      bucket: this.#options.params.Bucket,
      key: this.#options.key,
      precondition: 'conditional-write',
    });
  }
}

/** Whether a PUT that failed may have been carried out all the same. */
function mayHaveArrived(cause: unknown): boolean {
  const { kind, statusCode } = describeFailure(cause);
  return kind === 'network' || kind === 'server' || kind === 'throttled' || kind === 'aborted' || statusCode === 412;
}
