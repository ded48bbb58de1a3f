import { arrowToJson, readArrowRows } from '../../readers/arrow/index.ts';
import { type JsonValue, orcToJson, readOrcRows } from '../../readers/orc/index.ts';
import { parquetToJson, readParquetRows } from '../../readers/parquet/index.ts';
import type { ColumnarFile } from './columnar-file.ts';

export interface RowSelection {
  readonly columns?: readonly string[] | undefined;
  /** Row groups, stripes or record batches. */
  readonly groups?: readonly number[] | undefined;
  readonly limit?: number | undefined;
  readonly signal: AbortSignal;
}

/** Rows as JSON holds them without loss, in arrays. */
export async function* jsonRows(columnar: ColumnarFile, selection: RowSelection): AsyncGenerator<JsonValue[]> {
  let left = selection.limit ?? Number.POSITIVE_INFINITY;
  if (left === 0) return;
  for await (const rows of readAny(columnar, selection)) {
    const kept = rows.length > left ? rows.slice(0, left) : rows;
    yield kept;
    left -= kept.length;
    if (left <= 0) return;
  }
}

async function* readAny(columnar: ColumnarFile, selection: RowSelection): AsyncGenerator<JsonValue[]> {
  const { columns, groups, signal } = selection;
  const shared = { signal, ...(columns === undefined ? {} : { columns }), batchSize: batchSize(selection) };
  switch (columnar.format) {
    case 'parquet': {
      const { file } = columnar;
      const counts = file.metadata.rowGroups.map(({ rowCount }) => rowCount);
      const options = { ...shared, ...end(counts, selection), ...(groups === undefined ? {} : { rowGroups: groups }) };
      for await (const rows of readParquetRows(file, options)) yield rows.map(parquetToJson);
      return;
    }
    case 'orc': {
      const { file } = columnar;
      const counts = file.footer.stripes.map(({ rowCount }) => rowCount);
      const options = { ...shared, ...end(counts, selection), ...(groups === undefined ? {} : { stripes: groups }) };
      for await (const rows of readOrcRows(file, options)) yield rows.map(orcToJson);
      return;
    }
    case 'arrow': {
      const { limit } = selection;
      const options = {
        ...shared,
        ...(limit === undefined ? {} : { limit }),
        ...(groups === undefined ? {} : { batches: groups }),
      };
      for await (const rows of readArrowRows(columnar.file, options)) yield rows.map(arrowToJson);
    }
  }
}

function batchSize({ limit = Number.POSITIVE_INFINITY }: RowSelection): number {
  return Math.max(1, Math.min(4096, limit));
}

/** The row of the file at which enough has been read: what lies behind it is neither fetched nor decoded. */
function end(counts: readonly number[], { groups, limit }: RowSelection): { rowEnd?: number } {
  if (limit === undefined) return {};
  let left = limit;
  let first = 0;
  for (const [index, count] of counts.entries()) {
    if (groups === undefined || groups.includes(index)) {
      if (left <= count) return { rowEnd: first + left };
      left -= count;
    }
    first += count;
  }
  return {};
}
