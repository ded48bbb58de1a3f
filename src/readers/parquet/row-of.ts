/** Puts back into rows what hyparquet was not told (stored-schema.ts), and leaves out what only the filter needed. */
import { listShape, mapShape } from './lists.ts';
import type { ParquetField } from './schema.ts';
import { leafConverter, type ParquetValue } from './value-of.ts';

type Convert = (value: unknown) => ParquetValue;

/** A row: values by column name. */
export type ParquetRow = Record<string, ParquetValue>;

/** How a value of a field, as hyparquet gives it, becomes that of a row. */
export function valueConverter(field: ParquetField): Convert {
  const convert = single(field);
  // Repeated without a list around it, as protocol buffers' writers have it.
  return field.repetition === 'REPEATED' ? (value) => listOf(value, convert) : convert;
}

function single(field: ParquetField): Convert {
  if (field.type !== undefined) return nullable(leafConverter(field) ?? ((value) => value as ParquetValue));
  if (field.meaning?.kind === 'VARIANT') return variantValue;
  const list = listShape(field);
  if (list !== undefined) {
    const convert = single(list.element);
    if (list.kind === 'plain' || list.repeated.type !== undefined) return (value) => listOf(value, convert);
    const { name } = list.repeated;
    return nullable((value) => listOf((value as Record<string, unknown>)[name] ?? [], convert));
  }
  const map = mapShape(field);
  if (map !== undefined) {
    const key = valueConverter(map.key);
    const item = map.value === undefined ? undefined : valueConverter(map.value);
    const { name } = map.repeated;
    const entry: Convert = (value) => {
      const pair = value as Record<string, unknown>;
      return { key: key(pair[map.key.name]), value: item === undefined ? null : item(pair[map.value!.name]) };
    };
    return nullable((value) => listOf((value as Record<string, unknown>)[name] ?? [], entry));
  }
  const fields = field.children.map((child) => [child.name, valueConverter(child)] as const);
  return nullable((value) => structOf(value as Record<string, unknown>, fields));
}

function structOf(value: Record<string, unknown>, fields: readonly (readonly [string, Convert])[]): ParquetRow {
  const row: ParquetRow = {};
  for (const [name, convert] of fields) set(row, name, convert(value[name]));
  return row;
}

/** A column may be called `__proto__`. */
function set(row: ParquetRow, name: string, value: ParquetValue): void {
  if (name === '__proto__')
    Object.defineProperty(row, name, { value, enumerable: true, configurable: true, writable: true });
  else row[name] = value;
}

function nullable(convert: Convert): Convert {
  return (value) => (value === null || value === undefined ? null : convert(value));
}

function listOf(value: unknown, convert: Convert): ParquetValue {
  if (value === null || value === undefined) return null;
  return Array.from(value as ArrayLike<unknown>, convert);
}

/** Variants describe themselves: their values come converted, but for large integers and bytes. */
function variantValue(value: unknown): ParquetValue {
  if (value === null || value === undefined) return null;
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (Array.isArray(value)) return value.map(variantValue);
  if (typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    const row: ParquetRow = {};
    for (const [name, item] of Object.entries(value)) set(row, name, variantValue(item));
    return row;
  }
  return value as ParquetValue;
}

/** How rows of a schema are made. */
export function rowConverter(root: ParquetField): (row: Record<string, unknown>) => ParquetRow {
  const fields = root.children.map((child) => [child.name, valueConverter(child)] as const);
  return (row) => structOf(row, fields);
}
