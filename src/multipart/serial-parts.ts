import { crc32 } from 'node:zlib';
import { type ContentEncryptor, slices } from '../crypto/content-cipher.ts';
import { SealpipeError } from '../errors.ts';
import type { PartBuffers } from './part-buffers.ts';

/** A part of the stored body, kept until S3 has acknowledged it: every send of it has these very bytes. */
export interface SealedPart {
  /** From 1. */
  readonly number: number;
  /** Ciphertext; in the last part, or parts, the tag. A view of a part buffer. */
  readonly bytes: Buffer;
  /** Of `bytes`. */
  readonly crc32: number;
  /** Plaintext bytes in it, for progress. */
  readonly plaintextLength: number;
  /** Whether it is the whole object. */
  readonly whole: boolean;
  /** Gives its memory back. */
  release(): void;
}

export interface SerialPartsOptions {
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly encryptor: ContentEncryptor;
  readonly buffers: PartBuffers;
  /** Plaintext bytes, where known: any other number ends in an error. */
  readonly length: number | undefined;
  /** Size of part n; multiples of 16. */
  readonly partSize: (number: number) => number;
}

const tagLength = 16;

/**
 * Encrypts a source with one running cipher and cuts what is stored (ciphertext ‖ tag) into parts, all of the size asked for
 * but the last. A full part is held back until more is known to follow, as the first part may turn out to be the whole
 * object, which then is one PUT: the plaintext of a single PUT is up to one part size.
 */
export async function* serialParts(options: SerialPartsOptions): AsyncGenerator<SealedPart> {
  const { chunks, encryptor, buffers, length, partSize } = options;
  // A part in the making may take the tag beyond its size: when it is the whole object.
  let part = new PartInTheMaking(1, await buffers.acquire(bufferLength(partSize(1), length)), partSize(1));
  try {
    for await (const chunk of chunks) {
      for (let rest = chunk; rest.length > 0; ) {
        if (part.room === 0) {
          yield part.seal(buffers, { whole: false });
          part = await nextPart(part.number + 1, partSize, buffers);
        }
        const taken = rest.subarray(0, part.room);
        for (const slice of slices(taken)) part.append(encryptor.update(slice), slice.length);
        rest = rest.subarray(taken.length);
      }
      if (length !== undefined && encryptor.length > length) break;
    }
    if (length !== undefined && encryptor.length !== length) throw wrongLength(encryptor.length, length);
    const tag = encryptor.final();
    if (part.number === 1) {
      part.append(tag, 0);
      yield part.seal(buffers, { whole: true });
      return;
    }
    const fitting = Math.min(tag.length, part.room);
    part.append(tag.subarray(0, fitting), 0);
    if (fitting < tag.length) {
      yield part.seal(buffers, { whole: false });
      part = await nextPart(part.number + 1, partSize, buffers);
      part.append(tag.subarray(fitting), 0);
    }
    yield part.seal(buffers, { whole: false });
  } finally {
    encryptor.close();
  }
}

async function nextPart(
  number: number,
  partSize: (number: number) => number,
  buffers: PartBuffers,
): Promise<PartInTheMaking> {
  const size = partSize(number);
  return new PartInTheMaking(number, await buffers.acquire(size), size);
}

/** No more than a small object of known length needs. */
function bufferLength(size: number, length: number | undefined): number {
  return Math.min(size, length ?? size) + tagLength;
}

class PartInTheMaking {
  readonly number: number;
  readonly size: number;
  readonly buffer: Buffer;
  #filled = 0;
  #crc32 = 0;
  #plaintextLength = 0;

  constructor(number: number, buffer: Buffer, size: number) {
    this.number = number;
    this.buffer = buffer;
    this.size = size;
  }

  /** Bytes that are missing to its size. */
  get room(): number {
    return this.size - this.#filled;
  }

  append(bytes: Buffer, plaintextLength: number): void {
    // While the slice is in the processor's cache: a pass of its own over the part would cost as much as the encryption.
    this.#crc32 = crc32(bytes, this.#crc32);
    this.buffer.set(bytes, this.#filled);
    this.#filled += bytes.length;
    this.#plaintextLength += plaintextLength;
  }

  seal(buffers: PartBuffers, { whole }: { whole: boolean }): SealedPart {
    const { buffer } = this;
    return {
      number: this.number,
      bytes: buffer.subarray(0, this.#filled),
      crc32: this.#crc32,
      plaintextLength: this.#plaintextLength,
      whole,
      release: () => buffers.release(buffer),
    };
  }
}

function wrongLength(found: number, expected: number): SealpipeError {
  const how = found < expected ? `ended after ${found} bytes` : `has more than ${expected} bytes`;
  return new SealpipeError('SOURCE_FAILED', `the source ${how}, expected were ${expected}: nothing of it was stored`, {
    offset: found,
  });
}
