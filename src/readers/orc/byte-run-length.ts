import type { ByteStream, PositionReader } from './byte-stream.ts';

/**
 * Decodes byte run lengths: a control byte below 128 repeats the next byte control + 3 times, else 256 - control bytes
 * follow.
 */
export class ByteRunLengthReader {
  readonly #stream: ByteStream;
  #left = 0;
  #value = 0;
  #literal = false;

  constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  /** Writes the next `count` bytes to `target` from `at` on. */
  read(target: Uint8Array, at: number, count: number): void {
    const stream = this.#stream;
    for (let done = at, end = at + count; done < end; ) {
      if (this.#left === 0) this.#run();
      const size = Math.min(this.#left, end - done);
      if (this.#literal) {
        // Literal bytes are taken as they come: a run of them may cross chunks.
        if (stream.end - stream.position < size) stream.need(size);
        const { window, position } = stream;
        for (let index = 0; index < size; index++) target[done + index] = window[position + index]!;
        stream.position += size;
      } else target.fill(this.#value, done, done + size);
      this.#left -= size;
      done += size;
    }
  }

  /** Goes to a position of the row index, which is within a run. */
  seek(positions: PositionReader): void {
    this.#stream.seek(positions);
    this.#left = 0;
    const consumed = positions.next();
    if (consumed > 0) this.read(new Uint8Array(this.#checked(consumed)), 0, consumed);
  }

  /** No run has more than 130 bytes: a claim of more must not become an allocation. */
  #checked(consumed: number): number {
    if (consumed > 130) throw this.#stream.invalid(`is to be read from byte ${consumed} of a run`);
    return consumed;
  }

  #run(): void {
    const control = this.#stream.byte();
    this.#literal = control >= 128;
    if (this.#literal) this.#left = 256 - control;
    else {
      this.#left = control + 3;
      this.#value = this.#stream.byte();
    }
  }
}

/** Decodes bits, the most significant of a byte first, packed in byte run lengths. */
export class BitRunLengthReader {
  readonly #bytes: ByteRunLengthReader;
  readonly #stream: ByteStream;
  #current = 0;
  #left = 0;
  #scratch = new Uint8Array(128);

  constructor(stream: ByteStream) {
    this.#stream = stream;
    this.#bytes = new ByteRunLengthReader(stream);
  }

  /** Writes the next `count` bits to `target` from `at` on, a byte of 0 or 1 each. */
  read(target: Uint8Array, at: number, count: number): void {
    let done = at;
    const end = at + count;
    while (done < end && this.#left > 0) target[done++] = (this.#current >>> --this.#left) & 1;
    while (end - done >= 8) {
      const bytes = Math.min((end - done) >>> 3, this.#scratch.length);
      this.#bytes.read(this.#scratch, 0, bytes);
      for (let index = 0; index < bytes; index++) {
        const byte = this.#scratch[index]!;
        if (byte === 0xff) target.fill(1, done, done + 8);
        else {
          target[done] = byte >>> 7;
          target[done + 1] = (byte >>> 6) & 1;
          target[done + 2] = (byte >>> 5) & 1;
          target[done + 3] = (byte >>> 4) & 1;
          target[done + 4] = (byte >>> 3) & 1;
          target[done + 5] = (byte >>> 2) & 1;
          target[done + 6] = (byte >>> 1) & 1;
          target[done + 7] = byte & 1;
        }
        done += 8;
      }
    }
    if (done < end) {
      this.#bytes.read(this.#scratch, 0, 1);
      this.#current = this.#scratch[0]!;
      this.#left = 8;
      while (done < end) target[done++] = (this.#current >>> --this.#left) & 1;
    }
  }

  seek(positions: PositionReader): void {
    this.#bytes.seek(positions);
    this.#left = 0;
    const bits = positions.next();
    if (bits > 8) throw this.#stream.invalid(`is to be read from bit ${bits} of a byte`);
    if (bits > 0) this.read(new Uint8Array(8), 0, bits);
  }
}
