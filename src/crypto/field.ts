/**
 * GF(2^128) as GCM uses it (NIST SP 800-38D, section 6.3): bit 0 of the polynomial is the most significant bit of byte 0,
 * reduction by x^128 + x^7 + x^2 + x + 1.
 *
 * An element is four 32-bit words, big-endian, in an Int32Array: `| 0` keeps values in the small integers, where `>>> 0` makes
 * those from 2^31 up leave them and be boxed. No table, no BigInt, no branch and no index that depends on a secret: a
 * multiplication is always 128 steps of masks and shifts. What remains is the timing of the JIT.
 */

import { secretBytes } from './secret-memory.ts';

/** One element. Zero it with `fill(0)` when it was secret. */
export type FieldElement = Int32Array;

/** Bytes of an element. */
const elementLength = 16;

/** Zero. In memory that the garbage collector does not move: most elements are secret. */
export function newElement(): FieldElement {
  return new Int32Array(new ArrayBuffer(elementLength));
}

/** The same element once more, for somebody else to overwrite. */
export function copyOf(element: FieldElement): FieldElement {
  const copy = newElement();
  copy.set(element);
  return copy;
}

/** The element that a 16-byte block stands for; shorter blocks are padded with zeros. */
export function elementOf(block: Uint8Array): FieldElement {
  const words = newElement();
  for (let i = 0; i < block.length; i++) words[i >> 2]! |= block[i]! << (24 - 8 * (i & 3));
  return words;
}

/** The 16-byte block of an element, in memory of its own. */
export function blockOf(element: FieldElement): Uint8Array {
  const block = secretBytes(elementLength);
  for (let i = 0; i < elementLength; i++) block[i] = (element[i >> 2]! >>> (24 - 8 * (i & 3))) & 0xff;
  return block;
}

/** `target ← target ⊕ other`. */
export function addTo(target: FieldElement, other: FieldElement): void {
  for (let i = 0; i < 4; i++) target[i]! ^= other[i]!;
}

/** a · b. */
export function multiply(a: FieldElement, b: FieldElement): FieldElement {
  let z0 = 0;
  let z1 = 0;
  let z2 = 0;
  let z3 = 0;
  let v0 = b[0]! | 0;
  let v1 = b[1]! | 0;
  let v2 = b[2]! | 0;
  let v3 = b[3]! | 0;
  for (let word = 0; word < 4; word++) {
    const bits = a[word]! | 0;
    for (let bit = 31; bit >= 0; bit--) {
      const take = -((bits >>> bit) & 1);
      z0 ^= v0 & take;
      z1 ^= v1 & take;
      z2 ^= v2 & take;
      z3 ^= v3 & take;
      const carry = -(v3 & 1);
      v3 = (v3 >>> 1) | (v2 << 31);
      v2 = (v2 >>> 1) | (v1 << 31);
      v1 = (v1 >>> 1) | (v0 << 31);
      v0 = (v0 >>> 1) ^ (carry & 0xe1000000);
    }
  }
  const product = newElement();
  product[0] = z0;
  product[1] = z1;
  product[2] = z2;
  product[3] = z3;
  return product;
}

/** a · b · b: what one block contributes to a Z. Half of it would be as secret as the whole. */
export function multiplyTwice(a: FieldElement, b: FieldElement): FieldElement {
  const once = multiply(a, b);
  const twice = multiply(once, b);
  once.fill(0);
  return twice;
}

/** base^exponent, by square and multiply; the exponent (a number of blocks) is public. */
export function power(base: FieldElement, exponent: number): FieldElement {
  let result = newElement();
  result[0] = 0x80000000 | 0;
  let square = copyOf(base);
  // Arithmetic instead of shifts: a message has up to 2^32 blocks.
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result = replaced(result, multiply(result, square));
    if (rest > 1) square = replaced(square, multiply(square, square));
  }
  square.fill(0);
  return result;
}

/** The second, after overwriting the first. */
function replaced(old: FieldElement, next: FieldElement): FieldElement {
  old.fill(0);
  return next;
}
