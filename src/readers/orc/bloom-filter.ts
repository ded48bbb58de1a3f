import { messageBudget, ProtobufReader } from './protobuf.ts';
import type { OrcColumn } from './schema.ts';

/** A bloom filter of one column in one row group: tells for certain that a value is not there. */
export interface BloomFilter {
  readonly hashFunctions: number;
  /** Bits, 64 to an entry, the lowest first. */
  readonly bits: BigUint64Array;
}

const mask64 = 0xffff_ffff_ffff_ffffn;

/** Decodes a BLOOM_FILTER_UTF8 stream (already decompressed): a filter a row group. One without bits is undefined. */
export function parseBloomFilters(
  bytes: Uint8Array,
  stream: { offset: number; length: number },
): (BloomFilter | undefined)[] {
  const { offset, length } = stream;
  const reader = new ProtobufReader(bytes, { what: 'a bloom filter index', offset, budget: messageBudget(length) });
  const filters: (BloomFilter | undefined)[] = [];
  while (reader.next()) {
    if (reader.field === 1) filters.push(parseBloomFilter(reader.message('bloom filter')));
    else reader.skip();
  }
  return filters;
}

function parseBloomFilter(reader: ProtobufReader): BloomFilter | undefined {
  let hashFunctions = 0;
  let utf8: Uint8Array | undefined;
  while (reader.next()) {
    if (reader.field === 1) hashFunctions = reader.uint();
    else if (reader.field === 3) utf8 = reader.bytes();
    else reader.skip();
  }
  // Filters that say nothing, and numbers of functions that no writer chooses, prove nothing.
  if (hashFunctions < 1 || hashFunctions > 100) return undefined;
  if (utf8 === undefined || utf8.length === 0 || utf8.length % 8 !== 0) return undefined;
  return { hashFunctions, bits: new BigUint64Array(utf8.slice().buffer) };
}

/** The hash of a filter key for a column, or undefined where its kind's hashing depends on the writer. */
export function bloomHash(column: OrcColumn, key: unknown): bigint | undefined {
  const { kind } = column.type;
  if (kind === 'BYTE' || kind === 'SHORT' || kind === 'INT' || kind === 'LONG' || kind === 'DATE') {
    if (typeof key === 'bigint') return hashLong(key);
    return typeof key === 'number' && Number.isInteger(key) ? hashLong(BigInt(key)) : undefined;
  }
  if (kind === 'STRING' || kind === 'VARCHAR') {
    // A lone surrogate has no UTF-8, and none in a file is equal to it byte for byte.
    if (typeof key !== 'string' || /[\ud800-\udfff]/u.test(key)) return undefined;
    return hashBytes(Buffer.from(key, 'utf8'));
  }
  if (kind === 'DOUBLE') {
    if (typeof key !== 'number' || Number.isNaN(key) || key === 0) return undefined; // 0 equals -0, whose bits differ
    return hashLong(new BigInt64Array(Float64Array.of(key).buffer)[0]!);
  }
  return undefined;
}

/**
 * Whether a value with this hash may be in the filter. Combines two 32-bit hashes as the format does (Kirsch and
 * Mitzenmacher).
 */
export function bloomContains(filter: BloomFilter, hash: bigint): boolean {
  const first = Number(BigInt.asIntN(32, hash));
  const second = Number(BigInt.asIntN(32, hash >> 32n));
  const bits = filter.bits.length * 64;
  for (let index = 1; index <= filter.hashFunctions; index++) {
    const combined = (first + Math.imul(index, second)) | 0;
    const bit = (combined < 0 ? ~combined : combined) % bits;
    if (((filter.bits[Math.floor(bit / 64)]! >> BigInt(bit % 64)) & 1n) === 0n) return false;
  }
  return true;
}

/** Thomas Wang's 64-bit integer hash, with arithmetic shifts as in Java. */
function hashLong(value: bigint): bigint {
  const wrap = (wide: bigint): bigint => BigInt.asIntN(64, wide);
  let key = wrap(value);
  key = wrap(~key + (key << 21n));
  key ^= key >> 24n;
  key = wrap(key + (key << 3n) + (key << 8n));
  key ^= key >> 14n;
  key = wrap(key + (key << 2n) + (key << 4n));
  key ^= key >> 28n;
  return wrap(key + (key << 31n));
}

const seed = 104_729n;
const factor1 = 0x87c3_7b91_1142_53d5n;
const factor2 = 0x4cf5_ad43_2745_937fn;

/** Murmur3, the 64-bit variant of Hive and ORC. */
function hashBytes(bytes: Uint8Array): bigint {
  const rotate = (value: bigint, by: bigint): bigint => ((value << by) | (value >> (64n - by))) & mask64;
  const scramble = (block: bigint): bigint => (rotate((block * factor1) & mask64, 31n) * factor2) & mask64;
  let hash = seed;
  const whole = bytes.length - (bytes.length % 8);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < whole; at += 8) {
    hash ^= scramble(view.getBigUint64(at, true));
    hash = (rotate(hash, 27n) * 5n + 0x52dc_e729n) & mask64;
  }
  let rest = 0n;
  for (let at = bytes.length - 1; at >= whole; at--) rest = (rest << 8n) | BigInt(bytes[at]!);
  if (bytes.length > whole) hash ^= scramble(rest);
  hash ^= BigInt(bytes.length);
  hash ^= hash >> 33n;
  hash = (hash * 0xff51_afd7_ed55_8ccdn) & mask64;
  hash ^= hash >> 33n;
  hash = (hash * 0xc4ce_b9fe_1a85_ec53n) & mask64;
  return hash ^ (hash >> 33n);
}
