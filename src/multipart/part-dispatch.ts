/** Sends what an engine produces: one PUT, or a multipart upload whose parts go side by side. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SegmentIndexBuilder } from '../crypto/segment-index-builder.ts';
import { SealpipeError } from '../errors.ts';
import type { SegmentIndexFile } from '../objects/segment-index-file.ts';
import { throwIfAborted } from '../retry/retry-sends.ts';
import { combineCrc32 } from './crc32-combine.ts';
import type { InstructionFileSwap } from './instruction-file-swap.ts';
import type { JournalSession } from './journal/journal-session.ts';
import { withNote } from './part-failures.ts';
import type { PartProducer, PendingPart, SealedPart } from './parts.ts';
import { Semaphore } from './semaphore.ts';
import type { UploadedObject, UploadJob, UploadObserver } from './upload-attempt.ts';
import {
  lookForWritten,
  mayBeWritten,
  outcomeUnknown,
  type WriteOutcome,
  type WrittenObject,
} from './upload-outcome.ts';
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
  /** Whether an upload may have come of a request that was cut off. */
  #mayBeCreated = false;
  /** Whether S3 was seen not to know it any more; undefined before it was told to forget it. */
  #isGone: boolean | undefined;
  /** Whether S3 checks the CRC-32 of the whole object. */
  #fullObjectChecksum = false;
  #failure: Error | undefined;

  constructor(options: PartDispatchOptions) {
    const { job, observer, stop, metadata } = options;
    const { client, params, partAttempts, partTimeout, transport, grace } = job;
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
      grace,
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
      const first = this.#fail(error);
      // Whoever aborted has to hear that the object may be there.
      const failure = error instanceof SealpipeError && error.code === 'ERR_SEALPIPE_OUTCOME_UNKNOWN' ? error : first;
      producer.close();
      // With the id that is still on its way, if any: what it stands for has to be removed.
      await Promise.allSettled([...this.#sending, this.#upload]);
      if (this.#mayBeCreated)
        throw withNote(
          failure,
          'CreateMultipartUpload was cut off: a multipart upload without parts may be left on S3, for a lifecycle rule to remove',
        );
      const kept = await journal?.fail(failure);
      if (kept !== undefined) {
        const { note, ...fields } = kept;
        throw withNote(failure, note, fields);
      }
      if (this.#uploadId === undefined || this.#isGone === true || this.#options.job.leavePartsOnError) throw failure;
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
      if (this.#failure !== undefined) throw this.#failure;
      const { uploadId, fullObjectChecksum } = await this.#requests.create().catch((error: unknown) => {
        this.#mayBeCreated = error instanceof SealpipeError && error.code === 'ERR_SEALPIPE_ABORTED';
        throw error;
      });
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
    } catch (error) {
      throw await this.#takeBack(error);
    }
    try {
      return await step();
    } catch (error) {
      if (!mayBeWritten(error)) throw await this.#takeBack(error);
      const outcome = await this.#outcome({ ...written, identity });
      if (outcome.kind === 'written') return outcome.object;
      if (outcome.kind === 'unknown') throw outcomeUnknown(job.params, { failure: error, cause: outcome.cause });
      throw await this.#takeBack(error);
    }
  }

  async #outcome(written: WrittenObject): Promise<WriteOutcome> {
    const { client, params, leavePartsOnError } = this.#options.job;
    const found = await lookForWritten(client, params, written);
    // A journal keeps the upload, and looks again.
    const kept = this.#options.journal !== undefined || leavePartsOnError;
    if (found.kind === 'written' || this.#uploadId === undefined || kept) return found;
    // S3 can still be completing what it has not answered: only of an upload that is gone it is certain that no object comes of it later.
    this.#isGone = await this.#requests.abort(this.#uploadId);
    return this.#isGone ? lookForWritten(client, params, written) : found;
  }

  /** After a write that failed for certain: companions as they were. @returns the error to reject with */
  async #takeBack(error: unknown): Promise<unknown> {
    const { instructions, index } = this.#options;
    await index?.file.withdraw();
    try {
      await instructions?.rollBack();
    } catch (cause) {
      const said = cause instanceof Error ? cause.message : String(cause);
      return withNote(
        error,
        `the instruction file could not be put back as it was (${said}): until it is, the object's old content cannot be read`,
      );
    }
    return error instanceof SealpipeError && error.retryable
      ? this.#attemptsUsedUp(error, 'the object could not be completed', undefined)
      : error;
  }

  /** Removes what was stored so far; returns the error to reject with. */
  async #abort(uploadId: string, failure: Error): Promise<Error> {
    // Of a write whose outcome is unknown it has been tried.
    this.#isGone ??= await this.#requests.abort(uploadId);
    if (this.#isGone) return failure;
    return withNote(
      failure,
      `S3 did not confirm that the multipart upload ${uploadId} is gone: abort it by hand, or let a lifecycle rule do it`,
      {
        uploadId,
      },
    );
  }
}
