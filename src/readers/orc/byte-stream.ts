import { type Codec, holdsChunk, readChunk } from './compression.ts';
import { formatInvalid } from './format-error.ts';

const nothing = new Uint8Array();

/** What a {@link ByteStream} reads: a stream's bytes as stored, or the part of them that was fetched. */
export interface StreamBytes {
  readonly bytes: Uint8Array;
  /** File offset of bytes[0]. */
  readonly offset: number;
  /** Offset within the stream of bytes[0]: positions of the row index count from the stream's start. */
  readonly start: number;
  /** Whether the stream goes on after these bytes: they may then end within a chunk, which nobody needs. */
  readonly partial: boolean;
  /** Names the stream in errors. */
  readonly name: string;
}

/**
 * The expanded bytes of one stream, a window at a time.
 *
 * Decoders look at `window[position]` … `window[end - 1]` directly, which is what makes them fast, and call {@link
 * ByteStream.fill} when they need more in one piece than is there. Chunks are expanded as they are needed: a stripe of
 * a few bytes that would expand to gigabytes costs one chunk at a time, and stops at the first that is not wanted.
 */
export class ByteStream {
  window: Uint8Array;
  position = 0;
  end: number;
  readonly #source: StreamBytes;
  readonly #codec: Codec | undefined;
  /** Where in the source the next chunk begins. */
  #next = 0;

  constructor(source: StreamBytes, codec: Codec | undefined) {
    this.#source = source;
    this.#codec = codec;
    this.window = codec === undefined ? source.bytes : nothing;
    this.end = this.window.length;
  }

  /** Whether the stream has no bytes left. */
  get exhausted(): boolean {
    return this.position >= this.end && !this.fill(1);
  }

  /** Makes `count` bytes available in one piece, as far as the stream has them; false if it has fewer. */
  fill(count: number): boolean {
    while (this.end - this.position < count) if (!this.#more()) return false;
    return true;
  }

  /** As {@link ByteStream.fill}, an error if the stream ends before. */
  need(count: number): void {
    if (this.end - this.position < count && !this.fill(count)) {
      throw this.invalid(`ends ${count - (this.end - this.position)} bytes early`);
    }
  }

  /** The next byte. */
  byte(): number {
    if (this.position >= this.end) this.need(1);
    return this.window[this.position++]!;
  }

  /** The next `count` bytes. A view where they lie in one chunk, else a copy that grows as chunks are expanded. */
  take(count: number): Uint8Array {
    if (this.end - this.position >= count) {
      this.position += count;
      return this.window.subarray(this.position - count, this.position);
    }
    const parts: Uint8Array[] = [];
    for (let left = count; left > 0; ) {
      if (this.position >= this.end) {
        this.position = this.end;
        if (!this.#more()) throw this.invalid(`ends ${left} bytes early`);
        continue;
      }
      const part = this.window.subarray(this.position, Math.min(this.end, this.position + left));
      parts.push(part);
      this.position += part.length;
      left -= part.length;
    }
    const output = new Uint8Array(count);
    let done = 0;
    for (const part of parts) {
      output.set(part, done);
      done += part.length;
    }
    return output;
  }

  /** Passes over `count` bytes. */
  skip(count: number): void {
    for (let left = count; ; ) {
      const available = this.end - this.position;
      if (available >= left) {
        this.position += left;
        return;
      }
      left -= available;
      this.position = this.end;
      if (!this.#more()) throw this.invalid(`ends ${left} bytes early`);
    }
  }

  /** Goes to a position of the row index: takes the one or two numbers that it has for this stream. */
  seek(positions: PositionReader): void {
    const target = positions.next() - this.#source.start;
    if (target < 0 || target > this.#source.bytes.length) {
      throw this.invalid(`is to be read from ${target + this.#source.start}, outside of its bytes`);
    }
    if (this.#codec === undefined) {
      this.position = target;
      return;
    }
    this.#next = target;
    this.window = nothing;
    this.position = 0;
    this.end = 0;
    this.skip(positions.next());
  }

  /** An error that says where this stream stands. */
  invalid(found: string): Error {
    const { name, offset } = this.#source;
    const at = offset + (this.#codec === undefined ? Math.min(this.position, this.end) : this.#next);
    return formatInvalid(`the ${name} ${found}`, at);
  }

  #more(): boolean {
    const { bytes, offset, partial } = this.#source;
    if (this.#codec === undefined || this.#next >= bytes.length) return false;
    if (partial && !holdsChunk(bytes, this.#next)) return false;
    const { content, next } = readChunk(bytes, this.#next, { codec: this.#codec, offset });
    this.#next = next;
    const left = this.end - this.position;
    if (left <= 0) this.window = content;
    else {
      // A run crosses the chunk's border: what is left of it and the next chunk become one piece.
      const joined = new Uint8Array(left + content.length);
      joined.set(this.window.subarray(this.position, this.end));
      joined.set(content, left);
      this.window = joined;
    }
    this.position = 0;
    this.end = this.window.length;
    return true;
  }
}

/** Hands out the positions of a row index entry in order. */
export class PositionReader {
  readonly #positions: readonly number[];
  readonly #column: number;
  #at = 0;

  constructor(positions: readonly number[], column: number) {
    this.#positions = positions;
    this.#column = column;
  }

  next(): number {
    const position = this.#positions[this.#at++];
    if (position === undefined) {
      throw formatInvalid(`the row index of column ${this.#column} has ${this.#positions.length} positions, too few`);
    }
    return position;
  }
}
