import type { ByteRange } from '../orc/byte-ranges.ts';
import { readRange } from '../orc/byte-ranges.ts';
import type { RangeSource } from '../range-source.ts';

export interface LineRangeOptions {
  /** Bytes a range has about: from the line that begins at or after a multiple of it. Default 64 MiB. */
  readonly rangeBytes?: number;
  /** In place of rangeBytes: as many ranges, if there are that many lines. */
  readonly ranges?: number;
  /** Bytes that are read at a cut to find the next line end, doubled until it is found. Default 16 KiB. */
  readonly probeBytes?: number;
  /** Cuts looked at at a time. Default 8. */
  readonly concurrency?: number;
  readonly signal?: AbortSignal;
}

const newline = 0x0a;
const longestProbe = 1024 * 1024;

/**
 * Cuts line-oriented content into ranges for parallel readers, each beginning where a line begins and ending after a
 * line end: together they are the whole, and every line is in exactly one of them. One short read for each cut.
 *
 * A line ends with LF; a CR before it belongs to it, and no byte of a longer UTF-8 character is one. A line that is
 * longer than a range makes a longer range: there may be fewer of them than asked for.
 */
export async function splitAtLines(source: RangeSource, options: LineRangeOptions = {}): Promise<ByteRange[]> {
  const { size } = source;
  const { ranges, rangeBytes = 64 * 1024 * 1024, probeBytes = 16 * 1024, concurrency = 8, signal } = options;
  const counts = { ranges: ranges ?? 1, rangeBytes, probeBytes, concurrency };
  for (const [name, value] of Object.entries(counts)) {
    if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`${name} is ${value}, expected at least 1`);
  }
  const step = ranges === undefined ? rangeBytes : Math.max(1, Math.ceil(size / ranges));
  const cuts: number[] = [];
  for (let cut = step; cut < size; cut += step) cuts.push(cut);
  const starts = new Array<number | undefined>(cuts.length);
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < cuts.length && !failed) {
      const index = next++;
      try {
        const end = cuts[index + 1] ?? size;
        starts[index] = await lineStart(source, { start: cuts[index]!, end, probeBytes, signal });
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const workers = Array.from({ length: Math.min(concurrency, cuts.length) }, worker);
  // Settled first, so that nothing is being read any more when this rejects.
  await Promise.allSettled(workers);
  await Promise.all(workers);
  const bounds = [0, ...starts.filter((start) => start !== undefined), size];
  return bounds
    .slice(1)
    .map((end, index) => ({ start: bounds[index]!, end }))
    .filter(({ start, end }) => end > start);
}

/**
 * The first line start in [start, end), if there is one: a line start is what follows a line end, so the byte before
 * `start` is looked at, too.
 */
async function lineStart(
  source: RangeSource,
  options: { start: number; end: number; probeBytes: number; signal: AbortSignal | undefined },
): Promise<number | undefined> {
  const { start, end, signal } = options;
  // A line start at `end` is the next cut's.
  const last = end - 1;
  let length = options.probeBytes;
  for (let from = start - 1; from < last; length = Math.max(length, Math.min(longestProbe, length * 2))) {
    const to = Math.min(last, from + length);
    const bytes = await readRange(source, { start: from, end: to }, { signal });
    const found = bytes.indexOf(newline);
    if (found >= 0) return from + found + 1;
    from = to;
  }
  return undefined;
}
