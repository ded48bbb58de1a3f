import { distinctNames } from '../field-names.ts';
import { FetchedRanges, type RequestLimits } from './byte-ranges.ts';
import { concatenateVectors } from './concatenate.ts';
import { type CompiledFilter, compileFilter, filterColumns, matchRows, type OrcFilter } from './filter.ts';
import type { OrcFile } from './orc-file.ts';
import { stripeFooterRange, stripeRange } from './plan.ts';
import { projectVector } from './project.ts';
import { mayMatch } from './push-down.ts';
import { decodeStripe, type LoadedStripe, loadStripe, type StripeRequest } from './read-stripe.ts';
import { type OrcRow, type RowValueOptions, rowsOf } from './row-values.ts';
import { selectColumns } from './selection.ts';
import { nullVector, type OrcVector, type StructVector } from './vectors.ts';

export interface ReadOrcOptions extends RequestLimits {
  /** Columns by path (`name`, `address.city`). Default all. */
  columns?: readonly string[];
  /** What a path that the file does not have gets: a RangeError (the default), or a column of nulls. */
  missingColumns?: 'refuse' | 'null';
  /** Indices of the stripes to read. Default all. */
  stripes?: readonly number[];
  /** Rows of the file [rowStart, rowEnd), of those that `stripes` leaves. Default all. */
  rowStart?: number;
  rowEnd?: number;
  /** Which rows are wanted. Stripes and row groups whose statistics rule it out are not fetched. */
  filter?: OrcFilter;
  /** Rows a batch at most. Default 4096. */
  batchSize?: number;
  signal?: AbortSignal;
}

/** Rows of one stripe that follow each other, as vectors. */
export interface OrcBatch {
  readonly stripe: number;
  /** Number of the batch's first row in the file. */
  readonly rowStart: number;
  readonly rowCount: number;
  /** A struct of the selected columns; of a file whose root is no struct, its one column. */
  readonly root: OrcVector;
  /** With a filter: a byte a row, 1 where it holds. The vectors have all rows of the batch. */
  readonly matches: Uint8Array | undefined;
}

/** Stripes up to this are fetched whole: a second round trip would cost more than the bytes it saves. */
const smallStripe = 256 * 1024;

/** Small stripes that lie together, and footers of large ones, are fetched in groups of at most these. */
const groupBytes = 4 * 1024 * 1024;
const groupStripes = 16;

/**
 * Reads columns in batches. While one stripe is decoded the next is fetched.
 *
 * Leaving the loop early, or an abort, ends what is under way before the generator is done.
 */
export async function* readOrcBatches(
  file: OrcFile,
  options: ReadOrcOptions = {},
): AsyncGenerator<OrcBatch, void, undefined> {
  const { batchSize = 4096, signal } = options;
  if (!Number.isSafeInteger(batchSize) || batchSize < 1)
    throw new RangeError(`batchSize is ${batchSize}, expected at least 1`);
  const output = selectColumns(file.schema, options.columns);
  if (output.missing.length > 0 && options.missingColumns !== 'null') {
    throw new RangeError(`the file has no column ${JSON.stringify(output.missing[0])}`);
  }
  const filter = options.filter === undefined ? undefined : compileFilter(file.schema, options.filter);
  const selected = output.selected.slice();
  for (const path of filter === undefined ? [] : filterColumns(filter)) {
    for (const { id, lastId, type } of path) {
      // A struct can be read without its fields; a list, map or union cannot.
      if (type.kind === 'STRUCT') selected[id] = 1;
      else selected.fill(1, id, lastId + 1);
    }
  }
  const requests = await chooseStripes(file, { ...options, selected, filter });
  const firstRows = firstRowsOf(file);

  const ending = new AbortController();
  const combined = signal === undefined ? ending.signal : AbortSignal.any([signal, ending.signal]);
  const load = stripeLoader(file, requests, {
    ...options,
    signal: combined,
    whole: output.all && filter === undefined,
  });
  let next = load(0);
  try {
    for (const [index, request] of requests.entries()) {
      const loaded = await next!;
      next = load(index + 1);
      for (const { row, vector } of decodeStripe(file, loaded, { batchSize })) {
        signal?.throwIfAborted();
        const matches = filter === undefined ? undefined : matchRows(filter, vector);
        const projected = filter === undefined ? vector : projectVector(vector, file.schema, output.selected);
        const root = output.missing.length === 0 ? projected : withMissing(projected, output.missing);
        const rowStart = firstRows[request.stripe]! + row;
        yield { stripe: request.stripe, rowStart, rowCount: vector.length, root, matches };
      }
    }
  } finally {
    ending.abort();
    await next?.catch(() => undefined);
  }
}

/** Reads rows as objects (values where the file's root is no struct), in batches, those alone that the filter wants. */
export async function* readOrcRows(
  file: OrcFile,
  options: ReadOrcOptions & RowValueOptions = {},
): AsyncGenerator<OrcRow[], void, undefined> {
  for await (const { root, matches } of readOrcBatches(file, options)) {
    const rows = matches !== undefined && !matches.includes(1) ? [] : rowsOf(root, options);
    const wanted = matches === undefined ? rows : rows.filter((_, row) => matches[row] === 1);
    if (wanted.length > 0) yield wanted;
  }
}

/**
 * Reads columns whole, each as one vector, by name. Everything is held in memory at once; for more than fits use {@link
 * readOrcBatches}. A filter is refused here, since vectors are not cut: use rows or batches.
 */
export async function readOrcColumns(
  file: OrcFile,
  options: Omit<ReadOrcOptions, 'filter'> = {},
): Promise<{ rowCount: number; columns: Record<string, OrcVector> }> {
  if ('filter' in options && options.filter !== undefined) throw new TypeError('readOrcColumns takes no filter');
  const roots: OrcVector[] = [];
  for await (const { root } of readOrcBatches(file, { batchSize: 65_536, ...options })) roots.push(root);
  if (roots.length === 0) return { rowCount: 0, columns: {} };
  const root = concatenateVectors(roots);
  if (root.kind !== 'struct') return { rowCount: root.length, columns: { '': root } };
  const names = distinctNames(root.names);
  const columns = Object.fromEntries(names.map((name, index) => [name, root.children[index]!]));
  return { rowCount: root.length, columns };
}

/** The stripes that have rows to read: by index, by row range, by statistics of the file and of stripes. */
async function chooseStripes(
  file: OrcFile,
  options: Omit<ReadOrcOptions, 'filter'> & { selected: Uint8Array; filter: CompiledFilter | undefined },
): Promise<StripeRequest[]> {
  const { footer } = file;
  const { selected, filter: compiled, rowStart = 0, rowEnd = Number.POSITIVE_INFINITY } = options;
  if (rowStart < 0 || rowEnd < rowStart) throw new RangeError(`rows ${rowStart} to ${rowEnd} are not a range`);
  const firstRows = firstRowsOf(file);
  const requests: StripeRequest[] = [];
  for (const stripe of options.stripes ?? footer.stripes.keys()) {
    const information = footer.stripes[stripe];
    if (information === undefined)
      throw new RangeError(`stripe ${stripe} was asked for, the file has ${footer.stripes.length}`);
    const first = firstRows[stripe]!;
    const fromRow = Math.max(0, rowStart - first);
    const toRow = Math.min(information.rowCount, rowEnd - first);
    if (fromRow < toRow) requests.push({ stripe, fromRow, toRow, selected, filter: compiled });
  }
  if (compiled === undefined) return requests;
  const { statistics } = footer;
  if (!trustedStatistics(file)) return requests.map((request) => ({ ...request, filter: undefined }));
  if (!mayMatch(compiled, ({ id }) => ({ statistics: statistics[id] }))) return [];
  if (requests.length === 0) return [];
  const perStripe = await file.stripeStatistics(options.signal === undefined ? {} : { signal: options.signal });
  return requests.filter(({ stripe }) => mayMatch(compiled, ({ id }) => ({ statistics: perStripe[stripe]?.[id] })));
}

/**
 * Writers before HIVE-8732 kept wrong bounds of strings; and where a writer was told to make no row index it counts
 * nothing, and says so in statistics that look like those of no values.
 */
function trustedStatistics({ footer, postscript }: OrcFile): boolean {
  const java = footer.writer === undefined || footer.writer === 0;
  return footer.rowIndexStride > 0 && !(java && (postscript.writerVersion ?? 0) < 1);
}

/** Number in the file of each stripe's first row. */
function firstRowsOf(file: OrcFile): number[] {
  let row = 0;
  return file.footer.stripes.map(({ rowCount }) => {
    const first = row;
    row += rowCount;
    return first;
  });
}

/**
 * Loads stripes by their place in the list. Stripe footers come first, by the group: of small stripes, and where every
 * column is wanted, the whole stripe is fetched in their place.
 */
function stripeLoader(
  file: OrcFile,
  requests: readonly StripeRequest[],
  options: RequestLimits & { signal: AbortSignal; whole: boolean },
): (index: number) => Promise<LoadedStripe> | undefined {
  const groups = groupRequests(file, requests, options);
  const bases = new Map<number, Promise<FetchedRanges>>();
  return (index) => {
    const request = requests[index];
    if (request === undefined) return undefined;
    const group = groups.findLastIndex(({ first }) => first <= index);
    let base = bases.get(group);
    if (base === undefined) {
      // Only the group in use is kept: its bytes are not needed once its stripes are loaded.
      bases.clear();
      base = (async () => {
        const fetched = new FetchedRanges(file.fetched);
        await fetched.fetch(file.source, groups[group]!.ranges, options);
        return fetched;
      })();
      bases.set(group, base);
    }
    const loading = base.then((fetched) => loadStripe(file, request, { ...options, base: fetched }));
    // A failure is met where the stripe is awaited, which may be after it happened.
    loading.catch(() => undefined);
    return loading;
  };
}

function groupRequests(
  file: OrcFile,
  requests: readonly StripeRequest[],
  options: { whole: boolean },
): { first: number; ranges: { start: number; end: number }[] }[] {
  const groups: { first: number; bytes: number; ranges: { start: number; end: number }[] }[] = [];
  for (const [index, request] of requests.entries()) {
    const stripe = file.footer.stripes[request.stripe]!;
    const all = stripeRange(stripe);
    const complete = request.fromRow === 0 && request.toRow === stripe.rowCount;
    const whole = all.end - all.start <= smallStripe || (options.whole && complete);
    const range = whole ? all : stripeFooterRange(stripe);
    const bytes = range.end - range.start;
    const last = groups.at(-1);
    if (last !== undefined && last.bytes + bytes <= groupBytes && last.ranges.length < groupStripes) {
      last.bytes += bytes;
      last.ranges.push(range);
    } else groups.push({ first: index, bytes, ranges: [range] });
  }
  return groups;
}

function withMissing(vector: OrcVector, missing: readonly string[]): OrcVector {
  if (vector.kind !== 'struct') return vector;
  const children = [...vector.children, ...missing.map(() => nullVector(vector.length))];
  return { ...vector, names: [...vector.names, ...missing], children } satisfies StructVector;
}
