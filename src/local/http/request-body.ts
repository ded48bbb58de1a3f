import { createHash, type Hash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { AwsChunkedDecoder } from './aws-chunked.ts';
import type { Pace } from './pace.ts';
import { resetConnection } from './reset.ts';

/** The connection is gone, by the client's doing or by a fault rule's: there is nobody to answer. */
export class ConnectionGone extends Error {}

/** A body is larger than its reader takes. */
export class BodyTooLarge extends Error {}

export interface RequestBodyOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
  /** Keep a SHA-256 of what is received, for the log. */
  readonly hash: boolean;
  readonly chunked: boolean;
  readonly pace: Pace | undefined;
  /** Bytes on the wire after which the connection is reset, or reading stops. */
  readonly resetAfter: number | undefined;
  readonly stallAfter: number | undefined;
  readonly stallMs: number | undefined;
}

/** How long a stall without end leaves a request's bytes unread. */
const unreadMs = 1000;

/** The body of one request: decoded, counted and hashed as it is read, by whoever reads it, to its end or to where it broke. */
export class RequestBody {
  readonly #options: RequestBodyOptions;
  readonly #decoder: AwsChunkedDecoder | undefined;
  readonly #hash: Hash | undefined;
  #source: AsyncIterator<Buffer> | undefined;
  #wireBytes = 0;
  #received = 0;
  #complete = false;
  #stalled = false;
  #digest: string | undefined;

  constructor(options: RequestBodyOptions) {
    this.#options = options;
    this.#decoder = options.chunked ? new AwsChunkedDecoder() : undefined;
    this.#hash = options.hash ? createHash('sha256') : undefined;
  }

  /** Decoded bytes received so far. */
  get received(): number {
    return this.#received;
  }

  /** Whether the body was received to its end. */
  get complete(): boolean {
    return this.#complete;
  }

  /** The framing's decoder, of an `aws-chunked` body. */
  get chunked(): AwsChunkedDecoder | undefined {
    return this.#decoder;
  }

  /** SHA-256 (hex) of the decoded bytes received so far; undefined when they are not hashed. */
  sha256(): string | undefined {
    if (this.#hash === undefined) return undefined;
    if (this.#complete) {
      this.#digest ??= this.#hash.digest('hex');
      return this.#digest;
    }
    return this.#hash.copy().digest('hex');
  }

  /** Whether the client waits for leave to send the body, and has not been given it. */
  get awaitsContinue(): boolean {
    return this.#options.expectsContinue && this.#source === undefined;
  }

  /**
   * The decoded bytes. Stopping early leaves the rest to {@link drain}.
   *
   * @throws FramingProblem, ConnectionGone
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void> {
    for (;;) {
      const wire = await this.#next();
      if (wire === undefined) break;
      if (this.#decoder === undefined) {
        this.#take(wire);
        yield wire;
      } else {
        for (const data of this.#decoder.decode(wire)) {
          this.#take(data);
          yield data;
        }
      }
    }
    this.#decoder?.finish();
  }

  #take(bytes: Buffer): void {
    this.#received += bytes.length;
    this.#hash?.update(bytes);
  }

  // The iterator is held by hand, since leaving a for-await loop over a request destroys its socket, and with it the answer.
  async #next(): Promise<Buffer | undefined> {
    if (this.#complete) return undefined;
    const { request, pace } = this.#options;
    await this.#applyFaults();
    let result: IteratorResult<Buffer>;
    try {
      result = await this.#open().next();
    } catch (cause) {
      throw new ConnectionGone('the client went away while sending', { cause });
    }
    if (result.done === true) {
      // A client that goes away may end the iteration without an error.
      if (!request.complete) throw new ConnectionGone('the client went away while sending');
      this.#complete = true;
      if (this.#options.resetAfter !== undefined) this.#reset();
      return undefined;
    }
    this.#wireBytes += result.value.length;
    await pace?.take(result.value.length);
    return result.value;
  }

  #open(): AsyncIterator<Buffer> {
    const { request, response, expectsContinue } = this.#options;
    if (this.#source === undefined) {
      if (expectsContinue) response.writeContinue();
      this.#source = request.iterator({ destroyOnReturn: false });
    }
    return this.#source;
  }

  async #applyFaults(): Promise<void> {
    const { resetAfter, stallAfter } = this.#options;
    if (resetAfter !== undefined && this.#wireBytes >= resetAfter) this.#reset();
    if (stallAfter !== undefined && this.#wireBytes >= stallAfter && !this.#stalled) {
      this.#stalled = true;
      await this.#stall();
    }
  }

  async #stall(): Promise<void> {
    const { stallMs, request } = this.#options;
    const gone = new AbortController();
    request.socket.once('close', () => gone.abort());
    try {
      await sleep(stallMs ?? unreadMs, undefined, { signal: gone.signal });
      if (stallMs !== undefined) return;
      // A client that went away is noticed only by reading on: what comes is dropped, and never answered.
      while ((await this.#open().next()).done !== true);
      // Node keeps no timer beyond 2^31 ms.
      await sleep(2 ** 31 - 1, undefined, { signal: gone.signal });
    } catch {
      // Told below: whatever it was, nobody is there any more.
    }
    throw new ConnectionGone('the client gave up during a stall');
  }

  #reset(): never {
    resetConnection(this.#options.request.socket);
    throw new ConnectionGone('a fault rule reset the connection');
  }

  /**
   * Reads what is left and drops it, so that the log knows the whole body and the connection can be used again.
   *
   * @param options.evenIfWaiting ask for the body of a client that waits for leave to send it; else that one keeps its body
   */
  async drain(options: { readonly evenIfWaiting?: boolean } = {}): Promise<void> {
    if (this.awaitsContinue && options.evenIfWaiting !== true) return;
    const chunks = this[Symbol.asyncIterator]();
    try {
      for await (const _ of chunks);
    } catch (problem) {
      if (problem instanceof ConnectionGone) throw problem;
      while ((await this.#next()) !== undefined);
    }
  }

  /** The whole body, of a kind of request that has a small one. @throws BodyTooLarge beyond `limit` bytes */
  async bytes(limit: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of this) {
      length += chunk.length;
      if (length > limit) throw new BodyTooLarge(`the body is longer than ${limit} bytes`);
      chunks.push(chunk);
    }
    return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
  }
}
