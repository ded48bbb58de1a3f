/**
 * Putting an instruction file in place beside its object (DECISIONS section 1).
 *
 * The old file holds the only wrapped key of the old object, so it is read and kept before it is overwritten, the new one is
 * written immediately before the object becomes visible, and when that fails for certain the old one is put back. What a
 * crash in between and two writers can do stands in docs/retry.md. Metadata storage has no such window.
 */
import { DeleteObjectCommand, GetObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { SealpipeError } from '../errors.ts';
import { instructionFileMarker } from '../format/envelope.ts';
import { maxInstructionFileLength, writeInstructionFile } from '../format/instruction-file.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { withoutResponseChecksum } from '../s3-command.ts';
import { describeFailure } from '../service-failure.ts';
import type { UploadParams } from './upload-requests.ts';

interface OldFile {
  readonly body: Uint8Array;
  readonly metadata: Record<string, string>;
  readonly contentType: string | undefined;
}

export interface InstructionFileSwapOptions {
  readonly client: S3Client;
  readonly params: UploadParams;
  /** Key of the instruction file. */
  readonly key: string;
  readonly content: Record<string, string>;
  readonly signal: AbortSignal;
}

export class InstructionFileSwap {
  readonly #options: InstructionFileSwapOptions;
  #old: OldFile | undefined;
  #newEtag: string | undefined;
  #published = false;

  constructor(options: InstructionFileSwapOptions) {
    this.#options = options;
  }

  /** Reads what would be overwritten. Called before anything is sent, so that a failure costs nothing. */
  async prepare(): Promise<void> {
    const { client, key, signal } = this.#options;
    try {
      const answer = await client.send(
        withoutResponseChecksum(new GetObjectCommand({ ...this.#address(), Key: key })),
        { abortSignal: signal },
      );
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
      this.#old = { body, metadata: answer.Metadata, contentType: answer.ContentType };
    } catch (cause) {
      if (describeFailure(cause).statusCode === 404 && describeFailure(cause).name !== 'NoSuchBucket') return;
      throw this.#failure(cause, 'GetObject');
    }
  }

  /** Writes the new file. */
  async publish(): Promise<void> {
    const { client, params, key, content, signal } = this.#options;
    const command = new PutObjectCommand({
      ...this.#address(),
      Key: key,
      Body: writeInstructionFile(content),
      ContentType: 'application/json',
      Metadata: { [instructionFileMarker]: '' },
      ...this.#encryptionAtRest(),
      // Somebody who creates the same object at the same time must not lose the key to it.
      ...(params.IfNoneMatch === undefined ? {} : { IfNoneMatch: params.IfNoneMatch }),
    });
    try {
      const answer = await client.send(command, { abortSignal: signal });
      this.#newEtag = answer.ETag;
      this.#published = true;
    } catch (cause) {
      throw this.#failure(cause, 'PutObject');
    }
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

  #failure(cause: unknown, operation: string): SealpipeError {
    return s3Failure(cause, {
      operation,
      bucket: this.#options.params.Bucket,
      key: this.#options.key,
      precondition: 'conditional-write',
    });
  }
}
