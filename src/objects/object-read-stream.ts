import { Readable } from 'node:stream';
import { streamBufferLength } from '../buffer-length.ts';
import { destroyOnAbort } from '../streams/destroy-on-abort.ts';
import type { GetResult } from './get-object.ts';

/** A Readable over an object that is asked for when the stream is first read from, not when it is made. */
export class ObjectReadStream extends Readable {
  readonly #open: (signal: AbortSignal) => Promise<GetResult>;
  /** Ends the request that nobody waits for any more. */
  readonly #stop = new AbortController();
  #asked = false;
  #body: Readable | undefined;

  /**
   * @param open its signal fires when the stream is destroyed
   * @param signal destroys the stream, also where nobody has read from it
   */
  constructor(open: (signal: AbortSignal) => Promise<GetResult>, signal: AbortSignal | undefined) {
    super({ highWaterMark: streamBufferLength });
    this.#open = open;
    destroyOnAbort(this, signal, 'download');
  }

  // Not in _construct, which Node calls at once, and waits for before it destroys a stream.
  override _read(): void {
    if (this.#asked) {
      this.#body?.resume();
      return;
    }
    this.#asked = true;
    this.#open(this.#stop.signal).then(
      ({ body }) => this.#attach(body),
      (error: unknown) => this.destroy(error as Error),
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#stop.abort();
    if (this.#body !== undefined) discard(this.#body);
    callback(error);
  }

  #attach(body: Readable): void {
    if (this.destroyed) {
      discard(body);
      return;
    }
    this.#body = body;
    body.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) body.pause();
    });
    body.once('end', () => this.push(null));
    body.once('error', (error) => this.destroy(error));
  }
}

/** What it fails with from now on concerns nobody. */
function discard(body: Readable): void {
  body.on('error', () => undefined);
  body.destroy();
}
