/**
 * One attempt at an upload under one data key. It ends with the object in place or with nothing of it left behind.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { S3Client } from '@aws-sdk/client-s3';
import { type ContentKey, wipe } from '../crypto/content-key.ts';
import type { SegmentIndexBuilder } from '../crypto/segment-index-builder.ts';
import { SealpipeError } from '../errors.ts';
import type { EnvelopeStorage } from '../format/envelope.ts';
import { fitsOneMessage, storedLength } from '../format/lengths.ts';
import type { StringMap } from '../format/string-map.ts';
import { type ContentSuite, maxPlaintextLength } from '../format/suites.ts';
import { divideEnvelope, joinMetadata } from '../format/write-envelope.ts';
import type { Keyring } from '../keyrings/keyring.ts';
import { withReason } from '../retry/retry-sends.ts';
import { unlessAborted } from '../streams/unless-aborted.ts';
import { InstructionFileSwap } from './instruction-file-swap.ts';
import { lockJournalName } from './journal/journal-lock.ts';
import type { JournalSession } from './journal/journal-session.ts';
import { ParallelParts } from './parallel-parts.ts';
import type { PartMemory } from './part-buffers.ts';
import { PartDispatch } from './part-dispatch.ts';
import { growingPartSize, knownPartSize, parallelFrom } from './part-sizes.ts';
import type { PartPlan, PartProducer } from './parts.ts';
import { SerialParts } from './serial-parts.ts';
import { beginUpload, type UploadBeginning } from './upload-beginning.ts';
import { type Chunks, type OpenBody, openBody, type UploadBody } from './upload-body.ts';
import { openIndexFile } from './upload-index.ts';
import type { StoredObject, UploadParams } from './upload-requests.ts';
import { InlineWorker, type SealWorker } from './workers/inline-worker.ts';
import { type MemoryInStock, stockMemory } from './workers/shared-memory.ts';
import { nextTask, takeWorkers } from './workers/worker-pool.ts';

/** Everything an attempt needs; the same for each restart. */
export interface UploadJob {
  readonly client: S3Client;
  /** Undefined: nothing is encrypted on this side. */
  readonly keyring: Keyring | undefined;
  readonly suite: ContentSuite;
  readonly storage: EnvelopeStorage;
  readonly instructionSuffix: string;
  readonly params: UploadParams;
  readonly body: UploadBody;
  readonly encryptionContext: StringMap | undefined;
  readonly materialsDescription: StringMap | undefined;
  readonly partSize: number;
  readonly queueSize: number;
  /** Worker threads that encrypt; 0: the calling thread. */
  readonly workers: number;
  readonly transport: 'auto' | 'client' | 'workers';
  readonly partAttempts: number;
  readonly partTimeout: number;
  /** Milliseconds that Create and Complete may still take after an abort. */
  readonly grace: number;
  readonly leavePartsOnError: boolean;
  /** Path of a file that a later process can finish the upload by. */
  readonly journal: string | undefined;
  /** Bytes of a segment, where a segment index is asked for. */
  readonly segmentSize: number | undefined;
}

/** What an attempt tells while it runs. */
export interface UploadObserver {
  started(uploadId: string): void;
  stored(part: { number: number; plaintextLength: number; storedLength: number }, total: number | undefined): void;
  retried(retry: { part: number | undefined; attempt: number; error: unknown }): void;
}

export interface UploadedObject extends StoredObject {
  readonly plaintextSize: number;
  readonly storedSize: number;
  readonly parts: number;
  readonly envelope: Record<string, string>;
}

/**
 * Runs one attempt. Rejects only after its cleaning up.
 * @throws SealpipeError
 */
export async function runUploadAttempt(
  job: UploadJob,
  observer: UploadObserver,
  signal: AbortSignal,
): Promise<UploadedObject> {
  const lock = job.journal === undefined ? undefined : await lockJournalName(job.journal);
  try {
    return await runAttempt(job, observer, signal);
  } catch (error) {
    throw withReason(error, signal);
  } finally {
    await lock?.release();
  }
}

async function runAttempt(job: UploadJob, observer: UploadObserver, signal: AbortSignal): Promise<UploadedObject> {
  // A factory is not called for nothing. A stream is opened all the same: closing it is what destroys it.
  if (typeof job.body === 'function' && signal.aborted) throw aborted(signal);
  // Opening can last as long as it likes (a factory, a FIFO that nobody writes to).
  const source = await unlessAborted(openBody(job.body), signal, (late) => void late.close());
  if (source === undefined) throw aborted(signal);
  let memory: Promise<MemoryInStock> | undefined;
  try {
    const length = sourceLength(source, job);
    // Threads to start and memory to make take as long as KMS to answer: all at the same time, once the request for the key has left. A
    // process's first one keeps the SDK busy for tens of milliseconds, and starting threads would take the cores from it.
    if (length !== undefined && isLarge(job, length) && isCutIntoSegments(job, length)) {
      memory = nextTurn().then(() => takeMemory(job, length));
      memory.catch(() => undefined);
    }
    const beginning = await beginUpload(job, { source, length, observer, signal });
    if (beginning.kind === 'completed') return beginning.object;
    return await send({ ...job, partSize: beginning.partSize, storage: beginning.storage }, beginning, {
      source,
      length,
      memory,
      observer,
      signal,
    });
  } finally {
    (await memory?.catch(() => undefined))?.close();
    await source.close();
  }
}

/** The memory of an upload's parts, its pages made by the workers that will encrypt them. */
function takeMemory({ workers, suite, partSize, queueSize }: UploadJob, length: number): MemoryInStock {
  const threads = takeWorkers(workers);
  const stored = storedLength(suite, length);
  const size = knownPartSize(stored, partSize);
  const count = Math.min(partsInMemory(queueSize), Math.ceil(stored / size));
  let turn = 0;
  // The first part's buffer has room for a tag.
  return stockMemory({ count, length: size + suite.tagLength }, (memory) => {
    // In vain where a thread dies: then whoever writes there first has the pages made.
    void threads[turn++ % threads.length]?.run({ type: 'touch', task: nextTask(), memory }).catch(() => undefined);
  });
}

/**
 * A quarter more than are sent at the same time, so that the next ones are ready when some of those are done. That many tend to end
 * within the time that one takes to be made.
 */
function partsInMemory(queueSize: number): number {
  return queueSize + Math.ceil(queueSize / 4);
}

async function send(
  job: UploadJob,
  { contentKey, envelope, index, journal }: UploadBeginning,
  {
    source,
    length,
    memory,
    observer,
    signal,
  }: {
    source: OpenBody;
    length: number | undefined;
    /** Rejects where no thread is to be had. */
    memory: Promise<PartMemory> | undefined;
    observer: UploadObserver;
    signal: AbortSignal;
  },
): Promise<UploadedObject> {
  const { client, params, storage, instructionSuffix } = job;
  const stop = new AbortController();
  let producer: PartProducer | undefined;
  try {
    const inStock = await memory;
    producer = createProducer(job, { contentKey, source, length, memory: inStock, index, journal, stop: stop.signal });
    const { metadata: identity, instructionFile } = divideEnvelope(envelope, storage);
    const metadata = joinMetadata(params.Metadata ?? {}, identity);
    const key = `${params.Key}${instructionSuffix}`;
    const instructions =
      instructionFile &&
      new InstructionFileSwap({ client, params, key, content: instructionFile, signal, timeout: job.partTimeout });
    await instructions?.prepare();
    const indexFile = index && openIndexFile(job, { observer, signal });
    await indexFile?.prepare();
    const dispatch = new PartDispatch({
      job,
      observer,
      producer,
      stop,
      signal,
      metadata,
      identity,
      instructions,
      index: index && indexFile && { builder: index, file: indexFile },
      journal,
      length,
    });
    return { ...(await dispatch.run()), envelope };
  } finally {
    producer?.close();
    // Where there is none, nobody else has taken it over.
    if (producer === undefined && contentKey !== undefined) wipe(contentKey.key);
    index?.close();
    // Of a failure before there was anything to send; else it is done.
    await journal?.close();
  }
}

function aborted(signal: AbortSignal): SealpipeError {
  return new SealpipeError('ABORTED', 'the upload was aborted', { cause: signal.reason as unknown });
}

/** The number of bytes to expect, where source or caller say it. */
function sourceLength(
  source: OpenBody,
  { keyring, params: { ContentLength: promised } }: UploadJob,
): number | undefined {
  if (source.length !== undefined && promised !== undefined && source.length !== promised) {
    throw new SealpipeError(
      'SOURCE_FAILED',
      `the source has ${source.length} bytes, expected were ${promised}: nothing was sent`,
    );
  }
  const length = source.length ?? promised;
  if (keyring === undefined || length === undefined || fitsOneMessage(length)) return length;
  throw new SealpipeError(
    'TOO_LARGE',
    `the source has ${length} bytes, one encrypted object holds at most ${maxPlaintextLength} (2^36 − 32): divide it into several objects`,
  );
}

interface ProducerContext {
  readonly contentKey: ContentKey | undefined;
  readonly source: OpenBody;
  readonly length: number | undefined;
  readonly memory: PartMemory | undefined;
  readonly index: SegmentIndexBuilder | undefined;
  readonly journal: JournalSession | undefined;
  readonly stop: AbortSignal;
}

function createProducer(
  job: UploadJob,
  { contentKey, source, length, memory, index, journal, stop }: ProducerContext,
): PartProducer {
  const { partSize, suite, queueSize } = job;
  const equal = length === undefined ? undefined : knownPartSize(storedLength(suite, length), partSize);
  const plan: PartPlan = {
    length,
    partSize: (number) => equal ?? growingPartSize(number, partSize),
    partsInMemory: partsInMemory(queueSize),
    memory,
    index,
  };
  const chunks = untilStopped(source, stop);
  if (contentKey === undefined || !isCutIntoSegments(job, length)) return new SerialParts(contentKey, chunks, plan);
  const workers = (): readonly SealWorker[] => (job.workers === 0 ? [new InlineWorker()] : takeWorkers(job.workers));
  const resumed = journal?.resumed && {
    intents: journal.resumed.intents,
    done: new Set(journal.resumed.stored.map(({ number }) => number)),
  };
  return new ParallelParts(
    contentKey,
    source.file === undefined ? { chunks } : { file: source.file },
    plan,
    workers,
    resumed,
  );
}

/** Whether parts are encrypted as segments, in any order. */
function isCutIntoSegments(job: UploadJob, length: number | undefined): boolean {
  const { keyring, journal, workers } = job;
  // Without a cipher there is nothing for workers to do.
  if (keyring === undefined) return false;
  // A journal records Z of each part, which only segments have.
  if (journal !== undefined) return true;
  return workers > 0 && (length === undefined || isLarge(job, length));
}

function isLarge({ partSize }: UploadJob, length: number): boolean {
  return length >= Math.max(parallelFrom, 2 * partSize);
}

/** Ends waiting for a source that delivers nothing when the upload has failed or was aborted. */
function untilStopped(source: OpenBody, signal: AbortSignal): Chunks {
  const chunks = source.chunks();
  return {
    [Symbol.asyncIterator]: () => interruptible(chunks, signal),
    take: () => (signal.aborted ? undefined : chunks.take?.()),
  };
}

async function* interruptible(chunks: Chunks, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  // One listener and one pending promise at a time: racing each chunk against one long-lived promise would pile up reactions on it.
  let interrupt: ((reason: unknown) => void) | undefined;
  const onStop = (): void => interrupt?.(signal.reason);
  signal.addEventListener('abort', onStop, { once: true });
  try {
    for (;;) {
      const { done, value } = await new Promise<IteratorResult<Uint8Array, undefined>>((resolve, reject) => {
        if (signal.aborted) reject(signal.reason as Error);
        interrupt = reject;
        iterator.next().then(resolve as (result: IteratorResult<Uint8Array>) => void, reject);
      });
      if (done === true) return;
      yield value;
    }
  } finally {
    signal.removeEventListener('abort', onStop);
    // Not awaited: a generator that waits for its source returns only when that delivers. Closing the body destroys the source.
    void iterator.return?.().then(undefined, () => undefined);
  }
}
