import fc from 'fast-check';

/** Runs of a property: few by default so that the suite stays quick, twenty times as many where SLOW is set. */
export function runs(count: number): { numRuns: number } {
  return { numRuns: process.env.SLOW ? count * 20 : count };
}

/** Any well-formed Unicode: no lone surrogates, which no UTF-8 can carry. */
export const unicode: fc.Arbitrary<string> = fc.string({ unit: 'binary', maxLength: 12 });

/** A context or description as a caller may give it: any names, any values. */
export const stringMap: fc.Arbitrary<Record<string, string>> = fc
  .array(fc.tuple(unicode, unicode), { maxLength: 5 })
  // fromEntries and not a literal: `__proto__` is a name like any other.
  .map((entries) => Object.fromEntries(entries));

/** Lengths at which something changes: nothing, a block, the tag, a slice of 256 KiB. */
export const boundaryLengths: readonly number[] = [
  0,
  1,
  15,
  16,
  17,
  31,
  32,
  33,
  4095,
  4096,
  4097,
  256 * 1024 - 1,
  256 * 1024,
  256 * 1024 + 1,
];

/** The same bytes at an odd offset of a larger buffer, as pooled Buffers and parsers hand them out. */
export function unaligned(bytes: Uint8Array): Buffer {
  const pool = Buffer.alloc(bytes.length + 8, 0xa5);
  pool.set(bytes, 3);
  return pool.subarray(3, 3 + bytes.length);
}

/** Cuts bytes at the given places (in any order, repeats make empty pieces). */
export function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...places].map((place) => Math.min(place, bytes.length)).sort((a, b) => a - b);
  return [0, ...sorted].map((start, index) => bytes.subarray(start, sorted[index] ?? bytes.length));
}

/** Pieces of one size. */
export function pieces(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}
