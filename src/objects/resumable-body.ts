/** The stored bytes of an object as a stream. */
import { Readable } from 'node:stream';
import { streamBufferLength } from '../buffer-length.ts';
import { StoredBytes, type StoredBytesOptions } from './stored-bytes.ts';

/** As {@link StoredBytes}; read no faster than it is consumed. */
export class ResumableBody extends Readable {
  readonly #stored: StoredBytes;

  constructor(options: StoredBytesOptions) {
    super({ highWaterMark: streamBufferLength });
    this.#stored = new StoredBytes(options, {
      inPlace: false,
      take: (chunk) => this.push(chunk),
      end: () => void this.push(null),
      fail: (error) => void this.destroy(error),
    });
  }

  override _read(): void {
    this.#stored.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#stored.close(error ?? undefined);
    callback(error);
  }
}
