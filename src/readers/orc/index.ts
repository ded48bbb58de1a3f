/**
 * `sealpipe/orc`: reads Apache ORC files over anything that answers byte ranges.
 *
 * @packageDocumentation
 */
export { LocalFileSource } from '../local-file-source.ts';
export type { RangeSource } from '../range-source.ts';
export { type ByteRange, mergeRanges, type RequestLimits, splitRange } from './byte-ranges.ts';
export { formatDay } from './calendar.ts';
export { concatenateVectors } from './concatenate.ts';
export type { FilterValue, OrcConditions, OrcFilter } from './filter.ts';
export type { OrcCalendar, OrcFooter, OrcStripeInformation, OrcUserMetadata } from './footer.ts';
export { type JsonValue, orcToJson } from './json.ts';
export { type OpenOrcOptions, OrcFile, type OrcTailLayout, openOrc } from './orc-file.ts';
export { type OrcPlan, type PlanOrcOptions, planOrc, type SpanPlan, type StripePlan } from './plan.ts';
export type { OrcCompression, OrcPostScript } from './postscript.ts';
export { type OrcBatch, type ReadOrcOptions, readOrcBatches, readOrcColumns, readOrcRows } from './read.ts';
export type { RowIndex, RowIndexEntry } from './row-index.ts';
export { type OrcRow, type OrcValue, type RowValueOptions, rowsOf, valuesOf } from './row-values.ts';
export { formatSchema, type OrcColumn, type OrcKind, type OrcType } from './schema.ts';
export type {
  CollectionStatistics,
  DecimalStatistics,
  DoubleStatistics,
  IntegerStatistics,
  OrcColumnStatistics,
  StringStatistics,
  TimestampStatistics,
} from './statistics.ts';
export type { RowGroupSpan } from './stream-span.ts';
export { decodeStrings } from './strings.ts';
export type {
  OrcColumnEncoding,
  OrcEncodingKind,
  OrcStream,
  OrcStreamKind,
  OrcStripeEncryption,
  OrcStripeFooter,
} from './stripe-footer.ts';
export { readRowIndex } from './stripe-index.ts';
export { OrcTimestamp } from './timestamp.ts';
export type * from './vectors.ts';
