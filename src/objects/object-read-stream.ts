import { Readable } from 'node:stream';
import { streamBufferLength } from '../streams/buffer-length.ts';
import type { GetResult } from './get-object.ts';

/** A Readable over an object that is asked for when the stream is first read from, not when it is made. */
export class ObjectReadStream extends Readable {
  readonly #open: () => Promise<GetResult>;
  #body: Readable | undefined;

  constructor(open: () => Promise<GetResult>) {
    super({ highWaterMark: streamBufferLength });
    this.#open = open;
  }

  override _construct(callback: (error?: Error | null) => void): void {
    this.#open().then(({ body }) => {
      if (this.destroyed) body.destroy();
      this.#body = body;
      body.on('data', (chunk: Buffer) => {
        if (!this.push(chunk)) body.pause();
      });
      body.once('end', () => this.push(null));
      body.once('error', (error) => this.destroy(error));
      body.pause();
      callback();
    }, callback);
  }

  override _read(): void {
    this.#body?.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#body?.once('error', () => undefined);
    this.#body?.destroy();
    callback(error);
  }
}
