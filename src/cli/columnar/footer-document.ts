/** What `footer` says of a file, the same shape for all formats. */

import { ownBuffers } from '../../readers/arrow/columns.ts';
import { type ArrowFile, formatArrowSchema } from '../../readers/arrow/index.ts';
import {
  formatDay,
  formatSchema,
  type JsonValue,
  type OrcColumn,
  type OrcColumnStatistics,
  type OrcFile,
  type OrcStripeFooter,
  OrcTimestamp,
  orcToJson,
} from '../../readers/orc/index.ts';
import {
  formatParquetSchema,
  type ParquetFile,
  type ParquetStatistics,
  parquetToJson,
} from '../../readers/parquet/index.ts';
import type { FooterColumn, FooterDocument, FooterStatistics } from '../schemas.ts';
import type { ColumnarFile } from './columnar-file.ts';

/** Describes a file, reading of it what that takes: of ORC, the footers of the stripes; of Arrow, those of the batches. */
export async function footerDocument(
  columnar: ColumnarFile,
  options: { signal: AbortSignal },
): Promise<FooterDocument> {
  switch (columnar.format) {
    case 'parquet':
      return parquetDocument(columnar.file);
    case 'orc':
      return orcDocument(columnar.file, options);
    case 'arrow':
      return arrowDocument(columnar.file, options);
  }
}

function parquetDocument({ metadata }: ParquetFile): FooterDocument {
  return {
    format: 'parquet',
    rows: metadata.rowCount,
    groups: metadata.rowGroups.map(({ rowCount, start, length, columns }) => ({
      rows: rowCount,
      start,
      length,
      columns: columns.map((chunk) => ({
        path: chunk.path,
        start: chunk.start,
        length: chunk.length,
        compression: chunk.codec,
        statistics: chunk.statistics === undefined ? null : parquetStatistics(chunk.statistics),
      })),
    })),
    schema: formatParquetSchema(metadata.schema),
    metadata: Object.fromEntries(metadata.keyValueMetadata.map(({ key, value = '' }) => [key, value])),
  };
}

function parquetStatistics({ min, max, nullCount, distinctCount }: ParquetStatistics): FooterStatistics {
  return {
    ...(min === undefined ? {} : { min: parquetToJson(min) }),
    ...(max === undefined ? {} : { max: parquetToJson(max) }),
    ...(nullCount === undefined ? {} : { nullCount }),
    ...(distinctCount === undefined ? {} : { distinctCount }),
  };
}

async function orcDocument(file: OrcFile, options: { signal: AbortSignal }): Promise<FooterDocument> {
  const { stripes, userMetadata } = file.footer;
  const footers = await file.stripeFooters(undefined, options);
  const statistics = await file.stripeStatistics(options);
  const columns = namedColumns(file.schema);
  const decode = new TextDecoder();
  return {
    format: 'orc',
    rows: file.rowCount,
    groups: stripes.map((stripe, index) => ({
      rows: stripe.rowCount,
      start: stripe.offset,
      length: stripe.indexLength + stripe.dataLength + stripe.footerLength,
      columns: columns.map(({ path, column, top }) => ({
        path,
        ...orcRange(footers.get(index)!, { column: column.id, dataStart: stripe.offset + stripe.indexLength }),
        compression: file.postscript.compression,
        statistics: orcStatistics(statistics[index]?.[column.id], top ? stripe.rowCount : undefined),
      })),
    })),
    schema: formatSchema(file.schema),
    metadata: Object.fromEntries(userMetadata.map(({ name, value }) => [name, decode.decode(value)])),
  };
}

/** The columns by path; a column of the root struct has a value for each row, so its nulls can be told. */
function namedColumns(root: OrcColumn): { path: string; column: OrcColumn; top: boolean }[] {
  const below = (column: OrcColumn, prefix: string): { path: string; column: OrcColumn; top: boolean }[] =>
    column.children.flatMap((child) => {
      const path = prefix === '' ? child.name : `${prefix}.${child.name}`;
      return [{ path, column: child, top: column === root }, ...below(child, path)];
    });
  // A root that is no struct is a column itself.
  return root.type.kind === 'STRUCT' ? below(root, '') : [{ path: '', column: root, top: true }, ...below(root, '')];
}

function orcRange(
  { streams }: OrcStripeFooter,
  { column, dataStart }: { column: number; dataStart: number },
): { start: number; length: number } {
  const own = streams.filter((stream) => stream.column === column && stream.offset >= dataStart && stream.length > 0);
  return {
    start: own.length === 0 ? dataStart : Math.min(...own.map(({ offset }) => offset)),
    length: own.reduce((sum, { length }) => sum + length, 0),
  };
}

function orcStatistics(found: OrcColumnStatistics | undefined, rows: number | undefined): FooterStatistics | null {
  if (found === undefined) return null;
  const { numberOfValues, hasNull } = found;
  const nullCount = rows === undefined || numberOfValues === undefined ? undefined : Math.max(0, rows - numberOfValues);
  const [min, max] = orcBounds(found);
  return {
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    ...(nullCount === undefined ? (hasNull === false ? { nullCount: 0 } : {}) : { nullCount }),
  };
}

function orcBounds(found: OrcColumnStatistics): [JsonValue | undefined, JsonValue | undefined] {
  const { dateStatistics: date, timestampStatistics: time } = found;
  if (date !== undefined) {
    return [date.minimum, date.maximum].map((day) => (day === undefined ? undefined : formatDay(day))) as [
      JsonValue | undefined,
      JsonValue | undefined,
    ];
  }
  if (time !== undefined) {
    return [timestampBound(time.minimumUtc, time.minimumNanos), timestampBound(time.maximumUtc, time.maximumNanos)];
  }
  const bounds = found.intStatistics ?? found.doubleStatistics ?? found.stringStatistics ?? found.decimalStatistics;
  const one = (value: unknown): JsonValue | undefined => (value === undefined ? undefined : orcToJson(value));
  return [one(bounds?.minimum), one(bounds?.maximum)];
}

/** Milliseconds as the clock shows them, and nanoseconds below them plus one. */
function timestampBound(milliseconds: number | undefined, nanos = 0): JsonValue | undefined {
  if (milliseconds === undefined) return undefined;
  const seconds = Math.floor(milliseconds / 1000);
  const below = (milliseconds - seconds * 1000) * 1_000_000 + Math.max(0, nanos - 1);
  return new OrcTimestamp(seconds, below, false).toJSON();
}

async function arrowDocument(file: ArrowFile, options: { signal: AbortSignal }): Promise<FooterDocument> {
  const headers = await file.batchHeaders(undefined, options);
  const { fields, metadata } = file.schema;
  return {
    format: 'arrow',
    rows: headers.reduce((sum, { batch }) => sum + batch.rowCount, 0),
    groups: headers.map(({ batch }, index) => {
      const { start, metadataLength, bodyLength } = file.recordBatches[index]!;
      const body = start + metadataLength;
      const ranges = ownBuffers(fields, batch);
      return {
        rows: batch.rowCount,
        start,
        length: metadataLength + bodyLength,
        columns: fields.map(
          (field, column): FooterColumn => ({
            path: field.name,
            start: body + ranges[column]!.start,
            length: ranges[column]!.length,
            compression: batch.compression ?? 'NONE',
            statistics: { nullCount: ranges[column]!.nullCount },
          }),
        ),
      };
    }),
    schema: formatArrowSchema(file.schema),
    metadata: { ...file.metadata, ...metadata },
  };
}
