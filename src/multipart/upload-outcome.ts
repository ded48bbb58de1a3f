/** Whether an object is the one that we just wrote: asked when the answer to the last request of an upload was lost. */
import { HeadObjectCommand, type HeadObjectCommandOutput, type S3Client } from '@aws-sdk/client-s3';
import { SealpipeError } from '../errors.ts';
import { retrySends } from '../retry/retry-sends.ts';
import { withoutSdkRetries } from '../s3-command.ts';
import { describeFailure } from '../service-failure.ts';
import { addressOf, base64Crc, customerKeyOf, type StoredObject, type UploadParams } from './upload-requests.ts';

export interface WrittenObject {
  /** What identifies our object in its metadata: message id or IV, and its envelope key. Empty for V2 with an instruction file. */
  readonly identity: Record<string, string>;
  readonly storedLength: number;
  /** Undefined where it was not computed: then the identity alone tells. */
  readonly crc32: number | undefined;
}

/**
 * What became of a write. The third is no failure: whoever takes back what belongs to an object that is there after all takes its only key.
 */
export type WriteOutcome =
  | { readonly kind: 'written'; readonly object: StoredObject }
  /** Something else is there, or nothing. */
  | { readonly kind: 'absent' }
  /** S3 could not be asked, or did not let itself be asked. */
  | { readonly kind: 'unknown'; readonly cause: unknown };

/** Sends of the request, the first included, and milliseconds for all of them. */
const attempts = 5;
const timeLimit = 30_000;

/** Looks at what is there (DECISIONS section 10). */
export async function lookForWritten(
  client: S3Client,
  params: UploadParams,
  written: WrittenObject,
): Promise<WriteOutcome> {
  const signal = AbortSignal.timeout(timeLimit);
  const input = { ...addressOf(params), ...customerKeyOf(params), ChecksumMode: 'ENABLED' } as const;
  const look = (): Promise<HeadObjectCommandOutput> =>
    client.send(withoutSdkRetries(new HeadObjectCommand(input)), { abortSignal: signal });
  try {
    const head = await retrySends(look, { attempts, signal });
    return head.ContentLength === written.storedLength && isOurs(head, written)
      ? { kind: 'written', object: { etag: head.ETag ?? '', versionId: head.VersionId } }
      : { kind: 'absent' };
  } catch (cause) {
    return describeFailure(cause).statusCode === 404 ? { kind: 'absent' } : { kind: 'unknown', cause };
  }
}

function isOurs(
  head: Pick<HeadObjectCommandOutput, 'Metadata' | 'ChecksumCRC32' | 'ChecksumType'>,
  { identity, crc32 }: WrittenObject,
): boolean {
  const name = identity['x-amz-i'] === undefined ? 'x-amz-iv' : 'x-amz-i';
  const expected = identity[name];
  // V2 with an instruction file leaves nothing in the metadata: then the checksum of all bytes has to tell.
  return expected === undefined
    ? crc32 !== undefined && head.ChecksumCRC32 === base64Crc(crc32) && head.ChecksumType !== 'COMPOSITE'
    : head.Metadata?.[name] === expected;
}

/**
 * Whether a write that failed may have been carried out all the same: its answer, or that to an earlier send of the same, was lost.
 * What the last send was answered says nothing of the others.
 */
export function mayBeWritten(error: unknown): boolean {
  if (error instanceof SealpipeError) {
    const { code, retryable, attempts: sends = 1, statusCode } = error;
    if (retryable || sends > 1) return true;
    if (code === 'ERR_SEALPIPE_REQUEST_REJECTED') return statusCode === undefined;
    return ['ERR_SEALPIPE_UPLOAD_UNKNOWN', 'ERR_SEALPIPE_PRECONDITION_FAILED', 'ERR_SEALPIPE_ABORTED'].includes(code);
  }
  const { kind, name, statusCode } = describeFailure(error);
  const sends = (error as { $metadata?: { attempts?: number } } | undefined)?.$metadata?.attempts ?? 1;
  if (sends > 1) return true;
  if (kind === 'rejected') return statusCode === undefined || statusCode === 412 || name === 'NoSuchUpload';
  return kind !== 'credentials';
}

/** The error of a write that nobody knows the outcome of. */
export function outcomeUnknown(
  { Bucket, Key }: Pick<UploadParams, 'Bucket' | 'Key'>,
  { failure, cause }: { readonly failure: unknown; readonly cause: unknown },
): SealpipeError {
  const said = (error: unknown): string => (error instanceof Error ? error.message || error.name : String(error));
  const { requestId, statusCode } = describeFailure(cause);
  return new SealpipeError(
    'OUTCOME_UNKNOWN',
    `whether s3://${Bucket}/${Key} was written is not known: the write failed (${said(failure)}), and S3 could not be asked (${said(cause)}); nothing that belongs to it was taken back: look at it when S3 answers again, or write it again`,
    { cause: failure, retryable: true, bucket: Bucket, key: Key, requestId, statusCode },
  );
}
