/** Whether an object is the one that we just wrote: asked when the answer to the last request of an upload was lost. */
import { HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { base64Crc, type StoredObject, type UploadParams } from './upload-requests.ts';

export interface WrittenObject {
  /** What identifies our object in its metadata: message id or IV, and its envelope key. Empty for V2 with an instruction file. */
  readonly identity: Record<string, string>;
  readonly storedLength: number;
  /** Undefined where it was not computed: then the identity alone tells. */
  readonly crc32: number | undefined;
}

/**
 * Looks at what is there (DECISIONS section 10).
 * @returns what S3 says of it when it is ours; undefined when it is something else, not there, or cannot be seen
 */
export async function findWritten(
  client: S3Client,
  params: UploadParams,
  written: WrittenObject,
): Promise<StoredObject | undefined> {
  const { Bucket, Key, RequestPayer, ExpectedBucketOwner, SSECustomerAlgorithm, SSECustomerKey, SSECustomerKeyMD5 } =
    params;
  const command = new HeadObjectCommand({
    Bucket,
    Key,
    RequestPayer,
    ExpectedBucketOwner,
    SSECustomerAlgorithm,
    SSECustomerKey,
    SSECustomerKeyMD5,
    ChecksumMode: 'ENABLED',
  });
  const head = await client.send(command, { abortSignal: AbortSignal.timeout(30_000) }).catch(() => undefined);
  if (head?.ContentLength !== written.storedLength) return undefined;
  const name = written.identity['x-amz-i'] === undefined ? 'x-amz-iv' : 'x-amz-i';
  const expected = written.identity[name];
  // V2 with an instruction file leaves nothing in the metadata: then the checksum of all bytes has to tell.
  const ours =
    expected === undefined
      ? written.crc32 !== undefined &&
        head.ChecksumCRC32 === base64Crc(written.crc32) &&
        head.ChecksumType !== 'COMPOSITE'
      : head.Metadata?.[name] === expected;
  return ours ? { etag: head.ETag ?? '', versionId: head.VersionId } : undefined;
}
