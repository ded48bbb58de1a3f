/** The stored bytes of an object as one stream, whatever happens to the connections. */
import { Readable } from 'node:stream';
import {
  GetObjectCommand,
  type GetObjectCommandInput,
  type GetObjectCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { streamBufferLength } from '../buffer-length.ts';
import { SealpipeError } from '../errors.ts';
import { isTransient, waitBefore } from '../retry/retry-sends.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { withDeadline } from '../retry/send-deadline.ts';
import { withoutResponseChecksum, withoutSdkRetries } from '../s3-command.ts';
import { describeFailure } from '../service-failure.ts';
import { brokenOff, maxFailuresInRow, type OnRetry } from './broken-off.ts';
import { changed } from './stored-ranges.ts';

const noLongerRead = new Error('the body is no longer read');

export interface ResumableBodyOptions {
  readonly client: S3Client;
  /** The request that was answered first. */
  readonly input: GetObjectCommandInput;
  readonly answer: GetObjectCommandOutput;
  /** Milliseconds without a byte, while one is waited for, after which a connection counts as broken. */
  readonly idleTimeout: number;
  /** Told of each request for the rest after a break. */
  readonly onRetry?: OnRetry | undefined;
  /** Bytes of the object, where it was asked for with a range that turned out to hold all of it. Default: what the answer says. */
  readonly storedSize?: number | undefined;
}

/**
 * Streams the body of an answered GET of a whole object. Where the connection breaks, the rest is asked for with Range and
 * If-Match, so what comes out is one object or an error. A 200, another range or another total than asked for is an error, too.
 */
export class ResumableBody extends Readable {
  readonly #options: ResumableBodyOptions;
  /** Bytes of the object, undefined where the answer did not say. */
  readonly #length: number | undefined;
  readonly #abort = new AbortController();
  readonly #idle: NodeJS.Timeout;
  /** When waiting for a byte began; undefined while the consumer is the slow one. */
  #waitingSince: number | undefined;
  #source: Readable | undefined;
  #received = 0;
  #failuresInRow = 0;

  constructor(options: ResumableBodyOptions) {
    super({ highWaterMark: streamBufferLength });
    this.#options = options;
    this.#length = options.storedSize ?? options.answer.ContentLength;
    this.#idle = setInterval(() => this.#checkIdle(), Math.ceil(options.idleTimeout / 4)).unref();
    this.#attach(options.answer);
  }

  override _read(): void {
    if (this.#source === undefined) return;
    this.#waitingSince ??= performance.now();
    this.#source.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearInterval(this.#idle);
    // Given, since one of its own making costs as much as a small object's cipher.
    this.#abort.abort(error ?? noLongerRead);
    this.#detach();
    callback(error);
  }

  #attach(answer: GetObjectCommandOutput): void {
    const source = answer.Body as Readable | undefined;
    if (source === undefined || this.destroyed) {
      source?.destroy();
      if (!this.destroyed) this.#finish();
      return;
    }
    this.#source = source;
    this.#waitingSince = performance.now();
    source.on('data', (chunk: Buffer) => {
      this.#received += chunk.length;
      this.#failuresInRow = 0;
      if (this.push(chunk)) {
        this.#waitingSince = performance.now();
        return;
      }
      this.#waitingSince = undefined;
      source.pause();
    });
    source.once('end', () => this.#ended(undefined));
    source.once('error', (error) => this.#ended(error));
    // A response that is cut emits close without end, on some Node versions without an error.
    source.once('close', () => this.#ended(undefined));
    // It may have been cut while the key was being asked for, when nobody listened: no event will come any more.
    if (source.closed) this.#ended(source.errored ?? undefined);
  }

  /** Lets go of the current connection; late errors of it concern nobody. */
  #detach(): void {
    const source = this.#source;
    this.#source = undefined;
    if (source === undefined) return;
    source.removeAllListeners('data').removeAllListeners('end').removeAllListeners('close').removeAllListeners('error');
    source.on('error', () => undefined);
    source.destroy();
  }

  #ended(error: Error | undefined): void {
    if (this.#source === undefined) return;
    const complete = this.#length === undefined ? error === undefined : this.#received >= this.#length;
    this.#waitingSince = undefined;
    this.#detach();
    if (complete) this.#finish();
    else
      void this.#resume(
        error ?? new Error(`the connection was closed after ${this.#received} of ${this.#length} bytes`),
      );
  }

  #checkIdle(): void {
    const { idleTimeout } = this.#options;
    if (this.#waitingSince === undefined || performance.now() - this.#waitingSince < idleTimeout) return;
    this.#source?.destroy(new Error(`no byte arrived within ${idleTimeout} ms`));
  }

  #finish(): void {
    this.push(null);
  }

  async #resume(failure: unknown): Promise<void> {
    const { input } = this.#options;
    const context = {
      operation: 'GetObject',
      bucket: input.Bucket,
      key: input.Key,
      fields: { offset: this.#received },
    };
    let last = failure;
    while (!this.destroyed) {
      this.#failuresInRow += 1;
      if (this.#failuresInRow > maxFailuresInRow) {
        this.destroy(brokenOff(input, this.#received, last));
        return;
      }
      try {
        // The first break is mended at once; it is the ones after that which mean trouble.
        if (this.#failuresInRow > 1) await this.#wait(waitBefore(this.#failuresInRow - 1, last));
        this.#options.onRetry?.({ offset: this.#received, error: last });
        const answer = await this.#requestRest();
        this.#attach(answer);
        return;
      } catch (cause) {
        if (this.destroyed) return;
        if (!isTransient(cause)) {
          this.destroy(s3Failure(cause, context));
          return;
        }
        last = cause;
      }
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
    const rest = new GetObjectCommand({ ...input, ...pinned, Range: `bytes=${from}-`, IfMatch: answer.ETag });
    const command = withoutSdkRetries(withoutResponseChecksum(rest));
    const next = await withDeadline((abortSignal) => client.send(command, { abortSignal }), {
      timeout: this.#options.idleTimeout,
      signal: this.#abort.signal,
      what: `GetObject of s3://${input.Bucket}/${input.Key} from byte ${from}`,
    }).catch((cause: unknown) => {
      if (describeFailure(cause).statusCode !== 416) throw cause;
      // The rest lay within the object when it was opened: some stores look at the range before the condition.
      const { Bucket = '', Key = '' } = input;
      throw changed(`s3://${Bucket}/${Key} is shorter than it was when it was opened`, {
        Bucket,
        Key,
        start: from,
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
    return next;
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
