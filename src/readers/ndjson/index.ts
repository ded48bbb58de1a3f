/**
 * `sealpipe/ndjson`: newline-delimited JSON and JSON arrays over anything that answers byte ranges, or as streams, by
 * stream-json; and the cutting of large content into ranges of whole lines for parallel readers.
 *
 * @packageDocumentation
 */
export { LocalFileSource } from '../local-file-source.ts';
export type { ByteRange } from '../orc/byte-ranges.ts';
export type { RangeSource } from '../range-source.ts';
export { type LineRangeOptions, splitAtLines } from './line-ranges.ts';
export {
  type JsonSource,
  type MakeParser,
  type ReadJsonOptions,
  type ReadNdjsonOptions,
  readJsonArray,
  readNdjson,
  readNdjsonInParallel,
} from './read.ts';
