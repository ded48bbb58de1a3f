/**
 * Variants as columns have them (the format's page VariantShredding): `metadata`, and `value` or `typed_value` or, of
 * an object of which some fields have columns of their own, both. So has each field and each element of `typed_value`.
 */
import { formatInvalid } from './format-error.ts';
import { listShape } from './lists.ts';
import type { ParquetField } from './schema.ts';
import type { ParquetValue } from './value-of.ts';
import { setField, variantNames, variantValue } from './variant.ts';

/** Converts what is stored of a field that is no part of the variant's own shape. */
type ConverterOf = (field: ParquetField) => (value: unknown) => ParquetValue;

/** Puts together one value; undefined where a field of an object is absent. */
type Assemble = (stored: Stored, names: Names) => ParquetValue | undefined;

/** The names of a variant, looked up when the first of them is needed. */
type Names = () => readonly string[];

type Stored = Readonly<Record<string, unknown>>;

/** Whether a field that means a variant has what one needs: a selection of columns may have left it out. */
export function isWholeVariant({ meaning, children }: ParquetField): boolean {
  if (meaning?.kind !== 'VARIANT') return false;
  const bytes = (name: string): boolean => children.some((child) => child.name === name && child.type === 'BYTE_ARRAY');
  return bytes('metadata') && (bytes('value') || children.some(({ name }) => name === 'typed_value'));
}

/** How a variant's columns become its value. */
export function variantConverter(field: ParquetField, converterOf: ConverterOf): (value: unknown) => ParquetValue {
  const assemble = assembler(field, converterOf);
  return (value) => {
    const stored = value as Stored;
    let names: readonly string[] | undefined;
    return assemble(stored, () => (names ??= variantNames(stored['metadata'] as Uint8Array))) ?? null;
  };
}

function assembler(field: ParquetField, converterOf: ConverterOf): Assemble {
  const typed = field.children.find(({ name }) => name === 'typed_value');
  const bare: Assemble = ({ value }, names) =>
    value === null || value === undefined ? undefined : variantValue(value as Uint8Array, names());
  if (typed === undefined) return bare;
  const { fields, whole } = typedParts(typed, converterOf);
  return (stored, names) => {
    const found = stored['typed_value'];
    if (found === null || found === undefined) return bare(stored, names);
    const rest = bare(stored, names);
    if (whole !== undefined) {
      if (rest !== undefined) throw formatInvalid('a variant has both a value and a typed value');
      return whole(found, names);
    }
    if (rest !== undefined && !isObject(rest)) {
      throw formatInvalid('a variant is no object, and has fields in columns of their own');
    }
    const row: Record<string, ParquetValue> = {};
    for (const [name, item] of Object.entries(rest ?? {})) {
      // Where both have a field its own column counts, an absent value too.
      if (!fields.some(([own]) => own === name)) setField(row, name, item);
    }
    for (const [name, assemble] of fields) {
      const part = (found as Stored)[name];
      const item = part === null || part === undefined ? undefined : assemble(part as Stored, names);
      if (item !== undefined) setField(row, name, item);
    }
    return row;
  };
}

/** What `typed_value` holds: fields of an object, or a value as a whole. */
function typedParts(
  typed: ParquetField,
  converterOf: ConverterOf,
): {
  fields: readonly (readonly [string, Assemble])[];
  whole?: (found: unknown, names: Names) => ParquetValue;
} {
  const list = listShape(typed);
  if (list !== undefined && list.element.type === undefined) {
    const assemble = assembler(list.element, converterOf);
    const items = (found: unknown): ArrayLike<Stored | null> => {
      if (list.kind === 'plain') return found as ArrayLike<Stored | null>;
      return ((found as Stored)[list.repeated.name] ?? []) as ArrayLike<Stored | null>;
    };
    return {
      fields: [],
      whole: (found, names) =>
        Array.from(items(found), (item) => (item === null ? null : (assemble(item, names) ?? null))),
    };
  }
  if (typed.type === undefined && list === undefined) {
    return { fields: typed.children.map((child) => [child.name, assembler(child, converterOf)] as const) };
  }
  const convert = converterOf(typed);
  return { fields: [], whole: convert };
}

function isObject(value: ParquetValue): value is Readonly<Record<string, ParquetValue>> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
