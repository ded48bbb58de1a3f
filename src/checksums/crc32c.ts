import { crc32cPolynomial } from '../multipart/crc32-combine.ts';

// Slicing by 8: eight tables of 256 entries, eight bytes a step. Measured about three times as fast as one table,
// and Node has no native CRC-32C.
type Table = Int32Array;
const table = (): Table => new Int32Array(256);
const tables: [Table, Table, Table, Table, Table, Table, Table, Table] = [
  table(),
  table(),
  table(),
  table(),
  table(),
  table(),
  table(),
  table(),
];
for (let byte = 0; byte < 256; byte++) {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ crc32cPolynomial;
  tables[0][byte] = crc;
}
for (let slice = 1; slice < 8; slice++) {
  for (let byte = 0; byte < 256; byte++) {
    const before = tables[slice - 1]![byte]!;
    tables[slice]![byte] = (before >>> 8) ^ tables[0][before & 0xff]!;
  }
}
const [t0, t1, t2, t3, t4, t5, t6, t7] = tables;

/**
 * The CRC-32C (Castagnoli) of `bytes`.
 *
 * @param previous CRC of what came before, to continue it
 * @returns 0 to 2^32 − 1
 */
export function crc32c(bytes: Uint8Array, previous = 0): number {
  let crc = ~previous;
  let at = 0;
  const wide = bytes.length - 7;
  for (; at < wide; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    crc =
      t7[crc & 0xff]! ^
      t6[(crc >>> 8) & 0xff]! ^
      t5[(crc >>> 16) & 0xff]! ^
      t4[crc >>> 24]! ^
      t3[bytes[at + 4]!]! ^
      t2[bytes[at + 5]!]! ^
      t1[bytes[at + 6]!]! ^
      t0[bytes[at + 7]!]!;
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[at]!) & 0xff]!;
  return ~crc >>> 0;
}
