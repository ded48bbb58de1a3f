import {
  createServer,
  Agent as HttpAgent,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer, Agent as HttpsAgent } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';

export interface RecordedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Number of the connection it came over, from 1. */
  readonly connection: number;
}

export interface Answer {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
}

/** What a request gets: an answer, silence, or the end of its connection. */
export type Respond = (request: RecordedRequest) => Answer | 'silence' | 'reset';

// A key known to both sides takes the place of a certificate, which would have to be renewed.
const psk = { identity: 'test', key: Buffer.alloc(32, 7) };
const pskCiphers = { ciphers: 'PSK-AES128-GCM-SHA256', maxVersion: 'TLSv1.2' } as const;

/** A server that keeps every request, with the S3 clients that reach it. Real sockets, over TLS where asked for. */
export class RecordingServer {
  readonly requests: RecordedRequest[] = [];
  /** Requests that asked to be told to continue. */
  continues = 0;
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Map<Socket, number>();
  readonly #respond: Respond;
  readonly #tls: boolean;
  readonly #clients: S3Client[] = [];

  private constructor(server: Server, respond: Respond, { tls }: { tls: boolean }) {
    this.#server = server;
    this.#respond = respond;
    this.#tls = tls;
    this.port = (server.address() as AddressInfo).port;
    server.on(tls ? 'secureConnection' : 'connection', (socket: Socket) => {
      this.#sockets.set(socket, this.#sockets.size + 1);
    });
    server.on('request', (request, response) => this.#serve(request, response));
    server.on('checkContinue', (request, response) => {
      this.continues += 1;
      response.writeContinue();
      this.#serve(request, response);
    });
  }

  static async start(respond: Respond, { tls = false } = {}): Promise<RecordingServer> {
    const server = tls
      ? createTlsServer({ ...pskCiphers, pskCallback: () => psk.key, pskIdentityHint: 'test' })
      : createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new RecordingServer(server, respond, { tls });
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('error', () => undefined);
    request.on('end', () => {
      const recorded = {
        method: request.method ?? '',
        url: request.url ?? '',
        headers: request.headers,
        body: Buffer.concat(chunks),
        connection: this.#sockets.get(request.socket) ?? 0,
      };
      this.requests.push(recorded);
      const answer = this.#respond(recorded);
      if (answer === 'silence') return;
      if (answer === 'reset') {
        request.socket.destroy();
        return;
      }
      response.writeHead(answer.status ?? 200, answer.headers).end(answer.body);
    });
  }

  /** A client of this server under any host name: the name is only what the client believes. */
  client({ hostname = '127.0.0.1', ...config }: S3ClientConfig & { hostname?: string } = {}): S3Client {
    const lookup = { lookup: loopback } as object;
    const agent = this.#tls
      ? new HttpsAgent({
          keepAlive: true,
          ...lookup,
          ...pskCiphers,
          pskCallback: () => ({ psk: psk.key, identity: psk.identity }),
          checkServerIdentity: () => undefined,
        })
      : new HttpAgent({ keepAlive: true, ...lookup });
    const client = new S3Client({
      endpoint: `http${this.#tls ? 's' : ''}://${hostname}:${this.port}`,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      requestHandler: this.#tls ? { httpsAgent: agent } : { httpAgent: agent },
      ...config,
    });
    this.#clients.push(client);
    return client;
  }

  /** Connections that are open now. */
  get openConnections(): number {
    return [...this.#sockets.keys()].filter(({ destroyed }) => !destroyed).length;
  }

  /** Requests since the last call of this. */
  takeRequests(): RecordedRequest[] {
    return this.requests.splice(0);
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.destroy();
    for (const socket of this.#sockets.keys()) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function loopback(
  _hostname: string,
  options: { all?: boolean },
  callback: (error: null, address: string | { address: string; family: number }[], family?: number) => void,
): void {
  if (options.all === true) callback(null, [{ address: '127.0.0.1', family: 4 }]);
  else callback(null, '127.0.0.1', 4);
}

/** The XML that S3 explains an error with. */
export function s3Error(code: string, message = 'said by S3'): Pick<Answer, 'headers' | 'body'> {
  return {
    headers: { 'content-type': 'application/xml', 'x-amz-request-id': 'request-1' },
    body: `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message></Error>`,
  };
}
