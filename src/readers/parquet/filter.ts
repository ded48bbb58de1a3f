/**
 * Filters in the words of hyparquet, with values as rows have them: turned here into what is stored, so that
 * statistics, page indexes and rows are compared without loss.
 */
import type { ParquetQueryFilter } from 'hyparquet';
import { parseTimestamp, Timestamp } from '../timestamp.ts';
import type { ParquetField } from './schema.ts';
import { unitNanoseconds } from './value-of.ts';

/** A value to compare with. Dates and times also as text, decimals as text or numbers. */
export type ParquetFilterValue = null | boolean | number | bigint | string | Date | Uint8Array | Timestamp;

export interface ParquetConditions {
  readonly $eq?: ParquetFilterValue;
  readonly $ne?: ParquetFilterValue;
  readonly $gt?: ParquetFilterValue;
  readonly $gte?: ParquetFilterValue;
  readonly $lt?: ParquetFilterValue;
  readonly $lte?: ParquetFilterValue;
  readonly $in?: readonly ParquetFilterValue[];
  readonly $nin?: readonly ParquetFilterValue[];
  readonly $not?: ParquetConditions;
}

/** Which rows are wanted: every entry has to hold. Columns are named by path, through structs. */
export type ParquetFilter =
  | { readonly $and: readonly ParquetFilter[] }
  | { readonly $or: readonly ParquetFilter[] }
  | { readonly $nor: readonly ParquetFilter[] }
  | { readonly [path: string]: ParquetFilterValue | ParquetConditions };

/** A filter over stored values, and the columns that it looks at. */
export interface StoredFilter {
  readonly filter: ParquetQueryFilter;
  readonly paths: readonly string[];
}

/** @throws RangeError for a column that is not there, TypeError for a value that the column cannot have */
export function storedFilter(filter: ParquetFilter, root: ParquetField): StoredFilter {
  const paths = new Set<string>();
  return { filter: allOf(filter, { root, paths }), paths: [...paths] };
}

/** Operators with operands as they are stored. */
type StoredOperators = Readonly<Record<string, unknown>>;

interface Place {
  readonly root: ParquetField;
  readonly paths: Set<string>;
}

function allOf(filter: ParquetFilter, place: Place): ParquetQueryFilter {
  const parts = Object.entries(filter).map(([name, condition]): ParquetQueryFilter => {
    if (name === '$and' || name === '$or' || name === '$nor') {
      if (!Array.isArray(condition)) throw new TypeError(`${name} is given no list of filters`);
      const list = (condition as readonly ParquetFilter[]).map((item) => allOf(item, place));
      return name === '$and' ? { $and: list } : name === '$or' ? { $or: list } : { $nor: list };
    }
    const field = fieldAt(place.root, name);
    place.paths.add(field.path);
    return { [name]: operators(condition as ParquetFilterValue | ParquetConditions, field) };
  });
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : { $and: parts };
}

function fieldAt(root: ParquetField, path: string): ParquetField {
  let field = root;
  for (const name of path.split('.')) {
    const child = field.children.find((candidate) => candidate.name === name);
    if (child === undefined) throw new RangeError(`there is no column ${JSON.stringify(path)} to filter by`);
    if (child.repetition === 'REPEATED')
      throw new RangeError(`${JSON.stringify(path)} lies in a list or a map, which filters do not look into`);
    field = child;
  }
  if (field.type === undefined) throw new RangeError(`${JSON.stringify(path)} is a group of columns, filters take one`);
  return field;
}

function operators(condition: ParquetFilterValue | ParquetConditions, field: ParquetField): StoredOperators {
  if (!isConditions(condition)) return equal(condition, field);
  const parts: Record<string, unknown> = {};
  for (const [name, operand] of Object.entries(condition)) {
    switch (name) {
      case '$eq':
        Object.assign(parts, equal(operand as ParquetFilterValue, field));
        break;
      case '$ne':
        parts['$nin'] = listed([operand as ParquetFilterValue], field);
        break;
      case '$in':
      case '$nin':
        if (!Array.isArray(operand)) throw new TypeError(`${name} is given no list of values`);
        parts[name] = listed(operand as readonly ParquetFilterValue[], field);
        break;
      case '$not':
        parts[name] = operators(operand as ParquetConditions, field);
        break;
      case '$gt':
      case '$gte':
      case '$lt':
      case '$lte':
        parts[name] = stored(operand as ParquetFilterValue, { field, operator: name });
        break;
      default:
        throw new TypeError(`a filter has the unknown operator ${JSON.stringify(name)}`);
    }
  }
  return parts;
}

function isConditions(condition: ParquetFilterValue | ParquetConditions): condition is ParquetConditions {
  return typeof condition === 'object' && condition !== null && Object.getPrototypeOf(condition) === Object.prototype;
}

function equal(value: ParquetFilterValue, field: ParquetField): StoredOperators {
  return value === null ? { $in: [null, undefined] } : { $eq: stored(value, { field, operator: '$eq' }) };
}

/** Null is undefined to hyparquet where the struct around it is null. */
function listed(values: readonly ParquetFilterValue[], field: ParquetField): unknown[] {
  return values.flatMap((value) => (value === null ? [null, undefined] : [stored(value, { field, operator: '$eq' })]));
}

/** A value as a column stores it. */
type Stored = boolean | number | bigint | string | Uint8Array | Timestamp;

type Operator = '$eq' | '$gt' | '$gte' | '$lt' | '$lte';

interface Comparison {
  readonly field: ParquetField;
  readonly operator: Operator;
}

/** A value that equals nothing and is above and below nothing. */
const never = Number.NaN;

function stored(value: ParquetFilterValue, comparison: Comparison): Stored {
  const { field, operator } = comparison;
  const unfit = (expected: string): TypeError =>
    new TypeError(
      `column ${JSON.stringify(field.path)} is compared with ${value === null ? 'null' : `a ${typeof value}`}, expected ${expected}`,
    );
  if (value === null) throw unfit(`a value, ${operator} has none for null`);
  const { type, meaning } = field;
  switch (meaning?.kind) {
    case 'DECIMAL': {
      const unscaled = decimalOperand(value, meaning.scale, operator);
      if (unscaled === undefined) throw unfit('a decimal');
      return type === 'INT32' && typeof unscaled === 'bigint' ? Number(unscaled) : unscaled;
    }
    case 'DATE': {
      const nanoseconds = instantOperand(value);
      if (nanoseconds === undefined) throw unfit('a date as YYYY-MM-DD');
      return Number(onGrid(nanoseconds, 86_400_000_000_000n, operator));
    }
    case 'TIMESTAMP': {
      const nanoseconds = instantOperand(value);
      if (nanoseconds === undefined) throw unfit('a timestamp in ISO 8601');
      return onGrid(nanoseconds, unitNanoseconds[meaning.unit], operator);
    }
    case 'TIME': {
      const nanoseconds = typeof value === 'string' ? instantOperand(`1970-01-01T${value}`) : undefined;
      if (nanoseconds === undefined) throw unfit('a time as HH:MM:SS');
      const units = onGrid(nanoseconds, unitNanoseconds[meaning.unit], operator);
      return type === 'INT32' ? Number(units) : units;
    }
    case 'STRING':
    case 'ENUM':
    case 'JSON':
      if (typeof value !== 'string') throw unfit('a string');
      return value;
    case 'UUID': {
      if (typeof value !== 'string' || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value))
        throw unfit('a UUID');
      if (operator !== '$eq')
        throw new TypeError(`column ${JSON.stringify(field.path)} holds UUIDs, which have no order`);
      return new Uint8Array(Buffer.from(value.replaceAll('-', ''), 'hex'));
    }
    case 'BSON':
    case 'FLOAT16':
    case 'INTERVAL':
    case 'NULL':
    case 'LIST':
    case 'MAP':
    case 'VARIANT':
    case 'GEOMETRY':
    case 'GEOGRAPHY':
    case 'INTEGER':
    case undefined:
      break;
  }
  switch (type) {
    case 'BOOLEAN':
      if (typeof value !== 'boolean') throw unfit('true or false');
      return value;
    case 'INT64': {
      if (typeof value === 'string' && /^-?\d{1,20}$/.test(value)) return BigInt(value);
      if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value);
      if (typeof value === 'number') return operator === '$eq' ? never : value;
      if (typeof value !== 'bigint') throw unfit('an integer');
      return value;
    }
    case 'INT96': {
      const nanoseconds = instantOperand(value);
      if (nanoseconds === undefined) throw unfit('a timestamp in ISO 8601');
      return new Timestamp(nanoseconds, false);
    }
    case 'BYTE_ARRAY':
    case 'FIXED_LEN_BYTE_ARRAY': {
      if (meaning?.kind === 'FLOAT16' && typeof value === 'number') return value;
      if (!(value instanceof Uint8Array)) throw unfit('bytes');
      if (operator !== '$eq')
        throw new TypeError(`column ${JSON.stringify(field.path)} holds bytes: ask for $eq or $in`);
      return new Uint8Array(value);
    }
    case 'INT32':
    case 'FLOAT':
    case 'DOUBLE':
    case undefined:
      break;
  }
  if (typeof value !== 'number' && typeof value !== 'bigint') throw unfit('a number');
  return Number(value);
}

function instantOperand(value: ParquetFilterValue): bigint | undefined {
  if (value instanceof Timestamp) return value.nanoseconds;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? undefined : BigInt(value.getTime()) * 1_000_000n;
  return typeof value === 'string' ? parseTimestamp(value) : undefined;
}

function decimalOperand(value: ParquetFilterValue, scale: number, operator: Operator): bigint | number | undefined {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint') return undefined;
  const match = /^(-?)(\d*)(?:\.(\d*))?(?:e([+-]?\d{1,3}))?$/i.exec(String(value));
  if (match === null || `${match[2]}${match[3] ?? ''}` === '') return undefined;
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match;
  const digits = BigInt(`${sign}${whole}${fraction}`);
  const shift = scale - fraction.length + Number(exponent);
  return shift >= 0 ? digits * 10n ** BigInt(shift) : onGrid(digits, 10n ** BigInt(-shift), operator);
}

/**
 * A value in units of which a column holds whole numbers: between two of them it becomes the one with which the
 * comparison comes to the same, and NaN where it would have to be equal.
 */
function onGrid(value: bigint, unit: bigint, operator: Operator): bigint | number {
  const rest = ((value % unit) + unit) % unit;
  const below = (value - rest) / unit;
  if (rest === 0n) return below;
  if (operator === '$eq') return never;
  return operator === '$gt' || operator === '$lte' ? below : below + 1n;
}
