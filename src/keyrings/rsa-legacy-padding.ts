/**
 * The two legacy RSA paddings, taken off by our own code (DECISIONS section 3): PKCS#1 v1.5, and OAEP with SHA-256 and
 * MGF1-SHA-1. Node 20, 22 and 24 differ in the first (implicit rejection came later, and can be off) and offer no digest for
 * the mask of the second.
 *
 * Both functions take the k bytes that RSA without padding gives and always return a key: the one inside, or, if anything is
 * wrong, random bytes (implicit rejection). Whoever can ask for decryptions learns nothing from an error that never
 * comes. No branch and no index depends on secret bytes; the lengths are public. What remains is the timing of the JIT.
 */
import { createHash, randomFillSync } from 'node:crypto';

/** 1 where x is 0, else 0; x below 2^31. */
const isZero = (x: number): number => ((x | -x) >>> 31) ^ 1;
/** All ones where bit is 1, else 0. */
const mask = (bit: number): number => -bit | 0;

/** Takes off PKCS#1 v1.5 (RFC 8017, 7.2.2): 00 02 ‖ nonzero padding ‖ 00 ‖ key, the key of exactly `length` bytes. */
export function removePkcs1Padding(encoded: Uint8Array, length: number): Uint8Array {
  const separator = encoded.length - length - 1;
  // The key's length is fixed, so the place of the separator is public and nothing has to be searched for.
  let bad = encoded[0]! | (encoded[1]! ^ 0x02) | encoded[separator]!;
  for (let i = 2; i < separator; i++) bad |= isZero(encoded[i]!);
  return chosen(encoded.subarray(separator + 1), length, isZero(bad));
}

/** Takes off OAEP (RFC 8017, 7.1.2) with SHA-256 over an empty label and a mask by MGF1-SHA-1; the key of exactly `length` bytes. */
export function removeOaepSha256Mgf1Sha1Padding(encoded: Uint8Array, length: number): Uint8Array {
  const hashLength = 32;
  const seed = Uint8Array.from(encoded.subarray(1, 1 + hashLength));
  const block = Uint8Array.from(encoded.subarray(1 + hashLength));
  xor(seed, mgf1Sha1(block, hashLength));
  xor(block, mgf1Sha1(seed, block.length));
  const labelHash = createHash('sha256').digest();
  const separator = block.length - length - 1;
  let bad = encoded[0]! | (block[separator]! ^ 0x01);
  for (let i = 0; i < hashLength; i++) bad |= block[i]! ^ labelHash[i]!;
  for (let i = hashLength; i < separator; i++) bad |= block[i]!;
  const key = chosen(block.subarray(separator + 1), length, isZero(bad));
  seed.fill(0);
  block.fill(0);
  return key;
}

function chosen(inside: Uint8Array, length: number, good: number): Uint8Array {
  const key = randomFillSync(new Uint8Array(length));
  const take = mask(good);
  for (let i = 0; i < length; i++) key[i] = (key[i]! & ~take) | (inside[i]! & take);
  return key;
}

function mgf1Sha1(seed: Uint8Array, length: number): Uint8Array {
  const output = new Uint8Array(length);
  const counter = Buffer.alloc(4);
  for (let at = 0, n = 0; at < length; at += 20, n++) {
    counter.writeUInt32BE(n);
    output.set(
      createHash('sha1')
        .update(seed)
        .update(counter)
        .digest()
        .subarray(0, length - at),
      at,
    );
  }
  return output;
}

function xor(target: Uint8Array, other: Uint8Array): void {
  for (let i = 0; i < target.length; i++) target[i]! ^= other[i]!;
}
