/** The stored bytes of an object in order, whatever happens to the connections. */
import type { Readable } from 'node:stream';
import type { GetObjectCommandInput, GetObjectCommandOutput, S3Client } from '@aws-sdk/client-s3';
import { SealpipeError } from '../errors.ts';
import { sendGet } from '../requests/get-request.ts';
import { type Diversion, divertBody, divertFrom } from '../requests/receiving-agent.ts';
import { isTransient } from '../retry/retry-sends.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { withDeadline } from '../retry/send-deadline.ts';
import { describeFailure } from '../service-failure.ts';
import { brokenOff, maxFailuresInRow, type OnRetry, pauseBefore } from './broken-off.ts';
import { changed } from './stored-ranges.ts';

const noLongerRead = new Error('the body is no longer read');

export interface StoredBytesOptions {
  readonly client: S3Client;
  /** The request that was answered first. */
  readonly input: GetObjectCommandInput;
  readonly answer: GetObjectCommandOutput;
  /** Milliseconds without a byte, while one is waited for, after which a connection counts as broken. */
  readonly idleTimeout: number;
  /** `client` for requests that have to go through the client. Default `auto`. */
  readonly transport?: 'auto' | 'client' | 'workers' | undefined;
  /** Told of each request for the rest after a break. */
  readonly onRetry?: OnRetry | undefined;
  /** Bytes of the object, where it was asked for with a range that turned out to hold all of it. Default: what the answer says. */
  readonly storedSize?: number | undefined;
}

/** Who the bytes are for. */
export interface BytesReceiver {
  /**
   * Whether `take` is done with a chunk when it returns: it may then be a view of memory that is used anew. Otherwise chunks are
   * the receiver's.
   */
  readonly inPlace: boolean;
  /** The next bytes. @returns whether more are wanted before `resume`: if not, none come */
  take(chunk: Uint8Array): boolean;
  /** All bytes have been taken. */
  end(): void;
  /** No more will come. */
  fail(error: Error): void;
}

/**
 * Receives the body of an answered GET of a whole object. Where the connection breaks, the rest is asked for with Range and
 * If-Match, so what is received is one object or an error. A 200, another range or another total than asked for is an error, too.
 */
export class StoredBytes {
  readonly #options: StoredBytesOptions;
  readonly #receiver: BytesReceiver;
  /** Bytes of the object, undefined where the answer did not say. */
  readonly #length: number | undefined;
  readonly #abort = new AbortController();
  readonly #idle: NodeJS.Timeout;
  /** Whether the receiver is waiting. */
  #wanted = true;
  /** Since when. */
  #waitingSince: number | undefined;
  #source: Readable | undefined;
  /** Ours, of the source: others may be watching it. */
  #listeners: Record<string, (event: unknown) => void> = {};
  /** Of the source, where its body is long. */
  #diversion: Diversion | undefined;
  #received = 0;
  #failuresInRow = 0;
  /** Where the first answer ends by itself before the object does: it was asked for a range. */
  #firstEnd: number | undefined;
  #closed = false;

  /** Begins at once; the receiver is told nothing before it has this. */
  constructor(options: StoredBytesOptions, receiver: BytesReceiver) {
    this.#options = options;
    this.#receiver = receiver;
    this.#length = options.storedSize ?? options.answer.ContentLength;
    if (this.#length !== options.answer.ContentLength) this.#firstEnd = options.answer.ContentLength;
    this.#idle = setInterval(() => this.#checkIdle(), Math.ceil(options.idleTimeout / 4)).unref();
    this.#attach(options.answer);
  }

  /** More bytes are wanted. */
  resume(): void {
    this.#wanted = true;
    if (this.#source === undefined) return;
    this.#waitingSince ??= performance.now();
    if (this.#diversion === undefined) this.#source.resume();
    else this.#diversion.resume();
  }

  /** Ends the receiving, and frees the connection. The receiver hears nothing more. */
  close(reason: Error = noLongerRead): void {
    this.#closed = true;
    clearInterval(this.#idle);
    // Given, since one of its own making costs as much as a small object's cipher.
    this.#abort.abort(reason);
    this.#detach();
  }

  #attach(answer: GetObjectCommandOutput): void {
    const source = answer.Body as Readable | undefined;
    if (source === undefined || this.#closed) {
      source?.destroy();
      this.#later(() => this.#finish());
      return;
    }
    this.#source = source;
    this.#listeners = {
      data: (chunk) => {
        if (!this.#take(chunk as Buffer)) source.pause();
      },
      end: () => this.#ended(undefined),
      error: (error) => this.#ended(error as Error),
      // A response that is cut emits close without end, on some Node versions without an error.
      close: () => this.#ended(undefined),
    };
    for (const [event, listener] of Object.entries(this.#listeners)) source.on(event, listener);
    // A receiver that has enough has enough of another connection, too.
    if (this.#wanted) this.#waitingSince = performance.now();
    else source.pause();
    // It may have been cut while the key was being asked for, when nobody listened: no event will come any more.
    if (source.closed) this.#later(() => this.#ended(source.errored ?? undefined));
    else this.#divert(source, answer.ContentLength);
  }

  /** Whoever makes this hears nothing of it before holding it. */
  #later(tell: () => void): void {
    queueMicrotask(() => {
      if (!this.#closed) tell();
    });
  }

  /** Has a long body come without the copies that a response makes of it. */
  #divert(source: Readable, arriving: number | undefined): void {
    const length = this.#length;
    if (!this.#receiver.inPlace || length === undefined || arriving !== length - this.#received) return;
    if (arriving < divertFrom) return;
    this.#diversion = divertBody(source, (view) => {
      // No answer is expected behind this one, and the connection is not used again.
      const wanted = this.#take(view.subarray(0, length - this.#received));
      if (this.#received === length) this.#ended(undefined);
      return wanted;
    });
  }

  #take(chunk: Uint8Array): boolean {
    if (this.#length !== undefined && chunk.length > this.#length - this.#received) {
      this.#fail(changed('S3 sent more bytes than the object has', this.#place()));
      return false;
    }
    this.#received += chunk.length;
    this.#failuresInRow = 0;
    this.#wanted = this.#receiver.take(chunk);
    this.#waitingSince = this.#wanted ? performance.now() : undefined;
    return this.#wanted;
  }

  /** Lets go of the current connection; late errors of it concern nobody. */
  #detach(): void {
    const source = this.#source;
    this.#source = undefined;
    this.#diversion = undefined;
    if (source === undefined) return;
    source.on('error', () => undefined);
    for (const [event, listener] of Object.entries(this.#listeners)) source.off(event, listener);
    source.destroy();
  }

  #ended(error: Error | undefined): void {
    if (this.#source === undefined) return;
    const complete = this.#length === undefined ? error === undefined : this.#received >= this.#length;
    this.#waitingSince = undefined;
    this.#detach();
    // Nothing broke where the range that was asked for first is there.
    const goesOn = error === undefined && this.#received === this.#firstEnd;
    this.#firstEnd = undefined;
    if (complete) this.#finish();
    else if (goesOn) void this.#mend(undefined);
    else
      void this.#mend(error ?? new Error(`the connection was closed after ${this.#received} of ${this.#length} bytes`));
  }

  #checkIdle(): void {
    const { idleTimeout } = this.#options;
    if (this.#waitingSince === undefined || performance.now() - this.#waitingSince < idleTimeout) return;
    this.#source?.destroy(new Error(`no byte arrived within ${idleTimeout} ms`));
  }

  #finish(): void {
    this.#receiver.end();
  }

  #fail(error: Error): void {
    this.close(error);
    this.#receiver.fail(error);
  }

  /** @param failure undefined where nothing failed, and the rest is yet to be asked for */
  async #mend(failure: unknown): Promise<void> {
    const { input } = this.#options;
    const context = {
      operation: 'GetObject',
      bucket: input.Bucket,
      key: input.Key,
      fields: { offset: this.#received },
    };
    let last = failure;
    while (!this.#closed) {
      if (last !== undefined && !(await this.#isTriedAgain(last))) return;
      try {
        this.#attach(await this.#requestRest());
        return;
      } catch (cause) {
        if (this.#closed) return;
        if (!isTransient(cause)) {
          this.#fail(s3Failure(cause, context));
          return;
        }
        last = cause;
      }
    }
  }

  /** Counts a failure, and waits. @returns false where the read ends by it, or by what the caller's own function throws, as it is */
  async #isTriedAgain(error: unknown): Promise<boolean> {
    this.#failuresInRow += 1;
    if (this.#failuresInRow > maxFailuresInRow) {
      this.#fail(brokenOff(this.#options.input, this.#received, error));
      return false;
    }
    const pause = pauseBefore(this.#failuresInRow, error);
    if (pause > 0) await this.#wait(pause);
    if (this.#closed) return false;
    try {
      this.#options.onRetry?.({ offset: this.#received, error });
      return true;
    } catch (thrown) {
      this.#fail(thrown instanceof Error ? thrown : new Error(String(thrown)));
      return false;
    }
  }

  async #requestRest(): Promise<GetObjectCommandOutput> {
    const { client, input, answer } = this.#options;
    const pinned = answer.VersionId !== undefined && answer.VersionId !== 'null' ? { VersionId: answer.VersionId } : {};
    if (answer.ETag === undefined)
      throw new SealpipeError(
        'TRUNCATED',
        'the connection broke, and without an ETag the rest cannot be asked for safely',
      );
    const length = this.#length as number;
    const from = this.#received;
    const rest = { ...input, ...pinned, Range: `bytes=${from}-`, IfMatch: answer.ETag };
    const { transport } = this.#options;
    const next = await withDeadline((signal) => sendGet(client, rest, { signal, sdkRetries: false, transport }), {
      timeout: this.#options.idleTimeout,
      signal: this.#abort.signal,
      what: `GetObject of s3://${input.Bucket}/${input.Key} from byte ${from}`,
    }).catch((cause: unknown) => {
      if (describeFailure(cause).statusCode !== 416) throw cause;
      // The rest lay within the object when it was opened: some stores look at the range before the condition.
      throw changed(`s3://${input.Bucket}/${input.Key} is shorter than it was when it was opened`, {
        ...this.#place(),
        cause,
      });
    });
    const expected = `bytes ${from}-${length - 1}/${length}`;
    if (next.$metadata.httpStatusCode !== 206 || next.ContentRange !== expected) {
      (next.Body as Readable | undefined)?.destroy();
      throw new SealpipeError(
        'OBJECT_CHANGED',
        `S3 answered the request for the rest of s3://${input.Bucket}/${input.Key} with status ${next.$metadata.httpStatusCode} and range ${next.ContentRange ?? 'none'}, expected 206 and ${expected}`,
        { bucket: input.Bucket, key: input.Key, offset: from },
      );
    }
    // A store that does not know If-Match gives itself away here.
    if (next.ETag !== undefined && next.ETag !== answer.ETag) {
      (next.Body as Readable | undefined)?.destroy();
      throw changed(`s3://${input.Bucket}/${input.Key} was overwritten while it was being read`, this.#place());
    }
    return next;
  }

  /** Where the read has got to. */
  #place(): { Bucket: string; Key: string; start: number } {
    const { Bucket = '', Key = '' } = this.#options.input;
    return { Bucket, Key, start: this.#received };
  }

  async #wait(milliseconds: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, milliseconds);
      const { signal } = this.#abort;
      signal.addEventListener('abort', done, { once: true });
      function done(): void {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      }
    });
  }
}
