import { type AsyncBuffer, exactBuffer } from '../async-buffer.ts';
import { type FetchedRanges, readRange } from '../orc/byte-ranges.ts';
import { ExpandedPages } from './codecs.ts';
import type { ParquetColumnChunk, ParquetRowGroup } from './footer.ts';
import { formatInvalid } from './format-error.ts';
import { GroupLimits } from './group-limits.ts';
import { checkPages } from './pages.ts';
import type { ParquetFile } from './parquet-file.ts';
import type { ParquetField } from './schema.ts';
import { readStruct } from './thrift.ts';

/** A chunk with the field it belongs to. */
export interface SelectedChunk {
  readonly chunk: ParquetColumnChunk;
  readonly field: ParquetField;
  readonly flat: boolean;
  readonly maxRepetition: number;
  readonly maxDefinition: number;
}

/**
 * What hyparquet reads of a row group: bytes that were fetched before, or are fetched when it asks for them, looked at
 * before it sees them. A failure of the source is kept as it was.
 */
export class ChunkBuffer implements AsyncBuffer {
  readonly byteLength: number;
  /** What was expanded to be looked at. */
  readonly pages: ExpandedPages = new ExpandedPages();
  /** What went wrong here, which hyparquet may wrap or hide. */
  #failure: { readonly error: unknown } | undefined;
  readonly #file: ParquetFile;
  readonly #group: ParquetRowGroup;
  readonly #chunks: readonly SelectedChunk[];
  readonly #fetched: FetchedRanges;
  readonly #signal: AbortSignal | undefined;
  readonly #limits: GroupLimits;

  constructor(parts: {
    file: ParquetFile;
    group: ParquetRowGroup;
    chunks: readonly SelectedChunk[];
    fetched: FetchedRanges;
    /** The last row wanted of the group: pages behind it are not decoded. */
    rowEnd: number;
    signal: AbortSignal | undefined;
  }) {
    this.#file = parts.file;
    this.#group = parts.group;
    this.#chunks = parts.chunks;
    this.#fetched = parts.fetched;
    this.#signal = parts.signal;
    this.byteLength = parts.file.source.size;
    const { chunks, group, rowEnd: rows } = parts;
    this.#limits = new GroupLimits({
      index: group.index,
      stored: chunks.reduce((sum, { chunk }) => sum + chunk.length, 0),
      values: chunks.reduce((sum, { chunk, flat }) => sum + (flat ? rows : chunk.valueCount), 0),
      rows,
    });
  }

  slice(start: number, end: number = this.byteLength): Promise<ArrayBuffer> {
    const bytes = this.#slice({ start, end });
    // hyparquet asks for some bytes before it looks at others: what it then never waits for must not end the process.
    bytes.catch((error: unknown) => {
      this.#failure ??= { error };
    });
    return bytes;
  }

  async #slice({ start, end }: { start: number; end: number }): Promise<ArrayBuffer> {
    if (!(start >= 0 && start <= end && end <= this.#file.footerOffset)) {
      throw formatInvalid(`its indexes point at [${start}, ${end}), outside of the data`, start);
    }
    const range = { start, end };
    const bytes = this.#fetched.find(range) ?? (await readRange(this.#file.source, range, { signal: this.#signal }));
    this.#check(bytes, start);
    return exactBuffer(bytes);
  }

  /** Throws what a slice failed with, as it was. */
  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #check(bytes: Uint8Array, start: number): void {
    const end = start + bytes.length;
    const within = (range: { start: number; end: number } | undefined): range is { start: number; end: number } =>
      range !== undefined && range.start >= start && range.end <= end;
    for (const selected of this.#chunks) {
      const { chunk } = selected;
      const first = Math.max(start, chunk.start);
      const chunkEnd = chunk.start + chunk.length + (chunk.slack ?? 0);
      const last = Math.min(end, chunkEnd);
      if (first < last) {
        checkPages(bytes.subarray(first - start, last - start), {
          ...selected,
          pages: this.pages,
          limits: this.#limits,
          offset: first,
          rowCount: this.#group.rowCount,
          whole: first === chunk.start && last === chunkEnd,
        });
      }
      const { columnIndex, offsetIndex, bloomFilter } = chunk;
      const bloom =
        bloomFilter?.length === undefined
          ? undefined
          : { start: bloomFilter.start, end: bloomFilter.start + bloomFilter.length };
      for (const range of [columnIndex, offsetIndex, bloom]) {
        if (within(range)) {
          readStruct(bytes.subarray(range.start - start, range.end - start), { offset: range.start });
        }
      }
    }
  }
}
