/** Bodies on their way to nowhere: only where they end matters. */

export interface DiscardedBody {
  readonly done: boolean;
  /** Bytes of content discarded so far, framing left out. */
  readonly discarded: number;
  /**
   * Goes on with the bytes from `at` on.
   * @returns where the first byte is that does not belong to the body
   */
  skip(bytes: Buffer, at: number): number;
}

/** A body of a length known beforehand. */
export class FixedBody implements DiscardedBody {
  discarded = 0;
  readonly #length: number;

  constructor(length: number) {
    this.#length = length;
  }

  get done(): boolean {
    return this.discarded >= this.#length;
  }

  skip(bytes: Buffer, at: number): number {
    const taken = Math.min(bytes.length - at, this.#length - this.discarded);
    this.discarded += taken;
    return at + taken;
  }
}

/**
 * A body in `Transfer-Encoding: chunked` (RFC 9112, section 7.1). What aws-chunked puts inside is content to it and is discarded
 * as such.
 */
export class ChunkedBody implements DiscardedBody {
  discarded = 0;
  done = false;
  /** Bytes of the current chunk that are still to come, line end included. */
  #left = 0;
  #line = '';
  #inTrailer = false;

  skip(bytes: Buffer, at: number): number {
    let position = at;
    while (position < bytes.length && !this.done) {
      if (this.#left > 0) {
        const taken = Math.min(bytes.length - position, this.#left);
        this.#left -= taken;
        this.discarded += taken;
        position += taken;
        if (this.#left === 0) this.discarded -= 2; // the chunk's line end
        continue;
      }
      const end = bytes.indexOf(0x0a, position);
      this.#line += bytes.toString('latin1', position, end < 0 ? bytes.length : end);
      if (end < 0) return bytes.length;
      position = end + 1;
      this.#takeLine(this.#line.trimEnd());
      this.#line = '';
    }
    return position;
  }

  #takeLine(line: string): void {
    if (this.#inTrailer) {
      this.done = line === '';
      return;
    }
    const length = Number.parseInt(line, 16);
    if (!Number.isSafeInteger(length) || length < 0) throw new Error(`a chunk begins with ${JSON.stringify(line)}`);
    if (length === 0) this.#inTrailer = true;
    else this.#left = length + 2;
  }
}
