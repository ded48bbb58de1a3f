/** Ranges as HTTP writes them (RFC 9110, section 14.1.2): `bytes=0-99`, `bytes=100-`, `bytes=-100`. One range only. Pure. */
import type { ByteRange } from './byte-range.ts';

/** What a range means depends on the length of what it is of. */
export type HttpRange =
  /** From `first` up to and with `last`, or to the end. */
  | { readonly first: number; readonly last: number | undefined }
  /** The last `suffix` bytes. */
  | { readonly suffix: number };

/**
 * Reads a range.
 * @returns undefined for what is none: another unit, several ranges, an end before its beginning, numbers out of reach
 */
export function parseHttpRange(text: string): HttpRange | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(text);
  const [, from = '', to = ''] = match ?? [];
  if (match === null || (from === '' && to === '')) return undefined;
  if (from === '') return { suffix: Number(to) };
  const range = { first: Number(from), last: to === '' ? undefined : Number(to) };
  return range.last !== undefined && range.last < range.first ? undefined : range;
}

/**
 * The bytes that a range means of content of `size` bytes, cut off at its end.
 * @returns undefined where not one byte is meant, which HTTP answers with 416
 */
export function resolveHttpRange(range: HttpRange, size: number): ByteRange | undefined {
  const start = 'suffix' in range ? Math.max(0, size - range.suffix) : range.first;
  const end = 'suffix' in range || range.last === undefined ? size : Math.min(size, range.last + 1);
  return start < end ? { start, end } : undefined;
}
