import type { ByteRange } from './byte-ranges.ts';
import { formatInvalid } from './format-error.ts';
import type { RowIndexEntry } from './row-index.ts';
import type { OrcColumn } from './schema.ts';
import type { OrcColumnEncoding, OrcStream, OrcStreamKind } from './stripe-footer.ts';

/** The part of a stripe's rows to read: row groups [from, to). */
export interface RowGroupSpan {
  readonly from: number;
  readonly to: number;
}

/** What the range of a stream within row groups depends on. */
export interface SpanContext {
  readonly column: OrcColumn;
  readonly encoding: OrcColumnEncoding;
  readonly index: readonly RowIndexEntry[];
  readonly hasPresent: boolean;
  /** Undefined without compression. */
  readonly blockSize: number | undefined;
  readonly decimalsAsIntegers: boolean;
}

/** More bytes than one run can take: 512 values of 8 bytes, patches and a header. */
const longestRun = 8192;

/**
 * The part of a stream that holds row groups [from, to).
 *
 * It begins where the row index says. It ends past where the next group begins, by a run: the one that straddles the
 * border begins there. With compression, that is the chunk which begins there, the one after, and as many as a run can
 * reach into, none longer than the block size.
 */
export function streamSpan(stream: OrcStream, span: RowGroupSpan, context: SpanContext): ByteRange {
  const whole = { start: stream.offset, end: stream.offset + stream.length };
  const at = positionOf(stream.kind, context);
  if (at === undefined) return whole;
  const { index, blockSize } = context;
  const start = span.from === 0 ? 0 : positionIn(index, span.from, at, stream);
  const slack = blockSize === undefined ? longestRun : (2 + Math.ceil(longestRun / blockSize)) * (blockSize + 3);
  const end = span.to >= index.length ? stream.length : positionIn(index, span.to, at, stream) + slack;
  if (start > stream.length || end < start) {
    throw formatInvalid(
      `the row index places row groups ${span.from} to ${span.to} of column ${stream.column} at ${start} to ${end} of ${stream.length} bytes`,
      stream.offset,
    );
  }
  return { start: whole.start + start, end: Math.min(whole.end, whole.start + end) };
}

function positionIn(index: readonly RowIndexEntry[], group: number, at: number, stream: OrcStream): number {
  const position = index[group]?.positions[at];
  if (position === undefined) {
    throw formatInvalid(
      `the row index of column ${stream.column} has no position for its ${stream.kind} stream`,
      stream.offset,
    );
  }
  return position;
}

/**
 * Where in an entry's positions those of a stream begin; undefined for dictionaries, which belong to all row groups.
 */
function positionOf(kind: OrcStreamKind, context: SpanContext): number | undefined {
  const base = context.blockSize === undefined ? 1 : 2;
  let at = 0;
  for (const [name, extra] of positionLayout(context)) {
    if (name === kind) return at;
    at += base + extra;
  }
  return undefined;
}

/** The streams that positions name, in order, and the numbers each has beyond those of its place in the bytes. */
function positionLayout(context: SpanContext): [OrcStreamKind, number][] {
  const { column, encoding, hasPresent, decimalsAsIntegers } = context;
  const layout: [OrcStreamKind, number][] = hasPresent ? [['PRESENT', 2]] : [];
  const { kind, precision = 0 } = column.type;
  switch (kind) {
    case 'BOOLEAN':
      layout.push(['DATA', 2]);
      break;
    case 'FLOAT':
    case 'DOUBLE':
      layout.push(['DATA', 0]);
      break;
    case 'STRING':
    case 'CHAR':
    case 'VARCHAR':
    case 'BINARY':
    case 'GEOMETRY':
    case 'GEOGRAPHY':
      if (encoding.kind.startsWith('DICTIONARY')) layout.push(['DATA', 1]);
      else layout.push(['DATA', 0], ['LENGTH', 1]);
      break;
    case 'DECIMAL':
      if (decimalsAsIntegers && precision > 0 && precision <= 18) layout.push(['DATA', 1]);
      else layout.push(['DATA', 0], ['SECONDARY', 1]);
      break;
    case 'TIMESTAMP':
    case 'TIMESTAMP_INSTANT':
      layout.push(['DATA', 1], ['SECONDARY', 1]);
      break;
    case 'LIST':
    case 'MAP':
      layout.push(['LENGTH', 1]);
      break;
    case 'BYTE':
    case 'SHORT':
    case 'INT':
    case 'LONG':
    case 'DATE':
    case 'UNION':
      layout.push(['DATA', 1]);
      break;
    case 'STRUCT':
      break;
  }
  return layout;
}
