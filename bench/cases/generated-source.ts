import { Readable, Writable } from 'node:stream';
import type { RepeatedContent } from '../repeated-content.ts';

/** Bytes of a chunk, as files and sockets deliver them. Every client that is compared gets the same. */
export const chunkLength: number = 64 * 1024;

/** A stream whose making costs next to nothing, so that what reads it is what is measured. */
export class GeneratedSource extends Readable {
  readonly #chunks: Iterator<Buffer>;

  /** @param tail follows the content */
  constructor(content: RepeatedContent, tail?: Buffer) {
    super({ highWaterMark: chunkLength });
    this.#chunks = chunksOf(content, tail);
  }

  override _read(): void {
    const next = this.#chunks.next();
    this.push(next.done === true ? null : next.value);
  }
}

function* chunksOf(content: RepeatedContent, tail: Buffer | undefined): Generator<Buffer> {
  yield* content.chunks(chunkLength);
  if (tail !== undefined) yield tail;
}

/** Takes everything, keeps nothing but the count. */
export class Discard extends Writable {
  received = 0;

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.received += chunk.length;
    callback();
  }
}
