/** The listening side: one HTTP server for S3, KMS and control. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { answerControl, type ControlOptions, isControlRequest } from './control.ts';
import { type Connection, Exchange, type ExchangeSettings } from './http/exchange.ts';
import { Pace } from './http/pace.ts';
import { readHead, UriProblem } from './http/request-head.ts';
import { recognise } from './http/services.ts';
import type { S3Service } from './s3/call.ts';
import type { LocalCertificates } from './tls/certificates.ts';

export interface LocalServerOptions {
  readonly host: string;
  readonly port: number;
  readonly certificates: LocalCertificates | undefined;
  readonly exchange: ExchangeSettings;
  readonly s3: S3Service;
  readonly control: ControlOptions;
  /** Bytes a second of each connection; undefined is as fast as it goes. */
  readonly up: number | undefined;
  readonly down: number | undefined;
}

const serverOptions: ServerOptions = {
  // A whole part may take longer than Node's five minutes on a slow line.
  requestTimeout: 0,
  // Longer than clients keep connections, so that it is they who close: the other way round a request meets a closed one.
  keepAliveTimeout: 120_000,
  // User metadata has 2 KB and a presigned URL with a session token a few more; Node's 16 KiB would answer 431 in S3's place.
  maxHeaderSize: 64 * 1024,
};

export class LocalServer {
  readonly #options: LocalServerOptions;
  readonly #server: Server;
  readonly #connections = new WeakMap<Socket, Connection>();
  readonly #sockets = new Set<Socket>();
  #connectionCount = 0;

  constructor(options: LocalServerOptions) {
    this.#options = options;
    const { certificates } = options;
    this.#server =
      certificates === undefined
        ? createServer(serverOptions)
        : createTlsServer({ ...serverOptions, ...certificates.serverOptions() });
    // Of plain sockets and TLS ones alike: the event that hands over the socket that requests will have.
    this.#server.on(certificates === undefined ? 'connection' : 'secureConnection', (socket: Socket) =>
      this.#accept(socket),
    );
    this.#server.on('request', (request, response) => this.#serve(request, response, false));
    this.#server.on('checkContinue', (request, response) => this.#serve(request, response, true));
    this.#server.on('clientError', (_error, socket) => {
      if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    });
  }

  /** @returns the port it listens on */
  async listen(): Promise<number> {
    const { host, port } = this.#options;
    this.#server.listen(port, host);
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  /** Stops listening, lets requests in progress finish for a while, then cuts them. */
  async close(options: { readonly graceMs: number }): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    this.#server.closeIdleConnections();
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, options.graceMs);
    const { recorder } = this.#options.exchange;
    await Promise.race([recorder.settled(), closed]);
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    clearTimeout(timer);
    await recorder.settled();
  }

  /** Lets the process end although this is open. */
  unref(): void {
    this.#server.unref();
  }

  #accept(socket: Socket): void {
    const { up, down } = this.#options;
    this.#connections.set(socket, {
      number: ++this.#connectionCount,
      up: up === undefined ? undefined : new Pace(up),
      down: down === undefined ? undefined : new Pace(down),
    });
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    // A client that goes away is noticed where it matters; without a listener it would end the process.
    socket.on('error', () => {});
  }

  #serve(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void {
    response.on('error', () => {});
    if (isControlRequest(request)) {
      void answerControl(this.#options.control, request, response);
      return;
    }
    const connection = this.#connections.get(request.socket);
    if (connection === undefined) throw new Error('a request came over a connection that was never accepted');
    let head: ReturnType<typeof readHead>;
    try {
      head = readHead(request);
    } catch (problem) {
      if (!(problem instanceof UriProblem)) throw problem;
      // A query that is no UTF-8 leaves nothing to make out an operation by.
      response.writeHead(400, { connection: 'close' }).end();
      return;
    }
    const { subject, service } = recognise(head, this.#options.s3);
    const exchange = new Exchange({
      request,
      response,
      expectsContinue,
      connection,
      head,
      subject,
      settings: this.#options.exchange,
    });
    void exchange.run(service);
  }
}
