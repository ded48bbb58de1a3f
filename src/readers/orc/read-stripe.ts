import { FetchedRanges, type RequestLimits } from './byte-ranges.ts';
import { columnReader } from './column-reader.ts';
import type { CompiledFilter } from './filter.ts';
import { formatInvalid, formatUnsupported } from './format-error.ts';
import type { OrcFile } from './orc-file.ts';
import { columnsById, decimalsAsIntegers, planStripe, rangesOf, type SpanPlan, wholeStream } from './plan.ts';
import type { RowIndex } from './row-index.ts';
import type { OrcColumn } from './schema.ts';
import type { RowGroupSpan } from './stream-span.ts';
import type { OrcStreamKind, OrcStripeFooter } from './stripe-footer.ts';
import { indexStreams, readStripeIndex, selectRowGroups } from './stripe-index.ts';
import type { ColumnReader, StripeStreams } from './stripe-streams.ts';
import { timeZoneOf, utc } from './time-zone.ts';
import type { OrcVector, StringDictionary } from './vectors.ts';

/** What of a stripe is to be read. */
export interface StripeRequest {
  readonly stripe: number;
  /** Rows of the stripe [fromRow, toRow). */
  readonly fromRow: number;
  readonly toRow: number;
  readonly selected: Uint8Array;
  readonly filter: CompiledFilter | undefined;
}

/** A stripe whose bytes are at hand. */
export interface LoadedStripe {
  readonly request: StripeRequest;
  readonly spans: readonly LoadedSpan[];
}

/** Rows of a stripe that are read in one pass. */
interface LoadedSpan {
  /** Rows of the stripe [fromRow, toRow) that the pass decodes: those of whole row groups. */
  readonly fromRow: number;
  readonly toRow: number;
  readonly streams: StripeStreams;
}

/** Rows of a stripe that are believed without any data. */
const mostEmptyRows = 2 ** 31;

type LoadOptions = RequestLimits & { signal?: AbortSignal | undefined };

/** Fetches what a request takes: the index if there is a choice of row groups, then the data, both in merged ranges. */
export async function loadStripe(
  file: OrcFile,
  request: StripeRequest,
  options: LoadOptions & { base: FetchedRanges },
): Promise<LoadedStripe> {
  const { selected, filter, fromRow, toRow } = request;
  const fetched = new FetchedRanges(options.base);
  const footer = file.stripeFooterFrom(request.stripe, fetched);
  refuseEncrypted(file, selected);
  const { rowCount: rows, offset } = file.footer.stripes[request.stripe]!;
  const stride = file.footer.rowIndexStride;
  const partial = filter !== undefined || fromRow > 0 || toRow < rows;
  let rowGroups: { spans: readonly RowGroupSpan[]; index: RowIndex } | undefined;
  if (partial && stride > 0 && rows > stride && soundPositions(file, selected)) {
    const streams = indexStreams(footer, { selected, filter });
    await fetched.fetch(file.source, streams.map(wholeStream), options);
    const index = readStripeIndex(file, streams, (range) => fetched.get(range));
    const spans = selectRowGroups(index, { rows, stride, selected, filter, fromRow, toRow });
    const whole = spans.length === 1 && spans[0]!.from === 0 && spans[0]!.to >= Math.ceil(rows / stride);
    if (!whole) rowGroups = { spans, index: index.entries };
  }
  const plan = planStripe(file, { stripe: request.stripe, footer, selected, rowGroups });
  const ranges = rangesOf(plan);
  // Rows without a byte are possible (no column selected, a struct without fields), and a claim of any number of them
  // is free to make.
  if (rowGroups === undefined && ranges.length === 0 && rows > mostEmptyRows) {
    throw formatInvalid(`stripe ${request.stripe} claims ${rows} rows and has no data for them`, offset);
  }
  await fetched.fetch(file.source, ranges, options);
  const dictionaries = new Map<number, StringDictionary>();
  const spans = plan.spans.map((span): LoadedSpan => {
    const { from, to } = span.rowGroups ?? { from: 0, to: 1 };
    const positions = from === 0 ? undefined : positionsOf(rowGroups!.index, from);
    const streams = streamsOf(file, footer, { request, span, fetched, dictionaries, positions });
    if (span.rowGroups === undefined) return { fromRow: 0, toRow: rows, streams };
    return { fromRow: from * stride, toRow: Math.min(rows, to * stride), streams };
  });
  return { request, spans };
}

function positionsOf(index: RowIndex, group: number): ReadonlyMap<number, readonly number[]> {
  return new Map([...index].map(([column, entries]) => [column, entries[group]!.positions]));
}

/** A batch of rows of the stripe from `row` on. */
export interface StripeBatch {
  readonly row: number;
  readonly vector: OrcVector;
}

/** Decodes the requested rows of a loaded stripe, at most `batchSize` at a time. */
export function* decodeStripe(
  file: OrcFile,
  { request, spans }: LoadedStripe,
  options: { batchSize: number },
): Generator<StripeBatch> {
  for (const span of spans) {
    const from = Math.max(span.fromRow, request.fromRow);
    const to = Math.min(span.toRow, request.toRow);
    if (from >= to) continue;
    const reader = columnReader(file.schema, span.streams);
    skip(reader, from - span.fromRow, options.batchSize);
    for (let row = from; row < to; row += options.batchSize) {
      yield { row, vector: reader.read(Math.min(options.batchSize, to - row), undefined) };
    }
  }
}

/**
 * Rows before the first one wanted share its runs: they are decoded and dropped, at most a row group of them where
 * there is an index.
 */
function skip(reader: ColumnReader, rows: number, batchSize: number): void {
  for (let left = rows; left > 0; left -= batchSize) reader.read(Math.min(batchSize, left), undefined);
}

function streamsOf(
  file: OrcFile,
  footer: OrcStripeFooter,
  parts: {
    request: StripeRequest;
    span: SpanPlan;
    fetched: FetchedRanges;
    dictionaries: Map<number, StringDictionary>;
    positions: ReadonlyMap<number, readonly number[]> | undefined;
  },
): StripeStreams {
  const byName = new Map<string, SpanPlan['streams'][number]>();
  for (const part of parts.span.streams) {
    const name = `${part.stream.kind} ${part.stream.column}`;
    // Of two streams of one name the first counts: the format has none, and the second must not take its place.
    if (!byName.has(name)) byName.set(name, part);
  }
  const { writer } = file.footer;
  return {
    codec: file.codec,
    selected: parts.request.selected,
    encodings: footer.encodings,
    calendar:
      file.footer.calendar ?? (writer === undefined || writer === 0 ? 'JULIAN_GREGORIAN' : 'PROLEPTIC_GREGORIAN'),
    writerZone() {
      if (footer.writerTimezone === undefined) return utc;
      return timeZoneOf(footer.writerTimezone, { java: writer === undefined || writer === 0 });
    },
    decimalsAsIntegers: decimalsAsIntegers(file.postscript),
    dictionaries: parts.dictionaries,
    positions: parts.positions,
    offset: file.footer.stripes[parts.request.stripe]!.offset,
    bytesOf(column: number, kind: OrcStreamKind) {
      const part = byName.get(`${kind} ${column}`);
      if (part === undefined) return undefined;
      const { stream, range } = part;
      return {
        bytes: parts.fetched.get(range),
        offset: range.start,
        start: range.start - stream.offset,
        partial: range.end < stream.offset + stream.length,
        name: `${kind} stream of column ${column}`,
      };
    },
  };
}

/**
 * The C++ writer gives a union's members a value for each null of the union, and positions that do not count them: read
 * from a row group's start, members come out shifted. Such stripes are read from their start, so that any part of a
 * file is a part of the whole.
 */
function soundPositions({ footer }: OrcFile, selected: Uint8Array): boolean {
  return footer.writer !== 1 || !footer.types.some(({ kind }, column) => kind === 'UNION' && selected[column] === 1);
}

/** Encrypted columns are refused by name. The others of the same file are read: nothing of theirs is encrypted. */
function refuseEncrypted(file: OrcFile, selected: Uint8Array): void {
  for (const root of file.footer.encryptedColumns) {
    if (selected[root] === 1 && root <= file.schema.lastId) {
      throw encryptedColumn(columnsById(file.schema)[root]!);
    }
  }
}

function encryptedColumn(column: OrcColumn): Error {
  return formatUnsupported(`column ${column.id} (${JSON.stringify(column.name)}) is encrypted; select the others`);
}
