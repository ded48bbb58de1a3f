/** The values of each type, read from the buffers of a batch. */
import { distinctNames } from '../field-names.ts';
import { formatDay } from '../orc/calendar.ts';
import { decimalText, plainInteger } from '../parquet/value-of.ts';
import { formatTime, Timestamp } from '../timestamp.ts';
import type { BatchLoader } from './columns.ts';
import type { ArrowField, ArrowTimeUnit, ArrowType } from './schema.ts';

/** A value of a row. */
export type ArrowValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Timestamp
  | readonly ArrowValue[]
  | { readonly [name: string]: ArrowValue };

type Read = (index: number) => ArrowValue;

interface Values {
  readonly loader: BatchLoader;
  readonly length: number;
}

const utf8 = new TextDecoder();

const unitNanoseconds: Readonly<Record<ArrowTimeUnit, bigint>> = {
  SECOND: 1_000_000_000n,
  MILLISECOND: 1_000_000n,
  MICROSECOND: 1000n,
  NANOSECOND: 1n,
};

/** How the values of a field are read: takes its buffers and its children from the loader. */
export function valueReader(field: ArrowField, values: Values): Read {
  const { type, children } = field;
  const { loader, length } = values;
  const { little } = loader;
  switch (type.kind) {
    case 'null':
      return () => null;
    case 'bool': {
      const bits = loader.buffer(Math.ceil(length / 8));
      return (index) => ((bits[index >> 3]! >> (index & 7)) & 1) === 1;
    }
    case 'int':
      return integers(type, values);
    case 'float': {
      const view = fixed(values, type.bits / 8);
      if (type.bits === 64) return (index) => view.getFloat64(index * 8, little);
      return type.bits === 32
        ? (index) => view.getFloat32(index * 4, little)
        : (index) => halfFloat(view.getUint16(index * 2, little));
    }
    case 'decimal': {
      const width = type.bits / 8;
      const view = fixed(values, width);
      return (index) => decimal(wideInteger(view, { position: index * width, width, little }), type.scale);
    }
    case 'date': {
      const view = fixed(values, type.bits / 8);
      if (type.bits === 32) return (index) => formatDay(view.getInt32(index * 4, little));
      return (index) => formatDay(Math.floor(Number(view.getBigInt64(index * 8, little)) / 86_400_000));
    }
    case 'time': {
      const read = signed(values, type.bits);
      return (index) => formatTime(BigInt.asUintN(64, read(index) * unitNanoseconds[type.unit]));
    }
    case 'timestamp': {
      const read = signed(values, 64);
      const instant = type.zone !== undefined;
      return (index) => new Timestamp(read(index) * unitNanoseconds[type.unit], instant);
    }
    case 'duration': {
      const read = signed(values, 64);
      return (index) => plainInteger(read(index) * unitNanoseconds[type.unit]);
    }
    case 'interval':
      return intervals(type.unit, values);
    case 'fixed_size_binary': {
      const bytes = loader.buffer(length * type.width);
      return (index) => {
        loader.allowance.takeBytes(type.width);
        return bytes.slice(index * type.width, (index + 1) * type.width);
      };
    }
    case 'utf8':
    case 'large_utf8':
      return byteStrings(type.kind === 'large_utf8', values, (bytes) => utf8.decode(bytes));
    case 'binary':
    case 'large_binary':
      return byteStrings(type.kind === 'large_binary', values, (bytes) => bytes.slice());
    case 'utf8_view':
      return views(values, (bytes) => utf8.decode(bytes));
    case 'binary_view':
      return views(values, (bytes) => bytes.slice());
    case 'list':
    case 'large_list':
      return lists(children[0]!, { ...values, wide: type.kind === 'large_list' });
    case 'list_view':
    case 'large_list_view':
      return listViews(children[0]!, { ...values, wide: type.kind === 'large_list_view' });
    case 'map': {
      const [key, value] = children[0]!.children;
      // Their names are the writer's choice, key and value what they are.
      const entry = {
        ...children[0]!,
        children: [
          { ...key!, name: 'key' },
          { ...value!, name: 'value' },
        ],
      };
      return lists(entry, { ...values, wide: false });
    }
    case 'fixed_size_list': {
      const { size } = type;
      const items = loader.column(children[0]!, length * size);
      return (index) => {
        loader.allowance.takeElements(size);
        return Array.from({ length: size }, (_, position) => items.get(index * size + position));
      };
    }
    case 'struct': {
      const names = distinctNames(children.map(({ name }) => name));
      const columns = children.map((child, position) => [names[position]!, loader.column(child, length)] as const);
      return (index) => {
        loader.allowance.takeElements(columns.length);
        return Object.fromEntries(columns.map(([name, column]) => [name, column.get(index)]));
      };
    }
    case 'union':
      return unions(type, children, values);
    case 'run_end_encoded':
      return runs(children, values);
  }
}

function fixed({ loader, length }: Values, width: number): DataView {
  const bytes = loader.buffer(length * width);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function integers(type: Extract<ArrowType, { kind: 'int' }>, values: Values): Read {
  const view = fixed(values, type.bits / 8);
  const { signed } = type;
  const { little } = values.loader;
  switch (type.bits) {
    case 8:
      return signed ? (index) => view.getInt8(index) : (index) => view.getUint8(index);
    case 16:
      return signed ? (index) => view.getInt16(index * 2, little) : (index) => view.getUint16(index * 2, little);
    case 32:
      return signed ? (index) => view.getInt32(index * 4, little) : (index) => view.getUint32(index * 4, little);
    case 64:
      return signed
        ? (index) => plainInteger(view.getBigInt64(index * 8, little))
        : (index) => plainInteger(view.getBigUint64(index * 8, little));
  }
}

function signed(values: Values, bits: 32 | 64): (index: number) => bigint {
  const view = fixed(values, bits / 8);
  const { little } = values.loader;
  return bits === 32
    ? (index) => BigInt(view.getInt32(index * 4, little))
    : (index) => view.getBigInt64(index * 8, little);
}

function halfFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function wideInteger(
  view: DataView,
  { position, width, little }: { position: number; width: number; little: boolean },
): bigint {
  if (width === 4) return BigInt(view.getInt32(position, little));
  const words = width / 8;
  const at = (rank: number): number => position + 8 * (little ? words - 1 - rank : rank);
  let value = view.getBigInt64(at(0), little);
  for (let rank = 1; rank < words; rank++) value = (value << 64n) | view.getBigUint64(at(rank), little);
  return value;
}

function decimal(unscaled: bigint, scale: number): string {
  return scale >= 0 ? decimalText(unscaled, scale) : String(unscaled * 10n ** BigInt(-scale));
}

function intervals(unit: 'YEAR_MONTH' | 'DAY_TIME' | 'MONTH_DAY_NANO', values: Values): Read {
  const width = { YEAR_MONTH: 4, DAY_TIME: 8, MONTH_DAY_NANO: 16 }[unit];
  const { little } = values.loader;
  const view = fixed(values, width);
  const entry = (months: number, days: number, nanoseconds: bigint): ArrowValue => ({
    months,
    days,
    nanoseconds: plainInteger(nanoseconds),
  });
  return (index) => {
    const at = index * width;
    if (unit === 'YEAR_MONTH') return entry(view.getInt32(at, little), 0, 0n);
    if (unit === 'DAY_TIME')
      return entry(0, view.getInt32(at, little), BigInt(view.getInt32(at + 4, little)) * 1_000_000n);
    return entry(view.getInt32(at, little), view.getInt32(at + 4, little), view.getBigInt64(at + 8, little));
  };
}

/** Offsets of values in what follows; a batch without rows may have none. */
function offsets({ loader, length }: Values, wide: boolean): (index: number) => number {
  const width = wide ? 8 : 4;
  const bytes = loader.buffer(length === 0 ? 0 : (length + 1) * width);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length === 0) return () => 0;
  const { little } = loader;
  return wide ? (index) => Number(view.getBigInt64(index * 8, little)) : (index) => view.getInt32(index * 4, little);
}

function byteStrings(wide: boolean, values: Values, read: (bytes: Uint8Array) => ArrowValue): Read {
  const offset = offsets(values, wide);
  const bytes = values.loader.buffer(0);
  return (index) => {
    const [start, end] = [offset(index), offset(index + 1)];
    if (!(start >= 0 && start <= end && end <= bytes.length)) {
      throw values.loader.invalid(`a string is at [${start}, ${end}) of ${bytes.length} bytes`);
    }
    values.loader.allowance.takeBytes(end - start);
    return read(bytes.subarray(start, end));
  };
}

/** Sixteen bytes a value: its length, then itself where it has twelve at most, else its start, buffer and offset. */
function views(values: Values, read: (bytes: Uint8Array) => ArrowValue): Read {
  const { loader } = values;
  const { little } = loader;
  const bytes = loader.buffer(values.length * 16);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const data = Array.from({ length: loader.variadicCount() }, () => loader.buffer(0));
  return (index) => {
    const at = index * 16;
    const length = view.getInt32(at, little);
    if (length >= 0 && length <= 12) return read(bytes.subarray(at + 4, at + 4 + length));
    const buffer = data[view.getInt32(at + 8, little)];
    const start = view.getInt32(at + 12, little);
    if (length < 0 || buffer === undefined || start < 0 || start + length > buffer.length) {
      throw loader.invalid(`a view of ${length} bytes lies outside of its buffers`);
    }
    loader.allowance.takeBytes(length);
    return read(buffer.subarray(start, start + length));
  };
}

function lists(item: ArrowField, values: Values & { wide: boolean }): Read {
  const { loader, length } = values;
  const offset = offsets(values, values.wide);
  const items = loader.column(item, length === 0 ? 0 : Math.max(0, offset(length)));
  return (index) => slice(loader, items, offset(index), offset(index + 1));
}

function listViews(item: ArrowField, values: Values & { wide: boolean }): Read {
  const { loader, wide } = values;
  const { little } = loader;
  const width = wide ? 8 : 4;
  const [starts, sizes] = [fixed(values, width), fixed(values, width)];
  const items = loader.column(item, 0);
  const at = (view: DataView, index: number): number =>
    wide ? Number(view.getBigInt64(index * 8, little)) : view.getInt32(index * 4, little);
  return (index) => slice(loader, items, at(starts, index), at(starts, index) + at(sizes, index));
}

function slice(
  loader: BatchLoader,
  items: { readonly length: number; get(index: number): ArrowValue },
  start: number,
  end: number,
): ArrowValue {
  if (!(start >= 0 && start <= end && end <= items.length)) {
    throw loader.invalid(`a list is at [${start}, ${end}) of ${items.length} values`);
  }
  loader.allowance.takeElements(end - start);
  return Array.from({ length: end - start }, (_, position) => items.get(start + position));
}

function unions(type: Extract<ArrowType, { kind: 'union' }>, children: readonly ArrowField[], values: Values): Read {
  const { loader, length } = values;
  const { little } = loader;
  const types = loader.buffer(length);
  const places = type.dense ? fixed(values, 4) : undefined;
  const members = children.map((child) => loader.column(child, type.dense ? 0 : length));
  const ids = type.typeIds.length === 0 ? children.map((_, index) => index) : type.typeIds;
  return (index) => {
    const id = (types[index]! << 24) >> 24;
    const member = members[ids.indexOf(id)];
    const place = places === undefined ? index : places.getInt32(index * 4, little);
    if (member === undefined || place < 0 || place >= member.length) {
      throw loader.invalid(`a union refers to value ${place} of member ${id}`);
    }
    return member.get(place);
  };
}

/** Runs of equal values: where each ends, and its value. */
function runs(children: readonly ArrowField[], { loader, length }: Values): Read {
  const ends = loader.column(children[0]!, 0);
  const items = loader.column(children[1]!, ends.length);
  if (length > 0 && (ends.length === 0 || Number(ends.get(ends.length - 1)) < length)) {
    throw loader.invalid(`runs end before their ${length} values`);
  }
  return (index) => {
    let [low, high] = [0, ends.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (Number(ends.get(middle)) > index) high = middle;
      else low = middle + 1;
    }
    return items.get(low);
  };
}
