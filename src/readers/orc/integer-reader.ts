import type { ByteStream, PositionReader } from './byte-stream.ts';
import { IntegerRun, type RunDecoder } from './integer-run.ts';
import { integerV1 } from './integer-v1.ts';
import { integerV2 } from './integer-v2.ts';
import type { OrcEncodingKind } from './stripe-footer.ts';

/** Reads the integers of one stream across its runs. */
export class IntegerReader {
  readonly #stream: ByteStream;
  readonly #decode: RunDecoder;
  readonly #run: IntegerRun = new IntegerRun();
  #used = 0;

  /** `signed`: values are zigzag-encoded. The run length version follows from the column's encoding. */
  constructor(stream: ByteStream, options: { signed: boolean; encoding: OrcEncodingKind }) {
    this.#stream = stream;
    const { signed, encoding } = options;
    const second = encoding === 'DIRECT_V2' || encoding === 'DICTIONARY_V2';
    this.#decode = second ? integerV2(stream, { signed }) : integerV1(stream, { signed });
  }

  /** Writes the next `count` values to `target` from `at` on; one that does not fit 32 bits signed is an error. */
  readInt32(target: Int32Array, at: number, count: number): void {
    const run = this.#run;
    for (let done = at, end = at + count; done < end; ) {
      if (this.#used >= run.count) this.#next();
      const size = Math.min(run.count - this.#used, end - done);
      const used = this.#used;
      const { low, high } = run;
      if (run.narrow && size > 16) target.set(low.subarray(used, used + size), done);
      else {
        for (let index = 0; index < size; index++) {
          const word = low[used + index]!;
          if (!run.narrow && high[used + index] !== word >> 31)
            throw this.#stream.invalid('has a value beyond 32 bits');
          target[done + index] = word;
        }
      }
      this.#used += size;
      done += size;
    }
  }

  /** Writes the next `count` values as pairs of words, low first, to `target` from pair `at` on. */
  readInt64(target: Int32Array, at: number, count: number): void {
    const run = this.#run;
    for (let done = at, end = at + count; done < end; ) {
      if (this.#used >= run.count) this.#next();
      const size = Math.min(run.count - this.#used, end - done);
      const used = this.#used;
      const { low, high } = run;
      let pair = done * 2;
      if (run.narrow) {
        for (let index = 0; index < size; index++, pair += 2) {
          const word = low[used + index]!;
          target[pair] = word;
          target[pair + 1] = word >> 31;
        }
      } else {
        for (let index = 0; index < size; index++, pair += 2) {
          target[pair] = low[used + index]!;
          target[pair + 1] = high[used + index]!;
        }
      }
      this.#used += size;
      done += size;
    }
  }

  /** Goes to a position of the row index, which is within a run. */
  seek(positions: PositionReader): void {
    this.#stream.seek(positions);
    this.#used = 0;
    this.#run.count = 0;
    for (let left = positions.next(); left > 0; ) {
      this.#next();
      this.#used = Math.min(left, this.#run.count);
      left -= this.#used;
    }
  }

  #next(): void {
    this.#run.count = 0;
    this.#decode(this.#run);
    this.#used = 0;
  }
}
