/**
 * GCM once more, in a few slow lines straight from NIST SP 800-38D, with numbers in place of words and AES in ECB mode as the only
 * primitive: nothing that the engines use. Any block of a message can be had without those before it.
 */
import { createCipheriv } from 'node:crypto';

const reduction = 0xe1n << 120n;

function numberOf(block: Uint8Array): bigint {
  return BigInt(`0x${Buffer.concat([block, Buffer.alloc(16 - block.length)]).toString('hex')}`);
}

export function blockOfNumber(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(32, '0'), 'hex');
}

/** Bit 0 of the polynomial is the highest of the number. */
export function times(a: bigint, b: bigint): bigint {
  let product = 0n;
  let shifted = b;
  for (let bit = 127n; bit >= 0n; bit--) {
    if (((a >> bit) & 1n) === 1n) product ^= shifted;
    shifted = (shifted & 1n) === 1n ? (shifted >> 1n) ^ reduction : shifted >> 1n;
  }
  return product;
}

export function toThePower(base: bigint, exponent: bigint): bigint {
  let result = 1n << 127n;
  for (let square = base, rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = times(result, square);
    square = times(square, square);
  }
  return result;
}

export function encryptBlock(key: Uint8Array, block: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
  return Buffer.concat([cipher.update(block), cipher.final()]);
}

/** H as a number. */
export function hashKey(key: Uint8Array): bigint {
  return numberOf(encryptBlock(key, Buffer.alloc(16)));
}

/** Ciphertext of `plaintext` from a block of the message on; the counter is 32 bits, and wraps. */
export function encryptFrom(
  { key, iv }: { key: Uint8Array; iv: Uint8Array },
  block: number,
  plaintext: Uint8Array,
): Buffer {
  const ciphertext = Buffer.from(plaintext);
  for (let at = 0; at < plaintext.length; at += 16) {
    const counter = Buffer.alloc(16);
    counter.set(iv);
    counter.writeUInt32BE((block + 2 + at / 16) % 2 ** 32, 12);
    const mask = encryptBlock(key, counter);
    for (let i = at; i < Math.min(at + 16, plaintext.length); i++) ciphertext[i]! ^= mask[i - at]!;
  }
  return ciphertext;
}

/** The GHASH state after more blocks, from the state before. */
export function hashOn(state: bigint, h: bigint, bytes: Uint8Array): bigint {
  let y = state;
  for (let at = 0; at < bytes.length; at += 16) y = times(y ^ numberOf(bytes.subarray(at, at + 16)), h);
  return y;
}

/** The GHASH state after so many bytes of zeros. */
export function hashZeros(state: bigint, h: bigint, length: number): bigint {
  return times(state, toThePower(h, BigInt(Math.ceil(length / 16))));
}

/** The tag that ends a message, from the state after all of its ciphertext. */
export function tagFrom(
  state: bigint,
  { key, iv, aad }: { key: Uint8Array; iv: Uint8Array; aad: Uint8Array },
  length: number,
): Buffer {
  const lengths = Buffer.alloc(16);
  lengths.writeBigUInt64BE(BigInt(aad.length) * 8n, 0);
  lengths.writeBigUInt64BE(BigInt(length) * 8n, 8);
  const first = encryptBlock(key, Buffer.concat([iv, Buffer.of(0, 0, 0, 1)]));
  return blockOfNumber(hashOn(state, hashKey(key), lengths) ^ numberOf(first));
}

/** An IV of 16 bytes from which GCM derives this first counter block: the other direction of SP 800-38D, algorithm 4, step 2. */
export function ivForFirstCounter(key: Uint8Array, first: Uint8Array): Buffer {
  const inverse = toThePower(hashKey(key), (1n << 128n) - 2n);
  const lengths = 128n;
  return blockOfNumber(times(times(numberOf(first), inverse) ^ lengths, inverse));
}
