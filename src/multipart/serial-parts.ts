import { crc32 } from 'node:zlib';
import { ContentEncryptor, slices } from '../crypto/content-cipher.ts';
import { type ContentKey, wipe } from '../crypto/content-key.ts';
import { releaseMemory } from '../crypto/release-memory.ts';
import type { SegmentMacs } from '../crypto/segment-index-macs.ts';
import { PartBuffers } from './part-buffers.ts';
import { wrongLength } from './part-failures.ts';
import { firstBufferLength, type PartPlan, type PartProducer, type PendingPart } from './parts.ts';
import { PlainContent } from './plain-content.ts';
import type { Chunks } from './upload-body.ts';

/** Turns the source's bytes into the stored ones, in order: a cipher, or nothing at all. */
export interface ContentWriter {
  /** Source bytes so far. */
  readonly length: number;
  /** The stored form of the next bytes; same length, in memory of its own. */
  update(plaintext: Uint8Array): Buffer;
  /** What is stored after the last of them. */
  final(): Buffer;
  /** Lets go of what it holds; harmless after `final`. */
  close(): void;
}

/** Bytes that are encrypted at once: small enough that the allocator hands out the same memory again. */
const sliceLength = 64 * 1024;

/**
 * The serial engine: one running GCM cipher over the whole source, on the calling thread. It is the reference that the
 * parallel engine is tested against, and the faster one for small objects.
 *
 * All parts have the size asked for but the last. A full part is held back until more is known to follow, as the first part may
 * turn out to be the whole object, which then is one PUT: the plaintext of a single PUT is up to one part size.
 */
export class SerialParts implements PartProducer {
  readonly #chunks: Chunks;
  readonly #encryptor: ContentWriter;
  readonly #plan: PartPlan;
  readonly #buffers: PartBuffers;
  readonly #macs: SegmentMacs | undefined;

  /** @param contentKey overwritten at once: the cipher has what it needs of it. Undefined: the bytes are stored as they are */
  constructor(contentKey: ContentKey | undefined, chunks: Chunks, plan: PartPlan) {
    this.#chunks = chunks;
    this.#encryptor = contentKey === undefined ? new PlainContent() : new ContentEncryptor(contentKey);
    if (contentKey !== undefined) wipe(contentKey.key);
    this.#plan = plan;
    this.#buffers = new PartBuffers(plan.partsInMemory);
    this.#macs = plan.index?.macs(0);
  }

  get length(): number {
    return this.#encryptor.length;
  }

  close(): void {
    this.#encryptor.close();
    this.#macs?.close();
    this.#buffers.close();
  }

  async *parts(): AsyncGenerator<PendingPart> {
    const { length } = this.#plan;
    const encryptor = this.#encryptor;
    let part = new PartInTheMaking(
      1,
      await this.#buffers.acquire(firstBufferLength(this.#plan)),
      this.#plan.partSize(1),
    );
    for await (const first of this.#chunks) {
      for (let chunk: Uint8Array | undefined = first; chunk !== undefined; chunk = this.#chunks.take?.()) {
        // Before it is encrypted: the buffer of a small object has room for what was promised and no more.
        if (length !== undefined && encryptor.length + chunk.length > length)
          throw wrongLength(encryptor.length + chunk.length, length);
        for (let rest = chunk; rest.length > 0; ) {
          if (part.room === 0) {
            yield part.seal(this.#buffers, { whole: false });
            part = await this.#next(part.number);
          }
          const taken = rest.subarray(0, part.room);
          for (const slice of slices(taken, sliceLength)) {
            const ciphertext = encryptor.update(slice);
            this.#macs?.update(ciphertext);
            part.append(ciphertext, slice.length);
            releaseMemory(ciphertext);
          }
          rest = rest.subarray(taken.length);
        }
      }
    }
    if (length !== undefined && encryptor.length !== length) throw wrongLength(encryptor.length, length);
    const tag = encryptor.final();
    if (this.#macs !== undefined) this.#plan.index?.add(0, this.#macs.final());
    const whole = part.number === 1;
    const fitting = whole ? tag.length : Math.min(tag.length, part.room);
    part.append(tag.subarray(0, fitting), 0);
    if (fitting < tag.length) {
      yield part.seal(this.#buffers, { whole });
      part = await this.#next(part.number);
      part.append(tag.subarray(fitting), 0);
    }
    yield part.seal(this.#buffers, { whole });
  }

  async #next(number: number): Promise<PartInTheMaking> {
    const size = this.#plan.partSize(number + 1);
    return new PartInTheMaking(number + 1, await this.#buffers.acquire(size), size);
  }
}

class PartInTheMaking {
  readonly number: number;
  readonly #buffer: Buffer;
  readonly #size: number;
  #filled = 0;
  #crc32 = 0;
  #plaintextLength = 0;

  constructor(number: number, buffer: Buffer, size: number) {
    this.number = number;
    this.#buffer = buffer;
    this.#size = size;
  }

  /** Bytes that are missing to its size. */
  get room(): number {
    return this.#size - this.#filled;
  }

  append(bytes: Buffer, plaintextLength: number): void {
    // Of an empty buffer without memory zlib returns its initial value, and not the one it was given.
    if (bytes.length === 0) return;
    // While the slice is in the processor's cache: a pass of its own over the part would cost as much as the encryption.
    this.#crc32 = crc32(bytes, this.#crc32);
    this.#buffer.set(bytes, this.#filled);
    this.#filled += bytes.length;
    this.#plaintextLength += plaintextLength;
  }

  seal(buffers: PartBuffers, { whole }: { whole: boolean }): PendingPart {
    const sealed = {
      number: this.number,
      bytes: this.#buffer.subarray(0, this.#filled),
      crc32: this.#crc32,
      plaintextLength: this.#plaintextLength,
    };
    return {
      number: this.number,
      whole,
      sealed: Promise.resolve(sealed),
      release: () => buffers.release(this.#buffer),
    };
  }
}
