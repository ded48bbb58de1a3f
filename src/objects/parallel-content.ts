/** The content of one GCM object by several workers: from one connection or from several, into a file or handed on in order. */
import type { S3Client } from '@aws-sdk/client-s3';
import { type ContentKey, wipe } from '../crypto/content-key.ts';
import { SealpipeError } from '../errors.ts';
import { PartBuffers } from '../multipart/part-buffers.ts';
import { Semaphore } from '../multipart/semaphore.ts';
import { sharedMemory } from '../multipart/workers/shared-memory.ts';
import { isPlainClient } from '../requests/plain-client.ts';
import { throwIfAborted } from '../retry/retry-sends.ts';
import { describeFailure } from '../service-failure.ts';
import type { AnsweredObject } from './answered-object.ts';
import type { OnRetry } from './broken-off.ts';
import { fileRangeLength, rangeOf, rangesFrom, type StoredRange } from './range-plan.ts';
import { ReadingSession } from './reading-session.ts';
import { collectSegments } from './segment-collector.ts';
import { discardAnswer, receiveStoredRange } from './stored-ranges.ts';

const MiB = 1024 * 1024;
/** Bytes of a segment where the whole object comes over one connection. */
const streamedSegment = 4 * MiB;
/** Bytes of a range whose plaintext waits in memory for its turn, where the caller does not say. */
const bufferedRange = 8 * MiB;
/** Bytes that are handed on at once. */
const handedOn = 256 * 1024;

export interface ParallelOptions {
  /** Connections. */
  readonly concurrency: number;
  /** Bytes of a range. */
  readonly partSize?: number | undefined;
  /** Threads; 0 for none. */
  readonly workers: number;
  /** Who makes the requests: the workers, or the caller's client; default: the workers, where nobody can tell. */
  readonly transport: 'auto' | 'client' | 'workers';
  readonly idleTimeout: number;
  readonly signal: AbortSignal | undefined;
  readonly onRetry?: OnRetry | undefined;
  /** Told of plaintext bytes that are done. */
  readonly onDone?: ((bytes: number) => void) | undefined;
}

interface OpenedRange {
  readonly buffer: Buffer;
  /** Plaintext bytes in it. */
  readonly length: number;
}

export class ParallelContent {
  readonly #object: AnsweredObject;
  readonly #contentKey: ContentKey;
  readonly #options: ParallelOptions;
  /** Ends everything under way, when something failed, nobody wants the rest, or the caller's signal fires. */
  readonly #stop = new AbortController();
  readonly #signal = this.#stop.signal;
  /** Not AbortSignal.any: on Node 20 each leaves an entry on a signal that lives on. */
  readonly #onAbort = (): void => this.#stop.abort(this.#options.signal?.reason);
  readonly #trailers: Uint8Array[] = [];
  /** Whether a worker was sent to another region, where only the client's own requests go. */
  #redirected = false;
  #failure: Error | undefined;

  /** @param contentKey overwritten at the end */
  constructor(object: AnsweredObject, contentKey: ContentKey, options: ParallelOptions) {
    this.#object = object;
    this.#contentKey = contentKey;
    this.#options = options;
    if (options.signal?.aborted === true) this.#onAbort();
    else options.signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Writes the plaintext to a file that exists. Resolves when all of it is authentic; rejects when nobody writes any more. */
  async toFile(path: string): Promise<void> {
    try {
      if (this.#object.arrived === this.#object.storedSize) await this.#streamToFile(path);
      else await this.#rangesToFile(path);
    } finally {
      this.#letGo();
    }
  }

  /** Gives up: {@link slices} ends at its next step, or before its first. */
  cancel(reason: Error): void {
    this.#fail(reason);
    // Where nobody has begun to read, there is no one else to clean up.
    discardAnswer(this.#object.answer);
    wipe(this.#contentKey.key);
    this.#letGo();
  }

  /** Of the caller's signal, which may live on. */
  #letGo(): void {
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
  }

  /**
   * The plaintext in order, in memory of its own, as it is decrypted. What comes out is authentic only when all has come out
   * without an error.
   */
  async *slices(): AsyncGenerator<Buffer, undefined> {
    const { concurrency, partSize = bufferedRange } = this.#options;
    // One more than connections, so that a slow reader of the first does not stop the others, and the one that is handed on.
    const buffers = new PartBuffers(concurrency + 2, sharedMemory);
    const session = this.#openSession(undefined, concurrency + 2);
    const slots = new Semaphore(concurrency);
    const opening: Promise<OpenedRange>[] = [];
    try {
      const ranges = this.#ranges(partSize);
      let started = 0;
      const startMore = async (): Promise<void> => {
        while (started < ranges.length && opening.length < concurrency + 1) {
          const range = ranges[started++] as StoredRange;
          const buffer = await buffers.acquire(Math.max(range.content, 16));
          const open = slots.run(() => this.#openInto(session, range, buffer));
          // Whoever waits for its turn hears of it.
          open.catch((error: unknown) => this.#fail(error));
          opening.push(open);
        }
      };
      await startMore();
      for (let next = opening.shift(); next !== undefined; next = opening.shift()) {
        const { buffer, length } = await next;
        await startMore();
        for (let at = 0; at < length; at += handedOn) {
          const slice = Buffer.allocUnsafeSlow(Math.min(handedOn, length - at));
          buffer.copy(slice, 0, at, at + slice.length);
          yield slice;
          throwIfAborted(this.#options.signal);
        }
        buffers.release(buffer);
        this.#options.onDone?.(length);
      }
      await session.verify(this.#tag());
      return undefined;
    } catch (error) {
      throw this.#fail(error);
    } finally {
      // Whoever is still under way, when something failed or nobody reads on.
      if (this.#failure === undefined && opening.length > 0)
        this.#fail(new SealpipeError('ABORTED', 'the download has ended'));
      await Promise.allSettled(opening);
      buffers.close();
      session.close();
      this.#letGo();
    }
  }

  /** One connection: the main thread receives, the workers decrypt and write. */
  async #streamToFile(path: string): Promise<void> {
    const { workers } = this.#options;
    const count = Math.max(1, workers) + 2;
    const buffers = new PartBuffers(count, sharedMemory);
    const session = this.#openSession(path, count);
    const opening = new Set<Promise<void>>();
    const { client, pinned, answer, storedSize } = this.#object;
    const { idleTimeout, transport, onRetry } = this.#options;
    try {
      let number = 0;
      const trailer = await collectSegments({
        client,
        input: pinned,
        answer,
        storedSize,
        idleTimeout,
        transport,
        onRetry,
        signal: this.#signal,
        segmentLength: streamedSegment,
        buffers,
        onSegment: ({ content, offset, buffer }) => {
          const open = session
            .unseal({ number: ++number, offset, content })
            .then(() => this.#options.onDone?.(content.length))
            .catch((error: unknown) => void this.#fail(error))
            .finally(() => buffers.release(buffer));
          opening.add(open);
          void open.then(() => opening.delete(open));
        },
      });
      await Promise.all(opening);
      if (this.#failure !== undefined) throw this.#failure;
      await session.verify(trailer);
    } catch (error) {
      throw this.#fail(error);
    } finally {
      await Promise.allSettled(opening);
      buffers.close();
      session.close();
    }
  }

  /** Several connections. Ranges that workers fetch need no memory here. */
  async #rangesToFile(path: string): Promise<void> {
    const { concurrency, partSize } = this.#options;
    const { storedSize } = this.#object;
    const byWorkers = this.#fetchedByWorkers();
    const ranges = this.#ranges(partSize ?? (byWorkers ? fileRangeLength(storedSize, concurrency) : bufferedRange));
    const buffers = new PartBuffers(concurrency, sharedMemory);
    const session = this.#openSession(path, concurrency);
    const slots = new Semaphore(concurrency);
    const open = async (range: StoredRange): Promise<void> => {
      if (this.#failure !== undefined) return;
      if (!(byWorkers && (await this.#fetchByWorker(session, range, undefined)))) {
        const buffer = await buffers.acquire(Math.max(range.content, 16));
        try {
          await this.#openInto(session, range, buffer);
        } finally {
          buffers.release(buffer);
        }
      }
      this.#options.onDone?.(range.content);
    };
    try {
      await Promise.all(
        ranges.map((range) => slots.run(() => open(range).catch((error: unknown) => void this.#fail(error)))),
      );
      if (this.#failure !== undefined) throw this.#failure;
      await session.verify(this.#tag());
    } catch (error) {
      throw this.#fail(error);
    } finally {
      buffers.close();
      session.close();
    }
  }

  #openSession(target: string | undefined, inFlight: number): ReadingSession {
    const { workers, idleTimeout, onRetry } = this.#options;
    const { client, pinned, storedSize } = this.#object;
    return new ReadingSession({
      contentKey: this.#contentKey,
      workers,
      target,
      inFlight,
      client,
      input: pinned,
      storedSize,
      idleTimeout,
      onRetry,
      signal: this.#signal,
    });
  }

  /** All ranges: what the first answer holds, and the others. */
  #ranges(length: number): StoredRange[] {
    const { arrived, storedSize } = this.#object;
    const first = rangeOf(1, { start: 0, end: arrived, storedSize });
    return [first, ...rangesFrom(storedSize, arrived, length)];
  }

  /** Fetches and decrypts one range into a buffer. */
  async #openInto(session: ReadingSession, range: StoredRange, buffer: Buffer): Promise<OpenedRange> {
    const { number, start, end, content } = range;
    if (await this.#fetchByWorker(session, range, buffer.buffer as unknown as SharedArrayBuffer))
      return { buffer, length: content };
    const { client, pinned, answer, storedSize } = this.#object;
    const { IfMatch: etag, ...address } = pinned;
    const { idleTimeout, transport, onRetry } = this.#options;
    const trailer = Buffer.alloc(end - start - content);
    let received = 0;
    await receiveStoredRange({ client, address, size: storedSize, etag, idleTimeout, transport, onRetry }, range, {
      signal: this.#signal,
      first: start === 0 ? answer : undefined,
      take: (chunk) => {
        const inContent = Math.max(0, Math.min(chunk.length, content - received));
        buffer.set(chunk.subarray(0, inContent), received);
        trailer.set(chunk.subarray(inContent), Math.max(0, received - content));
        received += chunk.length;
      },
    });
    await session.unseal({ number, offset: start, content: buffer.subarray(0, content) });
    this.#trailers[number] = trailer;
    return { buffer, length: content };
  }

  /** @returns false where the range has to be fetched by the client */
  async #fetchByWorker(
    session: ReadingSession,
    range: StoredRange,
    memory: SharedArrayBuffer | undefined,
  ): Promise<boolean> {
    if (range.start === 0 || !this.#fetchedByWorkers()) return false;
    try {
      this.#trailers[range.number] = await session.fetch(range, memory);
      return true;
    } catch (error) {
      if (!followsRedirect(this.#object.client, error)) throw error;
      this.#redirected = true;
      return false;
    }
  }

  #fetchedByWorkers(): boolean {
    const { workers, transport } = this.#options;
    return (
      !this.#redirected &&
      workers > 0 &&
      (transport === 'workers' || (transport === 'auto' && isPlainClient(this.#object.client)))
    );
  }

  #tag(): Buffer {
    return Buffer.concat(this.#trailers.filter((trailer) => trailer !== undefined));
  }

  /** Ends everything under way. The first failure counts and is returned; what it makes fail in turn does not. */
  #fail(error: unknown): Error {
    if (this.#failure === undefined) {
      const { signal } = this.#options;
      const aborted =
        signal?.aborted === true && !(error instanceof SealpipeError && error.code === 'ERR_SEALPIPE_ABORTED');
      this.#failure = aborted
        ? new SealpipeError('ABORTED', 'the download was aborted by its signal', { cause: signal.reason as unknown })
        : error instanceof Error
          ? error
          : new Error(String(error));
      this.#stop.abort(this.#failure);
    }
    return this.#failure;
  }
}

/** Whether the client would have gone to the region that S3 names. It keeps that for one request, and signs the next as before. */
function followsRedirect({ config }: S3Client, error: unknown): boolean {
  if (config.followRegionRedirects !== true || !(error instanceof SealpipeError)) return false;
  const { name, statusCode } = describeFailure(error.cause);
  return statusCode === 301 || (statusCode === 400 && name === 'IllegalLocationConstraintException');
}
