import { formatDay, gregorianStart } from './calendar.ts';
import { parseDecimal } from './decimal.ts';
import { keptStringValues } from './row-values.ts';
import type { OrcColumn } from './schema.ts';
import type { OrcColumnStatistics } from './statistics.ts';
import { OrcTimestamp } from './timestamp.ts';
import type { OrcVector } from './vectors.ts';

/** What a filter compares with. */
export type FilterValue = null | boolean | number | bigint | string | Date | Uint8Array | OrcTimestamp;

/** How the values of a column are compared: with each other, with what a filter names, and with what statistics say. */
export interface Comparison {
  /** The key of a filter's value. Throws TypeError for one that the column cannot hold. */
  keyOf(value: unknown): unknown;
  /** Gives the key of each row that is not null. */
  keysOf(vector: OrcVector): (row: number) => unknown;
  /** Negative, 0 or positive; NaN where the keys cannot be ordered. */
  compare(a: unknown, b: unknown): number;
  /**
   * Keys that no value of the column is below and above. Undefined where statistics do not say, or cannot be trusted.
   */
  bounds(statistics: OrcColumnStatistics): { minimum: unknown; maximum: unknown } | undefined;
}

interface TypedComparison<Key> {
  keyOf(value: FilterValue): Key | undefined;
  keysOf(vector: OrcVector): (row: number) => Key;
  compare(a: Key, b: Key): number;
  bounds(statistics: OrcColumnStatistics): { minimum: Key | undefined; maximum: Key | undefined };
}

/** The comparison for a column; `path` names it in errors. */
export function comparisonOf(column: OrcColumn, path: string): Comparison {
  switch (column.type.kind) {
    case 'BOOLEAN':
      return typed(booleans, path);
    case 'BYTE':
    case 'SHORT':
    case 'INT':
    case 'LONG':
      return typed(integers, path);
    case 'FLOAT':
    case 'DOUBLE':
      return typed(floats, path);
    case 'STRING':
    case 'VARCHAR':
      return typed(strings, path);
    case 'CHAR':
      // Its statistics count the padding, its values do not.
      return typed({ ...strings, bounds: unbounded }, path);
    case 'BINARY':
    case 'GEOMETRY':
    case 'GEOGRAPHY':
      return typed(binaries, path);
    case 'DATE':
      return typed(dates, path);
    case 'TIMESTAMP':
    case 'TIMESTAMP_INSTANT':
      return typed(timestamps, path);
    case 'DECIMAL':
      return typed(decimals, path);
    case 'LIST':
    case 'MAP':
    case 'STRUCT':
    case 'UNION':
      return typed(nullness, path);
  }
}

function typed<Key>(comparison: TypedComparison<Key>, path: string): Comparison {
  return {
    keyOf(value) {
      if (value === null) return null;
      const key = comparison.keyOf(value as FilterValue);
      if (key === undefined) throw new TypeError(`a filter compares ${JSON.stringify(path)} with ${describe(value)}`);
      return key;
    },
    keysOf: (vector) => comparison.keysOf(vector),
    compare: (a, b) => comparison.compare(a as Key, b as Key),
    bounds(statistics) {
      const { minimum, maximum } = comparison.bounds(statistics);
      return minimum === undefined || maximum === undefined ? undefined : { minimum, maximum };
    },
  };
}

function describe(value: unknown): string {
  return typeof value === 'object' && value !== null
    ? `a ${value.constructor?.name}`
    : `the ${typeof value} ${String(value)}`;
}

const unbounded = (): { minimum: undefined; maximum: undefined } => ({ minimum: undefined, maximum: undefined });

function ordered<T extends number | bigint | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : a === b ? 0 : looselyEqual(a, b);
}

/** 1 and 1n are equal to ==, and NaN is equal to nothing. */
function looselyEqual(a: number | bigint | string, b: number | bigint | string): number {
  return Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : 0;
}

function wrongVector(vector: OrcVector): never {
  throw new TypeError(`a filter met a vector of ${vector.kind}`);
}

const booleans: TypedComparison<number> = {
  keyOf: (value) => (typeof value === 'boolean' ? Number(value) : undefined),
  keysOf: (vector) => (vector.kind === 'boolean' ? (row) => vector.values[row]! : wrongVector(vector)),
  compare: ordered,
  bounds: unbounded,
};

const integers: TypedComparison<number | bigint> = {
  keyOf: (value) => (typeof value === 'number' || typeof value === 'bigint' ? value : undefined),
  keysOf(vector) {
    if (vector.kind === 'int32' || vector.kind === 'int64') return (row) => vector.values[row]!;
    return wrongVector(vector);
  },
  compare: ordered,
  bounds: ({ intStatistics }) => ({ minimum: intStatistics?.minimum, maximum: intStatistics?.maximum }),
};

const floats: TypedComparison<number> = {
  keyOf: (value) => (typeof value === 'number' ? value : typeof value === 'bigint' ? Number(value) : undefined),
  keysOf: (vector) => (vector.kind === 'float' ? (row) => vector.values[row]! : wrongVector(vector)),
  compare: ordered,
  bounds({ doubleStatistics: statistics }) {
    // A NaN in the data can have stopped a writer from keeping bounds at all.
    if (Number.isNaN(statistics?.minimum) || Number.isNaN(statistics?.maximum)) return unbounded();
    return { minimum: statistics?.minimum, maximum: statistics?.maximum };
  },
};

const strings: TypedComparison<string> = {
  keyOf: (value) => (typeof value === 'string' ? value : undefined),
  keysOf(vector) {
    if (vector.kind !== 'string') return wrongVector(vector);
    const values = keptStringValues(vector);
    return (row) => values[row]!;
  },
  compare: ordered,
  bounds({ stringStatistics: statistics }) {
    const minimum = statistics?.minimum ?? statistics?.lowerBound;
    const maximum = statistics?.maximum ?? statistics?.upperBound;
    // Writers order by UTF-8 bytes, JavaScript by UTF-16 units: the two differ only from U+D800 on.
    if (minimum !== undefined && maximum !== undefined && (beyondBmp(minimum) || beyondBmp(maximum)))
      return unbounded();
    return { minimum, maximum };
  },
};

function beyondBmp(text: string): boolean {
  return /[\ud800-\uffff]/.test(text);
}

const binaries: TypedComparison<string> = {
  keyOf: (value) => (value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : undefined),
  keysOf(vector) {
    if (vector.kind !== 'binary') return wrongVector(vector);
    const { bytes, offsets } = vector;
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    return (row) => buffer.toString('latin1', offsets[row], offsets[row + 1]);
  },
  compare: ordered,
  bounds: unbounded,
};

const dates: TypedComparison<number> = {
  keyOf(value) {
    const time = value instanceof Date ? value.getTime() : typeof value === 'string' ? dateOf(value) : Number.NaN;
    return Number.isNaN(time) ? undefined : Math.floor(time / 86_400_000);
  },
  keysOf: (vector) => (vector.kind === 'date' ? (row) => vector.values[row]! : wrongVector(vector)),
  compare: ordered,
  bounds({ dateStatistics: statistics }) {
    // Days before the Gregorian calendar depend on the file's calendar, which the values have been moved from.
    if ((statistics?.minimum ?? 0) < gregorianStart) return unbounded();
    return { minimum: statistics?.minimum, maximum: statistics?.maximum };
  },
};

/** A date alone, in its one ISO form: what the platform's parser accepts beyond that differs. */
function dateOf(text: string): number {
  if (!/^(\d{4}|[+-]\d{6})-\d\d-\d\d$/.test(text)) return Number.NaN;
  const time = Date.parse(text);
  // Date.parse takes 2021-02-31 for 3 March.
  return formatDay(Math.floor(time / 86_400_000)) === text ? time : Number.NaN;
}

const nanosPerMilli = 1_000_000n;

const timestamps: TypedComparison<bigint> = {
  keyOf(value) {
    if (value instanceof OrcTimestamp) return value.toBigInt();
    if (value instanceof Date)
      return Number.isNaN(value.getTime()) ? undefined : BigInt(value.getTime()) * nanosPerMilli;
    return typeof value === 'string' ? parseTimestamp(value) : undefined;
  },
  keysOf(vector) {
    if (vector.kind !== 'timestamp') return wrongVector(vector);
    const { seconds, nanoseconds } = vector;
    return (row) => BigInt(seconds[row]!) * 1_000_000_000n + BigInt(nanoseconds[row]!);
  },
  compare: ordered,
  bounds({ timestampStatistics: statistics }) {
    const { minimumUtc, maximumUtc } = statistics ?? {};
    if (minimumUtc === undefined || maximumUtc === undefined) return unbounded();
    if (!Number.isSafeInteger(minimumUtc) || !Number.isSafeInteger(maximumUtc)) return unbounded();
    if (minimumUtc < gregorianStart * 86_400_000) return unbounded();
    // A second on either side: before 1970 writers have rounded in both directions.
    return {
      minimum: BigInt(minimumUtc - 1000) * nanosPerMilli,
      maximum: BigInt(maximumUtc + 1000) * nanosPerMilli,
    };
  },
};

/** ISO 8601 with up to nine decimals; without a zone the clock's face is taken as UTC, as the vector's seconds are. */
function parseTimestamp(text: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?)?$/.exec(text);
  if (match === null) return undefined;
  const [, day, clock = '00:00', fraction = '', zone = 'Z'] = match;
  const time = Date.parse(`${day}T${clock}${zone}`);
  return Number.isNaN(time) ? undefined : BigInt(time) * nanosPerMilli + BigInt(fraction.padEnd(9, '0'));
}

/** Decimals as they are written: a digit string and a scale, compared at the larger scale of the two. */
interface DecimalKey {
  readonly unscaled: bigint;
  readonly scale: number;
}

const decimals: TypedComparison<DecimalKey> = {
  keyOf(value) {
    if (typeof value === 'bigint') return { unscaled: value, scale: 0 };
    return typeof value === 'number' || typeof value === 'string' ? parseDecimal(String(value)) : undefined;
  },
  keysOf(vector) {
    if (vector.kind !== 'decimal') return wrongVector(vector);
    const { unscaled, scale } = vector;
    return (row) => ({ unscaled: unscaled[row]!, scale });
  },
  compare(a, b) {
    if (a.scale === b.scale) return ordered(a.unscaled, b.unscaled);
    if (a.scale < b.scale) return ordered(a.unscaled * 10n ** BigInt(b.scale - a.scale), b.unscaled);
    return ordered(a.unscaled, b.unscaled * 10n ** BigInt(a.scale - b.scale));
  },
  bounds({ decimalStatistics: statistics }) {
    return {
      minimum: statistics?.minimum === undefined ? undefined : parseDecimal(statistics.minimum),
      maximum: statistics?.maximum === undefined ? undefined : parseDecimal(statistics.maximum),
    };
  },
};

/** Lists, maps, structs and unions are compared with null alone. */
const nullness: TypedComparison<boolean> = {
  keyOf: () => undefined,
  keysOf: () => () => true,
  compare: () => 0,
  bounds: unbounded,
};
