/** Sending an answer, with whatever a fault rule does to it. */
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultEffect } from '../faults.ts';
import { Pace } from './pace.ts';
import { ConnectionGone } from './request-body.ts';
import { resetConnection } from './reset.ts';

/** A body that is read as it is sent. */
export interface BodySource {
  readonly length: number;
  /** Fills `buffer` from `position` of this body on; every byte asked for below `length` is there. */
  read(buffer: Buffer, position: number): Promise<void>;
  /** As {@link read}, for bodies small enough that a round through the thread pool costs more than the reading. */
  readNow?(buffer: Buffer, position: number): void;
  close(): void;
}

/** What an operation answers. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer | BodySource;
  /** Of a HEAD: the length that the GET would have. */
  readonly headLength?: number;
  /** AWS's code, when it is an error. */
  readonly error?: string;
}

/** Lets go of the body of an answer that is not sent after all. */
export function closeBody({ body }: Answer): void {
  if (typeof body === 'object' && !Buffer.isBuffer(body)) body.close();
}

const pieceBytes = 512 * 1024;
const smallBytes = 64 * 1024;
const idleBuffers: Buffer[] = [];

function borrow(): Buffer {
  // Memory that is touched for the first time costs more than the copying: keep some.
  return idleBuffers.pop() ?? Buffer.allocUnsafeSlow(pieceBytes);
}

function giveBack(buffer: Buffer): void {
  if (idleBuffers.length < 16) idleBuffers.push(buffer);
}

/** What sending needs to know, and what it found out. */
export interface Sending {
  readonly response: ServerResponse;
  readonly method: string;
  readonly effect: FaultEffect | undefined;
  readonly pace: Pace | undefined;
  bytesOut: number;
}

class BodyWriter {
  readonly #sending: Sending;
  readonly #drip: Pace | undefined;
  // Where the answer ends early, if it does.
  readonly #end: number;
  #stallAt: number;
  #position = 0;

  constructor(sending: Sending) {
    const { resetResponseAfter, truncateAfter, stallResponseAfter, dripBytesPerSecond } = sending.effect ?? {};
    this.#sending = sending;
    this.#drip = dripBytesPerSecond === undefined ? undefined : new Pace(dripBytesPerSecond);
    this.#end = Math.min(resetResponseAfter ?? Infinity, truncateAfter ?? Infinity);
    this.#stallAt = stallResponseAfter ?? Infinity;
  }

  /** Whether the answer is to be cut here. */
  get atEnd(): boolean {
    return this.#position >= this.#end;
  }

  /** Resolves when the bytes have been handed to the connection and their memory may be used again. */
  async write(piece: Buffer): Promise<void> {
    let bytes = piece.subarray(0, Math.max(0, Math.min(piece.length, this.#end - this.#position)));
    const { flipByteAt: flip, flipMask = 1 } = this.#sending.effect ?? {};
    if (flip !== undefined && flip >= this.#position && flip < this.#position + bytes.length) {
      bytes[flip - this.#position]! ^= flipMask;
    }
    await this.stall();
    while (bytes.length > 0) {
      const most = this.#drip === undefined ? bytes.length : 1024;
      const untilStall = this.#stallAt - this.#position;
      const slice = bytes.subarray(0, Math.min(most, untilStall > 0 ? untilStall : most));
      await this.#drip?.take(slice.length);
      await this.#sending.pace?.take(slice.length);
      await this.#hand(slice);
      bytes = bytes.subarray(slice.length);
      await this.stall();
    }
  }

  /** Sends nothing for a while, where a rule says so and this is the place. */
  async stall(): Promise<void> {
    if (this.#position < this.#stallAt) return;
    this.#stallAt = Infinity;
    const { response, effect } = this.#sending;
    response.flushHeaders();
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    try {
      // Node keeps no timer beyond 2^31 ms; a stall without end is one of that length.
      await sleep(effect?.stallMs ?? 2 ** 31 - 1, undefined, { signal: gone.signal });
    } catch {
      throw new ConnectionGone('the client gave up during a stall');
    }
  }

  #hand(bytes: Buffer): Promise<void> {
    this.#position += bytes.length;
    const { response } = this.#sending;
    return new Promise((resolve, reject) => {
      const gone = (): void => reject(new ConnectionGone('the client went away while being answered'));
      if (response.destroyed || response.socket === null || response.socket.destroyed) {
        gone();
        return;
      }
      response.once('close', gone);
      response.write(bytes, (error) => {
        response.off('close', gone);
        if (error) {
          gone();
          return;
        }
        this.#sending.bytesOut += bytes.length;
        resolve();
      });
    });
  }
}

async function writeSource(writer: BodyWriter, source: BodySource): Promise<void> {
  if (source.length <= smallBytes && source.readNow !== undefined) {
    const whole = Buffer.allocUnsafe(source.length);
    source.readNow(whole, 0);
    await writer.write(whole);
    return;
  }
  // Two buffers: one is filled from the disk while the other is on its way to the client.
  const buffers = [borrow(), borrow()];
  const sent = buffers.map(() => Promise.resolve());
  let last = Promise.resolve();
  try {
    let position = 0;
    for (let turn = 0; position < source.length && !writer.atEnd; turn = 1 - turn) {
      await sent[turn];
      const piece = buffers[turn]!.subarray(0, Math.min(pieceBytes, source.length - position));
      await source.read(piece, position);
      position += piece.length;
      // One after the other, as a flip, a cut and the pace depend on the position.
      last = last.then(() => writer.write(piece));
      last.catch(() => {}); // it is awaited below, but an earlier failure may end the loop first
      sent[turn] = last;
    }
    await last;
  } finally {
    await Promise.allSettled(sent);
    for (const buffer of buffers) giveBack(buffer);
  }
}

/** Ends the connection in the middle of an answer, as a rule says. */
function cut({ response, effect }: Sending): void {
  // Orderly: what was written goes out, then FIN, and the client sees less than Content-Length promised.
  if (effect?.truncateAfter !== undefined) response.socket?.destroySoon();
  else resetConnection(response.socket);
}

function applyHeadEffects(answer: Answer, effect: FaultEffect | undefined): Answer {
  if (effect?.etag === undefined) return answer;
  const headers = { ...answer.headers };
  if (headers['etag'] !== undefined) headers['etag'] = effect.etag;
  const body =
    typeof answer.body === 'string'
      ? answer.body.replace(/<ETag>.*?<\/ETag>/g, `<ETag>${effect.etag.replaceAll('"', '&quot;')}</ETag>`)
      : answer.body;
  return { ...answer, headers, ...(body === undefined ? {} : { body }) };
}

/**
 * Sends an answer to its end, or to where a fault rule ends it.
 *
 * @throws ConnectionGone when the client went away
 */
export async function sendAnswer(sending: Sending, original: Answer): Promise<void> {
  const { response, effect } = sending;
  const answer = applyHeadEffects(original, effect);
  const { body } = answer;
  const source = typeof body === 'object' && !Buffer.isBuffer(body) ? body : undefined;
  try {
    if (effect?.loseAnswer === true || effect?.resetResponseAfter === 0) {
      resetConnection(response.socket);
      return;
    }
    const bytes = typeof body === 'string' ? Buffer.from(body, 'utf8') : Buffer.isBuffer(body) ? body : undefined;
    const length = source?.length ?? bytes?.length ?? 0;
    const bodyless = answer.status === 204 || answer.status === 304;
    const headers: Record<string, string | number> = { ...answer.headers };
    if (!bodyless) headers['content-length'] = sending.method === 'HEAD' ? (answer.headLength ?? length) : length;
    response.writeHead(answer.status, headers);
    const writer = new BodyWriter(sending);
    if (writer.atEnd) response.flushHeaders();
    else if (sending.method === 'HEAD' || bodyless || length === 0) await writer.stall();
    else if (source !== undefined) await writeSource(writer, source);
    // A copy: what a rule flips may be an object's own bytes.
    else await writer.write(effect?.flipByteAt === undefined ? bytes! : Buffer.from(bytes!));
    if (writer.atEnd) cut(sending);
    else response.end();
  } finally {
    source?.close();
  }
}
