/** Half-open ranges of bytes: checking, merging, splitting, filling gaps. Pure. */

/** Bytes [start, end). */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Refuses what is no range of `size` bytes.
 * @throws RangeError for negative, fractional, NaN or reversed bounds, and for an end past the content
 */
export function assertRange({ start, end }: ByteRange, size: number): void {
  if (Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end && end <= size) return;
  throw new RangeError(`the range [${start}, ${end}) does not lie within the ${size} bytes of the content`);
}

/** Ranges in order, with those made one that touch, overlap, or lie at most `gap` bytes apart. Empty ones are left out. */
export function mergeRanges(ranges: readonly ByteRange[], gap: number): ByteRange[] {
  const merged: { start: number; end: number }[] = [];
  const sorted = ranges.filter(({ start, end }) => end > start).sort((a, b) => a.start - b.start);
  for (const { start, end } of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && start - last.end <= gap) last.end = Math.max(last.end, end);
    else merged.push({ start, end });
  }
  return merged;
}

/** As few pieces of about the same length as `longest` allows, cut at multiples of `alignment`. */
export function splitRange(
  { start, end }: ByteRange,
  { longest, alignment }: { longest: number; alignment: number },
): ByteRange[] {
  const count = Math.max(1, Math.ceil((end - start) / longest));
  const cuts = Array.from({ length: count - 1 }, (_, i) => {
    const cut = start + Math.round(((i + 1) * (end - start)) / count);
    return cut - (cut % alignment);
  });
  const bounds = [start, ...cuts.filter((cut) => cut > start), end];
  return bounds
    .slice(1)
    .map((bound, i) => ({ start: bounds[i] as number, end: bound }))
    .filter((piece) => piece.end > piece.start);
}

/** A range widened to multiples of `alignment`, and cut off at the end of the content. */
export function alignRange({ start, end }: ByteRange, alignment: number, size: number): ByteRange {
  return { start: start - (start % alignment), end: Math.min(size, Math.ceil(end / alignment) * alignment) };
}
