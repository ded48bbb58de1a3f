/**
 * `sealpipe/arrow`: reads Arrow IPC files and streams, and Feather V2, over anything that answers byte ranges. Metadata
 * and rows need no other package; apache-arrow's own reader is one call away.
 *
 * @packageDocumentation
 */
export { asFileHandle, type RangeFileHandle } from '../file-handle.ts';
export { LocalFileSource } from '../local-file-source.ts';
export type { ByteRange, RequestLimits } from '../orc/byte-ranges.ts';
export type { JsonValue } from '../orc/json.ts';
export type { RangeSource } from '../range-source.ts';
export { rowToJson as arrowToJson } from '../row-json.ts';
export { Timestamp } from '../timestamp.ts';
export { type ArrowBlock, type ArrowFile, type OpenArrowOptions, openArrow } from './arrow-file.ts';
export type { ArrowCompression, ArrowMessage, BatchHeader } from './message.ts';
export { type ArrowRow, type ReadArrowOptions, readArrowRows } from './read.ts';
export { openRecordBatchReader } from './record-batch-reader.ts';
export { type ArrowField, type ArrowSchema, type ArrowTimeUnit, type ArrowType, formatArrowSchema } from './schema.ts';
export type { ArrowValue } from './value-reader.ts';
