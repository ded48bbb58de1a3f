import type { FileMetaData, ParquetParsers } from 'hyparquet';
import { SealpipeError } from '../../errors.ts';
import { optionalPeer } from '../optional-peer.ts';
import { type ByteRange, FetchedRanges, type RequestLimits } from '../orc/byte-ranges.ts';
import { Timestamp } from '../timestamp.ts';
import { ChunkBuffer, type SelectedChunk } from './chunk-buffer.ts';
import { type ParquetFilter, type StoredFilter, storedFilter } from './filter.ts';
import type { ParquetRowGroup } from './footer.ts';
import { formatInvalid, formatUnsupported } from './format-error.ts';
import type { ParquetFile } from './parquet-file.ts';
import { type ParquetRow, rowConverter } from './row-of.ts';
import { leavesOf, levelsOf } from './schema.ts';
import { type Selection, selectColumns } from './selection.ts';
import { storedMetadata } from './stored-schema.ts';
import { signedInteger } from './value-of.ts';

export interface ReadParquetOptions extends RequestLimits {
  /** Paths of the columns wanted: `id`, `address.city`. Default all. Rows have them in the file's order. */
  columns?: readonly string[];
  /** Indices of the row groups wanted. Default all. */
  rowGroups?: readonly number[];
  /** Rows of the file, half-open. Default all. */
  rowStart?: number;
  rowEnd?: number;
  /** Which rows are wanted. Row groups that their statistics rule out are not fetched. */
  filter?: ParquetFilter;
  /**
   * Whether, with a filter, page indexes are read to fetch only the pages in question: worth it where few rows of large
   * row groups are wanted. Default false.
   */
  pageIndex?: boolean;
  /** Whether, with `$eq` or `$in`, bloom filters are read to rule out row groups. Default false. */
  bloomFilters?: boolean;
  /** Rows an array at most. Default 4096. */
  batchSize?: number;
  signal?: AbortSignal;
}

/** Row groups are fetched together up to this many bytes, and this much is on its way or waiting at most (or one). */
const fetchBytes = 8 * 1024 * 1024;
const aheadBytes = 64 * 1024 * 1024;
const aheadFetches = 8;

/** How hyparquet is to read what it is told of (stored-schema.ts). */
const parsers: Partial<ParquetParsers> = {
  timestampFromNanoseconds: (value) => new Timestamp(value, false),
  geometryFromBytes: signedInteger,
};

/** A row group that is to be read. */
interface Task {
  readonly group: ParquetRowGroup;
  readonly metadata: FileMetaData;
  readonly chunks: readonly SelectedChunk[];
  /** Rows of the group. */
  readonly rowStart: number;
  readonly rowEnd: number;
}

/** Tasks whose bytes are fetched together. */
interface Fetch {
  readonly tasks: readonly Task[];
  readonly ranges: readonly ByteRange[];
  readonly bytes: number;
}

/**
 * The rows of a Parquet file, in arrays. Leaving the loop ends what is being fetched, and waits for it.
 *
 * A row group is decoded whole, and its rows are in memory at once; of a row group of which only the first rows are
 * wanted, no more pages are decoded than that takes.
 *
 * @throws SealpipeError CONFIG_INVALID where hyparquet is not installed, FORMAT_INVALID, FORMAT_UNSUPPORTED
 * @throws RangeError, TypeError for columns, row groups and filters that the file cannot have
 */
export async function* readParquetRows(
  file: ParquetFile,
  options: ReadParquetOptions = {},
): AsyncGenerator<ParquetRow[], void, undefined> {
  const { batchSize = 4096 } = options;
  if (!Number.isSafeInteger(batchSize) || batchSize < 1) throw new RangeError(`batchSize is ${batchSize}`);
  const { schema } = file.metadata;
  const filter = options.filter === undefined ? undefined : storedFilter(options.filter, schema);
  const output = selectColumns(schema, options.columns);
  const input =
    options.columns === undefined || filter === undefined
      ? output
      : selectColumns(schema, [...options.columns, ...filter.paths]);
  const tasks = planTasks(file, { ...options, selection: input });
  const hyparquet = await optionalPeer('hyparquet', () => import('hyparquet'));
  const convert = rowConverter(output.root);
  const canceller = new AbortController();
  const signal = options.signal === undefined ? canceller.signal : AbortSignal.any([options.signal, canceller.signal]);
  const indexed = filter !== undefined && (options.pageIndex === true || options.bloomFilters === true);
  const kept: Task[] = [];
  for (const task of tasks) {
    if (filter === undefined || indexed || (await mayMatch(hyparquet, { task, filter, file }))) kept.push(task);
  }
  const fetches = groupTasks(kept, { indexed });
  const running = new Map<Fetch, Promise<FetchedRanges>>();
  const startAhead = (from: number): void => {
    let bytes = 0;
    for (const fetch of fetches.slice(from, from + aheadFetches)) {
      bytes += fetch.bytes;
      if (bytes > aheadBytes && fetch !== fetches[from]) return;
      if (running.has(fetch)) continue;
      const fetched = new FetchedRanges(file.fetched);
      const done = fetched.fetch(file.source, fetch.ranges, { ...options, signal }).then(() => fetched);
      done.catch(() => undefined); // looked at when its turn comes
      running.set(fetch, done);
    }
  };
  try {
    for (const [index, fetch] of fetches.entries()) {
      startAhead(index);
      const fetched = await running.get(fetch)!;
      running.delete(fetch);
      for (const task of fetch.tasks) {
        const rows = await readTask(hyparquet, { task, file, fetched, filter, signal, options });
        for (let start = 0; start < rows.length; start += batchSize) {
          yield converted(rows.slice(start, start + batchSize), { convert, group: task.group });
        }
      }
    }
  } finally {
    canceller.abort();
    await Promise.allSettled(running.values());
  }
}

function planTasks(file: ParquetFile, options: ReadParquetOptions & { selection: Selection }): Task[] {
  const { selection, rowGroups, rowStart = 0, rowEnd = file.rowCount } = options;
  const groups = file.metadata.rowGroups;
  const unknown = rowGroups?.find((index) => groups[index] === undefined);
  if (unknown !== undefined) throw new RangeError(`row group ${unknown} was asked for, the file has ${groups.length}`);
  if (!(rowStart >= 0 && rowEnd >= rowStart)) throw new RangeError(`rows [${rowStart}, ${rowEnd}) were asked for`);
  const fields = leavesOf(selection.root);
  const paths = new Set<string>();
  const twice = fields.find(({ path }) => paths.size === paths.add(path).size);
  if (twice !== undefined) {
    throw formatUnsupported(`it has two columns ${JSON.stringify(twice.path)}, and rows one value for a name`);
  }
  const levels = levelsOf(selection.root);
  const tasks: Task[] = [];
  let first = 0;
  for (const group of groups) {
    const from = Math.max(0, rowStart - first);
    const to = Math.min(group.rowCount, rowEnd - first);
    first += group.rowCount;
    if (from >= to || (rowGroups !== undefined && !rowGroups.includes(group.index))) continue;
    const chunks = selection.leaves.map((leaf, position): SelectedChunk => {
      const [chunk, field] = [group.columns[leaf]!, fields[position]!];
      const where = `column ${JSON.stringify(chunk.path)}`;
      if (chunk.encrypted !== undefined) throw formatUnsupported(`${where} is encrypted by Parquet's own encryption`);
      if (chunk.codec === 'LZO') throw formatUnsupported(`${where} is compressed with LZO`);
      if (chunk.filePath !== undefined) throw formatUnsupported(`${where} lies in another file`);
      const flat = !chunk.path.includes('.') && field.repetition !== 'REPEATED';
      return { chunk, field, flat, ...levels[position]! };
    });
    tasks.push({ group, chunks, rowStart: from, rowEnd: to, metadata: storedMetadata(group, selection) });
  }
  return tasks;
}

/** Neighbouring small row groups become one fetch. */
function groupTasks(tasks: readonly Task[], { indexed }: { indexed: boolean }): Fetch[] {
  const fetches: { tasks: Task[]; ranges: ByteRange[]; bytes: number }[] = [];
  for (const task of tasks) {
    // With indexes, hyparquet asks for what it needs once it has read them.
    const ranges = indexed
      ? []
      : task.chunks.map(({ chunk: { start, length, slack = 0 } }) => ({ start, end: start + length + slack }));
    const bytes = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
    const last = fetches.at(-1);
    if (last === undefined || last.bytes + bytes > fetchBytes) fetches.push({ tasks: [task], ranges, bytes });
    else {
      last.tasks.push(task);
      last.ranges.push(...ranges);
      last.bytes += bytes;
    }
  }
  return fetches;
}

type Hyparquet = typeof import('hyparquet');

/** Whether the statistics of a row group leave room for a row that the filter wants. Reads nothing. */
async function mayMatch(
  hyparquet: Hyparquet,
  { task, filter, file }: { task: Task; filter: StoredFilter; file: ParquetFile },
): Promise<boolean> {
  const { metadata } = task;
  const nothing = {
    byteLength: file.source.size,
    slice: (): never => {
      throw new Error('internal error: statistics are compared without reading');
    },
  };
  const { ranges } = await hyparquet.parquetScan({ file: nothing, metadata, pruningFilter: filter.filter });
  return ranges.length > 0;
}

/** Values of another type than the column's come of an encoding that it cannot have. */
function converted(
  rows: readonly Record<string, unknown>[],
  { convert, group }: { convert: (row: Record<string, unknown>) => ParquetRow; group: ParquetRowGroup },
): ParquetRow[] {
  try {
    return rows.map(convert);
  } catch (cause) {
    if (cause instanceof SealpipeError) throw cause;
    throw formatInvalid(
      `row group ${group.index} holds values that are not of their column's type`,
      group.start,
      cause,
    );
  }
}

interface Reading {
  readonly task: Task;
  readonly file: ParquetFile;
  readonly fetched: FetchedRanges;
  readonly filter: StoredFilter | undefined;
  readonly signal: AbortSignal;
  readonly options: ReadParquetOptions;
}

async function readTask(
  hyparquet: Hyparquet,
  { task, file, fetched, filter, signal, options }: Reading,
): Promise<Record<string, unknown>[]> {
  const { group, chunks, metadata, rowStart, rowEnd } = task;
  // Named even where it is all of them: else it takes chunks to lie in the order of the schema.
  const columns = [...new Set(chunks.map(({ chunk }) => chunk.path.split('.')[0]!))];
  // A selection of nothing still has as many rows.
  if (columns.length === 0) return Array.from({ length: rowEnd - rowStart }, () => ({}));
  const buffer = new ChunkBuffer({ file, group, chunks, fetched, rowEnd, signal });
  try {
    return await hyparquet.parquetReadObjects({
      file: buffer,
      metadata,
      columns,
      rowStart,
      rowEnd,
      compressors: buffer.pages.decompressors,
      parsers,
      utf8: false,
      ...(filter === undefined ? {} : { filter: filter.filter }),
      ...(options.pageIndex === true ? { usePageIndex: true } : {}),
      ...(options.bloomFilters === true ? { useBloomFilters: true } : {}),
    });
  } catch (cause) {
    signal.throwIfAborted();
    buffer.throwIfFailed();
    if (cause instanceof SealpipeError) throw cause;
    const { message } = cause as Error;
    if (/unsupported|not supported/.test(message))
      throw formatUnsupported(message.replace(/^parquet /, ''), group.start);
    throw formatInvalid(`row group ${group.index} cannot be decoded (${message})`, group.start, cause);
  }
}
