import type { ContentWriter } from './serial-parts.ts';

/** Stores the bytes as they are: for objects that only S3 encrypts. */
export class PlainContent implements ContentWriter {
  #length = 0;

  get length(): number {
    return this.#length;
  }

  update(plaintext: Uint8Array): Buffer {
    this.#length += plaintext.length;
    // Not a view: what a writer returns is freed by whoever asked for it, and this memory is the source's.
    const stored = Buffer.allocUnsafeSlow(plaintext.length);
    stored.set(plaintext);
    return stored;
  }

  final(): Buffer {
    return Buffer.alloc(0);
  }

  close(): void {}
}
