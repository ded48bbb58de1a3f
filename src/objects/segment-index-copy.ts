import { CopyObjectCommand, type CopyObjectCommandInput, DeleteObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { mayBeWritten } from '../multipart/upload-outcome.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { lookForIndex } from './segment-index-file.ts';
import { segmentIndexKey } from './segment-index-key.ts';

export interface SegmentIndexCopyOptions {
  readonly client: S3Client;
  readonly source: { readonly Bucket: string; readonly Key: string; readonly VersionId?: string };
  readonly input: CopyObjectCommandInput;
  readonly signal: AbortSignal | undefined;
}

/** Takes the index of an object along when its ciphertext is copied: under the same data key it is that of the copy, too. */
export class SegmentIndexCopy {
  readonly #options: SegmentIndexCopyOptions;

  constructor(options: SegmentIndexCopyOptions) {
    this.#options = options;
  }

  /** Copies the index, then the object by `copy`; takes the index away again when that fails for certain. */
  async around<T>(copy: () => Promise<T>): Promise<T> {
    const copied = await this.#copy();
    try {
      return await copy();
    } catch (error) {
      // One that stays though the copy failed is stale, and counts as none.
      if (copied !== undefined && !mayBeWritten(error)) await this.#remove(copied);
      throw error;
    }
  }

  async #copy(): Promise<{ Key: string; IfMatch: string | undefined } | undefined> {
    const { client, source, input, signal } = this.#options;
    const { Bucket = '', Key = '', ExpectedBucketOwner, RequestPayer } = input;
    const key = segmentIndexKey(Key);
    // What lies beside the latest version is not the index of an older one.
    if (key === undefined || source.VersionId !== undefined || (Bucket === source.Bucket && Key === source.Key))
      return undefined;
    const { ExpectedSourceBucketOwner } = input;
    const from = { ...source, RequestPayer, ExpectedBucketOwner: ExpectedSourceBucketOwner };
    const found = await lookForIndex(client, from, signal);
    if (typeof found !== 'object') return undefined;
    // Something that is no index stays; the copy has none then.
    if ((await lookForIndex(client, { Bucket, Key, ExpectedBucketOwner, RequestPayer }, signal)) === 'foreign')
      return undefined;
    const { ServerSideEncryption, SSEKMSKeyId, SSEKMSEncryptionContext, BucketKeyEnabled } = input;
    const command = new CopyObjectCommand({
      Bucket,
      Key: key,
      CopySource: [source.Bucket, ...found.key.split('/')].map(encodeURIComponent).join('/'),
      CopySourceIfMatch: found.etag,
      ExpectedBucketOwner,
      ExpectedSourceBucketOwner,
      RequestPayer,
      ServerSideEncryption,
      SSEKMSKeyId,
      SSEKMSEncryptionContext,
      BucketKeyEnabled,
    });
    const answer = await client.send(command, { ...(signal && { abortSignal: signal }) }).catch((cause: unknown) => {
      throw s3Failure(cause, { operation: 'CopyObject', bucket: Bucket, key });
    });
    return { Key: key, IfMatch: answer.CopyObjectResult?.ETag };
  }

  async #remove(copied: { Key: string; IfMatch: string | undefined }): Promise<void> {
    const { client, input } = this.#options;
    const { Bucket, ExpectedBucketOwner, RequestPayer } = input;
    await client
      .send(new DeleteObjectCommand({ Bucket, ExpectedBucketOwner, RequestPayer, ...copied }), {
        abortSignal: AbortSignal.timeout(30_000),
      })
      .catch(() => undefined);
  }
}
