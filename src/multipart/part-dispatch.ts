/** Sends what an engine produces: one PUT, or a multipart upload whose parts go side by side. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SegmentIndexBuilder } from '../crypto/segment-index-builder.ts';
import { type errorCodes, SealpipeError } from '../errors.ts';
import type { SegmentIndexFile } from '../objects/segment-index-file.ts';
import { throwIfAborted } from '../retry/retry-sends.ts';
import { combineCrc32 } from './crc32-combine.ts';
import type { InstructionFileSwap } from './instruction-file-swap.ts';
import type { JournalSession } from './journal/journal-session.ts';
import type { PartProducer, PendingPart, SealedPart } from './parts.ts';
import { Semaphore } from './semaphore.ts';
import type { UploadedObject, UploadJob, UploadObserver } from './upload-attempt.ts';
import { findWritten, type WrittenObject } from './upload-outcome.ts';
import { type StoredObject, type StoredPart, UploadRequests } from './upload-requests.ts';

export interface PartDispatchOptions {
  readonly job: UploadJob;
  readonly observer: UploadObserver;
  readonly producer: PartProducer;
  /** Fired when the attempt fails: ends the source, too. */
  readonly stop: AbortController;
  /** The caller's. */
  readonly signal: AbortSignal;
  /** User metadata of the object, envelope included. */
  readonly metadata: Record<string, string>;
  /** The envelope's share of it: tells the object as ours. */
  readonly identity: Record<string, string>;
  readonly instructions: InstructionFileSwap | undefined;
  /** The segment index, where one is made. */
  readonly index: { readonly builder: SegmentIndexBuilder; readonly file: SegmentIndexFile } | undefined;
  readonly journal: JournalSession | undefined;
  /** Plaintext bytes, where known. */
  readonly length: number | undefined;
}

type Finished = Omit<UploadedObject, 'envelope'>;

export class PartDispatch {
  readonly #options: PartDispatchOptions;
  readonly #requests: UploadRequests;
  readonly #slots: Semaphore;
  readonly #stored: StoredPart[] = [];
  readonly #sending = new Set<Promise<void>>();
  /** The id of the multipart upload, from the moment that it is asked for. */
  #upload: Promise<string> | undefined;
  #uploadId: string | undefined;
  /** Whether S3 checks the CRC-32 of the whole object. */
  #fullObjectChecksum = false;
  #failure: Error | undefined;

  constructor(options: PartDispatchOptions) {
    const { job, observer, stop, metadata } = options;
    const { client, params, partAttempts, partTimeout, transport } = job;
    this.#options = options;
    this.#slots = new Semaphore(job.queueSize);
    this.#requests = new UploadRequests({
      client,
      params,
      metadata,
      attempts: partAttempts,
      partTimeout,
      transport,
      // Fired by the caller's signal, too, as soon as anything is sent.
      signal: stop.signal,
      onRetry: (retry) => observer.retried(retry),
    });
  }

  /** Sends everything. Rejects only when nothing is under way any more and the multipart upload is gone. */
  async run(): Promise<Finished> {
    const { signal, producer, journal } = this.#options;
    const onAbort = (): void => {
      this.#fail(new SealpipeError('ABORTED', 'the upload was aborted', { cause: signal.reason as unknown }));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      throwIfAborted(signal);
      const finished = await this.#dispatch();
      await journal?.complete();
      return finished;
    } catch (error) {
      const failure = this.#fail(error);
      producer.close();
      // With the id that is still on its way, if any: what it stands for has to be removed.
      await Promise.allSettled([...this.#sending, this.#upload]);
      const { kept = false, note = '' } = (await journal?.fail(failure)) ?? {};
      if (kept) throw note === '' ? failure : withNote(failure, note);
      if (this.#uploadId === undefined || this.#options.job.leavePartsOnError) throw failure;
      throw await this.#abort(this.#uploadId, failure);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #dispatch(): Promise<Finished> {
    const { producer } = this.#options;
    this.#resume();
    for await (const part of producer.parts()) {
      if (this.#failure !== undefined) throw this.#failure;
      if (part.whole) return this.#putWhole(part);
      // Not waited for: the first parts, as many as are sent side by side, are encrypted while S3 creates the upload.
      this.#upload ??= this.#create();
      this.#startSending(this.#upload, part);
    }
    await Promise.all(this.#sending);
    if (this.#failure !== undefined) throw this.#failure;
    return this.#complete(await (this.#upload as Promise<string>), producer.length);
  }

  #create(): Promise<string> {
    const { journal, observer } = this.#options;
    const create = async (): Promise<string> => {
      // To make the request takes the SDK long enough: first the workers get what parts there is memory for.
      await nextTurn();
      const { uploadId, fullObjectChecksum } = await this.#requests.create();
      this.#uploadId = uploadId;
      this.#fullObjectChecksum = fullObjectChecksum;
      await journal?.created(uploadId, fullObjectChecksum);
      observer.started(uploadId);
      return uploadId;
    };
    const created = create();
    // Before the parts that wait for it say that they could not be stored.
    created.catch((error: unknown) => this.#fail(error));
    return created;
  }

  /** Takes over what an earlier process has stored. */
  #resume(): void {
    const { journal, observer, length } = this.#options;
    if (journal?.resumed === undefined) return;
    const { header, stored, intents } = journal.resumed;
    this.#uploadId = header.uploadId;
    this.#upload = Promise.resolve(header.uploadId);
    this.#fullObjectChecksum = header.fullObjectChecksum;
    observer.started(header.uploadId);
    for (const part of stored) {
      this.#stored.push(part);
      observer.stored(
        { number: part.number, plaintextLength: intents.get(part.number)?.length ?? 0, storedLength: part.length },
        length,
      );
    }
  }

  #startSending(upload: Promise<string>, part: PendingPart): void {
    const sending = this.#sendPart(upload, part).catch((error: unknown) => {
      this.#fail(this.#partFailure(error, part.number));
    });
    this.#sending.add(sending);
    void sending.then(() => this.#sending.delete(sending));
  }

  async #sendPart(upload: Promise<string>, part: PendingPart): Promise<void> {
    const { journal } = this.#options;
    const sealed = await part.sealed;
    let send: () => Promise<StoredPart>;
    try {
      const uploadId = await upload;
      await journal?.intend(sealed);
      send = await this.#requests.preparePart(uploadId, sealed);
    } finally {
      sealed.segment?.z.fill(0);
    }
    const stored = await this.#slots.run(async () => {
      try {
        const acknowledged = await send();
        await journal?.finish(acknowledged, sealed.segment?.entries);
        return acknowledged;
      } catch (error) {
        // Before the slot is free: else the part that waits for it would still be begun.
        throw this.#fail(this.#partFailure(error, part.number));
      }
    });
    this.#stored.push(stored);
    part.release();
    this.#tellStored(sealed);
  }

  #tellStored({ number, plaintextLength, bytes }: SealedPart): void {
    this.#options.observer.stored({ number, plaintextLength, storedLength: bytes.length }, this.#options.length);
  }

  /** Ends everything under way. The first failure counts and is returned; what it makes fail in turn does not. */
  #fail(error: unknown): Error {
    if (this.#failure === undefined) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
      this.#options.stop.abort(this.#failure);
      // Ends waiting for memory, for workers and for the tag.
      this.#options.producer.close();
    }
    return this.#failure;
  }

  #partFailure(error: unknown, part: number): unknown {
    if (!(error instanceof SealpipeError) || !error.retryable) return error;
    return this.#attemptsUsedUp(error, `part ${part} could not be stored`, part);
  }

  #attemptsUsedUp(cause: SealpipeError, what: string, part: number | undefined): SealpipeError {
    const { Bucket, Key } = this.#options.job.params;
    const { attempts, requestId, statusCode } = cause;
    return new SealpipeError('PART_FAILED', `${what} in ${attempts ?? 1} attempts: ${cause.message}`, {
      cause,
      bucket: Bucket,
      key: Key,
      uploadId: this.#uploadId,
      bytesAcknowledged: this.#stored.reduce((sum, { length }) => sum + length, 0),
      part,
      attempts,
      requestId,
      statusCode,
    });
  }

  async #putWhole(part: PendingPart): Promise<Finished> {
    const sealed = await part.sealed;
    const { bytes, crc32, plaintextLength } = sealed;
    const stored = await this.#makeVisible(() => this.#requests.put(bytes, crc32), {
      plaintextSize: plaintextLength,
      storedLength: bytes.length,
      crc32,
    });
    this.#options.observer.stored({ number: 1, plaintextLength, storedLength: bytes.length }, plaintextLength);
    return { ...stored, plaintextSize: plaintextLength, storedSize: bytes.length, parts: 1 };
  }

  async #complete(uploadId: string, plaintextSize: number): Promise<Finished> {
    const parts = this.#stored.sort((a, b) => a.number - b.number);
    const crc32 = parts.reduce((sum, part) => combineCrc32(sum, part.crc32, part.length), 0);
    const storedSize = parts.reduce((sum, { length }) => sum + length, 0);
    // Others may have written the object since the upload began.
    await this.#options.instructions?.prepare();
    const complete = (): Promise<StoredObject> =>
      this.#requests.complete(uploadId, parts, this.#fullObjectChecksum ? crc32 : undefined);
    const stored = await this.#makeVisible(complete, { plaintextSize, storedLength: storedSize, crc32 });
    return { ...stored, plaintextSize, storedSize, parts: parts.length };
  }

  /** The step that makes the object visible, with its instruction file and segment index before it; a lost answer is told from a failure. */
  async #makeVisible(
    step: () => Promise<StoredObject>,
    { plaintextSize, ...written }: Omit<WrittenObject, 'identity'> & { plaintextSize: number },
  ): Promise<StoredObject> {
    const { instructions, index, identity, job } = this.#options;
    await instructions?.publish();
    try {
      if (index !== undefined) await index.file.publish(index.builder.finish(plaintextSize));
      return await step();
    } catch (error) {
      const there = mayHaveSucceeded(error)
        ? await findWritten(job.client, job.params, { ...written, identity })
        : undefined;
      if (there !== undefined) return there;
      await index?.file.withdraw();
      await instructions?.rollBack().catch((cause: unknown) => {
        const said = cause instanceof Error ? cause.message : String(cause);
        throw withNote(
          error,
          `the instruction file could not be put back as it was (${said}): until it is, the object's old content cannot be read`,
        );
      });
      if (error instanceof SealpipeError && error.retryable)
        throw this.#attemptsUsedUp(error, 'the object could not be completed', undefined);
      throw error;
    }
  }

  /** Removes what was stored so far; returns the error to reject with. */
  async #abort(uploadId: string, failure: Error): Promise<Error> {
    if (await this.#requests.abort(uploadId)) return failure;
    return withNote(
      failure,
      `S3 did not confirm that the multipart upload ${uploadId} is gone: abort it by hand, or let a lifecycle rule do it`,
      {
        uploadId,
      },
    );
  }
}

/** Whether the object may be in place although the request failed: an answer that was lost, or one to a second send of the same. */
function mayHaveSucceeded(error: unknown): boolean {
  if (!(error instanceof SealpipeError)) return false;
  return (
    error.retryable ||
    ['ERR_SEALPIPE_UPLOAD_UNKNOWN', 'ERR_SEALPIPE_PRECONDITION_FAILED', 'ERR_SEALPIPE_ABORTED'].includes(error.code)
  );
}

/** The same error, its cause kept, with a second sentence, for what went wrong while cleaning up after it. */
function withNote(error: unknown, note: string, fields: { uploadId?: string } = {}): SealpipeError {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof SealpipeError))
    return new SealpipeError('PART_FAILED', `${message}; ${note}`, { cause: error, ...fields });
  const code = error.code.replace('ERR_SEALPIPE_', '') as (typeof errorCodes)[number];
  return new SealpipeError(code, `${message}; ${note}`, { ...error, cause: error.cause ?? error, ...fields });
}
