import { type FileHandle, open } from 'node:fs/promises';
import { SealpipeError } from '../errors.ts';
import type { RangeSource } from './range-source.ts';

/** A local file as a {@link RangeSource}. It holds a file descriptor until {@link LocalFileSource.close}. */
export class LocalFileSource implements RangeSource, AsyncDisposable {
  readonly size: number;
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle, size: number) {
    this.#handle = handle;
    this.size = size;
  }

  /**
   * Opens `path` for reading. Its size is taken once: a file that shrinks afterwards is an error at the read that meets
   * it.
   */
  static async open(path: string | URL): Promise<LocalFileSource> {
    const handle = await open(path, 'r');
    try {
      const stats = await handle.stat();
      return new LocalFileSource(handle, stats.size);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** The bytes of [start, end). Throws TRUNCATED when the file ends before `end`. */
  async read(start: number, end: number, options: { signal?: AbortSignal } = {}): Promise<Uint8Array> {
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start || end > this.size) {
      throw new RangeError(`range [${start}, ${end}) is not within the file of ${this.size} bytes`);
    }
    const bytes = new Uint8Array(end - start);
    for (let done = 0; done < bytes.length; ) {
      options.signal?.throwIfAborted();
      const { bytesRead } = await this.#handle.read(bytes, done, bytes.length - done, start + done);
      if (bytesRead === 0) {
        throw new SealpipeError('TRUNCATED', `file ended at byte ${start + done}, ${end} were expected`, {
          offset: start + done,
        });
      }
      done += bytesRead;
    }
    return bytes;
  }

  /** Gives the descriptor back. Reads after it fail. */
  async close(): Promise<void> {
    await this.#handle.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
