/**
 * Values of type VARIANT, which describe themselves (the format's page VariantEncoding):
 *
 *   metadata  header (version 1, sorted << 4, offset size - 1 << 6) | count | count + 1 offsets | names
 *   value     header (basic type, and 6 bits of its own) | what follows from it
 *
 * Elements are reached by offsets, and any number of them may point at the same bytes. So what is read of a value is
 * counted, and may not be more than the value has.
 */
import { formatDay } from '../orc/calendar.ts';
import { formatTime, Timestamp } from '../timestamp.ts';
import { formatInvalid, formatUnsupported } from './format-error.ts';
import { decimalText, type ParquetValue, plainInteger, uuidText } from './value-of.ts';

/** Deeper than this no honest value nests, and reading it recurses. */
const deepest = 256;

const utf8 = new TextDecoder();

interface Cursor {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly names: readonly string[];
  /** Bytes that may still be read, each counted as often as it is. */
  left: number;
}

/** The names that objects refer to by number. @throws SealpipeError FORMAT_INVALID, FORMAT_UNSUPPORTED */
export function variantNames(metadata: Uint8Array): readonly string[] {
  const cursor = cursorOf(metadata, []);
  const header = unsigned(cursor, 0, 1);
  if ((header & 15) !== 1) throw formatUnsupported(`a variant has metadata of version ${header & 15}`);
  const size = (header >>> 6) + 1;
  const count = unsigned(cursor, 1, size);
  const start = 1 + size * (count + 2);
  if (start > metadata.length) throw formatInvalid(`a variant claims ${count} names in ${metadata.length} bytes`);
  const names: string[] = [];
  let from = 0;
  for (let index = 1; index <= count; index++) {
    const to = unsigned(cursor, 1 + size * (index + 1), size);
    if (to < from || start + to > metadata.length)
      throw formatInvalid('a name of a variant lies outside of its metadata');
    names.push(utf8.decode(metadata.subarray(start + from, start + to)));
    from = to;
  }
  return names;
}

/** The value. @throws SealpipeError FORMAT_INVALID, FORMAT_UNSUPPORTED */
export function variantValue(value: Uint8Array, names: readonly string[]): ParquetValue {
  return valueAt(cursorOf(value, names), 0, 1);
}

/** A field may be called `__proto__`. */
export function setField(row: Record<string, ParquetValue>, name: string, value: ParquetValue): void {
  if (name === '__proto__')
    Object.defineProperty(row, name, { value, enumerable: true, configurable: true, writable: true });
  else row[name] = value;
}

function cursorOf(bytes: Uint8Array, names: readonly string[]): Cursor {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { bytes, view, names, left: bytes.length };
}

/** Says that the next `count` bytes at `position` are read. */
function take(cursor: Cursor, position: number, count: number): void {
  const { length } = cursor.bytes;
  if (position + count > length) throw formatInvalid(`a variant ends at ${length} of ${position + count} bytes`);
  cursor.left -= count;
  if (cursor.left < 0) throw formatInvalid(`a variant of ${length} bytes has elements that share bytes`);
}

function unsigned(cursor: Cursor, position: number, size: number): number {
  take(cursor, position, size);
  let value = 0;
  for (let index = 0; index < size; index++) value += cursor.bytes[position + index]! * 2 ** (8 * index);
  return value;
}

function valueAt(cursor: Cursor, position: number, depth: number): ParquetValue {
  if (depth > deepest) throw formatUnsupported(`a variant nests deeper than ${deepest}`);
  const header = unsigned(cursor, position, 1);
  const own = header >>> 2;
  switch (header & 3) {
    case 0:
      return primitiveAt(cursor, position + 1, own);
    case 1:
      return textAt(cursor, position + 1, own);
    case 2:
      return objectAt(cursor, { position: position + 1, own, depth });
    default:
      return arrayAt(cursor, { position: position + 1, own, depth });
  }
}

interface Place {
  readonly position: number;
  /** The six bits of the header that are the type's own. */
  readonly own: number;
  readonly depth: number;
}

function objectAt(cursor: Cursor, { position, own, depth }: Place): ParquetValue {
  const [offsetSize, idSize, countSize] = [(own & 3) + 1, ((own >>> 2) & 3) + 1, (own & 16) === 0 ? 1 : 4];
  const count = unsigned(cursor, position, countSize);
  const ids = position + countSize;
  const offsets = ids + count * idSize;
  const values = offsets + (count + 1) * offsetSize;
  const row: Record<string, ParquetValue> = {};
  for (let index = 0; index < count; index++) {
    const id = unsigned(cursor, ids + index * idSize, idSize);
    const name = cursor.names[id];
    if (name === undefined) throw formatInvalid(`a variant has no name ${id}`);
    const at = values + unsigned(cursor, offsets + index * offsetSize, offsetSize);
    setField(row, name, valueAt(cursor, at, depth + 1));
  }
  return row;
}

function arrayAt(cursor: Cursor, { position, own, depth }: Place): ParquetValue {
  const [offsetSize, countSize] = [(own & 3) + 1, (own & 4) === 0 ? 1 : 4];
  const count = unsigned(cursor, position, countSize);
  const offsets = position + countSize;
  const values = offsets + (count + 1) * offsetSize;
  const items: ParquetValue[] = [];
  for (let index = 0; index < count; index++) {
    const at = values + unsigned(cursor, offsets + index * offsetSize, offsetSize);
    items.push(valueAt(cursor, at, depth + 1));
  }
  return items;
}

function textAt(cursor: Cursor, position: number, length: number): string {
  take(cursor, position, length);
  return utf8.decode(cursor.bytes.subarray(position, position + length));
}

function integerAt(cursor: Cursor, position: number, size: 1 | 2 | 4 | 8 | 16): bigint {
  take(cursor, position, size);
  const { view } = cursor;
  switch (size) {
    case 1:
      return BigInt(view.getInt8(position));
    case 2:
      return BigInt(view.getInt16(position, true));
    case 4:
      return BigInt(view.getInt32(position, true));
    case 8:
      return view.getBigInt64(position, true);
    case 16:
      return (view.getBigInt64(position + 8, true) << 64n) | view.getBigUint64(position, true);
  }
}

function decimalAt(cursor: Cursor, position: number, size: 4 | 8 | 16): string {
  return decimalText(integerAt(cursor, position + 1, size), unsigned(cursor, position, 1));
}

/** A value of one of the types that hold no others, by the type's number. */
function primitiveAt(cursor: Cursor, position: number, type: number): ParquetValue {
  const integer = (size: 1 | 2 | 4 | 8): bigint => integerAt(cursor, position, size);
  switch (type) {
    case 0:
      return null;
    case 1:
    case 2:
      return type === 1;
    case 3:
    case 4:
    case 5:
    case 6:
      return plainInteger(integer(([1, 2, 4, 8] as const)[type - 3]!));
    case 7:
      take(cursor, position, 8);
      return cursor.view.getFloat64(position, true);
    case 8:
    case 9:
    case 10:
      return decimalAt(cursor, position, ([4, 8, 16] as const)[type - 8]!);
    case 11:
      return formatDay(Number(integer(4)));
    case 12:
    case 13:
      return new Timestamp(integer(8) * 1000n, type === 12);
    case 14:
      take(cursor, position, 4);
      return cursor.view.getFloat32(position, true);
    case 15: {
      const length = unsigned(cursor, position, 4);
      take(cursor, position + 4, length);
      return cursor.bytes.slice(position + 4, position + 4 + length);
    }
    case 16:
      return textAt(cursor, position + 4, unsigned(cursor, position, 4));
    case 17:
      return formatTime(BigInt.asUintN(64, integer(8) * 1000n));
    case 18:
    case 19:
      return new Timestamp(integer(8), type === 18);
    case 20:
      take(cursor, position, 16);
      return uuidText(cursor.bytes.subarray(position, position + 16));
    default:
      throw formatUnsupported(`a variant holds a value of unknown type ${type}`);
  }
}
