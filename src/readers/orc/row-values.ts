import { distinctNames } from '../field-names.ts';
import { formatDay } from './calendar.ts';
import { formatDecimal } from './decimal.ts';
import { decodeStrings } from './strings.ts';
import { OrcTimestamp } from './timestamp.ts';
import type {
  DateVector,
  Int64Vector,
  ListVector,
  MapVector,
  OrcVector,
  StringVector,
  StructVector,
  UnionVector,
} from './vectors.ts';

/** How values become JavaScript values. */
export interface RowValueOptions {
  /** LONG: numbers, and bigints only beyond 2^53 ('number', the default), or always bigints. */
  longs?: 'number' | 'bigint';
  /** UNION: the value alone (the default), or { tag, value }. */
  unions?: 'value' | 'tagged';
}

/** A row: its fields by name. Where several have the same, the second is `name_1`. */
export type OrcRow = Record<string, OrcValue>;

/**
 * A value of a row. BOOLEAN is boolean; BYTE to INT, FLOAT and DOUBLE are numbers; LONG is number or bigint; strings
 * are strings; BINARY is Uint8Array; DATE is 'YYYY-MM-DD'; timestamps are {@link OrcTimestamp}; DECIMAL is a decimal
 * string; LIST is an array; MAP is an array of { key, value }; STRUCT is an object.
 */
export type OrcValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | OrcTimestamp
  | OrcValue[]
  | { [field: string]: OrcValue };

/** The rows of a vector: objects for a struct, else the values themselves. */
export function rowsOf(vector: OrcVector, options: RowValueOptions = {}): OrcRow[] {
  return valuesOf(vector, options) as OrcRow[];
}

/** The values of a vector as JavaScript values, null where they are null. */
export function valuesOf(vector: OrcVector, options: RowValueOptions = {}): OrcValue[] {
  const values = presentValues(vector, options);
  const { nulls } = vector;
  if (nulls !== undefined) for (let row = 0; row < vector.length; row++) if (nulls[row] === 1) values[row] = null;
  return values;
}

/** As {@link valuesOf}, with anything at all where a value is null. */
function presentValues(vector: OrcVector, options: RowValueOptions): OrcValue[] {
  const { length } = vector;
  switch (vector.kind) {
    case 'boolean': {
      const values = new Array<OrcValue>(length);
      for (let row = 0; row < length; row++) values[row] = vector.values[row] === 1;
      return values;
    }
    case 'int32':
    case 'float': {
      // A loop, since Array.from goes through the iterator and takes several times as long.
      const numbers = vector.values;
      const values = new Array<OrcValue>(length);
      for (let row = 0; row < length; row++) values[row] = numbers[row]!;
      return values;
    }
    case 'int64':
      return options.longs === 'bigint' ? Array.from(vector.values) : longValues(vector);
    case 'string':
      return stringValues(vector);
    case 'binary': {
      const values = new Array<OrcValue>(length);
      // Copies: a view would keep the bytes of the whole batch for as long as one value is kept.
      for (let row = 0; row < length; row++)
        values[row] = vector.bytes.slice(vector.offsets[row], vector.offsets[row + 1]);
      return values;
    }
    case 'decimal': {
      const values = new Array<OrcValue>(length);
      const { unscaled, scale, precision } = vector;
      for (let row = 0; row < length; row++) values[row] = formatDecimal(unscaled[row]!, scale);
      if (precision === 0) for (let row = 0; row < length; row++) values[row] = trimZeros(values[row] as string);
      return values;
    }
    case 'date':
      return dateValues(vector);
    case 'timestamp': {
      const { seconds, nanoseconds, instant } = vector;
      const values = new Array<OrcValue>(length);
      for (let row = 0; row < length; row++) values[row] = new OrcTimestamp(seconds[row]!, nanoseconds[row]!, instant);
      return values;
    }
    case 'struct':
      return structValues(vector, options);
    case 'list':
      return listValues(vector, options);
    case 'map':
      return mapValues(vector, options);
    case 'union':
      return unionValues(vector, options);
    case 'null':
      return new Array<OrcValue>(length).fill(null);
  }
}

function trimZeros(decimal: string): string {
  return decimal.includes('.') ? decimal.replace(/\.?0+$/, '') : decimal;
}

/** Numbers made of two words: no bigint is made for one that fits. */
function longValues(vector: Int64Vector): OrcValue[] {
  const { length, values: longs } = vector;
  const words = new Int32Array(longs.buffer, longs.byteOffset, length * 2);
  const values = new Array<OrcValue>(length);
  for (let row = 0; row < length; row++) {
    const high = words[row * 2 + 1]!;
    const number = high * 0x100000000 + (words[row * 2]! >>> 0);
    values[row] = high < 0x200000 && number > -0x20000000000000 ? number : longs[row]!;
  }
  return values;
}

const decoded = new WeakMap<StringVector, string[]>();

/** The strings of a vector, decoded once: a filter and the rows may both want them. */
export function stringValues(vector: StringVector): string[] {
  const known = decoded.get(vector);
  if (known !== undefined) return known.slice();
  let values: string[];
  if (vector.dictionary === undefined) values = decodeStrings(vector);
  else {
    const { indices, length } = vector;
    const { strings } = vector.dictionary;
    values = new Array<string>(length);
    for (let row = 0; row < length; row++) values[row] = strings[indices[row]!]!;
  }
  return values;
}

/** As {@link stringValues}, and kept for the next time. */
export function keptStringValues(vector: StringVector): readonly string[] {
  let values = decoded.get(vector);
  if (values === undefined) {
    values = stringValues(vector);
    decoded.set(vector, values);
  }
  return values;
}

/** Days repeat: each is formatted once a batch. */
function dateValues(vector: DateVector): OrcValue[] {
  const { length, values: days } = vector;
  const names = new Map<number, string>();
  const values = new Array<OrcValue>(length);
  for (let row = 0; row < length; row++) {
    const day = days[row]!;
    let name = names.get(day);
    if (name === undefined) {
      name = formatDay(day);
      names.set(day, name);
    }
    values[row] = name;
  }
  return values;
}

/**
 * Objects of one shape: each is a copy of a template that has all fields, so that the engine knows their layout before
 * they are filled, column by column.
 */
function structValues(vector: StructVector, options: RowValueOptions): OrcValue[] {
  const { length, children } = vector;
  const names = distinctNames(vector.names);
  const template: OrcRow = Object.fromEntries(names.map((name) => [name, null]));
  const values = new Array<OrcRow>(length);
  for (let row = 0; row < length; row++) values[row] = { ...template };
  for (const [index, child] of children.entries()) setField(values, names[index]!, valuesOf(child, options));
  return values;
}

function setField(rows: OrcRow[], name: string, values: readonly OrcValue[]): void {
  for (let row = 0; row < rows.length; row++) rows[row]![name] = values[row]!;
}

function listValues(vector: ListVector, options: RowValueOptions): OrcValue[] {
  const { length, offsets } = vector;
  const elements = valuesOf(vector.elements, options);
  const values = new Array<OrcValue>(length);
  for (let row = 0; row < length; row++) values[row] = elements.slice(offsets[row], offsets[row + 1]);
  return values;
}

function mapValues(vector: MapVector, options: RowValueOptions): OrcValue[] {
  const { length, offsets } = vector;
  const keys = valuesOf(vector.keys, options);
  const entries = valuesOf(vector.entries, options);
  const values = new Array<OrcValue>(length);
  for (let row = 0; row < length; row++) {
    const map: OrcValue[] = [];
    for (let at = offsets[row]!; at < offsets[row + 1]!; at++) map.push({ key: keys[at]!, value: entries[at]! });
    values[row] = map;
  }
  return values;
}

function unionValues(vector: UnionVector, options: RowValueOptions): OrcValue[] {
  const { length, tags, offsets, nulls } = vector;
  const members = vector.members.map((member) => valuesOf(member, options));
  const tagged = options.unions === 'tagged';
  const values = new Array<OrcValue>(length);
  for (let row = 0; row < length; row++) {
    if (nulls?.[row] === 1) continue;
    const tag = tags[row]!;
    const value = members[tag]![offsets[row]!]!;
    values[row] = tagged ? { tag, value } : value;
  }
  return values;
}
