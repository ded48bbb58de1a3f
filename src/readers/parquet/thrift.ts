/**
 * Thrift's compact protocol, the form of Parquet's footer and page headers.
 *
 *   field header: (delta of the field's number << 4 | type), or type and the number as zigzag varint where delta is 0
 *   list header:  (size << 4 | type), size 15: the size follows as varint
 *
 * Nothing is allocated for a size that is claimed: each element takes at least a byte of what is left, lists grow as
 * they are read, and structs nest no deeper than a limit.
 */
import { formatInvalid } from './format-error.ts';

/** A value of a field: integers beyond 2^53 are bigints, text is bytes. */
export type ThriftValue = boolean | number | bigint | Uint8Array | readonly ThriftValue[] | ThriftStruct;
/** A struct by the numbers of its fields. */
export type ThriftStruct = ReadonlyMap<number, ThriftValue>;

/** Parquet's own structs nest seven deep; unknown fields of later versions may go further. */
const deepest = 32;

interface Cursor {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  position: number;
  /** File offset of bytes[0], for errors. */
  readonly offset: number;
}

/** Reads the struct at `start`, and says where it ends. `offset` is the file's, of bytes[0]. @throws FORMAT_INVALID */
export function readStruct(
  bytes: Uint8Array,
  { start = 0, offset }: { start?: number; offset: number },
): { struct: ThriftStruct; end: number } {
  const cursor: Cursor = {
    bytes,
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    position: start,
    offset,
  };
  const struct = structAt(cursor, 1);
  return { struct, end: cursor.position };
}

function structAt(cursor: Cursor, depth: number): ThriftStruct {
  if (depth > deepest) throw fault(cursor, `its structs nest deeper than ${deepest}`);
  const fields = new Map<number, ThriftValue>();
  for (let number = 0; ; ) {
    const header = byteAt(cursor);
    const type = header & 15;
    if (type === 0) return fields;
    number = header >>> 4 === 0 ? Number(zigzag(cursor)) : number + (header >>> 4);
    // Booleans have no bytes of their own here: the type is the value.
    fields.set(number, type <= 2 ? type === 1 : valueAt(cursor, type, depth));
  }
}

function valueAt(cursor: Cursor, type: number, depth: number): ThriftValue {
  switch (type) {
    case 1:
    case 2:
      return byteAt(cursor) === 1;
    case 3:
      return (byteAt(cursor) << 24) >> 24;
    case 4:
    case 5:
    case 6:
      return zigzag(cursor);
    case 7: {
      need(cursor, 8);
      const value = cursor.view.getFloat64(cursor.position, true);
      cursor.position += 8;
      return value;
    }
    case 8: {
      const length = size(cursor);
      need(cursor, length);
      cursor.position += length;
      return cursor.bytes.subarray(cursor.position - length, cursor.position);
    }
    case 9:
    case 10:
      return listAt(cursor, depth + 1);
    case 11:
      return mapAt(cursor, depth + 1);
    case 12:
      return structAt(cursor, depth + 1);
    case 13: {
      need(cursor, 16);
      cursor.position += 16;
      return cursor.bytes.subarray(cursor.position - 16, cursor.position);
    }
    default:
      throw fault(cursor, `it has a value of unknown type ${type}`);
  }
}

function listAt(cursor: Cursor, depth: number): readonly ThriftValue[] {
  if (depth > deepest) throw fault(cursor, `its lists nest deeper than ${deepest}`);
  const header = byteAt(cursor);
  const count = header >>> 4 === 15 ? size(cursor) : header >>> 4;
  need(cursor, count);
  const values: ThriftValue[] = [];
  for (let index = 0; index < count; index++) values.push(valueAt(cursor, header & 15, depth));
  return values;
}

/** Parquet has no maps: they are read over, in fields of later versions. */
function mapAt(cursor: Cursor, depth: number): readonly ThriftValue[] {
  if (depth > deepest) throw fault(cursor, `its maps nest deeper than ${deepest}`);
  const count = size(cursor);
  if (count === 0) return [];
  const types = byteAt(cursor);
  need(cursor, count);
  for (let index = 0; index < count; index++) {
    valueAt(cursor, types >>> 4, depth);
    valueAt(cursor, types & 15, depth);
  }
  return [];
}

function size(cursor: Cursor): number {
  const value = Number(varint(cursor));
  if (value > 0x7fff_ffff) throw fault(cursor, `it claims a length of ${value}`);
  return value;
}

function zigzag(cursor: Cursor): number | bigint {
  const value = varint(cursor);
  if (typeof value === 'number' && value <= 0x7fff_ffff) return (value >>> 1) ^ -(value & 1);
  const wide = BigInt(value);
  const signed = (wide >> 1n) ^ -(wide & 1n);
  const number = Number(signed);
  return Number.isSafeInteger(number) ? number : signed;
}

/** An unsigned varint of at most 64 bits. */
function varint(cursor: Cursor): number | bigint {
  let low = 0;
  for (let shift = 0; shift < 49; shift += 7) {
    const byte = byteAt(cursor);
    low += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return low;
  }
  let value = BigInt(low);
  for (let shift = 49n; shift < 70n; shift += 7n) {
    const byte = byteAt(cursor);
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) {
      if (value >= 1n << 64n) break;
      return value;
    }
  }
  throw fault(cursor, 'it has an integer of more than 64 bits');
}

function byteAt(cursor: Cursor): number {
  const byte = cursor.bytes[cursor.position];
  if (byte === undefined) throw fault(cursor, 'it ends within a struct');
  cursor.position++;
  return byte;
}

function need(cursor: Cursor, count: number): void {
  const left = cursor.bytes.length - cursor.position;
  if (count > left) throw fault(cursor, `it claims ${count} more bytes or elements where ${left} bytes are left`);
}

function fault(cursor: Cursor, message: string): Error {
  return formatInvalid(message, cursor.offset + cursor.position);
}
