import { type BloomFilter, bloomContains, bloomHash, parseBloomFilters } from './bloom-filter.ts';
import { type ByteRange, FetchedRanges, type RequestLimits } from './byte-ranges.ts';
import { expandSection } from './compression.ts';
import type { CompiledFilter } from './filter.ts';
import type { OrcFile } from './orc-file.ts';
import { wholeStream } from './plan.ts';
import { type ColumnKnowledge, mayMatch } from './push-down.ts';
import { parseRowIndex, type RowIndex, type RowIndexEntry } from './row-index.ts';
import type { OrcColumn } from './schema.ts';
import { selectColumns } from './selection.ts';
import type { RowGroupSpan } from './stream-span.ts';
import type { OrcStream, OrcStripeFooter } from './stripe-footer.ts';

/** Row index and bloom filters of a stripe, by column id. */
export interface StripeIndex {
  readonly entries: RowIndex;
  readonly blooms: ReadonlyMap<number, readonly (BloomFilter | undefined)[]>;
}

/**
 * The index streams that choosing row groups takes: the row index of every column that is read, bloom filters of those
 * compared for equality.
 */
export function indexStreams(
  footer: OrcStripeFooter,
  options: { selected: Uint8Array; filter: CompiledFilter | undefined },
): OrcStream[] {
  const { selected, filter } = options;
  const compared = new Set(filter === undefined ? [] : equalityColumns(filter));
  return footer.streams.filter((stream) => {
    if (stream.length === 0 || selected[stream.column] !== 1) return false;
    if (stream.kind === 'ROW_INDEX') return true;
    // Only filters of the second encoding hash strings as UTF-8 whatever the writer's machine was set to.
    return (
      stream.kind === 'BLOOM_FILTER_UTF8' &&
      compared.has(stream.column) &&
      footer.encodings[stream.column]?.bloomEncoding === 1
    );
  });
}

function equalityColumns(filter: CompiledFilter): number[] {
  if (filter.kind !== 'column') return filter.filters.flatMap(equalityColumns);
  const equality = filter.tests.some(({ operator }) => operator === '$eq' || operator === '$in');
  return equality ? [filter.column.id] : [];
}

/** Decodes the index streams from bytes that are at hand. */
export function readStripeIndex(
  file: OrcFile,
  streams: readonly OrcStream[],
  find: (range: ByteRange) => Uint8Array,
): StripeIndex {
  const entries = new Map<number, RowIndexEntry[]>();
  const blooms = new Map<number, (BloomFilter | undefined)[]>();
  for (const stream of streams) {
    const bytes = expandSection(find(wholeStream(stream)), { codec: file.codec, offset: stream.offset });
    if (stream.kind === 'ROW_INDEX') entries.set(stream.column, parseRowIndex(bytes, stream));
    else if (trustedBlooms(file)) blooms.set(stream.column, parseBloomFilters(bytes, stream));
  }
  return { entries, blooms };
}

/**
 * C++ writers up to 1.5.12, 1.6.0 to 1.6.10 and 1.7.0-preview hashed with signed bytes; later ones say their version.
 */
function trustedBlooms({ footer }: OrcFile): boolean {
  if (footer.writer !== 1) return true;
  const version = footer.softwareVersion?.replace(/-.*$/, '');
  return version !== undefined && !/^1\.(?:5\.\d$|5\.1[0-2]|6\.\d$|6\.1[01]|7\.0)/.test(version);
}

/**
 * The row groups of a stripe that have rows in [fromRow, toRow) and may have some that fulfil the filter, neighbours as
 * one span. One span of all where the stripe has no usable index.
 */
export function selectRowGroups(
  index: StripeIndex,
  options: {
    rows: number;
    stride: number;
    selected: Uint8Array;
    filter: CompiledFilter | undefined;
    fromRow: number;
    toRow: number;
  },
): RowGroupSpan[] {
  const { rows, stride, selected, filter, fromRow, toRow } = options;
  const groups = Math.ceil(rows / stride);
  // Without positions for every column that is read, none can be sought: the stripe is read from its start.
  for (let column = 0; column < selected.length; column++) {
    if (selected[column] === 1 && index.entries.get(column)?.length !== groups) return [{ from: 0, to: groups }];
  }
  const spans: { from: number; to: number }[] = [];
  const last = Math.ceil(toRow / stride);
  for (let group = Math.floor(fromRow / stride); group < last; group++) {
    if (filter !== undefined && !mayMatch(filter, (column) => knowledgeOf(column, group))) continue;
    const open = spans.at(-1);
    if (open?.to === group) open.to = group + 1;
    else spans.push({ from: group, to: group + 1 });
  }
  return spans;

  function knowledgeOf(column: OrcColumn, group: number): ColumnKnowledge {
    const bloom = index.blooms.get(column.id)?.[group];
    const statistics = index.entries.get(column.id)?.[group]?.statistics;
    if (bloom === undefined) return { statistics };
    return {
      statistics,
      mayContain(key) {
        const hash = bloomHash(column, key);
        return hash === undefined || bloomContains(bloom, hash);
      },
    };
  }
}

/**
 * The row index of a stripe's columns (default all), by column id: positions and statistics of its row groups. Fetches
 * what is not at hand.
 */
export async function readRowIndex(
  file: OrcFile,
  stripe: number,
  options: RequestLimits & { columns?: readonly string[]; signal?: AbortSignal } = {},
): Promise<RowIndex> {
  const { selected, missing } = selectColumns(file.schema, options.columns);
  if (missing.length > 0) throw new RangeError(`the file has no column ${JSON.stringify(missing[0])}`);
  const footer = (await file.stripeFooters([stripe], options)).get(stripe)!;
  const streams = indexStreams(footer, { selected, filter: undefined });
  const fetched = new FetchedRanges(file.fetched);
  await fetched.fetch(file.source, streams.map(wholeStream), options);
  return readStripeIndex(file, streams, (range) => fetched.get(range)).entries;
}
