import { SealpipeError } from '../../errors.ts';
import type { RangeSource } from '../range-source.ts';

/** Bytes [start, end) of the file. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** How ranges become requests. */
export interface RequestLimits {
  /**
   * Ranges whose gap is at most this many bytes become one request: a gap's bytes cost less than a round trip. Default
   * 64 KiB.
   */
  readonly gapBytes?: number;
  /**
   * Requests are at most this long; longer ranges are split, and their parts asked for at the same time. Default
   * 16 MiB, which takes a row group of common size in no more requests than the readers that ask for it at once and look
   * at the length before.
   */
  readonly requestBytes?: number;
  /** Requests under way at a time. Default 8. */
  readonly concurrency?: number;
}

const defaults = { gapBytes: 64 * 1024, requestBytes: 16 * 1024 * 1024, concurrency: 8 } as const;

/** Sorts ranges, drops empty ones, and merges those that touch, overlap or lie at most `gapBytes` apart. */
export function mergeRanges(ranges: readonly ByteRange[], limits: RequestLimits = {}): ByteRange[] {
  const { gapBytes = defaults.gapBytes } = limits;
  const merged: { start: number; end: number }[] = [];
  const sorted = ranges.filter(({ start, end }) => end > start).sort((a, b) => a.start - b.start);
  for (const { start, end } of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && start - last.end <= gapBytes) last.end = Math.max(last.end, end);
    else merged.push({ start, end });
  }
  return merged;
}

/** Cuts a range into as few requests of about equal length as the limit allows. */
export function splitRange({ start, end }: ByteRange, limits: RequestLimits = {}): ByteRange[] {
  const { requestBytes = defaults.requestBytes } = limits;
  const parts = Math.max(1, Math.ceil((end - start) / requestBytes));
  const length = Math.ceil((end - start) / parts);
  return Array.from({ length: parts }, (_, index) => ({
    start: start + index * length,
    end: Math.min(end, start + (index + 1) * length),
  }));
}

/** Bytes of a file that are at hand, by their place in it. Looks into `base` for what it does not hold itself. */
export class FetchedRanges {
  readonly #parts: { readonly start: number; readonly bytes: Uint8Array }[] = [];
  readonly #base: FetchedRanges | undefined;

  constructor(base?: FetchedRanges) {
    this.#base = base;
  }

  add(start: number, bytes: Uint8Array): void {
    this.#parts.push({ start, bytes });
  }

  /** The bytes of a range, or undefined where they are not all at hand in one piece. */
  find({ start, end }: ByteRange): Uint8Array | undefined {
    for (const part of this.#parts) {
      if (start >= part.start && end <= part.start + part.bytes.length) {
        return part.bytes.subarray(start - part.start, end - part.start);
      }
    }
    return this.#base?.find({ start, end });
  }

  /** The bytes of a range that was fetched. */
  get(range: ByteRange): Uint8Array {
    const bytes = this.find(range);
    if (bytes === undefined) throw new Error(`internal error: bytes ${range.start} to ${range.end} were not fetched`);
    return bytes;
  }

  /** Fetches those of the ranges that are not at hand, merged and split as the limits say. */
  async fetch(
    source: RangeSource,
    ranges: readonly ByteRange[],
    options: RequestLimits & { signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    const missing = ranges.filter((range) => this.find(range) === undefined);
    const merged = mergeRanges(missing, options);
    const queue: { range: ByteRange; into: Uint8Array; at: number }[] = [];
    const whole: { start: number; bytes: Uint8Array }[] = [];
    const fetches: (() => Promise<void>)[] = [];
    for (const range of merged) {
      const requests = splitRange(range, options);
      if (requests.length === 1) {
        fetches.push(async () => {
          whole.push({ start: range.start, bytes: await readRange(source, range, options) });
        });
        continue;
      }
      // The length is that of a range within the file, which the source has to answer in full: not a claim.
      const bytes = new Uint8Array(range.end - range.start);
      for (const request of requests) queue.push({ range: request, into: bytes, at: request.start - range.start });
      whole.push({ start: range.start, bytes });
    }
    for (const { range, into, at } of queue) {
      fetches.push(async () => into.set(await readRange(source, range, options), at));
    }
    await runAll(fetches, options.concurrency ?? defaults.concurrency);
    for (const { start, bytes } of whole) this.add(start, bytes);
  }
}

/**
 * The same bytes as a plain Uint8Array. Sources and zlib give Buffers, whose `slice` is a view where a Uint8Array's is
 * a copy: code that counts on the copy would share a pool with strangers.
 */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  return Buffer.isBuffer(bytes) ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length) : bytes;
}

/** Reads one range and holds the answer to its length, whatever the source is. */
export async function readRange(
  source: RangeSource,
  { start, end }: ByteRange,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Uint8Array> {
  const { signal } = options;
  signal?.throwIfAborted();
  const bytes = plainBytes(await source.read(start, end, signal === undefined ? {} : { signal }));
  if (bytes.length !== end - start) {
    throw new SealpipeError('TRUNCATED', `the source answered ${bytes.length} bytes to [${start}, ${end})`, {
      offset: start,
    });
  }
  return bytes;
}

/**
 * Runs the tasks, some at a time. After a failure no further one is begun; it rejects when those under way have
 * settled.
 */
async function runAll(tasks: readonly (() => Promise<void>)[], concurrency: number): Promise<void> {
  let next = 0;
  const failures: unknown[] = [];
  const worker = async (): Promise<void> => {
    while (next < tasks.length && failures.length === 0) {
      try {
        await tasks[next++]!();
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, tasks.length) }, worker));
  if (failures.length > 0) throw failures[0];
}
