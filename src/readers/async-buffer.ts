import { plainBytes, readRange } from './orc/byte-ranges.ts';
import type { RangeSource } from './range-source.ts';

/** A file as hyparquet reads it; its own type `AsyncBuffer` is the same. */
export interface AsyncBuffer {
  readonly byteLength: number;
  /** The bytes of [start, end), as `ArrayBuffer.prototype.slice` counts them: clipped, from the end where negative. */
  slice(start: number, end?: number): Promise<ArrayBuffer>;
}

/** A range of `slice(start, end)` within `size` bytes, as ArrayBuffer and Blob count: clipped, from the end where negative. */
export function clippedRange(size: number, start = 0, end: number = size): { start: number; end: number } {
  const place = (offset: number): number => {
    const whole = Number.isNaN(offset) ? 0 : Math.trunc(offset);
    return whole < 0 ? Math.max(0, size + whole) : Math.min(size, whole);
  };
  const first = place(start);
  return { start: first, end: Math.max(first, place(end)) };
}

/** A {@link RangeSource} as hyparquet takes files. Each `slice` is one read; nothing is cached here. */
export function asAsyncBuffer(source: RangeSource, options: { signal?: AbortSignal } = {}): AsyncBuffer {
  return {
    byteLength: source.size,
    async slice(start, end) {
      const range = clippedRange(source.size, start, end);
      if (range.start === range.end) return new ArrayBuffer(0);
      return exactBuffer(await readRange(source, range, options));
    },
  };
}

/** The bytes as an ArrayBuffer that holds them and nothing else; copied only where they share one with others. */
export function exactBuffer(bytes: Uint8Array): ArrayBuffer {
  const { buffer, byteOffset, length } = plainBytes(bytes);
  if (buffer instanceof ArrayBuffer && byteOffset === 0 && buffer.byteLength === length) return buffer;
  const copy = new Uint8Array(length);
  copy.set(bytes);
  return copy.buffer;
}
