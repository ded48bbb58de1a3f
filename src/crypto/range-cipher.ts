/**
 * Decryption of a part of an object's content, with no authentication of its own (design page "The object format", sections 2 and
 * 7). Pure.
 *
 *   GCM   counter block of plaintext offset o = IV ‖ be32(2 + o / 16); keystream byte o mod 16 of it
 *   CBC   a block is decrypted with the stored block before it, the first one with the IV
 */
import { createDecipheriv, type Decipher } from 'node:crypto';
import { SealpipeError } from '../errors.ts';
import { sliceLength, slices } from './content-cipher.ts';
import type { ContentKey } from './content-key.ts';
import { releaseMemory } from './release-memory.ts';

/** Bytes of an AES block. */
export const blockLength = 16;

/**
 * The plaintext of GCM content from any offset on.
 * @param offset of the first byte in the content, below 2^36
 */
export function decryptGcmRange({ key, iv }: ContentKey, ciphertext: Uint8Array, offset: number): Uint8Array {
  const counter = Buffer.alloc(blockLength);
  counter.set(iv);
  counter.writeUInt32BE(2 + Math.floor(offset / blockLength), 12);
  const decipher = createDecipheriv('aes-256-ctr', key, counter);
  const surplus = offset % blockLength;
  // The keystream of the bytes before the offset in its block is used up on nothing.
  if (surplus > 0) decipher.update(Buffer.alloc(surplus));
  return inSlices(decipher, ciphertext);
}

/**
 * The plaintext of whole CBC blocks, padding included where the last one is among them.
 * @param previous the stored block before them, or the IV
 */
export function decryptCbcBlocks(
  { key }: Pick<ContentKey, 'key'>,
  previous: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array {
  return inSlices(createDecipheriv('aes-256-cbc', key, previous).setAutoPadding(false), ciphertext);
}

/**
 * How many bytes of the last stored block are padding: 1 to 16.
 * @param previous the stored block before it, or the IV
 * @throws SealpipeError AUTHENTICATION_FAILED for what is no padding
 */
export function cbcPaddingLength(key: Pick<ContentKey, 'key'>, previous: Uint8Array, lastBlock: Uint8Array): number {
  const block = decryptCbcBlocks(key, previous, lastBlock);
  const length = block.at(-1) ?? 0;
  const valid = length >= 1 && length <= blockLength && block.subarray(-length).every((byte) => byte === length);
  block.fill(0);
  if (valid) return length;
  throw new SealpipeError(
    'AUTHENTICATION_FAILED',
    'the CBC content does not end in valid padding: the object was altered, or its envelope belongs to another object',
  );
}

/** Ends the cipher, too, which frees its key schedule at once. */
function inSlices(decipher: Decipher, ciphertext: Uint8Array): Uint8Array {
  if (ciphertext.length <= sliceLength) {
    const plaintext = decipher.update(ciphertext);
    decipher.final();
    return plaintext;
  }
  const plaintext = Buffer.allocUnsafeSlow(ciphertext.length);
  let at = 0;
  for (const slice of slices(ciphertext)) {
    const output = decipher.update(slice);
    plaintext.set(output, at);
    at += output.length;
    releaseMemory(output);
  }
  decipher.final();
  return plaintext;
}
