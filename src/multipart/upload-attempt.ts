/**
 * One attempt at an upload under one data key: a PUT, or a multipart upload whose parts are encrypted in order and sent
 * side by side. It ends with the object in place or with nothing of it left behind.
 */
import type { S3Client } from '@aws-sdk/client-s3';
import { ContentEncryptor } from '../crypto/content-cipher.ts';
import { wipe } from '../crypto/content-key.ts';
import { type errorCodes, SealpipeError } from '../errors.ts';
import type { EnvelopeStorage } from '../format/envelope.ts';
import { fitsOneMessage, storedLength } from '../format/lengths.ts';
import type { StringMap } from '../format/string-map.ts';
import { type ContentSuite, maxPlaintextLength } from '../format/suites.ts';
import { divideEnvelope, joinMetadata } from '../format/write-envelope.ts';
import type { Keyring } from '../keyrings/keyring.ts';
import { createContentKey } from '../keyrings/open-content-key.ts';
import { throwIfAborted } from '../retry/retry-sends.ts';
import { combineCrc32 } from './crc32-combine.ts';
import { InstructionFileSwap } from './instruction-file-swap.ts';
import { PartBuffers } from './part-buffers.ts';
import { growingPartSize, knownPartSize } from './part-sizes.ts';
import { type SealedPart, serialParts } from './serial-parts.ts';
import { openBody, type UploadBody } from './upload-body.ts';
import { findWritten, type WrittenObject } from './upload-outcome.ts';
import { type StoredObject, type StoredPart, type UploadParams, UploadRequests } from './upload-requests.ts';

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
    const length = source.length ?? job.params.ContentLength;
    if (
      source.length !== undefined &&
      job.params.ContentLength !== undefined &&
      source.length !== job.params.ContentLength
    ) {
      throw new SealpipeError(
        'SOURCE_FAILED',
        `the source has ${source.length} bytes, expected were ${job.params.ContentLength}: nothing was sent`,
      );
    }
    if (length !== undefined && !fitsOneMessage(length)) {
      throw new SealpipeError(
        'TOO_LARGE',
        `the source has ${length} bytes, one encrypted object holds at most ${maxPlaintextLength} (2^36 − 32): divide it into several objects`,
      );
    }
    const { client, keyring, suite, storage, params, encryptionContext, materialsDescription } = job;
    const created = await createContentKey({
      keyring,
      suite,
      encryptionContext,
      materialsDescription,
      length,
      bucket: params.Bucket,
      key: params.Key,
      signal,
    });
    const encryptor = new ContentEncryptor(created.contentKey);
    wipe(created.contentKey.key);
    try {
      const { metadata, instructionFile } = divideEnvelope(created.envelope, storage);
      const joined = joinMetadata(params.Metadata ?? {}, metadata);
      const instructions =
        instructionFile &&
        new InstructionFileSwap({
          client,
          params,
          key: `${params.Key}${job.instructionSuffix}`,
          content: instructionFile,
          signal,
        });
      await instructions?.prepare();
      const attempt = new UploadAttempt(job, observer, { metadata: joined, envelope: metadata, instructions, length });
      const stored = await attempt.run(source.chunks(), encryptor, signal);
      return { ...stored, envelope: created.envelope };
    } finally {
      encryptor.close();
    }
  } finally {
    await source.close();
  }
}

interface AttemptContext {
  readonly metadata: Record<string, string>;
  /** The envelope's share of the metadata: identifies the object as ours. */
  readonly envelope: Record<string, string>;
  readonly instructions: InstructionFileSwap | undefined;
  readonly length: number | undefined;
}

class UploadAttempt {
  readonly #job: UploadJob;
  readonly #observer: UploadObserver;
  readonly #context: AttemptContext;
  /** Ends everything that is under way when one thing has failed. */
  readonly #stop = new AbortController();
  readonly #stored: StoredPart[] = [];
  readonly #sending = new Set<Promise<void>>();
  #uploadId: string | undefined;
  #failure: Error | undefined;

  constructor(job: UploadJob, observer: UploadObserver, context: AttemptContext) {
    this.#job = job;
    this.#observer = observer;
    this.#context = context;
  }

  async run(
    chunks: AsyncIterable<Uint8Array>,
    encryptor: ContentEncryptor,
    signal: AbortSignal,
  ): Promise<Omit<UploadedObject, 'envelope'>> {
    const { client, params, partAttempts, partTimeout, queueSize } = this.#job;
    const { length, metadata } = this.#context;
    const requests = new UploadRequests({
      client,
      params,
      metadata,
      attempts: partAttempts,
      partTimeout,
      signal: AbortSignal.any([signal, this.#stop.signal]),
      onRetry: (retry) => this.#observer.retried(retry),
    });
    const buffers = new PartBuffers(queueSize + 1);
    const onAbort = (): void => {
      this.#fail(new SealpipeError('ABORTED', 'the upload was aborted', { cause: signal.reason as unknown }), buffers);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      throwIfAborted(signal);
      let fullObjectChecksum = false;
      for await (const part of serialParts({
        chunks: untilStopped(chunks, this.#stop.signal),
        encryptor,
        buffers,
        length,
        partSize: this.#partSizes(),
      })) {
        if (this.#failure !== undefined) throw this.#failure;
        if (part.whole) return await this.#putWhole(requests, part);
        if (this.#uploadId === undefined) {
          ({ uploadId: this.#uploadId, fullObjectChecksum } = await requests.create());
          this.#observer.started(this.#uploadId);
        }
        this.#startSending(requests, this.#uploadId, part, buffers);
      }
      await Promise.all(this.#sending);
      if (this.#failure !== undefined) throw this.#failure;
      return await this.#complete(requests, this.#uploadId as string, {
        fullObjectChecksum,
        plaintextSize: encryptor.length,
      });
    } catch (error) {
      const failure = this.#fail(error, buffers);
      await Promise.allSettled(this.#sending);
      if (this.#uploadId === undefined || this.#job.leavePartsOnError) throw failure;
      throw await this.#abort(requests, this.#uploadId, failure);
    } finally {
      signal.removeEventListener('abort', onAbort);
      buffers.close();
    }
  }

  #partSizes(): (number: number) => number {
    const { partSize, suite } = this.#job;
    const { length } = this.#context;
    if (length === undefined) return (number) => growingPartSize(number, partSize);
    const size = knownPartSize(storedLength(suite, length), partSize);
    return () => size;
  }

  #startSending(requests: UploadRequests, uploadId: string, part: SealedPart, buffers: PartBuffers): void {
    const sending = requests
      .uploadPart(uploadId, part)
      .then((stored) => {
        this.#stored.push(stored);
        part.release();
        const { number, plaintextLength } = part;
        this.#observer.stored({ number, plaintextLength, storedLength: stored.length }, this.#context.length);
      })
      .catch((error: unknown) => {
        this.#fail(this.#partFailure(error, part.number), buffers);
      });
    this.#sending.add(sending);
    void sending.then(() => this.#sending.delete(sending));
  }

  /** Ends everything under way. The first failure counts and is returned; what it makes fail in turn does not. */
  #fail(error: unknown, buffers: PartBuffers): Error {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
    this.#stop.abort(this.#failure);
    buffers.close(this.#failure);
    return this.#failure;
  }

  #partFailure(error: unknown, part: number): unknown {
    if (!(error instanceof SealpipeError) || !error.retryable) return error;
    return new SealpipeError(
      'PART_FAILED',
      `part ${part} could not be stored in ${error.attempts ?? 1} attempts: ${error.message}`,
      {
        ...this.#progressFields(),
        cause: error,
        part,
        attempts: error.attempts,
        requestId: error.requestId,
        statusCode: error.statusCode,
      },
    );
  }

  #progressFields(): { bucket: string; key: string; uploadId: string | undefined; bytesAcknowledged: number } {
    const { Bucket, Key } = this.#job.params;
    return {
      bucket: Bucket,
      key: Key,
      uploadId: this.#uploadId,
      bytesAcknowledged: this.#stored.reduce((sum, { length }) => sum + length, 0),
    };
  }

  async #putWhole(requests: UploadRequests, part: SealedPart): Promise<Omit<UploadedObject, 'envelope'>> {
    const written = { envelope: this.#context.envelope, storedLength: part.bytes.length, crc32: part.crc32 };
    const stored = await this.#makeVisible(() => requests.put(part.bytes, part.crc32), written);
    this.#observer.stored(
      { number: 1, plaintextLength: part.plaintextLength, storedLength: part.bytes.length },
      part.plaintextLength,
    );
    return { ...stored, plaintextSize: part.plaintextLength, storedSize: part.bytes.length, parts: 1 };
  }

  async #complete(
    requests: UploadRequests,
    uploadId: string,
    { fullObjectChecksum, plaintextSize }: { fullObjectChecksum: boolean; plaintextSize: number },
  ): Promise<Omit<UploadedObject, 'envelope'>> {
    const parts = this.#stored.sort((a, b) => a.number - b.number);
    const crc32 = parts.reduce((sum, part) => combineCrc32(sum, part.crc32, part.length), 0);
    const storedSize = parts.reduce((sum, { length }) => sum + length, 0);
    const written = { envelope: this.#context.envelope, storedLength: storedSize, crc32 };
    const stored = await this.#makeVisible(
      () => requests.complete(uploadId, parts, fullObjectChecksum ? crc32 : undefined),
      written,
    );
    return { ...stored, plaintextSize, storedSize, parts: parts.length };
  }

  /** The step that makes the object visible, with its instruction file before it; a lost answer is told from a failure. */
  async #makeVisible(step: () => Promise<StoredObject>, written: WrittenObject): Promise<StoredObject> {
    const { instructions } = this.#context;
    await instructions?.publish();
    try {
      return await step();
    } catch (error) {
      const { client, params } = this.#job;
      const there = mayHaveSucceeded(error) ? await findWritten(client, params, written) : undefined;
      if (there !== undefined) return there;
      await instructions?.rollBack().catch((cause: unknown) => {
        const said = cause instanceof Error ? cause.message : String(cause);
        throw withNote(
          error,
          `the instruction file could not be put back as it was (${said}): until it is, the object's old content cannot be read`,
        );
      });
      if (error instanceof SealpipeError && error.retryable) {
        throw new SealpipeError(
          'PART_FAILED',
          `the object could not be completed in ${error.attempts ?? 1} attempts: ${error.message}`,
          {
            ...this.#progressFields(),
            cause: error,
            attempts: error.attempts,
            requestId: error.requestId,
            statusCode: error.statusCode,
          },
        );
      }
      throw error;
    }
  }

  /** Removes what was stored so far; returns the error to reject with. */
  async #abort(requests: UploadRequests, uploadId: string, failure: Error): Promise<Error> {
    if (await requests.abort(uploadId)) return failure;
    return withNote(
      failure,
      `S3 did not confirm that the multipart upload ${uploadId} is gone: abort it by hand, or let a lifecycle rule do it`,
      { uploadId },
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

/** The same error with a second sentence, for what went wrong while cleaning up after it. */
function withNote(error: unknown, note: string, fields: { uploadId?: string } = {}): SealpipeError {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof SealpipeError))
    return new SealpipeError('PART_FAILED', `${message}; ${note}`, { cause: error, ...fields });
  const code = error.code.replace('ERR_SEALPIPE_', '') as (typeof errorCodes)[number];
  return new SealpipeError(code, `${message}; ${note}`, { ...error, cause: error, ...fields });
}

/** Ends waiting for a source that delivers nothing when the upload has failed or was aborted. */
async function* untilStopped(chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
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
