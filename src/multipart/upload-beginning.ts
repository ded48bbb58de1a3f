/** What an upload attempt starts from: a key of its own, or what an earlier process of the same upload has left. */
import { rm } from 'node:fs/promises';
import type { ContentKey } from '../crypto/content-key.ts';
import { fittingSegmentSize, segmentIndexKeyInfo } from '../crypto/segment-index.ts';
import { SegmentIndexBuilder } from '../crypto/segment-index-builder.ts';
import type { EnvelopeStorage } from '../format/envelope.ts';
import { storedLength } from '../format/lengths.ts';
import { parseEnvelope } from '../format/parse-envelope.ts';
import { divideEnvelope } from '../format/write-envelope.ts';
import { createContentKey } from '../keyrings/open-content-key.ts';
import { InstructionFileSwap } from './instruction-file-swap.ts';
import { JournalSession, waitUntilSettled } from './journal/journal-session.ts';
import { objectParametersDigest } from './journal/object-parameters.ts';
import { type ResumeOutcome, resumeUpload } from './journal/resume.ts';
import { type JournalHeader, journalKeyInfo } from './journal/upload-journal.ts';
import { knownPartSize } from './part-sizes.ts';
import type { UploadedObject, UploadJob, UploadObserver } from './upload-attempt.ts';
import type { OpenBody } from './upload-body.ts';
import { ensureIndex, wholeSegments } from './upload-index.ts';

/** A content key and its envelope, made now or by an earlier process. */
export interface UploadBeginning {
  readonly kind: 'begun';
  /** Undefined without a keyring. */
  readonly contentKey: ContentKey | undefined;
  readonly envelope: Record<string, string>;
  readonly storage: EnvelopeStorage;
  readonly partSize: number;
  readonly index?: SegmentIndexBuilder | undefined;
  readonly journal?: JournalSession | undefined;
}

/** There is nothing left to do. */
export interface CompletedUpload {
  readonly kind: 'completed';
  readonly object: UploadedObject;
}

interface Surroundings {
  readonly source: OpenBody;
  /** Plaintext bytes, where known. */
  readonly length: number | undefined;
  readonly observer: UploadObserver;
  readonly signal: AbortSignal;
}

/**
 * Begins an upload, or takes it up where an earlier process stopped.
 * @throws SealpipeError
 */
export async function beginUpload(
  job: UploadJob,
  surroundings: Surroundings,
): Promise<UploadBeginning | CompletedUpload> {
  const { journal, keyring, storage, partSize } = job;
  if (journal !== undefined) return beginJournalled(job, journal, surroundings);
  if (keyring === undefined) return { kind: 'begun', contentKey: undefined, envelope: {}, storage, partSize };
  return (await newUpload(job, surroundings, [])).beginning;
}

/** A fresh data key, with a segment index where one is asked for. */
async function newUpload(
  job: UploadJob,
  { length, signal }: Surroundings,
  derive: readonly Uint8Array[],
): Promise<{
  readonly beginning: UploadBeginning;
  readonly segmentSize: number | undefined;
  readonly derived: readonly Uint8Array[];
}> {
  const { keyring, suite, storage, partSize, params, encryptionContext, materialsDescription } = job;
  if (keyring === undefined) throw new Error('internal error: an upload without a key was begun with one');
  const segmentSize = job.segmentSize && fittingSegmentSize(job.segmentSize, length);
  const { contentKey, envelope, derived } = await createContentKey({
    keyring,
    suite,
    encryptionContext,
    materialsDescription,
    length,
    bucket: params.Bucket,
    key: params.Key,
    derive: [...derive, ...(segmentSize === undefined ? [] : [segmentIndexKeyInfo(segmentSize)])],
    signal,
  });
  const begun = {
    kind: 'begun',
    contentKey,
    envelope,
    storage,
    partSize: wholeSegments(partSize, segmentSize),
  } as const;
  const key = derived[derive.length];
  if (segmentSize === undefined || key === undefined) return { beginning: begun, segmentSize, derived };
  const { iv } = parseEnvelope(envelope);
  const index = new SegmentIndexBuilder({ key, segmentSize, iv, contentLength: length });
  return { beginning: { ...begun, index }, segmentSize, derived };
}

/** As {@link newUpload}, or where an earlier process stopped: then what that chose goes on. */
async function beginJournalled(
  job: UploadJob,
  path: string,
  surroundings: Surroundings,
): Promise<UploadBeginning | CompletedUpload> {
  const { client, keyring, suite, params, encryptionContext, partTimeout: timeout } = job;
  const { source, signal } = surroundings;
  const { file } = source;
  if (keyring === undefined) throw new TypeError('a journal was given for an upload without client-side encryption');
  if (file === undefined)
    throw new TypeError('a journal was given, but the source is no file: only a file can be read again after a crash');
  const indexed = job.segmentSize !== undefined;
  const outcome = await resumeUpload({
    client,
    keyring,
    params,
    encryptionContext,
    file,
    path,
    indexed,
    timeout,
    signal,
  });
  if (outcome.kind === 'completed')
    return { kind: 'completed', object: await completed(job, path, outcome, surroundings) };
  if (outcome.kind === 'resumed') {
    const { contentKey, header, index } = outcome;
    const { envelope, storage, partSize } = header;
    const journal = JournalSession.resume(path, outcome);
    return { kind: 'begun', contentKey, envelope, storage, partSize, index, journal };
  }
  await waitUntilSettled(file, signal);
  const { beginning, segmentSize, derived } = await newUpload(job, { ...surroundings, length: file.identity.size }, [
    journalKeyInfo,
  ]);
  const { envelope, storage } = beginning;
  const partSize = knownPartSize(storedLength(suite, file.identity.size), beginning.partSize);
  const names = { bucket: params.Bucket, key: params.Key };
  const journalKey = derived[0] as Uint8Array;
  const parameters = objectParametersDigest(journalKey, params);
  const header = { ...names, envelope, storage, partSize, segmentSize, source: file.identity, parameters };
  const journal = JournalSession.begin(path, header, journalKey);
  return { ...beginning, partSize, journal };
}

/** The process that completed the object put the old file back, or took the new one away, if it believed that it had failed. */
async function ensureInstructionFile(
  { client, params, instructionSuffix, partTimeout: timeout }: UploadJob,
  { envelope, storage }: Pick<JournalHeader, 'envelope' | 'storage'>,
  signal: AbortSignal,
): Promise<void> {
  const content = divideEnvelope(envelope, storage).instructionFile;
  if (content === undefined) return;
  const key = `${params.Key}${instructionSuffix}`;
  await new InstructionFileSwap({ client, params, key, content, signal, timeout }).ensure();
}

/** The journal goes when the index is there, too: until then the same call can be made again. */
async function completed(
  job: UploadJob,
  path: string,
  { header, object, index }: Extract<ResumeOutcome, { kind: 'completed' }>,
  { observer, signal }: Surroundings,
): Promise<UploadedObject> {
  const { envelope, storage, source, partSize } = header;
  const plaintextSize = source.size;
  await ensureInstructionFile(job, { envelope, storage }, signal);
  const storedSize = storedLength(job.suite, plaintextSize);
  if (index !== undefined) await ensureIndex(job, index, { etag: object.etag, plaintextSize, observer, signal });
  // One that cannot be removed says the same to the next one.
  await rm(path, { force: true }).catch(() => undefined);
  return { ...object, plaintextSize, storedSize, parts: Math.ceil(storedSize / partSize), envelope };
}
