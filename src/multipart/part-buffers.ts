import { SealpipeError } from '../errors.ts';

/** Where part buffers come from, and go to when an upload has no more use for them. */
export interface PartMemory {
  /** A buffer of at least that length, alone in its memory: what lies beside a pooled buffer is not ours. */
  take(length: number): Buffer;
  giveBack(buffer: Buffer): void;
}

const unpooledMemory: PartMemory = {
  take: (length) => Buffer.allocUnsafeSlow(length),
  giveBack: () => undefined,
};

/**
 * The buffers that the parts of one upload live in: a few more than are in flight, so that the next parts are made while
 * others are sent. Waiting for a buffer is what slows the source down to the speed of S3, and what bounds the memory.
 */
export class PartBuffers {
  readonly #count: number;
  readonly #memory: PartMemory;
  readonly #free: Buffer[] = [];
  readonly #waiting: ((buffer: Buffer | undefined) => void)[] = [];
  #lent = 0;
  #closed = false;

  constructor(count: number, memory: PartMemory = unpooledMemory) {
    this.#count = count;
    this.#memory = memory;
  }

  /** A buffer of at least `length` bytes with any content, as soon as one is free. */
  async acquire(length: number): Promise<Buffer> {
    this.#throwIfClosed();
    if (this.#lent >= this.#count) {
      const handedOver = await new Promise<Buffer | undefined>((resolve) => this.#waiting.push(resolve));
      // Closed in the moment of the hand-over: nobody else would give it back.
      if (this.#closed && handedOver !== undefined) this.#memory.giveBack(handedOver);
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
    if (!this.#closed) this.#free.push(buffer);
    else this.#memory.giveBack(buffer);
  }

  /** Drops all buffers; whoever waits for one gets an error. */
  close(): void {
    this.#closed = true;
    for (const buffer of this.#free.splice(0)) this.#memory.giveBack(buffer);
    for (const resolve of this.#waiting.splice(0)) resolve(undefined);
  }

  #throwIfClosed(): void {
    if (this.#closed) throw new SealpipeError('ABORTED', 'the transfer has ended');
  }

  #fitting(buffer: Buffer | undefined, length: number): Buffer {
    if (buffer !== undefined && buffer.length >= length) return buffer;
    if (buffer !== undefined) this.#memory.giveBack(buffer);
    try {
      return this.#memory.take(length);
    } catch (cause) {
      throw new SealpipeError(
        'BUFFER_LIMIT',
        `there is no memory for a part of ${length} bytes: choose a smaller partSize, or fewer parts at the same time`,
        { cause },
      );
    }
  }
}
