import { readRange } from './orc/byte-ranges.ts';
import type { RangeSource } from './range-source.ts';

/** The part of Node's `FileHandle` that readers of local files use, apache-arrow's among them. */
export interface RangeFileHandle {
  /** No descriptor of the operating system; apache-arrow tells a file handle by its being a number. */
  readonly fd: number;
  stat(): Promise<{ readonly size: number }>;
  /** Reads up to `length` bytes at `position` into `buffer`: fewer at the end of the file, none past it. */
  read(
    buffer: Uint8Array,
    offset?: number,
    length?: number,
    position?: number | bigint | null,
  ): Promise<{ bytesRead: number; buffer: Uint8Array }>;
  /** Ends this handle. The source stays open: it belongs to who opened it. */
  close(): Promise<void>;
}

/**
 * A {@link RangeSource} as a file handle that can be read: `RecordBatchReader.from(asFileHandle(source) as FileHandle)`
 * for apache-arrow. Each `read` is one read of the source.
 */
export function asFileHandle(source: RangeSource, options: { signal?: AbortSignal } = {}): RangeFileHandle {
  let position = 0;
  let closed = false;
  return {
    fd: -1,
    async stat() {
      return { size: source.size };
    },
    async read(buffer, offset = 0, length = buffer.byteLength - offset, at = null) {
      if (closed) throw new Error('the file handle is closed');
      if (offset < 0 || length < 0 || offset + length > buffer.byteLength)
        throw new RangeError(`${length} bytes at ${offset} do not fit into a buffer of ${buffer.byteLength}`);
      const given = at !== null && Number(at) >= 0;
      const start = Math.min(source.size, given ? Number(at) : position);
      const end = Math.min(source.size, start + length);
      if (end > start) buffer.set(await readRange(source, { start, end }, options), offset);
      if (!given) position = end;
      return { bytesRead: end - start, buffer };
    },
    async close() {
      closed = true;
    },
  };
}
