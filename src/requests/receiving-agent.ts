/**
 * Connections that receive into one buffer each, and can hand what they receive straight to the reader of a body. Node makes a new
 * buffer for every read of a socket, and its HTTP parser another one: where a long body is decrypted as it arrives, making and
 * collecting them, and fetching them from memory instead of from the processor's cache, costs as much as the decryption.
 */
import { type AgentOptions, type ClientRequestArgs, Agent as HttpAgent, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, type RequestOptions } from 'node:https';
import type { OnReadOpts, Socket } from 'node:net';
import type { Duplex, Readable } from 'node:stream';

/** What Node reads at once by itself. A larger slice is no cheaper to decrypt. */
const bufferLength = 64 * 1024;

/** Bytes of a body from where on a diversion pays for the connection that it uses up. */
export const divertFrom: number = 16 * 1024 * 1024;

type Connected = (error: Error | null, stream: Duplex) => void;
type Connection = Duplex | null | undefined;

/** An agent for `http:` whose connections can be diverted. */
class ReceivingHttpAgent extends HttpAgent {
  override createConnection(options: ClientRequestArgs, connected?: Connected): Connection {
    return receiving((onread) => super.createConnection({ ...options, onread } as ClientRequestArgs, connected));
  }
}

/** As {@link ReceivingHttpAgent}, for `https:`. */
class ReceivingHttpsAgent extends HttpsAgent {
  override createConnection(options: RequestOptions, connected?: Connected): Connection {
    return receiving((onread) => super.createConnection({ ...options, onread } as RequestOptions, connected));
  }
}

/** Agents whose connections know {@link divertBody}. */
export function receivingAgents(options: { readonly http: AgentOptions; readonly https: AgentOptions }): {
  httpAgent: HttpAgent;
  httpsAgent: HttpsAgent;
} {
  return { httpAgent: new ReceivingHttpAgent(options.http), httpsAgent: new ReceivingHttpsAgent(options.https) };
}

/** A body that comes past its response. */
export interface Diversion {
  /** Goes on after `take` wanted no more. */
  resume(): void;
}

/**
 * Has a response's body go past the response as soon as nothing of it waits there, nor in its socket; what was received until then
 * comes by `data` as ever. `take` gets views of the connection's buffer, which the next read overwrites, and says whether more is wanted
 * before `resume`. No end is told: whoever takes counts, and destroys the response after the last byte, as the connection serves no
 * other request after that. A connection that breaks ends the response as ever.
 * @returns undefined where the connection is none of {@link receivingAgents}
 */
export function divertBody(response: Readable, take: (view: Uint8Array) => boolean): Diversion | undefined {
  const { socket, headers } = response as Partial<IncomingMessage>;
  // Chunks are the parser's to tell from the content between them.
  if (socket == null || headers?.['transfer-encoding'] !== undefined) return undefined;
  return receivers.get(socket)?.divert(response as IncomingMessage, take);
}

const receivers = new WeakMap<object, SocketReceiver>();

function receiving(connect: (onread: OnReadOpts) => Connection): Connection {
  const receiver = new SocketReceiver();
  const connection = connect(receiver.onread);
  if (connection != null) {
    receiver.socket = connection as Socket;
    receivers.set(connection, receiver);
  }
  return connection;
}

class SocketReceiver {
  socket: Socket | undefined;
  #diversion: DivertedBody | undefined;

  readonly onread: OnReadOpts = {
    buffer: Buffer.allocUnsafeSlow(bufferLength),
    callback: (length, buffer) => this.#received(buffer.subarray(0, length)),
  };

  divert(response: IncomingMessage, take: (view: Uint8Array) => boolean): Diversion {
    this.#diversion = new DivertedBody(this.socket as Socket, response, take);
    return this.#diversion;
  }

  #received(view: Uint8Array): boolean {
    if (this.#diversion?.takesOver() === true) return this.#diversion.receive(view);
    // As Node does with a read of its own: the parser takes it from the socket.
    return (this.socket as Socket).push(Buffer.from(view));
  }
}

class DivertedBody implements Diversion {
  readonly #socket: Socket;
  readonly #response: IncomingMessage;
  readonly #take: (view: Uint8Array) => boolean;
  /** Whether the parser has seen its last byte of this connection. */
  #diverted = false;
  #wanted = true;
  /** What came though it was not wanted: TLS hands on all that it has decrypted. */
  readonly #held: Uint8Array[] = [];
  #handingOn = false;

  constructor(socket: Socket, response: IncomingMessage, take: (view: Uint8Array) => boolean) {
    this.#socket = socket;
    this.#response = response;
    this.#take = take;
  }

  /** What waits in the socket or in the response goes first. */
  takesOver(): boolean {
    const { readableFlowing, readableLength, complete } = this.#response;
    this.#diverted ||=
      readableFlowing === true && readableLength === 0 && this.#socket.readableLength === 0 && !complete;
    return this.#diverted;
  }

  /** @returns whether to read on */
  receive(view: Uint8Array): boolean {
    if (this.#response.destroyed) return false;
    if (this.#wanted) this.#wanted = this.#take(view);
    else this.#held.push(Uint8Array.from(view));
    return this.#wanted;
  }

  resume(): void {
    if (!this.#diverted) {
      this.#response.resume();
      return;
    }
    this.#wanted = true;
    // Whoever takes may ask for more before it has returned.
    if (this.#handingOn) return;
    this.#handingOn = true;
    while (this.#wanted && !this.#response.destroyed) {
      const held = this.#held.shift();
      if (held === undefined) break;
      this.#wanted = this.#take(held);
    }
    this.#handingOn = false;
    if (this.#wanted) this.#socket.resume();
  }
}
