import { type ByteRange, mergeRanges, type RequestLimits } from './byte-ranges.ts';
import type { OrcFooter, OrcStripeInformation } from './footer.ts';
import { formatInvalid } from './format-error.ts';
import type { RowIndexEntry } from './row-index.ts';
import type { OrcColumn } from './schema.ts';
import { selectColumns } from './selection.ts';
import type { OrcColumnEncoding, OrcStream, OrcStreamKind, OrcStripeFooter } from './stripe-footer.ts';

/** The part of a stripe's rows to read: row groups [from, to). */
export interface RowGroupSpan {
  readonly from: number;
  readonly to: number;
}

/** What reading a stripe takes. */
export interface StripePlan {
  readonly stripe: number;
  /** The streams, each with the part of it that is read. */
  readonly streams: readonly { readonly stream: OrcStream; readonly range: ByteRange }[];
}

export interface OrcPlan {
  readonly stripes: readonly StripePlan[];
  /** The ranges to ask for, merged. */
  readonly requests: readonly ByteRange[];
  /** Bytes of all streams, and of all requests: the difference is what gaps cost. */
  readonly wantedBytes: number;
  readonly requestedBytes: number;
}

const dataKinds: ReadonlySet<OrcStreamKind> = new Set(['PRESENT', 'DATA', 'LENGTH', 'DICTIONARY_DATA', 'SECONDARY']);

/** Range of a stripe's footer. */
export function stripeFooterRange(stripe: OrcStripeInformation): ByteRange {
  const start = stripe.offset + stripe.indexLength + stripe.dataLength;
  return { start, end: start + stripe.footerLength };
}

/** Range of a stripe as a whole. */
export function stripeRange(stripe: OrcStripeInformation): ByteRange {
  return { start: stripe.offset, end: stripeFooterRange(stripe).end };
}

/** The data streams of the selected columns, in file order. Streams without bytes are left out. */
export function dataStreams(footer: OrcStripeFooter, selected: Uint8Array): OrcStream[] {
  return footer.streams.filter(
    (stream) => dataKinds.has(stream.kind) && selected[stream.column] === 1 && stream.length > 0,
  );
}

/**
 * Which byte ranges hold the selected columns of the selected stripes. No I/O: the stripe footers say where the streams lie.
 *
 * `columns` are paths as for reading (default all), `stripes` indices (default those of `stripeFooters`).
 */
export function planOrc(
  file: { readonly footer: OrcFooter; readonly schema: OrcColumn },
  stripeFooters: ReadonlyMap<number, OrcStripeFooter>,
  options: RequestLimits & { columns?: readonly string[]; stripes?: readonly number[] } = {},
): OrcPlan {
  const { selected, missing } = selectColumns(file.schema, options.columns);
  if (missing.length > 0) throw new RangeError(`the file has no column ${JSON.stringify(missing[0])}`);
  const stripes = (options.stripes ?? [...stripeFooters.keys()]).map((stripe): StripePlan => {
    const footer = stripeFooters.get(stripe);
    if (footer === undefined) throw new RangeError(`the footer of stripe ${stripe} was not given`);
    const streams = dataStreams(footer, selected).map((stream) => ({ stream, range: wholeStream(stream) }));
    return { stripe, streams };
  });
  const ranges = stripes.flatMap((stripe) => stripe.streams.map(({ range }) => range));
  const requests = mergeRanges(ranges, options);
  return { stripes, requests, wantedBytes: lengthOf(ranges), requestedBytes: lengthOf(requests) };
}

function lengthOf(ranges: readonly ByteRange[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** All of a stream. */
export function wholeStream(stream: OrcStream): ByteRange {
  return { start: stream.offset, end: stream.offset + stream.length };
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
 * It begins where the row index says. It ends past where the next group begins, by a run: the one that straddles the border begins there. With compression, that is
 * the chunk which begins there, the one after, and as many as a run can reach into, none longer than the block size.
 */
export function streamSpan(stream: OrcStream, span: RowGroupSpan, context: SpanContext): ByteRange {
  const whole = wholeStream(stream);
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

/** Where in an entry's positions those of a stream begin; undefined for dictionaries, which belong to all row groups. */
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
