/** How a stored object is cut into ranges that are fetched side by side. Pure. */
import { tagLength } from '../format/lengths.ts';

const MiB = 1024 * 1024;

/** A range of the stored bytes. */
export interface StoredRange {
  /** From 1, in the order of the object. */
  readonly number: number;
  /** Half open; `start` is a multiple of 16. */
  readonly start: number;
  readonly end: number;
  /** How many of them are content; the others are of the tag. */
  readonly content: number;
}

/** Bytes that the first request of a parallel download asks for: its answer brings the envelope and the length as well. */
export function firstRangeLength(partSize: number = 8 * MiB): number {
  return Math.min(partSize, 8 * MiB);
}

/**
 * The ranges of a GCM object behind its first one. The last has the whole tag, or what the first has not got of it.
 * @param storedSize bytes of the object, its tag included
 * @param from where the first range ended: a multiple of 16
 * @param length bytes of each: a multiple of 16
 */
export function rangesFrom(storedSize: number, from: number, length: number): StoredRange[] {
  const ranges: StoredRange[] = [];
  for (let start = from; start < storedSize; ) {
    // A range of nothing but the tag would be a request for nothing.
    const end = storedSize - start <= length + tagLength ? storedSize : start + length;
    ranges.push(rangeOf(ranges.length + 2, { start, end, storedSize }));
    start = end;
  }
  return ranges;
}

/** One range, with what of it is content. */
export function rangeOf(
  number: number,
  { start, end, storedSize }: { start: number; end: number; storedSize: number },
): StoredRange {
  return { number, start, end, content: Math.max(0, Math.min(end, storedSize - tagLength) - start) };
}

/**
 * Bytes of the ranges that go straight to a file, where the caller does not say. Each costs a round trip in which its connection
 * stands still, so they are few and long; all connections get equally many (at least two, so that a slow one has less to do), so
 * that they end together: the last range is shorter by the first.
 */
export function fileRangeLength(storedSize: number, connections: number): number {
  const rounds = Math.max(2, Math.ceil(storedSize / (connections * 64 * MiB)));
  return Math.max(8 * MiB, Math.ceil(storedSize / (connections * rounds) / 65_536) * 65_536);
}
