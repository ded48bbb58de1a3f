/** One object's content on its way through the workers: decrypted in segments, in any order, authenticated as a whole. */
import { timingSafeEqual } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { S3Client } from '@aws-sdk/client-s3';
import { GetObjectCommand, type GetObjectCommandInput } from '@aws-sdk/client-s3';
import { type ContentKey, wipe } from '../crypto/content-key.ts';
import { copyOf } from '../crypto/field.ts';
import { handOver } from '../crypto/secret-memory.ts';
import { MessageSecrets } from '../crypto/segment.ts';
import { steadyAllocator } from '../crypto/steady-allocator.ts';
import { SealpipeError } from '../errors.ts';
import { OrderedFold } from '../multipart/ordered-fold.ts';
import { answerFailure, signByClient } from '../multipart/request-signer.ts';
import { InlineWorker, type SealWorker } from '../multipart/workers/inline-worker.ts';
import { nextSession, nextTask, PoolWorker, revive, takeWorkers } from '../multipart/workers/worker-pool.ts';
import type { FetchResult } from '../multipart/workers/worker-protocol.ts';
import { isTransient, throwIfAborted } from '../retry/retry-sends.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { withoutResponseChecksum } from '../s3-command.ts';
import { brokenOff, maxFailuresInRow, type OnRetry, pauseBefore } from './broken-off.ts';
import type { StoredRange } from './range-plan.ts';
import { changed } from './stored-ranges.ts';

export interface ReadingSessionOptions {
  /** Overwritten by {@link ReadingSession.close}. */
  readonly contentKey: ContentKey;
  /** Worker threads; 0 for the calling thread. */
  readonly workers: number;
  /** The file that plaintext is written to; without one it stays in memory. */
  readonly target: string | undefined;
  /** Segments that are in the making at a time, at most. */
  readonly inFlight: number;
  /** What has been asked for first, pinned to the version that answered. */
  readonly client: S3Client;
  readonly input: GetObjectCommandInput & { readonly IfMatch: string };
  readonly storedSize: number;
  readonly idleTimeout: number;
  readonly onRetry: OnRetry | undefined;
  readonly signal: AbortSignal;
}

export class ReadingSession {
  readonly #options: ReadingSessionOptions;
  readonly #session = nextSession();
  readonly #workers: readonly SealWorker[];
  readonly #secrets: MessageSecrets;
  readonly #fold: OrderedFold;
  /** Where workers leave Z, an element for each segment in the making. */
  readonly #zs: Int32Array;
  readonly #freeZs: number[];
  #segments = 0;

  constructor(options: ReadingSessionOptions) {
    const { contentKey, workers, target, inFlight } = options;
    steadyAllocator();
    this.#options = options;
    this.#workers = workers === 0 ? [new InlineWorker()] : takeWorkers(workers);
    this.#secrets = new MessageSecrets(contentKey);
    this.#fold = new OrderedFold(contentKey, this.#secrets);
    this.#zs = new Int32Array(new SharedArrayBuffer(inFlight * 16));
    this.#freeZs = Array.from({ length: inFlight }, (_, i) => i);
    const { iv, aad } = contentKey;
    for (const worker of this.#workers)
      worker.post({ type: 'open-reading', session: this.#session, key: handOver(contentKey.key), iv, aad, target });
  }

  /**
   * Decrypts a segment that has arrived in shared memory: in place, or into the file, if there is one.
   * @param segment `number` from 1 without a gap; `offset` in the content, a multiple of 16
   */
  async unseal({
    number,
    offset,
    content,
  }: {
    readonly number: number;
    readonly offset: number;
    readonly content: Buffer;
  }): Promise<void> {
    const memory = content.buffer as unknown as SharedArrayBuffer;
    await this.#folding(number, content.length, (zIndex) =>
      this.#leastLoaded().run<undefined>({
        type: 'unseal',
        task: nextTask(),
        session: this.#session,
        memory,
        offset,
        length: content.length,
        zs: this.#zs.buffer as SharedArrayBuffer,
        zIndex,
      }),
    );
  }

  /**
   * Has a worker fetch a range and decrypt what arrives, into the file or into `memory`. Where the connection breaks, the rest is
   * asked for again.
   * @returns the bytes of the tag at its end
   * @throws SealpipeError OBJECT_CHANGED, NETWORK, and what S3 says
   */
  async fetch(range: StoredRange, memory: SharedArrayBuffer | undefined): Promise<Uint8Array> {
    const worker = this.#leastLoaded();
    if (!(worker instanceof PoolWorker)) throw new Error('internal error: ranges are fetched by threads');
    return this.#folding(range.number, range.content, async (zIndex) => {
      const { signal, onRetry } = this.#options;
      let received = 0;
      for (let failures = 0; ; ) {
        const result = await this.#fetchOnce(worker, { range, memory, zIndex, received });
        if (result.trailer !== undefined) return result.trailer;
        const failure = this.#failureOf(result, range);
        failures = result.received > received ? 1 : failures + 1;
        received = result.received;
        if (failures > maxFailuresInRow) throw brokenOff(this.#options.input, range.start + received, failure);
        const pause = pauseBefore(failures, failure);
        if (pause > 0) await sleep(pause, undefined, { signal }).catch(() => throwIfAborted(signal));
        onRetry?.({ offset: range.start + received, error: failure });
      }
    });
  }

  /**
   * Compares the tag of all that was decrypted with the object's own.
   * @throws SealpipeError AUTHENTICATION_FAILED
   */
  async verify(tag: Uint8Array): Promise<void> {
    await this.#fold.folded(this.#segments);
    const expected = this.#fold.tag();
    if (tag.length === expected.length && timingSafeEqual(tag, expected)) return;
    throw new SealpipeError(
      'AUTHENTICATION_FAILED',
      'the content does not match its tag: the object was altered or cut, or its envelope belongs to another object',
    );
  }

  /** Ends requests, closes the file in the workers, overwrites keys. */
  close(): void {
    for (const worker of this.#workers) worker.post({ type: 'close', session: this.#session });
    this.#fold.close();
    this.#secrets.wipe();
    this.#zs.fill(0);
    wipe(this.#options.contentKey.key);
  }

  async #folding<T>(number: number, length: number, run: (zIndex: number) => Promise<T>): Promise<T> {
    const zIndex = this.#freeZs.pop();
    if (zIndex === undefined) throw new Error('internal error: more segments in the making than agreed');
    const place = this.#zs.subarray(zIndex * 4, zIndex * 4 + 4);
    try {
      const result = await run(zIndex);
      this.#segments += 1;
      this.#fold.add(number, copyOf(place), length);
      return result;
    } finally {
      place.fill(0);
      this.#freeZs.push(zIndex);
    }
  }

  async #fetchOnce(worker: PoolWorker, { range, memory, zIndex, received }: FetchState): Promise<FetchResult> {
    const { client, input, storedSize, idleTimeout, signal } = this.#options;
    throwIfAborted(signal);
    const from = range.start + received;
    const Range = `bytes=${from}-${range.end - 1}`;
    const request = await signByClient(
      client,
      withoutResponseChecksum(new GetObjectCommand({ ...input, Range })),
    ).catch((cause: unknown) => {
      throw this.#s3Failure(cause, from);
    });
    // It may have fired while the request was being signed; a listener would never hear of it.
    throwIfAborted(signal);
    const task = nextTask();
    const onAbort = (): void => worker.post({ type: 'cancel', task });
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await worker.run<FetchResult>({
        type: 'fetch',
        task,
        session: this.#session,
        range: range.number,
        offset: range.start,
        length: range.content,
        trailerLength: range.end - range.start - range.content,
        memory,
        zs: this.#zs.buffer as SharedArrayBuffer,
        zIndex,
        request,
        contentRange: `bytes ${from}-${range.end - 1}/${storedSize}`,
        etag: input.IfMatch,
        idleTimeout,
      });
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** What may pass by itself. @throws SealpipeError for anything else */
  #failureOf({ answer, failure, received }: FetchResult, range: StoredRange): Error {
    const { signal, input, storedSize } = this.#options;
    throwIfAborted(signal);
    const from = range.start + received;
    const { Bucket = '', Key = '' } = input;
    if (answer?.status === 206 && answer.headers.etag !== input.IfMatch)
      throw changed(`s3://${Bucket}/${Key} was overwritten while it was being read`, { Bucket, Key, start: from });
    if (answer !== undefined && answer.status < 300) {
      throw new SealpipeError(
        'OBJECT_CHANGED',
        `S3 answered the request for bytes ${from} to ${range.end} of s3://${Bucket}/${Key} with status ${answer.status} and range ${answer.headers['content-range']}, expected 206 and bytes ${from}-${range.end - 1}/${storedSize}`,
        { bucket: Bucket, key: Key, offset: from },
      );
    }
    if (answer?.status === 416) {
      // The range lay within the object when it was opened: some stores look at the range before the condition.
      const found = `s3://${Bucket}/${Key} is shorter than it was when it was opened`;
      throw changed(found, { Bucket, Key, start: from, cause: answerFailure(answer) });
    }
    const error = answer !== undefined ? answerFailure(answer) : revive(failure as NonNullable<FetchResult['failure']>);
    if (!isTransient(error)) throw this.#s3Failure(error, from);
    return error;
  }

  #s3Failure(cause: unknown, offset: number): SealpipeError {
    const { Bucket, Key } = this.#options.input;
    return s3Failure(cause, { operation: 'GetObject', bucket: Bucket, key: Key, fields: { offset } });
  }

  #leastLoaded(): SealWorker {
    return this.#workers.reduce((least, worker) => (worker.load < least.load ? worker : least));
  }
}

interface FetchState {
  readonly range: StoredRange;
  readonly memory: SharedArrayBuffer | undefined;
  readonly zIndex: number;
  /** Bytes of the range that have arrived. */
  readonly received: number;
}
