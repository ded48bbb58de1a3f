import type { ByteRange } from '../orc/byte-ranges.ts';
import {
  booleanField,
  bytesField,
  countField,
  integerField,
  listField,
  nameField,
  required,
  structField,
  structsField,
  textField,
} from './fields.ts';
import { formatInvalid, formatUnsupported } from './format-error.ts';
import { buildSchema, leavesOf, type ParquetField, type ParquetType, parquetTypes } from './schema.ts';
import { type ParquetStatistics, readStatistics, type StoredBounds } from './statistics.ts';
import { readStruct, type ThriftStruct, type ThriftValue } from './thrift.ts';

const codecs = ['UNCOMPRESSED', 'SNAPPY', 'GZIP', 'LZO', 'BROTLI', 'LZ4', 'ZSTD', 'LZ4_RAW'] as const;

/** How pages are compressed. LZ4 is Hadoop's framing of it. */
export type ParquetCodec = (typeof codecs)[number];

export interface ParquetKeyValue {
  readonly key: string;
  readonly value?: string;
}

/** The values of one column in one row group. */
export interface ParquetColumnChunk {
  /** Path of the column: names joined by dots. */
  readonly path: string;
  readonly type: ParquetType;
  readonly codec: ParquetCodec;
  /** Names of the encodings, in the writer's order; unknown ones by number. */
  readonly encodings: readonly string[];
  /** Values, nulls and empty lists included. */
  readonly valueCount: number;
  /** Where the chunk lies, its dictionary included: offset in the file and bytes. */
  readonly start: number;
  readonly length: number;
  readonly uncompressedLength: number;
  readonly dataPageOffset: number;
  readonly dictionaryPageOffset?: number;
  readonly columnIndex?: ByteRange;
  readonly offsetIndex?: ByteRange;
  /** The length is missing in files of many writers. */
  readonly bloomFilter?: { readonly start: number; readonly length?: number };
  readonly statistics?: ParquetStatistics;
  /** Whether values are encrypted, and by which of the file's keys. */
  readonly encrypted?: 'footer key' | 'column key';
  /** Bytes after the chunk that may belong to it: the first writers did not count the header of its dictionary. */
  readonly slack?: number;
  /** Another file that holds the chunk. No such is read. */
  readonly filePath?: string;
  readonly keyValueMetadata: readonly ParquetKeyValue[];
}

export interface ParquetRowGroup {
  readonly index: number;
  readonly rowCount: number;
  /** From the first byte of its first chunk to the end of its last one. */
  readonly start: number;
  readonly end: number;
  /** Bytes of its chunks, as they are stored. */
  readonly length: number;
  /** Bytes of its values, uncompressed. */
  readonly totalByteSize: number;
  readonly fileOffset?: number;
  readonly totalCompressedSize?: number;
  readonly ordinal?: number;
  readonly sortingColumns?: readonly {
    readonly column: number;
    readonly descending: boolean;
    readonly nullsFirst: boolean;
  }[];
  readonly columns: readonly ParquetColumnChunk[];
}

/** What the footer says. */
export interface ParquetMetadata {
  readonly version: number;
  /** The root of the schema. */
  readonly schema: ParquetField;
  readonly rowCount: number;
  readonly rowGroups: readonly ParquetRowGroup[];
  readonly keyValueMetadata: readonly ParquetKeyValue[];
  readonly createdBy?: string;
  /** Columns whose order is stated, if any is. */
  readonly columnOrders?: number;
  /** Of files whose columns are encrypted while the footer is not. */
  readonly encryptionAlgorithm?: 'AES_GCM_V1' | 'AES_GCM_CTR_V1';
  /** Bytes that the metadata takes of the footer; a signed footer has 28 more. */
  readonly thriftLength: number;
}

/** Bounds of the chunks in the form that filters compare, for this package alone. */
export const storedBounds: WeakMap<ParquetColumnChunk, StoredBounds> = new WeakMap();

/**
 * Parses a footer's FileMetaData, and checks that what it points at lies before `offset`, the footer's own place.
 *
 * @throws SealpipeError FORMAT_INVALID, FORMAT_UNSUPPORTED
 */
export function parseFooter(bytes: Uint8Array, { offset }: { offset: number }): ParquetMetadata {
  const { struct, end } = readStruct(bytes, { offset });
  const schema = buildSchema(required(structsField(struct, 2, 'the schema'), 'schema'));
  const leaves = leavesOf(schema);
  required(countField(struct, 3, 'the number of rows'), 'number of rows');
  const groups = required(structsField(struct, 4, 'the row groups'), 'row groups');
  const createdBy = textField(struct, 6, 'created_by');
  const slack = shortensChunks(createdBy) ? dictionaryHeader : 0;
  const rowGroups = groups.map((group, index) => readRowGroup(group, { index, leaves, footerOffset: offset, slack }));
  // Not what the file claims: there are writers that leave it 0.
  const rowCount = rowGroups.reduce((total, group) => total + group.rowCount, 0);
  const columnOrders = structsField(struct, 7, 'the column orders')?.length;
  const algorithm = structField(struct, 8, 'the encryption algorithm');
  return {
    version: required(integerField(struct, 1, 'the version'), 'version'),
    schema,
    rowCount,
    rowGroups,
    keyValueMetadata: keyValues(struct, 5),
    ...(createdBy === undefined ? {} : { createdBy }),
    ...(columnOrders === undefined ? {} : { columnOrders }),
    ...(algorithm === undefined ? {} : { encryptionAlgorithm: algorithm.has(2) ? 'AES_GCM_CTR_V1' : 'AES_GCM_V1' }),
    thriftLength: end,
  };
}

function keyValues(struct: ThriftStruct, number: number): ParquetKeyValue[] {
  return (structsField(struct, number, 'key-value metadata') ?? []).map((pair) => {
    const value = textField(pair, 2, 'a value of the key-value metadata');
    return {
      key: required(textField(pair, 1, 'a key of the key-value metadata'), 'key in an entry of the key-value metadata'),
      ...(value === undefined ? {} : { value }),
    };
  });
}

interface Place {
  readonly index: number;
  readonly leaves: readonly ParquetField[];
  readonly footerOffset: number;
  readonly slack: number;
}

/** The most that the header of a dictionary page takes (PARQUET-816). */
const dictionaryHeader = 100;

function shortensChunks(createdBy = ''): boolean {
  const version = /^parquet-mr(?: version (\d+)\.(\d+)\.(\d+))?/.exec(createdBy);
  if (version === null) return false;
  const [major = 0, minor = 0, patch = 0] = version.slice(1).map((part) => Number(part ?? 0));
  return major < 1 || (major === 1 && (minor < 2 || (minor === 2 && patch < 9)));
}

function readRowGroup(struct: ThriftStruct, place: Place): ParquetRowGroup {
  const { index, leaves } = place;
  const name = `row group ${index}`;
  const chunks = required(structsField(struct, 1, `the columns of ${name}`), `columns in ${name}`);
  if (chunks.length !== leaves.length) {
    throw formatInvalid(`${name} has ${chunks.length} columns, the schema ${leaves.length}`);
  }
  const columns = chunks.map((chunk, column) => readChunk(chunk, { place, field: leaves[column]! }));
  const own = columns.filter(({ filePath }) => filePath === undefined);
  const fileOffset = integerField(struct, 5, `the offset of ${name}`);
  const totalCompressedSize = integerField(struct, 6, `the compressed size of ${name}`);
  const ordinal = integerField(struct, 7, `the ordinal of ${name}`);
  const sorting = structsField(struct, 4, `the sorting columns of ${name}`);
  return {
    index,
    rowCount: required(countField(struct, 3, `the number of rows of ${name}`), `number of rows in ${name}`),
    start: own.length === 0 ? 0 : Math.min(...own.map(({ start }) => start)),
    end: own.reduce((most, { start, length }) => Math.max(most, start + length), 0),
    length: own.reduce((sum, { length }) => sum + length, 0),
    totalByteSize: integerField(struct, 2, `the size of ${name}`) ?? 0,
    ...(fileOffset === undefined ? {} : { fileOffset }),
    ...(totalCompressedSize === undefined ? {} : { totalCompressedSize }),
    ...(ordinal === undefined ? {} : { ordinal }),
    ...(sorting === undefined
      ? {}
      : {
          sortingColumns: sorting.map((entry) => ({
            column: required(countField(entry, 1, 'a sorting column'), 'column in a sorting column'),
            descending: booleanField(entry, 2, 'descending') ?? false,
            nullsFirst: booleanField(entry, 3, 'nulls_first') ?? false,
          })),
        }),
    columns,
  };
}

function readChunk(struct: ThriftStruct, { place, field }: { place: Place; field: ParquetField }): ParquetColumnChunk {
  const { index, footerOffset } = place;
  const room = (end: number): number => Math.max(0, Math.min(place.slack, footerOffset - end));
  const name = `column ${JSON.stringify(field.path)} of row group ${index}`;
  const crypto = structField(struct, 8, `the encryption of ${name}`);
  const metadata = structField(struct, 3, `the metadata of ${name}`);
  if (metadata === undefined) {
    if (crypto !== undefined) throw formatUnsupported(`the metadata of ${name} is encrypted`);
    throw formatInvalid(`${name} has no metadata`);
  }
  const type = required(nameField(metadata, 1, parquetTypes, `the type of ${name}`), `type in ${name}`);
  if (type !== field.type) throw formatInvalid(`${name} is ${type}, the schema says ${field.type}`);
  const path = (listField(metadata, 3, `the path of ${name}`) ?? []).map((part) => {
    if (part instanceof Uint8Array) return new TextDecoder().decode(part);
    throw formatInvalid(`the path of ${name} is not made of names`);
  });
  if (path.join('.') !== field.path) {
    throw formatInvalid(`${name} has the path ${JSON.stringify(path.join('.'))}`);
  }
  const codecNumber = required(integerField(metadata, 4, `the codec of ${name}`), `codec in ${name}`);
  const codec = codecs[codecNumber];
  if (codec === undefined) throw formatUnsupported(`${name} is compressed with the unknown codec ${codecNumber}`);
  const filePath = textField(struct, 1, `the file of ${name}`);
  const dataPageOffset = required(integerField(metadata, 9, `the offset of ${name}`), `offset in ${name}`);
  const dictionaryPageOffset = integerField(metadata, 11, `the dictionary offset of ${name}`);
  // Some old writers give 0, or an offset behind the data, where there is no dictionary.
  const start =
    dictionaryPageOffset !== undefined && dictionaryPageOffset > 0 && dictionaryPageOffset < dataPageOffset
      ? dictionaryPageOffset
      : dataPageOffset;
  const length = required(integerField(metadata, 7, `the size of ${name}`), `size in ${name}`);
  const within = (range: { start: number; length: number }, what: string): void => {
    if (range.start < 0 || range.length < 0 || range.start + range.length > footerOffset) {
      throw formatInvalid(
        `${what} of ${name} is at [${range.start}, ${range.start + range.length}), outside of the ${footerOffset} bytes before the footer`,
      );
    }
  };
  if (filePath === undefined) within({ start, length }, 'the data');
  const indexRange = (first: number, what: string): ByteRange | undefined => {
    const [indexStart, indexLength] = [struct.get(first), struct.get(first + 1)];
    if (typeof indexStart !== 'number' || typeof indexLength !== 'number' || indexLength === 0) return undefined;
    within({ start: indexStart, length: indexLength }, what);
    return { start: indexStart, end: indexStart + indexLength };
  };
  const offsetIndex = indexRange(4, 'the offset index');
  const columnIndex = indexRange(6, 'the column index');
  // These fields came late: in files of some older writers their numbers hold something else.
  const bloomStart = numberOf(metadata.get(14));
  const bloomLength = bloomStart === undefined ? undefined : numberOf(metadata.get(15));
  if (bloomStart !== undefined) within({ start: bloomStart, length: bloomLength ?? 0 }, 'the bloom filter');
  const statisticsStruct = structField(metadata, 12, `the statistics of ${name}`);
  const statistics = statisticsStruct === undefined ? undefined : readStatistics(statisticsStruct, field);
  const chunk: ParquetColumnChunk = {
    path: field.path,
    type,
    codec,
    encodings: (listField(metadata, 2, `the encodings of ${name}`) ?? []).map((number) =>
      typeof number === 'number' ? (encodings[number] ?? `ENCODING_${number}`) : 'UNKNOWN',
    ),
    valueCount: required(countField(metadata, 5, `the number of values of ${name}`), `number of values in ${name}`),
    start,
    length,
    uncompressedLength: required(countField(metadata, 6, `the uncompressed size of ${name}`), `size in ${name}`),
    dataPageOffset,
    ...(dictionaryPageOffset === undefined ? {} : { dictionaryPageOffset }),
    ...(columnIndex === undefined ? {} : { columnIndex }),
    ...(offsetIndex === undefined ? {} : { offsetIndex }),
    ...(bloomStart === undefined
      ? {}
      : { bloomFilter: { start: bloomStart, ...(bloomLength === undefined ? {} : { length: bloomLength }) } }),
    ...(statistics === undefined ? {} : { statistics: statistics.statistics }),
    ...(crypto === undefined ? {} : { encrypted: crypto.has(1) ? 'footer key' : 'column key' }),
    ...(room(start + length) === 0 ? {} : { slack: room(start + length) }),
    ...(filePath === undefined ? {} : { filePath }),
    keyValueMetadata: keyValues(metadata, 8),
  };
  if (statistics?.bounds !== undefined) storedBounds.set(chunk, statistics.bounds);
  return chunk;
}

function numberOf(value: ThriftValue | undefined): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

const encodings: readonly string[] = [
  'PLAIN',
  'GROUP_VAR_INT',
  'PLAIN_DICTIONARY',
  'RLE',
  'BIT_PACKED',
  'DELTA_BINARY_PACKED',
  'DELTA_LENGTH_BYTE_ARRAY',
  'DELTA_BYTE_ARRAY',
  'RLE_DICTIONARY',
  'BYTE_STREAM_SPLIT',
];

/** What an encrypted footer (`PARE`) says of itself without a key. */
export function describeEncryptedFooter(bytes: Uint8Array, { offset }: { offset: number }): string {
  try {
    const { struct } = readStruct(bytes, { offset });
    const algorithm = structField(struct, 1, 'the encryption algorithm');
    if (algorithm === undefined) return '';
    bytesField(struct, 2, 'the key metadata');
    return ` (${algorithm.has(2) ? 'AES_GCM_CTR_V1' : 'AES_GCM_V1'})`;
  } catch {
    // Its name is known either way, and that is what the error is about.
    return '';
  }
}
