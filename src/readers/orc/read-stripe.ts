import { type ByteRange, FetchedRanges, type RequestLimits } from './byte-ranges.ts';
import { columnReader } from './column-reader.ts';
import type { CompiledFilter } from './filter.ts';
import { formatInvalid, formatUnsupported } from './format-error.ts';
import type { OrcFile } from './orc-file.ts';
import { dataStreams, type RowGroupSpan, streamSpan } from './plan.ts';
import type { RowIndexEntry } from './row-index.ts';
import type { OrcColumn } from './schema.ts';
import type { OrcStream, OrcStreamKind, OrcStripeFooter } from './stripe-footer.ts';
import { indexStreams, readStripeIndex, type StripeIndex, selectRowGroups } from './stripe-index.ts';
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
  const { rowCount: rows } = file.footer.stripes[request.stripe]!;
  const stride = file.footer.rowIndexStride;
  const partial = filter !== undefined || fromRow > 0 || toRow < rows;
  let index: StripeIndex | undefined;
  let spans: RowGroupSpan[] = [{ from: 0, to: 1 }];
  if (partial && stride > 0 && rows > stride && soundPositions(file, selected)) {
    const streams = indexStreams(footer, { selected, filter });
    await fetched.fetch(file.source, streams.map(rangeOf), options);
    index = readStripeIndex(file, streams, (range) => found(fetched, range));
    spans = selectRowGroups(index, { rows, stride, selected, filter, fromRow, toRow });
    if (spans.length === 1 && spans[0]!.from === 0 && spans[0]!.to >= Math.ceil(rows / stride)) index = undefined;
  }
  const wanted = dataStreams(footer, selected);
  // Rows without a byte are possible (no column selected, a struct without fields), and a claim of any number of them is free to make.
  if (wanted.length === 0 && rows > mostEmptyRows) {
    throw formatInvalid(
      `stripe ${request.stripe} claims ${rows} rows and has no data for them`,
      file.footer.stripes[request.stripe]!.offset,
    );
  }
  const nullable = new Set(wanted.filter(({ kind }) => kind === 'PRESENT').map(({ column }) => column));
  const columns = columnsById(file.schema);
  const perSpan = spans.map((span) => {
    const ranges = new Map<OrcStream, ByteRange>();
    for (const stream of wanted)
      ranges.set(stream, index === undefined ? rangeOf(stream) : spanOf(stream, span, index));
    return { span, ranges };
  });
  await fetched.fetch(
    file.source,
    perSpan.flatMap(({ ranges }) => [...ranges.values()]),
    options,
  );
  const dictionaries = new Map<number, StringDictionary>();
  const loaded = perSpan.map(({ span, ranges }): LoadedSpan => {
    const streams = streamsOf(file, footer, { request, ranges, fetched, dictionaries, positions: positionsOf(span) });
    if (index === undefined) return { fromRow: 0, toRow: rows, streams };
    return { fromRow: span.from * stride, toRow: Math.min(rows, span.to * stride), streams };
  });
  return { request, spans: loaded };

  function spanOf(stream: OrcStream, span: RowGroupSpan, { entries }: StripeIndex): ByteRange {
    const encoding = footer.encodings[stream.column];
    if (encoding === undefined)
      throw formatInvalid(`a stripe footer has no encoding for column ${stream.column}`, stream.offset);
    return streamSpan(stream, span, {
      column: columns[stream.column]!,
      encoding,
      index: entries.get(stream.column)!,
      hasPresent: nullable.has(stream.column),
      blockSize: file.codec?.blockSize,
      decimalsAsIntegers: decimalsAsIntegers(file),
    });
  }

  function positionsOf({ from }: RowGroupSpan): ReadonlyMap<number, readonly number[]> | undefined {
    if (index === undefined || from === 0) return undefined;
    const positions = new Map<number, readonly number[]>();
    for (const [column, entries] of index.entries) positions.set(column, (entries[from] as RowIndexEntry).positions);
    return positions;
  }
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

/** Rows before the first one wanted share its runs: they are decoded and dropped, at most a row group of them where there is an index. */
function skip(reader: ColumnReader, rows: number, batchSize: number): void {
  for (let left = rows; left > 0; left -= batchSize) reader.read(Math.min(batchSize, left), undefined);
}

function streamsOf(
  file: OrcFile,
  footer: OrcStripeFooter,
  parts: {
    request: StripeRequest;
    ranges: ReadonlyMap<OrcStream, ByteRange>;
    fetched: FetchedRanges;
    dictionaries: Map<number, StringDictionary>;
    positions: ReadonlyMap<number, readonly number[]> | undefined;
  },
): StripeStreams {
  const byName = new Map<string, OrcStream>();
  for (const stream of parts.ranges.keys()) {
    const name = `${stream.kind} ${stream.column}`;
    // Of two streams of one name the first counts: the format has none, and the second must not take its place.
    if (!byName.has(name)) byName.set(name, stream);
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
    decimalsAsIntegers: decimalsAsIntegers(file),
    dictionaries: parts.dictionaries,
    positions: parts.positions,
    offset: file.footer.stripes[parts.request.stripe]!.offset,
    bytesOf(column: number, kind: OrcStreamKind) {
      const stream = byName.get(`${kind} ${column}`);
      if (stream === undefined) return undefined;
      const range = parts.ranges.get(stream)!;
      return {
        bytes: found(parts.fetched, range),
        offset: range.start,
        start: range.start - stream.offset,
        partial: range.end < stream.offset + stream.length,
        name: `${kind} stream of column ${column}`,
      };
    },
  };
}

/**
 * The C++ writer gives a union's members a value for each null of the union, and positions that do not count them: read from a row group's start,
 * members come out shifted. Such stripes are read from their start, so that any part of a file is a part of the whole.
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

function found(fetched: FetchedRanges, range: ByteRange): Uint8Array {
  const bytes = fetched.find(range);
  if (bytes === undefined) throw new Error(`internal error: bytes ${range.start} to ${range.end} were not fetched`);
  return bytes;
}

function rangeOf(stream: OrcStream): ByteRange {
  return { start: stream.offset, end: stream.offset + stream.length };
}

/** The preview of version 2.0, which calls itself 1.9999. */
function decimalsAsIntegers(file: OrcFile): boolean {
  return file.postscript.version[0] === 1;
}

/** The columns of a tree in the order of their ids. */
function columnsById(root: OrcColumn): OrcColumn[] {
  return [root, ...root.children.flatMap(columnsById)];
}

function encryptedColumn(column: OrcColumn): Error {
  return formatUnsupported(`column ${column.id} (${JSON.stringify(column.name)}) is encrypted; select the others`);
}
