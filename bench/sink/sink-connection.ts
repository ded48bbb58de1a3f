/** One connection to the sink: requests one after the other, bodies dropped as they arrive. */
import type { Socket } from 'node:net';
import { type Answer, answerTo, kindOf } from './answers.ts';
import { Pace } from './pace.ts';
import { ChunkedBody, type DiscardedBody, FixedBody } from './request-body.ts';
import { RequestHead } from './request-head.ts';
import type { ServedObjectDefinition, ServedObjects } from './served-objects.ts';
import type { Tally } from './tally.ts';

/** What all connections of a sink share. */
export interface SinkState {
  readonly objects: ServedObjects;
  readonly tally: Tally;
  /** Milliseconds before each answer, 100 Continue included. */
  latency: number;
  /** Bytes a second of each connection and direction; 0 for any. */
  rate: number;
}

/** Bytes of an object that are handed to the socket at once. */
const writeLength = 1024 * 1024;
/** The same where the rate is limited, in milliseconds at that rate. */
const pacedWriteTime = 5;
/** Most bytes of a head; S3's own limit is lower. */
const headLimit = 64 * 1024;

const none = Buffer.alloc(0);

export class SinkConnection {
  readonly #socket: Socket;
  readonly #state: SinkState;
  readonly #up = new Pace();
  readonly #down = new Pace();
  #phase: 'head' | 'body' | 'answer' = 'head';
  /** Bytes of a head that is not complete, or that came before their turn. */
  #held: Buffer = none;
  #head: RequestHead | undefined;
  #body: DiscardedBody = new FixedBody(0);
  /** Body bytes of a control request, the only ones that are read. */
  #kept: Buffer[] = [];
  #paused = false;
  #countedIn = -1;

  constructor(socket: Socket, state: SinkState) {
    this.#socket = socket;
    this.#state = state;
    socket.setNoDelay(true);
    socket.once('close', () => {
      if (this.#phase !== 'head' && !this.#isControl) state.tally.requestEnded();
    });
  }

  /**
   * Takes bytes as they arrive. They are not touched after it has returned.
   * @returns false when no more should be read until the socket is resumed
   */
  take(bytes: Buffer): boolean {
    if (this.#phase === 'answer') {
      // Nobody sends the next request before the answer, but it would be no mistake.
      this.#held = Buffer.concat([this.#held, bytes]);
      return true;
    }
    try {
      this.#advance(bytes);
    } catch (error) {
      this.#socket.destroy(error as Error);
    }
    return !this.#paused;
  }

  get #isControl(): boolean {
    return this.#head?.path.startsWith('/_') === true;
  }

  #advance(bytes: Buffer): void {
    let at = 0;
    if (this.#phase === 'head') {
      at = this.#takeHead(bytes);
      if (at < 0) return;
    }
    if ((this.#phase as string) === 'body') this.#takeBody(this.#held.length > 0 ? this.#unhold() : bytes, at);
  }

  #unhold(): Buffer {
    const held = this.#held;
    this.#held = none;
    return held;
  }

  /** @returns where the body begins, or −1 while the head is not complete */
  #takeHead(arrived: Buffer): number {
    if (this.#held.length > 0) this.#held = Buffer.concat([this.#held, arrived]);
    const bytes = this.#held.length > 0 ? this.#held : arrived;
    const end = bytes.indexOf('\r\n\r\n', 0, 'latin1');
    if (end < 0) {
      if (bytes.length > headLimit) throw new Error('the head of a request is too long');
      if (this.#held.length === 0) this.#held = Buffer.from(arrived);
      return -1;
    }
    this.#begin(new RequestHead(bytes.toString('latin1', 0, end)));
    return end + 4;
  }

  #begin(head: RequestHead): void {
    const { tally } = this.#state;
    this.#head = head;
    this.#phase = 'body';
    const chunked = head.header('transfer-encoding')?.toLowerCase() === 'chunked';
    this.#body = chunked ? new ChunkedBody() : new FixedBody(Number(head.header('content-length') ?? 0));
    if (!this.#isControl) {
      if (this.#countedIn !== tally.epoch) tally.connectionUsed();
      this.#countedIn = tally.epoch;
      tally.requestBegan();
      this.#count(head);
    }
    if (head.header('expect')?.toLowerCase() === '100-continue')
      this.#after(this.#state.latency, () => this.#socket.write('HTTP/1.1 100 Continue\r\n\r\n'));
  }

  #count(head: RequestHead): void {
    const { tally } = this.#state;
    const kind = kindOf(head);
    if (kind === 'kmsGenerate') tally.kms('Generate');
    if (kind === 'kmsDecrypt') tally.kms('Decrypt');
    if (kind !== 'body') return;
    const signed = head.header('x-amz-content-sha256') ?? '';
    tally.payload(signed === 'UNSIGNED-PAYLOAD' ? 'unsigned' : signed.startsWith('STREAMING-') ? 'trailer' : 'hashed');
  }

  #takeBody(bytes: Buffer, at: number): void {
    const { tally, rate } = this.#state;
    const before = this.#body.discarded;
    const end = this.#body.skip(bytes, at);
    if (this.#isControl) this.#kept.push(Buffer.from(bytes.subarray(at, end)));
    else tally.received(this.#body.discarded - before);
    const wait = end > at ? this.#up.book(end - at, rate, performance.now()) : 0;
    if (!this.#body.done) {
      if (wait > 0) this.#pauseFor(wait);
      return;
    }
    if (end < bytes.length) this.#held = Buffer.from(bytes.subarray(end));
    this.#phase = 'answer';
    const latency = this.#isControl ? 0 : this.#state.latency;
    this.#after(wait + latency, () => this.#answer());
  }

  #pauseFor(milliseconds: number): void {
    this.#paused = true;
    setTimeout(() => {
      this.#paused = false;
      this.#socket.resume();
    }, milliseconds);
  }

  #after(milliseconds: number, run: () => void): void {
    if (milliseconds <= 0) run();
    else setTimeout(run, milliseconds);
  }

  #answer(): void {
    if (this.#socket.destroyed) return;
    const head = this.#head as RequestHead;
    const answer = this.#isControl ? this.#control(head) : answerTo(head, this.#state.objects);
    const length = answer.served ? answer.served.end - answer.served.start : Buffer.byteLength(answer.body);
    // A 204 has no length, and none to announce (RFC 9110, section 8.6).
    const contentLength = answer.status.startsWith('204') ? '' : `Content-Length: ${length}\r\n`;
    const start = `HTTP/1.1 ${answer.status}\r\nx-amz-request-id: sink\r\n${answer.headers}${contentLength}\r\n`;
    if (head.method === 'HEAD' || answer.served === undefined) {
      this.#socket.write(head.method === 'HEAD' ? start : start + answer.body);
      this.#finish();
      return;
    }
    this.#socket.cork();
    this.#socket.write(start, 'latin1');
    this.#send(answer.served);
    this.#socket.uncork();
  }

  /** Sends what is left of an object, at the speed of the socket and of the pace. */
  #send(left: NonNullable<Answer['served']>): void {
    const { tally, rate } = this.#state;
    const { object, end } = left;
    const limit = rate === 0 ? writeLength : Math.max(1, Math.ceil((rate * pacedWriteTime) / 1000));
    for (let at = left.start; at < end; ) {
      if (this.#socket.destroyed) return;
      const slice = object.slice(at, Math.min(limit, end - at));
      at += slice.length;
      tally.sent(slice.length);
      const flowing = this.#socket.write(slice);
      const wait = this.#down.book(slice.length, rate, performance.now());
      const next = { object, start: at, end };
      if (!flowing && at < end) {
        this.#socket.once('drain', () => this.#after(wait, () => this.#send(next)));
        return;
      }
      if (wait > 0) {
        setTimeout(() => this.#send(next), wait);
        return;
      }
    }
    this.#finish();
  }

  #finish(): void {
    const closing = this.#head?.header('connection')?.toLowerCase() === 'close';
    if (!this.#isControl) this.#state.tally.requestEnded();
    this.#phase = 'head';
    this.#head = undefined;
    this.#kept = [];
    if (closing) {
      this.#socket.end();
      return;
    }
    if (this.#held.length > 0) this.take(this.#unhold());
  }

  /** `GET /_stats`, `GET /_reset`, `GET /_set?latency_ms=…&cap_mbps=…`, `PUT /_object/<key>` with a definition. */
  #control(head: RequestHead): Answer {
    const state = this.#state;
    if (head.path === '/_stats') return json(state.tally.stats());
    if (head.path === '/_reset') state.tally.reset();
    else if (head.path === '/_set') {
      state.latency = Number(head.query('latency_ms') ?? state.latency);
      state.rate = Number(head.query('cap_mbps') ?? state.rate / 1e6) * 1e6;
    } else if (head.path.startsWith('/_object/')) {
      const definition = JSON.parse(Buffer.concat(this.#kept).toString()) as ServedObjectDefinition;
      state.objects.define(head.path.slice('/_object/'.length), definition);
    } else return { status: '404 Not Found', headers: '', body: '' };
    return json({});
  }
}

function json(value: object): Answer {
  return { status: '200 OK', headers: 'Content-Type: application/json\r\n', body: JSON.stringify(value) };
}
