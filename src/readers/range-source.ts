/**
 * The one thing every reader reads from: bytes addressed by offset.
 *
 * An encrypted object, a local file, a buffer: whatever can answer a range is a file to the readers of Parquet, ORC and
 * Arrow. Caching, coalescing, counting and retrying are wrappers of the same shape.
 */
export interface RangeSource {
  /** Length of the content in bytes. */
  readonly size: number;
  /**
   * The bytes of the half-open range [start, end).
   *
   * Callers ask within [0, size]; an implementation answers with exactly `end - start` bytes or rejects.
   */
  read(start: number, end: number, options?: { signal?: AbortSignal }): Promise<Uint8Array>;
  /**
   * The last `length` bytes (all of them if there are fewer), for a source that fetched its tail when it was opened
   * and can answer without another request. Absent: readers use {@link RangeSource.read}.
   */
  tail?(length: number, options?: { signal?: AbortSignal }): Promise<Uint8Array>;
}
