import { messageBudget, ProtobufReader } from './protobuf.ts';

/**
 * Statistics of one column, of a file, a stripe or a row group, in the format's own words. A field that the file leaves
 * out is absent.
 *
 * There is no null count: for a column of the root struct it is the rows minus `numberOfValues`.
 */
export interface OrcColumnStatistics {
  /** Values that are not null. */
  readonly numberOfValues?: number;
  readonly hasNull?: boolean;
  readonly bytesOnDisk?: number;
  readonly intStatistics?: IntegerStatistics;
  readonly doubleStatistics?: DoubleStatistics;
  readonly stringStatistics?: StringStatistics;
  /** Booleans: how many are true. */
  readonly bucketStatistics?: { readonly count: readonly number[] };
  readonly decimalStatistics?: DecimalStatistics;
  /** Days since 1970-01-01, in the file's calendar. */
  readonly dateStatistics?: { readonly minimum?: number; readonly maximum?: number };
  /** Total bytes. */
  readonly binaryStatistics?: { readonly sum?: number | bigint };
  readonly timestampStatistics?: TimestampStatistics;
  readonly collectionStatistics?: CollectionStatistics;
}

export interface IntegerStatistics {
  readonly minimum?: number | bigint;
  readonly maximum?: number | bigint;
  /** Absent where it overflowed 64 bits. */
  readonly sum?: number | bigint;
}

export interface DoubleStatistics {
  readonly minimum?: number;
  readonly maximum?: number;
  readonly sum?: number;
}

export interface StringStatistics {
  /**
   * Smallest value by its UTF-8 bytes. Absent where it was longer than the writer keeps; then there is a lowerBound.
   */
  readonly minimum?: string;
  readonly maximum?: string;
  /** Total length in bytes. */
  readonly sum?: number | bigint;
  readonly lowerBound?: string;
  readonly upperBound?: string;
}

/** Decimal strings. */
export interface DecimalStatistics {
  readonly minimum?: string;
  readonly maximum?: string;
  readonly sum?: string;
}

/**
 * Milliseconds since 1970. The plain pair is in the writer's zone (old files); the Utc pair reads the clock's face as
 * UTC.
 */
export interface TimestampStatistics {
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minimumUtc?: number;
  readonly maximumUtc?: number;
  /** Nanoseconds below the millisecond, plus one (0 stands for absent). */
  readonly minimumNanos?: number;
  readonly maximumNanos?: number;
}

export interface CollectionStatistics {
  readonly minChildren?: number;
  readonly maxChildren?: number;
  readonly totalChildren?: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Decodes a ColumnStatistics message. */
export function parseColumnStatistics(reader: ProtobufReader): OrcColumnStatistics {
  const result: Mutable<OrcColumnStatistics> = {};
  while (reader.next()) {
    if (reader.field === 1) result.numberOfValues = reader.uint();
    else if (reader.field === 2) result.intStatistics = parseInteger(reader.message('integer statistics'));
    else if (reader.field === 3) result.doubleStatistics = parseDouble(reader.message('double statistics'));
    else if (reader.field === 4) result.stringStatistics = parseString(reader.message('string statistics'));
    else if (reader.field === 5) result.bucketStatistics = parseBucket(reader.message('bucket statistics'));
    else if (reader.field === 6) result.decimalStatistics = parseDecimal(reader.message('decimal statistics'));
    else if (reader.field === 7) result.dateStatistics = parseDate(reader.message('date statistics'));
    else if (reader.field === 8) result.binaryStatistics = parseBinary(reader.message('binary statistics'));
    else if (reader.field === 9) result.timestampStatistics = parseTimestamp(reader.message('timestamp statistics'));
    else if (reader.field === 10) result.hasNull = reader.bool();
    else if (reader.field === 11) result.bytesOnDisk = reader.uint();
    else if (reader.field === 12)
      result.collectionStatistics = parseCollection(reader.message('collection statistics'));
    else reader.skip();
  }
  return result;
}

/** Decodes a StripeStatistics or the part of a Metadata message that is one: the statistics of every column. */
export function parseStripeStatistics(reader: ProtobufReader): OrcColumnStatistics[] {
  const columns: OrcColumnStatistics[] = [];
  while (reader.next()) {
    if (reader.field === 1) columns.push(parseColumnStatistics(reader.message('column statistics')));
    else reader.skip();
  }
  return columns;
}

/** Decodes the metadata section (already decompressed): statistics by stripe, then by column id. */
export function parseMetadata(
  bytes: Uint8Array,
  section: { offset: number; storedBytes: number },
): OrcColumnStatistics[][] {
  const { offset, storedBytes } = section;
  const reader = new ProtobufReader(bytes, { what: 'the metadata', offset, budget: messageBudget(storedBytes) });
  const stripes: OrcColumnStatistics[][] = [];
  while (reader.next()) {
    if (reader.field === 1) stripes.push(parseStripeStatistics(reader.message('stripe statistics')));
    else reader.skip();
  }
  return stripes;
}

function parseInteger(reader: ProtobufReader): IntegerStatistics {
  const result: Mutable<IntegerStatistics> = {};
  while (reader.next()) {
    if (reader.field === 1) result.minimum = reader.sint();
    else if (reader.field === 2) result.maximum = reader.sint();
    else if (reader.field === 3) result.sum = reader.sint();
    else reader.skip();
  }
  return result;
}

function parseDouble(reader: ProtobufReader): DoubleStatistics {
  const result: Mutable<DoubleStatistics> = {};
  while (reader.next()) {
    if (reader.field === 1) result.minimum = reader.double();
    else if (reader.field === 2) result.maximum = reader.double();
    else if (reader.field === 3) result.sum = reader.double();
    else reader.skip();
  }
  return result;
}

function parseString(reader: ProtobufReader): StringStatistics {
  const result: Mutable<StringStatistics> = {};
  while (reader.next()) {
    if (reader.field === 1) result.minimum = reader.string();
    else if (reader.field === 2) result.maximum = reader.string();
    else if (reader.field === 3) result.sum = reader.sint();
    else if (reader.field === 4) result.lowerBound = reader.string();
    else if (reader.field === 5) result.upperBound = reader.string();
    else reader.skip();
  }
  return result;
}

function parseBucket(reader: ProtobufReader): { count: number[] } {
  const count: number[] = [];
  while (reader.next()) {
    if (reader.field === 1) reader.uints(count);
    else reader.skip();
  }
  return { count };
}

function parseDecimal(reader: ProtobufReader): DecimalStatistics {
  const result: Mutable<DecimalStatistics> = {};
  while (reader.next()) {
    if (reader.field === 1) result.minimum = reader.string();
    else if (reader.field === 2) result.maximum = reader.string();
    else if (reader.field === 3) result.sum = reader.string();
    else reader.skip();
  }
  return result;
}

function parseDate(reader: ProtobufReader): { minimum?: number; maximum?: number } {
  const result: { minimum?: number; maximum?: number } = {};
  while (reader.next()) {
    if (reader.field === 1) result.minimum = Number(reader.sint());
    else if (reader.field === 2) result.maximum = Number(reader.sint());
    else reader.skip();
  }
  return result;
}

function parseBinary(reader: ProtobufReader): { sum?: number | bigint } {
  const result: { sum?: number | bigint } = {};
  while (reader.next()) {
    if (reader.field === 1) result.sum = reader.sint();
    else reader.skip();
  }
  return result;
}

function parseTimestamp(reader: ProtobufReader): TimestampStatistics {
  const result: Mutable<TimestampStatistics> = {};
  while (reader.next()) {
    if (reader.field === 1) result.minimum = Number(reader.sint());
    else if (reader.field === 2) result.maximum = Number(reader.sint());
    else if (reader.field === 3) result.minimumUtc = Number(reader.sint());
    else if (reader.field === 4) result.maximumUtc = Number(reader.sint());
    else if (reader.field === 5) result.minimumNanos = Number(reader.int());
    else if (reader.field === 6) result.maximumNanos = Number(reader.int());
    else reader.skip();
  }
  return result;
}

function parseCollection(reader: ProtobufReader): CollectionStatistics {
  const result: Mutable<CollectionStatistics> = {};
  while (reader.next()) {
    if (reader.field === 1) result.minChildren = reader.uint();
    else if (reader.field === 2) result.maxChildren = reader.uint();
    else if (reader.field === 3) result.totalChildren = reader.uint();
    else reader.skip();
  }
  return result;
}
