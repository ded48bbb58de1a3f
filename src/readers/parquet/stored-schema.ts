/**
 * The metadata as hyparquet is given it.
 *
 * Its own conversions lose what JSON and numbers cannot hold (decimals become doubles, timestamps milliseconds, maps
 * objects), and some throw. So it is told less than the file says: most columns are plain integers and bytes to it,
 * maps are structs, and what they mean is put back afterwards (row-of.ts). Its parser of footers is never used: it
 * trusts what it reads.
 */
import type { FileMetaData, SchemaElement, Statistics } from 'hyparquet';
import { type ParquetColumnChunk, type ParquetRowGroup, storedBounds } from './footer.ts';
import { isPlainList } from './lists.ts';
import type { ParquetField } from './schema.ts';
import type { Selection } from './selection.ts';

type Bound = NonNullable<Statistics['min_value']>;

/** One row group of a file, with the columns selected, as a file of its own. */
export function storedMetadata(group: ParquetRowGroup, { root, leaves }: Selection): FileMetaData {
  const columns = leaves.map((leaf) => group.columns[leaf]!);
  const fields = leafFields(root);
  return {
    version: 2,
    schema: elementsOf(root),
    num_rows: BigInt(group.rowCount),
    metadata_length: 0,
    row_groups: [
      {
        columns: columns.map((chunk, index) => storedChunk(chunk, fields[index]!)),
        total_byte_size: BigInt(group.totalByteSize),
        num_rows: BigInt(group.rowCount),
      },
    ],
  };
}

function leafFields(field: ParquetField): ParquetField[] {
  return field.type === undefined ? field.children.flatMap(leafFields) : [field];
}

/** Whether a column's values are decimals in bytes: compared as integers here, and as bytes in a page index. */
function isByteDecimal({ type, meaning }: ParquetField): boolean {
  return meaning?.kind === 'DECIMAL' && (type === 'BYTE_ARRAY' || type === 'FIXED_LEN_BYTE_ARRAY');
}

function storedChunk(
  chunk: ParquetColumnChunk,
  field: ParquetField,
): FileMetaData['row_groups'][number]['columns'][number] {
  const { start, length, slack = 0, statistics, offsetIndex, columnIndex, bloomFilter } = chunk;
  const bounds = storedBounds.get(chunk);
  const nullCount = statistics?.nullCount;
  const indexed = columnIndex !== undefined && !isByteDecimal(field) && field.type !== 'INT96';
  return {
    file_offset: 0n,
    meta_data: {
      type: chunk.type,
      encodings: [],
      path_in_schema: chunk.path.split('.'),
      codec: chunk.codec,
      num_values: BigInt(chunk.valueCount),
      total_uncompressed_size: BigInt(chunk.uncompressedLength),
      total_compressed_size: BigInt(length + slack),
      data_page_offset: BigInt(chunk.dataPageOffset),
      // Stated only where it is the chunk's start: it takes any other for one, too.
      ...(start === chunk.dataPageOffset ? {} : { dictionary_page_offset: BigInt(start) }),
      ...(bounds === undefined && nullCount === undefined
        ? {}
        : {
            statistics: {
              ...(bounds === undefined ? {} : { min_value: bounds.min as Bound, max_value: bounds.max as Bound }),
              ...(nullCount === undefined ? {} : { null_count: BigInt(nullCount) }),
            },
          }),
      ...(bloomFilter?.length === undefined
        ? {}
        : { bloom_filter_offset: BigInt(bloomFilter.start), bloom_filter_length: bloomFilter.length }),
    },
    ...(offsetIndex === undefined
      ? {}
      : { offset_index_offset: BigInt(offsetIndex.start), offset_index_length: offsetIndex.end - offsetIndex.start }),
    ...(indexed
      ? { column_index_offset: BigInt(columnIndex.start), column_index_length: columnIndex.end - columnIndex.start }
      : {}),
  };
}

function elementsOf(field: ParquetField): SchemaElement[] {
  const { name, repetition, type, typeLength, children } = field;
  const element: SchemaElement = {
    name,
    repetition_type: repetition,
    ...(type === undefined ? { num_children: children.length } : { type }),
    ...(typeLength === undefined ? {} : { type_length: typeLength }),
    ...storedMeaning(field),
  };
  return [element, ...children.flatMap(elementsOf)];
}

function storedMeaning(field: ParquetField): Pick<SchemaElement, 'converted_type' | 'logical_type'> {
  const { meaning, type } = field;
  // hyparquet's parser for geometries is the one that is called with the bytes of a column this package is free to
  // interpret: byte decimals become bigints by it, which filters can compare (see read.ts).
  if (isByteDecimal(field)) return { logical_type: { type: 'GEOMETRY' } };
  switch (meaning?.kind) {
    case 'STRING':
    case 'ENUM':
    case 'JSON':
      return { converted_type: 'UTF8' };
    case 'FLOAT16':
      return { logical_type: { type: 'FLOAT16' } };
    case 'LIST':
      return isPlainList(field) ? { converted_type: 'LIST' } : {};
    case 'INTEGER':
      if (meaning.signed) return {};
      return { converted_type: type === 'INT64' ? 'UINT_64' : 'UINT_32' };
    case 'BSON':
    case 'UUID':
    case 'DATE':
    case 'INTERVAL':
    case 'NULL':
    case 'MAP':
    case 'VARIANT':
    case 'GEOMETRY':
    case 'GEOGRAPHY':
    case 'DECIMAL':
    case 'TIME':
    case 'TIMESTAMP':
    case undefined:
      return {};
  }
}
