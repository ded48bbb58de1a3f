/** Picking up a journalled upload: what an earlier process left is looked at from all sides before anything is sent. */
import { ListPartsCommand, type S3Client } from '@aws-sdk/client-s3';
import { type ContentKey, wipe } from '../../crypto/content-key.ts';
import { segmentCount, segmentIndexKeyInfo } from '../../crypto/segment-index.ts';
import { SegmentIndexBuilder } from '../../crypto/segment-index-builder.ts';
import { SealpipeError } from '../../errors.ts';
import type { Envelope } from '../../format/envelope.ts';
import { storedLength } from '../../format/lengths.ts';
import { parseEnvelope } from '../../format/parse-envelope.ts';
import type { ReadPolicy } from '../../format/read-policy.ts';
import type { StringMap } from '../../format/string-map.ts';
import { divideEnvelope } from '../../format/write-envelope.ts';
import type { Keyring } from '../../keyrings/keyring.ts';
import { type OpenedKeys, openKeys } from '../../keyrings/open-content-key.ts';
import { s3Failure } from '../../retry/s3-failure.ts';
import { withDeadline } from '../../retry/send-deadline.ts';
import { describeFailure } from '../../service-failure.ts';
import { combineCrc32 } from '../crc32-combine.ts';
import { identityChange } from '../file-identity.ts';
import type { SourceFile } from '../upload-body.ts';
import { lookForWritten } from '../upload-outcome.ts';
import {
  addressOf,
  base64Crc,
  customerKeyOf,
  type StoredObject,
  type StoredPart,
  type UploadParams,
  UploadRequests,
} from '../upload-requests.ts';
import { objectParametersDigest } from './object-parameters.ts';
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
  /** Whether a segment index is asked for. */
  readonly indexed: boolean;
  /** Milliseconds until an unanswered request counts as lost. */
  readonly timeout: number;
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
  /** Where the upload was begun with a segment index: it has the entries of the parts that are stored. */
  readonly index: SegmentIndexBuilder | undefined;
}

export type ResumeOutcome =
  | ResumedUpload
  /** There is nothing to go on with: a new upload under a fresh key. */
  | { readonly kind: 'fresh' }
  /** It had been completed; only the answer, or the removal of the journal, was missing. */
  | {
      readonly kind: 'completed';
      readonly header: JournalHeader;
      readonly object: StoredObject;
      /** As far as the journal has it. */
      readonly index: SegmentIndexBuilder | undefined;
    };

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
  const { keyring, encryptionContext, signal } = options;
  const { header } = found;
  assertSameUpload(found, options);
  const { bucket, key, segmentSize } = header;
  const open = async (): Promise<OpenedKeys & { readonly envelope: Envelope }> => {
    const envelope = parseEnvelope(header.envelope);
    const derive = [journalKeyInfo, ...(segmentSize === undefined ? [] : [segmentIndexKeyInfo(segmentSize)])];
    return {
      envelope,
      ...(await openKeys({ keyring, envelope, policy, encryptionContext, bucket, key, derive, signal })),
    };
  };
  const { envelope, contentKey, derived } = await open().catch((cause: unknown) => {
    throw unopened(found, cause);
  });
  const [journalKey = new Uint8Array(0), indexKey] = derived;
  try {
    const { journal, state } = await found.read(journalKey);
    assertSameParameters(found, journalKey, options);
    const { iv } = envelope;
    const index =
      indexKey === undefined || segmentSize === undefined
        ? undefined
        : new SegmentIndexBuilder({ key: indexKey, segmentSize, iv, contentLength: header.source.size });
    const outcome = await compare({ state, journal, contentKey, index }, options);
    if (outcome.kind === 'fresh') index?.close();
    if (outcome.kind !== 'resumed') for (const secret of [contentKey.key, journalKey]) wipe(secret);
    return outcome;
  } catch (error) {
    for (const secret of [contentKey.key, ...derived]) wipe(secret);
    throw error;
  }
}

/**
 * What the header tells without a key.
 * @throws SealpipeError JOURNAL_INVALID, SOURCE_CHANGED
 */
function assertSameUpload({ header, path }: FoundJournal, { params, file, indexed }: ResumeOptions): void {
  const { uploadId } = header;
  const afresh = startAfresh(path, uploadId);
  if (header.bucket !== params.Bucket || header.key !== params.Key) {
    throw new SealpipeError(
      'JOURNAL_INVALID',
      `the journal ${path} is that of an upload to s3://${header.bucket}/${header.key}, not to s3://${params.Bucket}/${params.Key}: name another journal`,
    );
  }
  const change = identityChange(header.source, file.identity);
  if (change !== undefined) {
    throw new SealpipeError(
      'SOURCE_CHANGED',
      `${file.path} is not what it was when the upload was begun (${change}): to upload it as it is now, ${afresh}`,
      { uploadId },
    );
  }
  // To go on without one would be found out by whoever reads, long after.
  if (indexed && header.segmentSize === undefined) {
    throw new SealpipeError(
      'JOURNAL_INVALID',
      `the upload of the journal ${path} was begun without a segment index: finish it without one and make the index afterwards (createSegmentIndex, sealpipe index), or ${afresh}`,
      { uploadId },
    );
  }
}

/** What to do with a journal that cannot be gone on with, in words. */
export function startAfresh(path: string, uploadId: string): string {
  return `remove the journal ${path} and start afresh; the parts of upload ${uploadId} then have to be removed from S3`;
}

/**
 * The object gets what was said of it when the upload was begun: another content type, say, would be ignored.
 * @throws SealpipeError JOURNAL_INVALID
 */
function assertSameParameters({ header, path }: FoundJournal, key: Uint8Array, { params }: ResumeOptions): void {
  const { parameters, uploadId } = header;
  if (parameters === undefined || parameters === objectParametersDigest(key, params)) return;
  throw new SealpipeError(
    'JOURNAL_INVALID',
    `the upload of the journal ${path} was begun with other parameters of the object (metadata, content type, server-side encryption, tags, …), which it has by now: give the same again, or ${startAfresh(path, uploadId)}`,
    { uploadId },
  );
}

/** What its envelope fails with, as what it is here: nobody has an object yet that it could be of. */
function unopened({ path, header: { uploadId } }: FoundJournal, cause: unknown): unknown {
  const envelopes = ['ERR_SEALPIPE_ENVELOPE_INVALID', 'ERR_SEALPIPE_AUTHENTICATION_FAILED'];
  if (!(cause instanceof SealpipeError) || !envelopes.includes(cause.code)) return cause;
  return new SealpipeError(
    'JOURNAL_INVALID',
    `the journal ${path} cannot be opened (${cause.message}): give the key that the upload was begun with; if it is damaged, remove it and start afresh; the parts of upload ${uploadId} then have to be removed from S3`,
    { cause, uploadId },
  );
}

interface OpenedJournal {
  readonly state: JournalState;
  readonly journal: UploadJournal;
  readonly contentKey: ContentKey;
  readonly index: SegmentIndexBuilder | undefined;
}

/** Holds what the journal says against what S3 has. */
async function compare(
  { state, journal, contentKey, index }: OpenedJournal,
  options: ResumeOptions,
): Promise<ResumeOutcome> {
  const { client, params, signal } = options;
  const { header } = state;
  const onS3 = await listParts(options, header.uploadId);
  if (onS3 === undefined) {
    const identity = divideEnvelope(header.envelope, header.storage).metadata;
    const written = {
      identity,
      storedLength: storedLength(contentKey.suite, header.source.size),
      crc32: objectCrc32(state),
    };
    const outcome = await lookForWritten(client, params, written);
    if (outcome.kind === 'unknown' && describeFailure(outcome.cause).kind !== 'rejected')
      // It may be there, whole: to send it again because S3 cannot be asked just now would be early.
      throw s3Failure(outcome.cause, { operation: 'HeadObject', bucket: params.Bucket, key: params.Key });
    // Who may write and not read cannot be told: then all of it goes up again, under another key.
    if (outcome.kind !== 'written') return { kind: 'fresh' };
    addEntries([...state.done.values()], state, index);
    return { kind: 'completed', header, object: outcome.object, index };
  }
  if (onS3.some(({ number }) => !state.intents.has(number))) {
    // What lies there was sent by a process whose journal went on after this copy was taken: its counters are used.
    await new UploadRequests({
      client,
      params,
      metadata: {},
      attempts: 3,
      partTimeout: 60_000,
      transport: 'client',
      signal,
      grace: 0,
    }).abort(header.uploadId);
    return { kind: 'fresh' };
  }
  const same = onS3.flatMap((part) => {
    const done = state.done.get(part.number);
    // Never believed by its ETag alone: the length and, where S3 tells it, the CRC-32 have to be ours, too.
    const ours =
      done !== undefined &&
      done.etag === part.etag &&
      done.length === part.length &&
      (part.crc32 === undefined || part.crc32 === base64Crc(done.crc32));
    return ours ? [done] : [];
  });
  const stored = addEntries(same, state, index);
  return { kind: 'resumed', journal, header, contentKey, intents: state.intents, stored, index };
}

/**
 * Puts what the journal has of the parts' entries into the index.
 * @returns the parts that lack none: another one is made again
 */
function addEntries(
  parts: readonly StoredPart[],
  { intents, entries }: JournalState,
  index: SegmentIndexBuilder | undefined,
): StoredPart[] {
  return parts.filter(({ number }) => {
    const intent = intents.get(number);
    if (intent === undefined || index === undefined) return intent !== undefined;
    const count = segmentCount(intent.length, index.segmentSize);
    const found = entries.of(number, count);
    if (found !== undefined && count > 0) index.add(intent.offset, found);
    return found !== undefined;
  });
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
  { client, params, timeout, signal }: ResumeOptions,
  uploadId: string,
): Promise<ListedPart[] | undefined> {
  const address = { ...addressOf(params), ...customerKeyOf(params) };
  const listed: ListedPart[] = [];
  let marker: string | undefined;
  try {
    do {
      const command = new ListPartsCommand({ ...address, UploadId: uploadId, PartNumberMarker: marker });
      const page = await withDeadline((abortSignal) => client.send(command, { abortSignal }), {
        timeout,
        signal,
        what: 'ListParts',
      });
      for (const { PartNumber = 0, ETag = '', Size = 0, ChecksumCRC32 } of page.Parts ?? []) {
        listed.push({ number: PartNumber, etag: ETag, length: Size, crc32: ChecksumCRC32 });
      }
      marker = page.IsTruncated === true ? page.NextPartNumberMarker : undefined;
    } while (marker !== undefined);
    return listed;
  } catch (cause) {
    if (describeFailure(cause).name === 'NoSuchUpload') return undefined;
    throw s3Failure(cause, { operation: 'ListParts', bucket: params.Bucket, key: params.Key });
  }
}
