import { Readable } from 'node:stream';
import { streamBufferLength } from '../buffer-length.ts';
import type { ContentKey } from '../crypto/content-key.ts';
import { SealpipeError } from '../errors.ts';
import { destroyOnAbort } from '../streams/destroy-on-abort.ts';
import type { ReleaseRule } from '../streams/plaintext-release.ts';
import type { AnsweredObject } from './answered-object.ts';
import { ParallelContent, type ParallelOptions } from './parallel-content.ts';

export interface ParallelBodyOptions extends ParallelOptions {
  readonly release: ReleaseRule | undefined;
}

/** The plaintext of one object as a stream, fetched over several connections. */
export class ParallelBody extends Readable {
  readonly #content: ParallelContent;
  readonly #slices: AsyncGenerator<Buffer, undefined>;
  readonly #delayed: boolean;
  #waiting: Buffer[] | undefined;

  /** @param contentKey overwritten at the end */
  constructor(object: AnsweredObject, contentKey: ContentKey, { release, ...options }: ParallelBodyOptions) {
    super({ highWaterMark: streamBufferLength });
    this.#content = new ParallelContent(object, contentKey, options);
    this.#slices = this.#content.slices();
    this.#delayed = release === 'delayed';
    destroyOnAbort(this, options.signal, 'download');
  }

  override _read(): void {
    this.#next().then(
      (slice) => this.push(slice ?? null),
      (error: unknown) => this.destroy(error as Error),
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#waiting = undefined;
    this.#content.cancel(error ?? new SealpipeError('ABORTED', 'the download was given up'));
    // Rejects only after its cleaning up; what it rejects with is this very end.
    const done = (): void => callback(error);
    this.#slices.return(undefined).then(done, done);
  }

  async #next(): Promise<Buffer | undefined> {
    if (this.#delayed) return this.#slice();
    if (this.#waiting === undefined) {
      // Nothing comes out before the tag of the whole has been verified, which is what the end of the slices says.
      const waiting: Buffer[] = [];
      for (let slice = await this.#slice(); slice !== undefined; slice = await this.#slice()) waiting.push(slice);
      this.#waiting = waiting.reverse();
    }
    return this.#waiting.pop();
  }

  async #slice(): Promise<Buffer | undefined> {
    const step: IteratorResult<Buffer, undefined> = await this.#slices.next();
    return step.done === true ? undefined : step.value;
  }
}
