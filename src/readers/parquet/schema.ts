import { booleanField, countField, integerField, nameField, required, structField, textField } from './fields.ts';
import { formatInvalid } from './format-error.ts';
import type { ThriftStruct } from './thrift.ts';

/** The physical types, in the order of their numbers. */
export const parquetTypes = [
  'BOOLEAN',
  'INT32',
  'INT64',
  'INT96',
  'FLOAT',
  'DOUBLE',
  'BYTE_ARRAY',
  'FIXED_LEN_BYTE_ARRAY',
] as const;

/** How a value is stored. */
export type ParquetType = (typeof parquetTypes)[number];

const repetitions = ['REQUIRED', 'OPTIONAL', 'REPEATED'] as const;

/** How often a field occurs in its parent. */
export type ParquetRepetition = (typeof repetitions)[number];

/** The converted types of older files, in the order of their numbers. */
export const convertedTypes = [
  'UTF8',
  'MAP',
  'MAP_KEY_VALUE',
  'LIST',
  'ENUM',
  'DECIMAL',
  'DATE',
  'TIME_MILLIS',
  'TIME_MICROS',
  'TIMESTAMP_MILLIS',
  'TIMESTAMP_MICROS',
  'UINT_8',
  'UINT_16',
  'UINT_32',
  'UINT_64',
  'INT_8',
  'INT_16',
  'INT_32',
  'INT_64',
  'JSON',
  'BSON',
  'INTERVAL',
] as const;

export type ParquetConvertedType = (typeof convertedTypes)[number];

export type ParquetTimeUnit = 'MILLIS' | 'MICROS' | 'NANOS';

/** What a value means: the logical type, or, in files that have none, what their converted type says. */
export type ParquetMeaning =
  | {
      readonly kind:
        | 'STRING'
        | 'ENUM'
        | 'JSON'
        | 'BSON'
        | 'UUID'
        | 'DATE'
        | 'FLOAT16'
        | 'INTERVAL'
        | 'NULL'
        | 'LIST'
        | 'MAP'
        | 'VARIANT'
        | 'GEOMETRY'
        | 'GEOGRAPHY';
    }
  | { readonly kind: 'DECIMAL'; readonly precision: number; readonly scale: number }
  | { readonly kind: 'TIME' | 'TIMESTAMP'; readonly unit: ParquetTimeUnit; readonly utc: boolean }
  | { readonly kind: 'INTEGER'; readonly bits: number; readonly signed: boolean };

/** A node of the schema. */
export interface ParquetField {
  readonly name: string;
  /** Names from below the root to this field, joined by dots; '' for the root. */
  readonly path: string;
  readonly repetition: ParquetRepetition;
  /** Absent for a group. */
  readonly type?: ParquetType;
  /** Bytes of a FIXED_LEN_BYTE_ARRAY. */
  readonly typeLength?: number;
  readonly convertedType?: ParquetConvertedType;
  readonly meaning?: ParquetMeaning;
  readonly fieldId?: number;
  readonly children: readonly ParquetField[];
}

/** A schema is a list in pre-order; deeper than this no honest one nests, and readers of it recurse. */
const deepest = 256;

/**
 * Builds the tree of a file's schema elements.
 *
 * @throws SealpipeError FORMAT_INVALID where elements are missing or left over, or contradict themselves
 */
export function buildSchema(elements: readonly ThriftStruct[]): ParquetField {
  let next = 0;
  const build = (parent: string | undefined, depth: number): ParquetField => {
    const element = elements[next++];
    if (element === undefined) throw formatInvalid('its schema claims more children than it has elements');
    if (depth > deepest) throw formatInvalid(`its schema nests deeper than ${deepest}`);
    const name = required(textField(element, 4, 'name of a schema element'), 'name of a schema element');
    const path = parent === undefined ? '' : parent === '' ? name : `${parent}.${name}`;
    const where = path === '' ? 'the schema' : JSON.stringify(path);
    const type = nameField(element, 1, parquetTypes, `the type of ${where}`);
    const count = countField(element, 5, `the number of children of ${where}`) ?? 0;
    if (count > elements.length - next) {
      throw formatInvalid(`${where} claims ${count} children where ${elements.length - next} schema elements are left`);
    }
    // Files of some writers give leaves a number of children of 0, and groups without any child occur, too.
    if (type !== undefined && count > 0) throw formatInvalid(`${where} has both a type and children`);
    const children: ParquetField[] = [];
    for (let child = 0; child < count; child++) children.push(build(path, depth + 1));
    return { name, path, children, ...described(element, { where, type }) };
  };
  const root = build(undefined, 0);
  if (root.type !== undefined) throw formatInvalid('the root of its schema is a value, expected a group');
  if (next !== elements.length) {
    throw formatInvalid(
      `its schema has ${elements.length} elements, of which ${elements.length - next} have no parent`,
    );
  }
  return root;
}

function described(
  element: ThriftStruct,
  { where, type }: { where: string; type: ParquetType | undefined },
): Omit<ParquetField, 'name' | 'path' | 'children'> {
  // The root of old files has no repetition, and nothing depends on it; other tools take any field without for required.
  const repetition = nameField(element, 3, repetitions, `the repetition of ${where}`) ?? 'REQUIRED';
  const typeLength = countField(element, 2, `the length of ${where}`);
  if (type === 'FIXED_LEN_BYTE_ARRAY' && (typeLength === undefined || typeLength > 0x0fff_ffff)) {
    throw formatInvalid(`${where} is of fixed length ${typeLength ?? '(none given)'}`);
  }
  const converted = integerField(element, 6, `the converted type of ${where}`);
  // Converted types are frozen: a number above is no type, and says nothing about how to read the file.
  const convertedType = converted === undefined ? undefined : convertedTypes[converted];
  const meaning = logicalMeaning(element) ?? convertedMeaning(element, convertedType, where);
  const fieldId = integerField(element, 9, `the field id of ${where}`);
  return {
    repetition,
    ...(type === undefined ? {} : { type }),
    ...(type === 'FIXED_LEN_BYTE_ARRAY' && typeLength !== undefined ? { typeLength } : {}),
    ...(convertedType === undefined ? {} : { convertedType }),
    ...(meaning === undefined || !fits(meaning, type, typeLength) ? {} : { meaning }),
    ...(fieldId === undefined ? {} : { fieldId }),
  };
}

/** Members of the union LogicalType that are empty structs, by number. */
const plainMeanings = {
  1: 'STRING',
  2: 'MAP',
  3: 'LIST',
  4: 'ENUM',
  6: 'DATE',
  11: 'NULL',
  12: 'JSON',
  13: 'BSON',
  14: 'UUID',
  15: 'FLOAT16',
  16: 'VARIANT',
  17: 'GEOMETRY',
  18: 'GEOGRAPHY',
} as const;

function logicalMeaning(element: ThriftStruct): ParquetMeaning | undefined {
  const union = structField(element, 10, 'a logical type');
  if (union === undefined) return undefined;
  const [number] = [...union.keys()];
  const member = number === undefined ? undefined : structField(union, number, 'a logical type');
  if (member === undefined) return undefined;
  if (number === 5) {
    const scale = countField(member, 1, 'the scale of a decimal') ?? 0;
    return { kind: 'DECIMAL', scale, precision: countField(member, 2, 'the precision of a decimal') ?? 0 };
  }
  if (number === 7 || number === 8) {
    const unit = structField(member, 2, 'the unit of a time');
    const [unitNumber = 0] = unit === undefined ? [] : [...unit.keys()];
    const name = (['MILLIS', 'MICROS', 'NANOS'] as const)[unitNumber - 1];
    if (name === undefined) return undefined;
    return {
      kind: number === 7 ? 'TIME' : 'TIMESTAMP',
      unit: name,
      utc: booleanField(member, 1, 'isAdjustedToUTC') ?? false,
    };
  }
  if (number === 10) {
    const bits = integerField(member, 1, 'the width of an integer') ?? 0;
    return { kind: 'INTEGER', bits, signed: booleanField(member, 2, 'isSigned') ?? true };
  }
  const kind = plainMeanings[number as keyof typeof plainMeanings] as
    | (typeof plainMeanings)[keyof typeof plainMeanings]
    | undefined;
  return kind === undefined ? undefined : { kind };
}

function convertedMeaning(
  element: ThriftStruct,
  converted: ParquetConvertedType | undefined,
  where: string,
): ParquetMeaning | undefined {
  switch (converted) {
    case undefined:
      return undefined;
    case 'UTF8':
      return { kind: 'STRING' };
    case 'MAP':
    case 'MAP_KEY_VALUE':
      return { kind: 'MAP' };
    case 'DECIMAL': {
      const scale = countField(element, 7, `the scale of ${where}`) ?? 0;
      return { kind: 'DECIMAL', scale, precision: countField(element, 8, `the precision of ${where}`) ?? 0 };
    }
    case 'TIME_MILLIS':
    case 'TIME_MICROS':
    case 'TIMESTAMP_MILLIS':
    case 'TIMESTAMP_MICROS': {
      const [kind, unit] = converted.split('_') as ['TIME' | 'TIMESTAMP', ParquetTimeUnit];
      return { kind, unit, utc: true };
    }
    case 'LIST':
    case 'ENUM':
    case 'DATE':
    case 'JSON':
    case 'BSON':
    case 'INTERVAL':
      return { kind: converted };
    case 'INT_8':
    case 'INT_16':
    case 'INT_32':
    case 'INT_64':
    case 'UINT_8':
    case 'UINT_16':
    case 'UINT_32':
    case 'UINT_64': {
      const bits = Number(/\d+$/.exec(converted)?.[0]);
      return { kind: 'INTEGER', bits, signed: !converted.startsWith('U') };
    }
  }
}

/** Which physical types carry a meaning. What a file says of any other is left out: its values are then as stored. */
const carriers: Readonly<Record<ParquetMeaning['kind'], readonly (ParquetType | undefined)[]>> = {
  STRING: ['BYTE_ARRAY'],
  ENUM: ['BYTE_ARRAY'],
  JSON: ['BYTE_ARRAY'],
  BSON: ['BYTE_ARRAY'],
  UUID: ['FIXED_LEN_BYTE_ARRAY'],
  DATE: ['INT32'],
  FLOAT16: ['FIXED_LEN_BYTE_ARRAY'],
  INTERVAL: ['FIXED_LEN_BYTE_ARRAY'],
  NULL: parquetTypes,
  LIST: [undefined],
  MAP: [undefined],
  VARIANT: [undefined],
  GEOMETRY: ['BYTE_ARRAY'],
  GEOGRAPHY: ['BYTE_ARRAY'],
  DECIMAL: ['INT32', 'INT64', 'BYTE_ARRAY', 'FIXED_LEN_BYTE_ARRAY'],
  TIME: ['INT32', 'INT64'],
  TIMESTAMP: ['INT64'],
  INTEGER: ['INT32', 'INT64'],
};

function fits(meaning: ParquetMeaning, type: ParquetType | undefined, length: number | undefined): boolean {
  if (!carriers[meaning.kind].includes(type)) return false;
  if (meaning.kind === 'UUID') return length === 16;
  if (meaning.kind === 'FLOAT16') return length === 2;
  return true;
}

/** The fields that hold values, in the order of a row group's column chunks. */
export function leavesOf(field: ParquetField): ParquetField[] {
  return field.type === undefined ? field.children.flatMap(leavesOf) : [field];
}

/** The most that the levels of each leaf can be: how often something on the way to it is repeated, or may be absent. */
export function levelsOf(root: ParquetField): { maxRepetition: number; maxDefinition: number }[] {
  const below = (field: ParquetField, maxRepetition: number, maxDefinition: number): ReturnType<typeof levelsOf> =>
    field.children.flatMap((child) => {
      const repetition = maxRepetition + (child.repetition === 'REPEATED' ? 1 : 0);
      const definition = maxDefinition + (child.repetition === 'REQUIRED' ? 0 : 1);
      if (child.type === undefined) return below(child, repetition, definition);
      return [{ maxRepetition: repetition, maxDefinition: definition }];
    });
  return below(root, 0, 0);
}

/** The schema as Parquet's own tools write it: `message name { required int64 id; … }`. */
export function formatParquetSchema(root: ParquetField): string {
  const line = (field: ParquetField, indent: string): string => {
    const type = field.type?.toLowerCase() ?? 'group';
    const length = field.typeLength === undefined ? '' : `(${field.typeLength})`;
    const meaning = field.meaning === undefined ? '' : ` (${meaningText(field.meaning)})`;
    const head = `${indent}${field.repetition.toLowerCase()} ${type}${length} ${field.name}${meaning}`;
    return field.type === undefined ? `${head} {\n${body(field, indent)}${indent}}` : `${head};`;
  };
  const body = (field: ParquetField, indent: string): string =>
    field.children.map((child) => `${line(child, `${indent}  `)}\n`).join('');
  return `message ${root.name} {\n${body(root, '')}}`;
}

function meaningText(meaning: ParquetMeaning): string {
  switch (meaning.kind) {
    case 'DECIMAL':
      return `DECIMAL(${meaning.precision},${meaning.scale})`;
    case 'TIME':
    case 'TIMESTAMP':
      return `${meaning.kind}(${meaning.unit},${meaning.utc})`;
    case 'INTEGER':
      return `INTEGER(${meaning.bits},${meaning.signed})`;
    case 'STRING':
    case 'ENUM':
    case 'JSON':
    case 'BSON':
    case 'UUID':
    case 'DATE':
    case 'FLOAT16':
    case 'INTERVAL':
    case 'NULL':
    case 'LIST':
    case 'MAP':
    case 'VARIANT':
    case 'GEOMETRY':
    case 'GEOGRAPHY':
      return meaning.kind;
  }
}
