/**
 * From values as they are stored to values as a row has them:
 *
 *   INT64                   number, bigint beyond 2^53
 *   decimals                decimal text
 *   dates, times            'YYYY-MM-DD', 'HH:MM:SS.nnnnnnnnn'
 *   timestamps, INT96       Timestamp
 *   UUID                    text
 *   other bytes             Uint8Array, a copy; the same for rows that name the same entry of a dictionary
 */
import { formatDay } from '../orc/calendar.ts';
import { formatTime, Timestamp } from '../timestamp.ts';
import type { ParquetField, ParquetTimeUnit } from './schema.ts';

/** A value of a row. */
export type ParquetValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Timestamp
  | readonly ParquetValue[]
  | { readonly [name: string]: ParquetValue };

/** Nanoseconds of a unit. */
export const unitNanoseconds: Readonly<Record<ParquetTimeUnit, bigint>> = {
  MILLIS: 1_000_000n,
  MICROS: 1000n,
  NANOS: 1n,
};

/** Text of an unscaled decimal. */
export function decimalText(unscaled: bigint, scale: number): string {
  if (scale === 0) return String(unscaled);
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
  return `${unscaled < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** A big-endian integer in two's complement. */
export function signedInteger(bytes: Uint8Array): bigint {
  if (bytes.length === 0) return 0n;
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
  return BigInt.asIntN(bytes.length * 8, BigInt(`0x${hex}`));
}

/** A number where it is one without loss. */
export function plainInteger(value: bigint | number): bigint | number {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

export function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

type Convert = (value: unknown) => ParquetValue;

/** How a leaf's stored values become those of rows; undefined where they are the same. */
export function leafConverter({ type, meaning }: ParquetField): Convert | undefined {
  switch (meaning?.kind) {
    case 'DECIMAL': {
      const { scale } = meaning;
      // Too large a scale would be padded with as many zeros: it is a claim, too.
      if (scale > 1000) return (value) => String(value);
      return (value) => decimalText(BigInt(value as bigint | number), scale);
    }
    case 'DATE':
      return (value) => formatDay(value as number);
    case 'TIME': {
      const unit = unitNanoseconds[meaning.unit];
      return (value) => formatTime(BigInt.asUintN(64, BigInt(value as bigint | number) * unit));
    }
    case 'TIMESTAMP': {
      const { unit, utc } = meaning;
      return (value) => new Timestamp((value as bigint) * unitNanoseconds[unit], utc);
    }
    case 'UUID':
      return (value) => uuidText(value as Uint8Array);
    case 'FLOAT16':
      return undefined;
    case 'STRING':
    case 'ENUM':
    case 'JSON':
    case 'BSON':
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
  if (type === 'INT64') return (value) => plainInteger(value as bigint);
  if (type === 'FIXED_LEN_BYTE_ARRAY' || type === 'BYTE_ARRAY') {
    // Bytes are views of a whole page: kept, they would keep the page.
    // One for all rows that have the same entry of a dictionary, which a page can name by the million.
    const copies = new WeakMap<Uint8Array, Uint8Array>();
    return (value) => {
      if (!(value instanceof Uint8Array)) return value as ParquetValue;
      const known = copies.get(value);
      if (known !== undefined) return known;
      const copy = Uint8Array.from(value);
      copies.set(value, copy);
      return copy;
    };
  }
  return undefined;
}
