/** Content of any length that costs no memory: one block of random-looking bytes, over and over. */
import { createHash } from 'node:crypto';

/** Bytes of the block: small enough for a processor's cache, so that making content costs next to nothing. */
export const repeatedLength: number = 1024 * 1024;

const blocks = new Map<string, Buffer>();

/** The block that a seed stands for; the same in every process. */
function blockOf(seed: string): Buffer {
  let block = blocks.get(seed);
  if (block === undefined) {
    block = createHash('shake128', { outputLength: repeatedLength }).update(seed).digest();
    blocks.set(seed, block);
  }
  return block;
}

export class RepeatedContent {
  readonly length: number;
  readonly #block: Buffer;

  /** @param seed any string; another one gives other bytes */
  constructor(seed: string, length: number) {
    this.length = length;
    this.#block = blockOf(seed);
  }

  /** A view of the bytes from `at` on: at most `limit`, and never past the end of the block. */
  slice(at: number, limit: number): Buffer {
    const start = at % repeatedLength;
    return this.#block.subarray(start, Math.min(start + Math.min(limit, this.length - at), repeatedLength));
  }

  /** All bytes in pieces of that length; the last one may be shorter, as may those at the end of a block. */
  *chunks(chunkLength: number): Generator<Buffer, undefined> {
    for (let at = 0; at < this.length; ) {
      const chunk = this.slice(at, chunkLength);
      yield chunk;
      at += chunk.length;
    }
  }

  sha256(): string {
    const hash = createHash('sha256');
    for (const chunk of this.chunks(repeatedLength)) hash.update(chunk);
    return hash.digest('hex');
  }
}

/** What is uploaded. */
export const sourceContent = (length: number): RepeatedContent => new RepeatedContent('source', length);

/** The stored bytes of what is downloaded, without a tag. Its plaintext is whatever the key makes of it. */
export const storedContent = (length: number): RepeatedContent => new RepeatedContent('stored', length);
