import { SealpipeError } from '../errors.ts';

/**
 * The buffers that the parts of one upload live in: one more than are in flight, so that the next part is made while
 * others are sent. Waiting for a buffer is what slows the source down to the speed of S3, and what bounds the memory.
 */
export class PartBuffers {
  readonly #count: number;
  readonly #free: Buffer[] = [];
  readonly #waiting: ((buffer: Buffer | undefined) => void)[] = [];
  #lent = 0;
  #closed: Error | undefined;

  constructor(count: number) {
    this.#count = count;
  }

  /** A buffer of at least `length` bytes with any content, as soon as one is free. */
  async acquire(length: number): Promise<Buffer> {
    this.#throwIfClosed();
    if (this.#lent >= this.#count) {
      const handedOver = await new Promise<Buffer | undefined>((resolve) => this.#waiting.push(resolve));
      this.#throwIfClosed();
      return this.#fitting(handedOver, length);
    }
    this.#lent += 1;
    return this.#fitting(this.#free.pop(), length);
  }

  /** Gives a buffer back, to whoever waits first. */
  release(buffer: Buffer): void {
    const next = this.#waiting.shift();
    if (next !== undefined) {
      next(buffer);
      return;
    }
    this.#lent -= 1;
    this.#free.push(buffer);
  }

  /** Drops all buffers; whoever waits for one gets `reason`. */
  close(reason: Error = new SealpipeError('ABORTED', 'the upload has ended')): void {
    this.#closed = reason;
    this.#free.length = 0;
    for (const resolve of this.#waiting.splice(0)) resolve(undefined);
  }

  #throwIfClosed(): void {
    if (this.#closed !== undefined) throw this.#closed;
  }

  /** Unpooled: what lies beside a pooled buffer is not ours. */
  #fitting(buffer: Buffer | undefined, length: number): Buffer {
    return buffer !== undefined && buffer.length >= length ? buffer : Buffer.allocUnsafeSlow(length);
  }
}
