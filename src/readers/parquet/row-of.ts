/** Puts back into rows what hyparquet was not told (stored-schema.ts), and leaves out what only the filter needed. */
import { listShape, mapShape } from './lists.ts';
import type { ParquetField } from './schema.ts';
import { isWholeVariant, variantConverter } from './shredded-variant.ts';
import { leafConverter, type ParquetValue } from './value-of.ts';
import { setField } from './variant.ts';

type Convert = (value: unknown) => ParquetValue;

/** A row: values by column name. */
export type ParquetRow = Record<string, ParquetValue>;

/** How a value of a field, as hyparquet gives it, becomes that of a row. */
export function valueConverter(field: ParquetField): Convert {
  const convert = occurrence(field);
  // Repeated without a list around it, as protocol buffers' writers have it.
  return field.repetition === 'REPEATED' ? (value) => listOf(value ?? [], convert) : convert;
}

/** What a field has once, or once for each time it is repeated. */
function occurrence(field: ParquetField): Convert {
  const convert = single(field);
  if (field.repetition === 'OPTIONAL' || (listShape(field) ?? mapShape(field)) === undefined) return convert;
  // Not optional, it cannot be null: what comes as null has no elements.
  return (value) => convert(value ?? []);
}

function single(field: ParquetField): Convert {
  if (field.type !== undefined) return nullable(leafConverter(field) ?? ((value) => value as ParquetValue));
  if (isWholeVariant(field)) return nullable(variantConverter(field, valueConverter));
  const list = listShape(field);
  if (list !== undefined) {
    const convert = occurrence(list.element);
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
  for (const [name, convert] of fields) setField(row, name, convert(value[name]));
  return row;
}

function nullable(convert: Convert): Convert {
  return (value) => (value === null || value === undefined ? null : convert(value));
}

function listOf(value: unknown, convert: Convert): ParquetValue {
  if (value === null || value === undefined) return null;
  return Array.from(value as ArrayLike<unknown>, convert);
}

/** How rows of a schema are made. */
export function rowConverter(root: ParquetField): (row: Record<string, unknown>) => ParquetRow {
  const fields = root.children.map((child) => [child.name, valueConverter(child)] as const);
  return (row) => structOf(row, fields);
}
