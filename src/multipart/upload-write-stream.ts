import { Writable } from 'node:stream';
import { streamBufferLength } from '../buffer-length.ts';
import { SealpipeError } from '../errors.ts';
import type { EncryptedUpload, EncryptedUploadParams, UploadResult } from './encrypted-upload.ts';

/** A Writable that uploads what is written to it as one encrypted object. */
export interface UploadWriteStream extends Writable {
  /** Settles when the object is in place, or the upload has failed and been cleaned up. */
  readonly result: Promise<UploadResult>;
  readonly upload: EncryptedUpload;
}

/** Makes the stream; `start` is given the body and makes the upload. */
export function uploadWriteStream(start: (body: EncryptedUploadParams['Body']) => EncryptedUpload): UploadWriteStream {
  return new UploadWritable(start);
}

/**
 * The stream finishes only when the object is in place: `pipeline` waits for that. Destroying it (as `pipeline` does when the
 * source fails) aborts the upload, and `close` comes when nothing of it is left.
 */
class UploadWritable extends Writable implements UploadWriteStream {
  readonly result: Promise<UploadResult>;
  readonly upload: EncryptedUpload;
  readonly #handover = new Handover();

  constructor(start: (body: EncryptedUploadParams['Body']) => EncryptedUpload) {
    super({ highWaterMark: streamBufferLength });
    this.upload = start(this.#handover);
    this.result = this.upload.done();
    this.result.catch((error: unknown) => this.destroy(error as Error));
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#handover.give(chunk, callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#handover.end();
    this.result.then(
      () => callback(),
      (error: unknown) => callback(error as Error),
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (this.writableFinished) {
      callback(error);
      return;
    }
    this.#handover.fail(error ?? new SealpipeError('ABORTED', 'the stream was destroyed before its end'));
    this.upload.abort().then(
      () => callback(error),
      () => callback(error),
    );
  }
}

/** Chunks from a writer to one reader, one at a time: the writer goes on when the reader asks for the next. */
class Handover implements AsyncIterable<Uint8Array> {
  #chunk: { bytes: Uint8Array; taken: () => void } | undefined;
  #ended = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  give(bytes: Uint8Array, taken: () => void): void {
    this.#chunk = { bytes, taken };
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  fail(error: Error): void {
    this.#error ??= error;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (this.#error !== undefined) throw this.#error;
      const chunk = this.#chunk;
      if (chunk !== undefined) {
        yield chunk.bytes;
        this.#chunk = undefined;
        chunk.taken();
        continue;
      }
      if (this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
