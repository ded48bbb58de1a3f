/**
 * `sealpipe/parquet`: reads Parquet files over anything that answers byte ranges. The metadata needs no other package,
 * rows need hyparquet.
 *
 * @packageDocumentation
 */
export { type AsyncBuffer, asAsyncBuffer } from '../async-buffer.ts';
export { asBlob } from '../blob-view.ts';
export { LocalFileSource } from '../local-file-source.ts';
export type { ByteRange, RequestLimits } from '../orc/byte-ranges.ts';
export type { JsonValue } from '../orc/json.ts';
export type { RangeSource } from '../range-source.ts';
export { rowToJson as parquetToJson } from '../row-json.ts';
export { Timestamp } from '../timestamp.ts';
export type { ParquetConditions, ParquetFilter, ParquetFilterValue } from './filter.ts';
export type {
  ParquetCodec,
  ParquetColumnChunk,
  ParquetKeyValue,
  ParquetMetadata,
  ParquetRowGroup,
} from './footer.ts';
export { type OpenParquetOptions, openParquet, type ParquetFile } from './parquet-file.ts';
export { type ReadParquetOptions, readParquetRows } from './read.ts';
export type { ParquetRow } from './row-of.ts';
export {
  formatParquetSchema,
  type ParquetConvertedType,
  type ParquetField,
  type ParquetMeaning,
  type ParquetRepetition,
  type ParquetTimeUnit,
  type ParquetType,
} from './schema.ts';
export type { ParquetStatistics } from './statistics.ts';
export type { ParquetValue } from './value-of.ts';
