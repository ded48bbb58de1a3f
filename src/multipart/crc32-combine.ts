/**
 * The CRC of two byte strings one after the other, from the CRCs of each and the length of the second.
 *
 * A CRC is a remainder modulo a polynomial P over GF(2), so appending n bytes multiplies what came before by x^(8n) mod P.
 * With x^(8n) by square-and-multiply this takes some fifty steps whatever n is, and no byte is read again: S3 checks the
 * CRC of a whole multipart object this way, and an uploader computes it from the CRCs of parts sent in any order.
 *
 * Polynomials and remainders are in reflected bit order (bit 31 is x^0), as CRC-32 itself is computed. Initial value and
 * final complement of the two halves cancel out, so finished CRCs go in and a finished CRC comes out.
 */

/** CRC-32 (ISO-HDLC; zlib, gzip, `x-amz-checksum-crc32`), reflected. */
export const crc32Polynomial = 0xedb88320;
/** CRC-32C (Castagnoli; iSCSI, `x-amz-checksum-crc32c`), reflected. */
export const crc32cPolynomial = 0x82f63b78;

/** a · b mod P. */
function multiply(polynomial: number, a: number, b: number): number {
  let product = 0;
  let shifted = b;
  for (let bit = 0x80000000; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= shifted;
    shifted = (shifted & 1) === 0 ? shifted >>> 1 : (shifted >>> 1) ^ polynomial;
  }
  return product >>> 0;
}

/** x^(8 · bytes) mod P. */
function powerOfBytes(polynomial: number, bytes: number): number {
  let result = 0x80000000; // 1
  let square = 0x00800000; // x^8
  // Arithmetic instead of shifts: lengths go up to 2^53, shifts only to 2^32.
  for (let rest = bytes; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result = multiply(polynomial, square, result);
    square = multiply(polynomial, square, square);
  }
  return result;
}

/**
 * As {@link combineCrc32}, for the 32-bit CRC of a given polynomial.
 *
 * @param polynomial the reflected polynomial, e.g. {@link crc32cPolynomial}
 */
export function combineCrc(polynomial: number, crc1: number, crc2: number, length2: number): number {
  if (!Number.isSafeInteger(length2) || length2 < 0) {
    throw new RangeError(`length2 must be a whole number of bytes from 0 to 2^53 - 1, got ${length2}`);
  }
  return (multiply(polynomial, powerOfBytes(polynomial, length2), crc1 >>> 0) ^ crc2) >>> 0;
}

/**
 * The CRC-32 of A ‖ B.
 *
 * @param crc1 CRC-32 of A, as `zlib.crc32` gives it
 * @param crc2 CRC-32 of B
 * @param length2 length of B in bytes, 0 to 2^53 − 1
 * @returns the CRC-32 of the concatenation, 0 to 2^32 − 1
 * @throws RangeError for a length that is no whole number in that range
 */
export function combineCrc32(crc1: number, crc2: number, length2: number): number {
  return combineCrc(crc32Polynomial, crc1, crc2, length2);
}
