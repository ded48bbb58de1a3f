/**
 * CRC-64/NVME, the checksum that S3 itself adds to objects uploaded without one.
 *
 * The 64-bit register is kept as two 32-bit halves: BigInt arithmetic per byte is some fifty times slower.
 */
const polynomial = 0x9a6c9329ac4bc9b5n; // reflected
const mask = 0xffffffffffffffffn;

// Slicing by 8, each table split into its high and low halves.
type Table = Int32Array;
const table = (): Table => new Int32Array(256);
const tables = (): [Table, Table, Table, Table, Table, Table, Table, Table] => [
  table(),
  table(),
  table(),
  table(),
  table(),
  table(),
  table(),
  table(),
];
const high = tables();
const low = tables();
{
  const first: bigint[] = [];
  for (let byte = 0; byte < 256; byte++) {
    let crc = BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1n) === 0n ? crc >> 1n : (crc >> 1n) ^ polynomial;
    first.push(crc);
  }
  let current = first;
  for (let slice = 0; slice < 8; slice++) {
    for (let byte = 0; byte < 256; byte++) {
      high[slice]![byte] = Number(BigInt.asIntN(32, current[byte]! >> 32n));
      low[slice]![byte] = Number(BigInt.asIntN(32, current[byte]!));
    }
    current = current.map((crc) => (crc >> 8n) ^ first[Number(crc & 0xffn)]!);
  }
}

/** A CRC-64/NVME in progress. */
export class Crc64Nvme {
  #high = -1;
  #low = -1;

  update(bytes: Uint8Array): void {
    let h = this.#high;
    let l = this.#low;
    let at = 0;
    const wide = bytes.length - 7;
    const [h0, h1, h2, h3, h4, h5, h6, h7] = high;
    const [l0, l1, l2, l3, l4, l5, l6, l7] = low;
    for (; at < wide; at += 8) {
      const a = l ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
      const b = h ^ (bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24));
      h =
        h7[a & 0xff]! ^
        h6[(a >>> 8) & 0xff]! ^
        h5[(a >>> 16) & 0xff]! ^
        h4[a >>> 24]! ^
        h3[b & 0xff]! ^
        h2[(b >>> 8) & 0xff]! ^
        h1[(b >>> 16) & 0xff]! ^
        h0[b >>> 24]!;
      l =
        l7[a & 0xff]! ^
        l6[(a >>> 8) & 0xff]! ^
        l5[(a >>> 16) & 0xff]! ^
        l4[a >>> 24]! ^
        l3[b & 0xff]! ^
        l2[(b >>> 8) & 0xff]! ^
        l1[(b >>> 16) & 0xff]! ^
        l0[b >>> 24]!;
    }
    for (; at < bytes.length; at++) {
      const index = (l ^ bytes[at]!) & 0xff;
      l = ((l >>> 8) | (h << 24)) ^ l0[index]!;
      h = (h >>> 8) ^ h0[index]!;
    }
    this.#high = h;
    this.#low = l;
  }

  /** The eight bytes, most significant first, as S3 writes them in base64. */
  digest(): Buffer {
    const bytes = Buffer.alloc(8);
    bytes.writeInt32BE(~this.#high, 0);
    bytes.writeInt32BE(~this.#low, 4);
    return bytes;
  }
}

function multiply(a: bigint, b: bigint): bigint {
  let product = 0n;
  let shifted = b;
  for (let bit = 1n << 63n; bit !== 0n; bit >>= 1n) {
    if ((a & bit) !== 0n) product ^= shifted;
    shifted = (shifted & 1n) === 0n ? shifted >> 1n : (shifted >> 1n) ^ polynomial;
  }
  return product & mask;
}

/** The CRC-64/NVME of A ‖ B from those of A and B and the length of B in bytes; see src/multipart/crc32-combine.ts. */
export function combineCrc64Nvme(crc1: bigint, crc2: bigint, length2: number): bigint {
  let power = 1n << 63n;
  let square = 1n << 55n;
  for (let rest = length2; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) power = multiply(square, power);
    square = multiply(square, square);
  }
  return multiply(power, crc1) ^ crc2;
}
