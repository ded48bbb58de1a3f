/** Picking up a journalled upload: what an earlier process left is looked at from all sides before anything is sent. */
import { ListPartsCommand, type S3Client } from '@aws-sdk/client-s3';
import type { ContentKey } from '../../crypto/content-key.ts';
import { SealpipeError } from '../../errors.ts';
import { storedLength } from '../../format/lengths.ts';
import { parseEnvelope } from '../../format/parse-envelope.ts';
import type { ReadPolicy } from '../../format/read-policy.ts';
import type { StringMap } from '../../format/string-map.ts';
import { divideEnvelope } from '../../format/write-envelope.ts';
import type { Keyring } from '../../keyrings/keyring.ts';
import { openKeys } from '../../keyrings/open-content-key.ts';
import { s3Failure } from '../../retry/s3-failure.ts';
import { describeFailure } from '../../service-failure.ts';
import { combineCrc32 } from '../crc32-combine.ts';
import { identityChange } from '../file-identity.ts';
import type { SourceFile } from '../upload-body.ts';
import { findWritten } from '../upload-outcome.ts';
import {
  base64Crc,
  type StoredObject,
  type StoredPart,
  type UploadParams,
  UploadRequests,
} from '../upload-requests.ts';
import {
  FoundJournal,
  type JournalHeader,
  type JournalState,
  journalKeyInfo,
  type UploadJournal,
} from './upload-journal.ts';

export interface ResumeOptions {
  readonly client: S3Client;
  readonly keyring: Keyring;
  readonly params: UploadParams;
  readonly encryptionContext: StringMap | undefined;
  readonly file: SourceFile;
  readonly path: string;
  readonly signal: AbortSignal;
}

/** An upload that goes on. */
export interface ResumedUpload {
  readonly kind: 'resumed';
  readonly journal: UploadJournal;
  readonly header: JournalHeader;
  readonly contentKey: ContentKey;
  readonly intents: JournalState['intents'];
  /** Parts that are on S3, and proven to be ours. */
  readonly stored: readonly StoredPart[];
}

export type ResumeOutcome =
  | ResumedUpload
  /** There is nothing to go on with: a new upload under a fresh key. */
  | { readonly kind: 'fresh' }
  /** It had been completed; only the answer, or the removal of the journal, was missing. */
  | { readonly kind: 'completed'; readonly header: JournalHeader; readonly object: StoredObject };

/** Whoever resumes reads what was written by the same call: every suite that can be written. */
const policy: ReadPolicy = { commitmentPolicy: 'REQUIRE_ENCRYPT_ALLOW_DECRYPT' };

/**
 * Looks for a journal and what it says.
 * @throws SealpipeError JOURNAL_BUSY, JOURNAL_INVALID, SOURCE_CHANGED, and what keyring and S3 fail with. The journal stays then.
 */
export async function resumeUpload(options: ResumeOptions): Promise<ResumeOutcome> {
  const found = await FoundJournal.open(options.path);
  if (found === undefined) return { kind: 'fresh' };
  try {
    const outcome = await pickUp(found, options);
    if (outcome.kind !== 'resumed') await found.close();
    return outcome;
  } catch (error) {
    await found.close();
    throw error;
  }
}

async function pickUp(found: FoundJournal, options: ResumeOptions): Promise<ResumeOutcome> {
  const { client, keyring, params, encryptionContext, file, signal } = options;
  const { header } = found;
  if (header.bucket !== params.Bucket || header.key !== params.Key) {
    throw new SealpipeError(
      'JOURNAL_INVALID',
      `the journal ${found.path} is that of an upload to s3://${header.bucket}/${header.key}, not to s3://${params.Bucket}/${params.Key}: name another journal`,
    );
  }
  const change = identityChange(header.source, file.identity);
  if (change !== undefined) {
    throw new SealpipeError(
      'SOURCE_CHANGED',
      `${file.path} is not what it was when the upload was begun (${change}): to upload it as it is now, remove the journal ${found.path} ` +
        `and start afresh; the parts of upload ${header.uploadId} then have to be removed from S3`,
      { uploadId: header.uploadId },
    );
  }
  const envelope = parseEnvelope(header.envelope);
  const { bucket, key } = header;
  const { contentKey, derived } = await openKeys({
    keyring,
    envelope,
    policy,
    encryptionContext,
    bucket,
    key,
    derive: [journalKeyInfo],
    signal,
  });
  const { journal, state } = await found.read(derived[0] as Uint8Array);
  const onS3 = await listParts(options, header.uploadId);
  if (onS3 === undefined) {
    contentKey.key.fill(0);
    const identity = divideEnvelope(header.envelope, header.storage).metadata;
    const written = {
      identity,
      storedLength: storedLength(envelope.suite, header.source.size),
      crc32: objectCrc32(state),
    };
    const object = await findWritten(client, params, written);
    return object === undefined ? { kind: 'fresh' } : { kind: 'completed', header, object };
  }
  if (onS3.some(({ number }) => !state.intents.has(number))) {
    // What lies there was sent by a process whose journal went on after this copy was taken: its counters are used.
    contentKey.key.fill(0);
    await new UploadRequests({
      client,
      params,
      metadata: {},
      attempts: 3,
      partTimeout: 60_000,
      transport: 'client',
      signal,
    }).abort(header.uploadId);
    return { kind: 'fresh' };
  }
  const stored = onS3.flatMap((part) => {
    const done = state.done.get(part.number);
    // Never believed by its ETag alone: the length and, where S3 tells it, the CRC-32 have to be ours, too.
    const same =
      done !== undefined &&
      done.etag === part.etag &&
      done.length === part.length &&
      (part.crc32 === undefined || part.crc32 === base64Crc(done.crc32));
    return same ? [done] : [];
  });
  return { kind: 'resumed', journal, header, contentKey, intents: state.intents, stored };
}

/** The CRC-32 of the object, from the records of its parts; a part too few gives that of no object of ours. */
function objectCrc32({ done }: JournalState): number {
  return [...done.values()]
    .sort((a, b) => a.number - b.number)
    .reduce((sum, part) => combineCrc32(sum, part.crc32, part.length), 0);
}

interface ListedPart {
  readonly number: number;
  readonly etag: string;
  readonly length: number;
  readonly crc32: string | undefined;
}

/** What S3 has of an upload; undefined when it does not know it (any more). */
async function listParts(
  { client, params, signal }: ResumeOptions,
  uploadId: string,
): Promise<ListedPart[] | undefined> {
  const { Bucket, Key, RequestPayer, ExpectedBucketOwner, SSECustomerAlgorithm, SSECustomerKey, SSECustomerKeyMD5 } =
    params;
  const address = {
    Bucket,
    Key,
    RequestPayer,
    ExpectedBucketOwner,
    SSECustomerAlgorithm,
    SSECustomerKey,
    SSECustomerKeyMD5,
  };
  const listed: ListedPart[] = [];
  let marker: string | undefined;
  try {
    do {
      const page = await client.send(
        new ListPartsCommand({ ...address, UploadId: uploadId, PartNumberMarker: marker }),
        { abortSignal: signal },
      );
      for (const { PartNumber = 0, ETag = '', Size = 0, ChecksumCRC32 } of page.Parts ?? []) {
        listed.push({ number: PartNumber, etag: ETag, length: Size, crc32: ChecksumCRC32 });
      }
      marker = page.IsTruncated === true ? page.NextPartNumberMarker : undefined;
    } while (marker !== undefined);
    return listed;
  } catch (cause) {
    if (describeFailure(cause).name === 'NoSuchUpload') return undefined;
    throw s3Failure(cause, { operation: 'ListParts', bucket: Bucket, key: Key });
  }
}
