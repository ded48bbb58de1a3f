import { type ByteRange, mergeRanges, type RequestLimits, splitRange } from './byte-ranges.ts';
import type { Codec } from './compression.ts';
import type { OrcFooter, OrcStripeInformation } from './footer.ts';
import { formatInvalid } from './format-error.ts';
import type { OrcPostScript } from './postscript.ts';
import type { RowIndex } from './row-index.ts';
import type { OrcColumn } from './schema.ts';
import { selectColumns } from './selection.ts';
import { type RowGroupSpan, streamSpan } from './stream-span.ts';
import type { OrcStream, OrcStreamKind, OrcStripeFooter } from './stripe-footer.ts';

/** What reading a stripe takes. */
export interface StripePlan {
  readonly stripe: number;
  /** Each run of row groups that is read in one pass; one of all of them where the stripe is read whole. */
  readonly spans: readonly SpanPlan[];
}

/** The streams that a pass reads, each with the part of it that holds its row groups. */
export interface SpanPlan {
  /** Undefined where the stripe is read whole. */
  readonly rowGroups: RowGroupSpan | undefined;
  readonly streams: readonly { readonly stream: OrcStream; readonly range: ByteRange }[];
}

export interface OrcPlan {
  readonly stripes: readonly StripePlan[];
  /** The ranges to ask for: merged over small gaps, and split where they are too long. */
  readonly requests: readonly ByteRange[];
  /** Bytes of all streams, and of all requests: the difference is what gaps cost. */
  readonly wantedBytes: number;
  readonly requestedBytes: number;
}

/** What planning needs of an open file. */
export interface PlannedFile {
  readonly footer: OrcFooter;
  readonly postscript: OrcPostScript;
  readonly schema: OrcColumn;
  readonly codec: Codec | undefined;
}

export interface PlanOrcOptions extends RequestLimits {
  /** Paths as for reading. Default all columns. */
  columns?: readonly string[];
  /** Indices of stripes. Default those whose footers are given. */
  stripes?: readonly number[];
  /**
   * By stripe, the row groups to read (neighbours as one span) and the row index that says where they lie. Default
   * whole stripes.
   */
  rowGroups?: ReadonlyMap<number, { spans: readonly RowGroupSpan[]; index: RowIndex }>;
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
 * Which byte ranges hold the selected columns of the selected stripes and row groups. No I/O: stripe footers and row
 * indexes say where the streams lie, and how long runs and chunks can be says how far past a row group's end they
 * reach.
 */
export function planOrc(
  file: PlannedFile,
  stripeFooters: ReadonlyMap<number, OrcStripeFooter>,
  options: PlanOrcOptions = {},
): OrcPlan {
  const { selected, missing } = selectColumns(file.schema, options.columns);
  if (missing.length > 0) throw new RangeError(`the file has no column ${JSON.stringify(missing[0])}`);
  const stripes = (options.stripes ?? [...stripeFooters.keys()]).map((stripe) => {
    const footer = stripeFooters.get(stripe);
    if (footer === undefined) throw new RangeError(`the footer of stripe ${stripe} was not given`);
    return planStripe(file, { stripe, footer, selected, rowGroups: options.rowGroups?.get(stripe) });
  });
  const ranges = stripes.flatMap(rangesOf);
  const requests = mergeRanges(ranges, options).flatMap((range) => splitRange(range, options));
  return { stripes, requests, wantedBytes: lengthOf(ranges), requestedBytes: lengthOf(requests) };
}

/** The plan of one stripe. */
export function planStripe(
  file: PlannedFile,
  options: {
    stripe: number;
    footer: OrcStripeFooter;
    selected: Uint8Array;
    rowGroups: { spans: readonly RowGroupSpan[]; index: RowIndex } | undefined;
  },
): StripePlan {
  const { stripe, footer, selected, rowGroups } = options;
  const streams = dataStreams(footer, selected);
  if (rowGroups === undefined) {
    const whole = streams.map((stream) => ({ stream, range: wholeStream(stream) }));
    return { stripe, spans: [{ rowGroups: undefined, streams: whole }] };
  }
  const nullable = new Set(streams.filter(({ kind }) => kind === 'PRESENT').map(({ column }) => column));
  const columns = columnsById(file.schema);
  const spans = rowGroups.spans.map((span): SpanPlan => {
    const parts = streams.map((stream) => {
      const encoding = footer.encodings[stream.column];
      const index = rowGroups.index.get(stream.column);
      if (encoding === undefined || index === undefined) {
        throw formatInvalid(`stripe ${stripe} has no encoding or row index for column ${stream.column}`, stream.offset);
      }
      const range = streamSpan(stream, span, {
        column: columns[stream.column]!,
        encoding,
        index,
        hasPresent: nullable.has(stream.column),
        blockSize: file.codec?.blockSize,
        decimalsAsIntegers: decimalsAsIntegers(file.postscript),
      });
      return { stream, range };
    });
    return { rowGroups: span, streams: parts };
  });
  return { stripe, spans };
}

/** The ranges of a stripe's plan, as they are before merging. */
export function rangesOf(plan: StripePlan): ByteRange[] {
  return plan.spans.flatMap(({ streams }) => streams.map(({ range }) => range));
}

/** The preview of version 2.0, which calls itself 1.9999, has decimals of up to 18 digits as runs of integers. */
export function decimalsAsIntegers(postscript: OrcPostScript): boolean {
  return postscript.version[0] === 1;
}

/** The columns of a tree in the order of their ids. */
export function columnsById(root: OrcColumn): OrcColumn[] {
  return [root, ...root.children.flatMap(columnsById)];
}

function lengthOf(ranges: readonly ByteRange[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** All of a stream. */
export function wholeStream(stream: OrcStream): ByteRange {
  return { start: stream.offset, end: stream.offset + stream.length };
}
