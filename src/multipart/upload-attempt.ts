/**
 * One attempt at an upload under one data key. It ends with the object in place or with nothing of it left behind.
 */
import type { S3Client } from '@aws-sdk/client-s3';
import type { ContentKey } from '../crypto/content-key.ts';
import { SealpipeError } from '../errors.ts';
import type { EnvelopeStorage } from '../format/envelope.ts';
import { fitsOneMessage, storedLength } from '../format/lengths.ts';
import type { StringMap } from '../format/string-map.ts';
import { type ContentSuite, maxPlaintextLength } from '../format/suites.ts';
import { divideEnvelope, joinMetadata } from '../format/write-envelope.ts';
import type { Keyring } from '../keyrings/keyring.ts';
import { createContentKey } from '../keyrings/open-content-key.ts';
import { InstructionFileSwap } from './instruction-file-swap.ts';
import { ParallelParts } from './parallel-parts.ts';
import { PartDispatch } from './part-dispatch.ts';
import { growingPartSize, knownPartSize } from './part-sizes.ts';
import type { PartPlan, PartProducer } from './parts.ts';
import { SerialParts } from './serial-parts.ts';
import { type OpenBody, openBody, type UploadBody } from './upload-body.ts';
import type { StoredObject, UploadParams } from './upload-requests.ts';
import { takeWorkers } from './workers/worker-pool.ts';

/** Everything an attempt needs; the same for each restart. */
export interface UploadJob {
  readonly client: S3Client;
  readonly keyring: Keyring;
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
  readonly leavePartsOnError: boolean;
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
 * Objects from this size on are worth waking workers for; what is smaller is encrypted sooner on the calling thread. Bytes;
 * measured: starting two threads takes as long as encrypting some 60 MiB.
 */
const parallelFrom = 64 * 1024 * 1024;

/**
 * Runs one attempt. Rejects only after its cleaning up.
 * @throws SealpipeError
 */
export async function runUploadAttempt(
  job: UploadJob,
  observer: UploadObserver,
  signal: AbortSignal,
): Promise<UploadedObject> {
  const source = await openBody(job.body);
  try {
    const length = sourceLength(source, job.params.ContentLength);
    const { client, keyring, suite, storage, params, encryptionContext, materialsDescription } = job;
    const { Bucket: bucket, Key: key } = params;
    const { contentKey, envelope } = await createContentKey({
      keyring,
      suite,
      encryptionContext,
      materialsDescription,
      length,
      bucket,
      key,
      signal,
    });
    const stop = new AbortController();
    const producer = createProducer(job, { contentKey, source, length, stop: stop.signal });
    try {
      const { metadata, instructionFile } = divideEnvelope(envelope, storage);
      const joined = joinMetadata(params.Metadata ?? {}, metadata);
      const instructions =
        instructionFile &&
        new InstructionFileSwap({
          client,
          params,
          key: `${key}${job.instructionSuffix}`,
          content: instructionFile,
          signal,
        });
      await instructions?.prepare();
      const dispatch = new PartDispatch({
        job,
        observer,
        producer,
        stop,
        signal,
        metadata: joined,
        identity: metadata,
        instructions,
        length,
      });
      return { ...(await dispatch.run()), envelope };
    } finally {
      producer.close();
    }
  } finally {
    await source.close();
  }
}

/** The number of bytes to expect, where source or caller say it. */
function sourceLength(source: OpenBody, promised: number | undefined): number | undefined {
  if (source.length !== undefined && promised !== undefined && source.length !== promised) {
    throw new SealpipeError(
      'SOURCE_FAILED',
      `the source has ${source.length} bytes, expected were ${promised}: nothing was sent`,
    );
  }
  const length = source.length ?? promised;
  if (length === undefined || fitsOneMessage(length)) return length;
  throw new SealpipeError(
    'TOO_LARGE',
    `the source has ${length} bytes, one encrypted object holds at most ${maxPlaintextLength} (2^36 − 32): divide it into several objects`,
  );
}

interface ProducerContext {
  readonly contentKey: ContentKey;
  readonly source: OpenBody;
  readonly length: number | undefined;
  readonly stop: AbortSignal;
}

function createProducer(job: UploadJob, { contentKey, source, length, stop }: ProducerContext): PartProducer {
  const { partSize, suite, queueSize } = job;
  const equal = length === undefined ? undefined : knownPartSize(storedLength(suite, length), partSize);
  const plan: PartPlan = {
    length,
    partSize: (number) => equal ?? growingPartSize(number, partSize),
    // One more than are sent at the same time, so that the next is ready when one of them is done.
    partsInMemory: queueSize + 1,
  };
  const chunks = untilStopped(source, stop);
  if (job.workers === 0 || (length !== undefined && length < Math.max(parallelFrom, 2 * partSize)))
    return new SerialParts(contentKey, chunks, plan);
  return new ParallelParts(contentKey, source.file === undefined ? { chunks } : { file: source.file }, plan, () =>
    takeWorkers(job.workers),
  );
}

/** Ends waiting for a source that delivers nothing when the upload has failed or was aborted. */
async function* untilStopped(source: OpenBody, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const iterator = source.chunks()[Symbol.asyncIterator]();
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
