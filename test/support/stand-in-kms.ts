import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { KMSClient } from '@aws-sdk/client-kms';

export interface KmsRequest {
  readonly operation: string;
  readonly body: {
    KeyId?: string;
    KeySpec?: string;
    CiphertextBlob?: string;
    EncryptionContext?: Record<string, string>;
    GrantTokens?: string[];
  };
}

/** What the stand-in answers in place of its own answer. */
export type KmsAnswer =
  | { readonly name: string; readonly status?: number; readonly message?: string }
  /** A body as it is, with status 200. */
  | { readonly body: object }
  /** No answer at all. */
  | 'silence'
  /** The connection is closed. */
  | 'reset';

/**
 * A KMS over real HTTP that makes, wraps and opens data keys, bound to key and context as KMS binds them.
 * A queue of other answers can be put in front.
 */
export class StandInKms {
  readonly client: KMSClient;
  readonly endpoint: string;
  /** Every request that arrived. */
  readonly requests: KmsRequest[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #keys = new Map<string, Buffer>();
  readonly #answers: KmsAnswer[] = [];

  private constructor(server: Server) {
    this.#server = server;
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.client = new KMSClient({
      endpoint: this.endpoint,
      region: 'us-east-1',
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      maxAttempts: 1,
    });
  }

  static async start(): Promise<StandInKms> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const kms = new StandInKms(server);
    server.on('connection', (socket) => {
      kms.#sockets.add(socket);
      socket.once('close', () => kms.#sockets.delete(socket));
    });
    server.on('request', (request, response) => kms.#serve(request, response));
    return kms;
  }

  /** A new key; its ARN. */
  createKey({ account = '111122223333', region = 'us-east-1', partition = 'aws' } = {}): string {
    const arn = `arn:${partition}:kms:${region}:${account}:key/${randomBytes(8).toString('hex')}`;
    this.#keys.set(arn, randomBytes(32));
    return arn;
  }

  /** The next requests get these answers, one each. */
  answerNext(...answers: readonly KmsAnswer[]): void {
    this.#answers.push(...answers);
  }

  /** Operations asked for since the last call of this. */
  takeRequests(): KmsRequest[] {
    return this.requests.splice(0);
  }

  /** Connections that are open. */
  get openConnections(): number {
    return this.#sockets.size;
  }

  async close(): Promise<void> {
    this.client.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const operation = String(request.headers['x-amz-target']).split('.')[1] ?? '';
      const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as KmsRequest['body'];
      this.requests.push({ operation, body });
      const answer = this.#answers.shift() ?? this.#answer(operation, body);
      if (answer === 'silence') return;
      if (answer === 'reset') {
        request.socket.destroy();
        return;
      }
      response.setHeader('content-type', 'application/x-amz-json-1.1');
      response.setHeader('x-amzn-requestid', 'request-1');
      if ('body' in answer) response.end(JSON.stringify(answer.body));
      else {
        const { name, status = 400, message } = answer;
        response.writeHead(status).end(JSON.stringify({ __type: name, message }));
      }
    });
  }

  #answer(operation: string, { KeyId, CiphertextBlob = '', EncryptionContext = {} }: KmsRequest['body']): KmsAnswer {
    const associated = Buffer.from(JSON.stringify(Object.entries(EncryptionContext).sort()));
    if (operation === 'GenerateDataKey') {
      const master = this.#keys.get(KeyId ?? '');
      if (KeyId === undefined || master === undefined) return { name: 'NotFoundException' };
      const dataKey = randomBytes(32);
      const iv = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', master, iv, { authTagLength: 16 }).setAAD(associated);
      const sealed = Buffer.concat([iv, cipher.update(dataKey), cipher.final(), cipher.getAuthTag()]);
      const blob = Buffer.concat([Buffer.from(`${KeyId}\0`), sealed]);
      return { body: { KeyId, Plaintext: dataKey.toString('base64'), CiphertextBlob: blob.toString('base64') } };
    }
    if (operation !== 'Decrypt') return { name: 'UnknownOperationException' };
    const blob = Buffer.from(CiphertextBlob, 'base64');
    const end = blob.indexOf(0);
    const wrappedBy = blob.subarray(0, Math.max(end, 0)).toString();
    const master = this.#keys.get(wrappedBy);
    if (master === undefined) return { name: 'InvalidCiphertextException' };
    if (KeyId !== undefined && KeyId !== wrappedBy) return { name: 'IncorrectKeyException' };
    const sealed = blob.subarray(end + 1);
    try {
      const decipher = createDecipheriv('aes-256-gcm', master, sealed.subarray(0, 12), { authTagLength: 16 });
      decipher.setAAD(associated).setAuthTag(sealed.subarray(-16));
      const dataKey = Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
      return { body: { KeyId: wrappedBy, Plaintext: dataKey.toString('base64') } };
    } catch {
      return { name: 'InvalidCiphertextException' };
    }
  }
}
