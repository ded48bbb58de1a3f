import { booleanField, bytesField, countField } from './fields.ts';
import type { ParquetField } from './schema.ts';
import type { ThriftStruct } from './thrift.ts';
import { leafConverter, type ParquetValue, signedInteger } from './value-of.ts';

/** Statistics of one column in one row group. */
export interface ParquetStatistics {
  /**
   * The smallest and the largest value, as rows have them. Absent where the writer gave none, or only such as older
   * writers ordered wrongly. Of long strings, they may be cut: bounds that no value need have.
   */
  readonly min?: ParquetValue;
  readonly max?: ParquetValue;
  readonly minExact?: boolean;
  readonly maxExact?: boolean;
  readonly nullCount?: number;
  readonly distinctCount?: number;
}

/** The bounds as they compare: see domain.ts for what they are. */
export interface StoredBounds {
  readonly min: unknown;
  readonly max: unknown;
}

const utf8 = new TextDecoder();

/** Statistics of a chunk, for people and for the comparison with filters. */
export function readStatistics(
  struct: ThriftStruct,
  field: ParquetField,
): { statistics: ParquetStatistics; bounds: StoredBounds | undefined } {
  const where = `the statistics of ${JSON.stringify(field.path)}`;
  const nullCount = countField(struct, 3, `the null count in ${where}`);
  const distinctCount = countField(struct, 4, `the distinct count in ${where}`);
  const minExact = booleanField(struct, 8, `${where}: is_min_value_exact`);
  const maxExact = booleanField(struct, 7, `${where}: is_max_value_exact`);
  const trusted = trustsDeprecated(field);
  const min = storedBound(bytesField(struct, 6, where) ?? (trusted ? bytesField(struct, 2, where) : undefined), field);
  const max = storedBound(bytesField(struct, 5, where) ?? (trusted ? bytesField(struct, 1, where) : undefined), field);
  const convert = leafConverter(field) ?? ((value: unknown) => value as ParquetValue);
  return {
    statistics: {
      ...(min === undefined ? {} : { min: convert(min) }),
      ...(max === undefined ? {} : { max: convert(max) }),
      ...(minExact === undefined ? {} : { minExact }),
      ...(maxExact === undefined ? {} : { maxExact }),
      ...(nullCount === undefined ? {} : { nullCount }),
      ...(distinctCount === undefined ? {} : { distinctCount }),
    },
    bounds: min === undefined || max === undefined ? undefined : { min, max },
  };
}

/** The first two fields were compared as signed bytes by some writers: right for signed numbers alone (PARQUET-251). */
function trustsDeprecated({ type, meaning }: ParquetField): boolean {
  if (meaning?.kind === 'INTEGER') return meaning.signed;
  return type === 'BOOLEAN' || type === 'INT32' || type === 'INT64' || type === 'FLOAT' || type === 'DOUBLE';
}

type StoredBound = boolean | number | bigint | string | Uint8Array | undefined;

/** A bound as values of the column are stored; undefined where it is none that can be trusted. */
function storedBound(bytes: Uint8Array | undefined, { type, typeLength, meaning }: ParquetField): StoredBound {
  if (bytes === undefined || type === undefined) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const { length } = bytes;
  const unsigned = meaning?.kind === 'INTEGER' && !meaning.signed;
  switch (type) {
    case 'BOOLEAN':
      return length === 1 ? bytes[0] === 1 : undefined;
    case 'INT32':
      return length === 4 ? (unsigned ? view.getUint32(0, true) : view.getInt32(0, true)) : undefined;
    case 'INT64':
      return length === 8 ? (unsigned ? view.getBigUint64(0, true) : view.getBigInt64(0, true)) : undefined;
    case 'FLOAT':
      return length === 4 ? orderedNumber(view.getFloat32(0, true)) : undefined;
    case 'DOUBLE':
      return length === 8 ? orderedNumber(view.getFloat64(0, true)) : undefined;
    case 'BYTE_ARRAY':
    case 'FIXED_LEN_BYTE_ARRAY':
      // Decimals longer than any known precision would cost time and no more: 64 bytes hold 153 digits.
      if (meaning?.kind === 'DECIMAL') return length <= 64 ? signedInteger(bytes) : undefined;
      if (meaning?.kind === 'STRING' || meaning?.kind === 'ENUM' || meaning?.kind === 'JSON') return utf8.decode(bytes);
      if (meaning?.kind === 'FLOAT16')
        return length === 2 ? orderedNumber(halfFloat(view.getUint16(0, true))) : undefined;
      if (type === 'FIXED_LEN_BYTE_ARRAY' && length !== typeLength) return undefined;
      return Uint8Array.from(bytes);
    // INT96 has no order that writers agree on.
    case 'INT96':
      return undefined;
  }
}

/** NaN as a bound says nothing about the other values. */
function orderedNumber(value: number): number | undefined {
  return Number.isNaN(value) ? undefined : value;
}

function halfFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
