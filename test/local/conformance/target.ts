/**
 * What the conformance suite runs against: an endpoint of ours started for each file, or any other S3:
 *
 *     SEALPIPE_CONFORMANCE_ENDPOINT=http://127.0.0.1:5000 SEALPIPE_CONFORMANCE_ACCESS_KEY=… SEALPIPE_CONFORMANCE_SECRET_KEY=… \
 *       SEALPIPE_CONFORMANCE_REGION=us-east-1 SEALPIPE_CONFORMANCE_KMS=no npm test -- local/conformance
 */
import { randomUUID } from 'node:crypto';
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { after, before, type TestContext } from 'node:test';
import { KMSClient } from '@aws-sdk/client-kms';
import { CreateBucketCommand, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { type LocalEndpoint, type LocalEndpointOptions, startLocalEndpoint } from '../../../src/local/index.ts';
import { type SignerCredentials, sha256, signRequest } from './signer.ts';

export interface RawRequest {
  readonly method?: string;
  /** With its query; encoded as it is to be sent. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** What to claim of the body. Default its SHA-256. */
  readonly payload?: string;
  readonly credentials?: SignerCredentials | 'anonymous' | undefined;
  readonly service?: 's3' | 'kms';
  readonly date?: Date;
  readonly region?: string;
  /** Headers that are sent but not signed. */
  readonly unsigned?: Readonly<Record<string, string>>;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
  /** The error code of an S3 or KMS error, or undefined. */
  readonly code: string | undefined;
}

/** What one test has of the endpoint. */
export class Target {
  #local: LocalEndpoint | undefined;
  #endpoint: string;
  readonly region: string;
  readonly credentials: SignerCredentials;
  readonly #agent = new Agent({ keepAlive: true });
  #clients: { destroy(): void }[] = [];

  constructor(options: { endpoint: string | undefined; region: string; credentials: SignerCredentials }) {
    this.#endpoint = options.endpoint ?? '';
    this.region = options.region;
    this.credentials = options.credentials;
  }

  async open(options: LocalEndpointOptions): Promise<void> {
    if (this.#endpoint !== '') return;
    this.#local = await startLocalEndpoint({ ...options, credentials: this.credentials as never });
    this.#endpoint = this.#local.endpoint;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.destroy();
    this.#agent.destroy();
    await this.#local?.close();
  }

  get endpoint(): string {
    return this.#endpoint;
  }

  get host(): string {
    return new URL(this.#endpoint).host;
  }

  /** Ours, or undefined when the suite runs against another. */
  get local(): LocalEndpoint | undefined {
    return this.#local;
  }

  s3(config: S3ClientConfig = {}): S3Client {
    const client = new S3Client({
      endpoint: this.#endpoint,
      region: this.region,
      credentials: this.credentials as { accessKeyId: string; secretAccessKey: string },
      forcePathStyle: true,
      maxAttempts: 1,
      ...config,
    });
    this.#clients.push(client);
    return client;
  }

  kms(config: { region?: string } = {}): KMSClient {
    const client = new KMSClient({
      endpoint: process.env['SEALPIPE_CONFORMANCE_KMS_ENDPOINT'] ?? this.#endpoint,
      region: this.region,
      credentials: this.credentials as { accessKeyId: string; secretAccessKey: string },
      maxAttempts: 1,
      ...config,
    });
    this.#clients.push(client);
    return client;
  }

  /** A bucket of the test's own. */
  async bucket(name = `test-${randomUUID().slice(0, 18)}`): Promise<string> {
    await this.s3().send(new CreateBucketCommand({ Bucket: name }));
    return name;
  }

  /** A request without the SDK: signed, sent as it is, and answered as it is. */
  raw(options: RawRequest): Promise<RawAnswer> {
    const { method = 'GET', body = '', credentials = this.credentials } = options;
    const { hostname, port, host } = new URL(this.#endpoint);
    let headers: Record<string, string> = { host, ...options.headers };
    if (credentials !== 'anonymous') {
      headers = signRequest(credentials, {
        method,
        path: options.path,
        headers,
        payload: options.payload ?? sha256(Buffer.from(body)),
        service: options.service ?? 's3',
        region: options.region ?? this.region,
        ...(options.date === undefined ? {} : { date: options.date }),
      }).headers;
    }
    return this.send({
      method,
      path: options.path,
      headers: { ...headers, ...options.unsigned },
      body,
      hostname,
      port,
    });
  }

  send(options: {
    method: string;
    path: string;
    headers: Record<string, string>;
    body?: string | Buffer;
    hostname?: string;
    port?: string;
  }): Promise<RawAnswer> {
    const url = new URL(this.#endpoint);
    const { method, path, headers, body = '', hostname = url.hostname, port = url.port } = options;
    return new Promise((resolve, reject) => {
      const sent = httpRequest({ hostname, port, method, path, headers, agent: this.#agent }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const bytes = Buffer.concat(chunks);
          const text = bytes.toString('utf8');
          const code = /<Code>(.*?)<\/Code>/.exec(text)?.[1] ?? /"__type":"([^"]*)"/.exec(text)?.[1];
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: bytes, text, code });
        });
      });
      sent.on('error', reject);
      if (headers['transfer-encoding'] === undefined && body.length > 0)
        sent.setHeader('content-length', Buffer.byteLength(body));
      // As bytes: Node would write the headers in the encoding of a string body.
      sent.end(Buffer.from(body));
    });
  }
}

const environment = process.env;

/** The target of a test file: opened before its first test, closed after its last. */
export function useTarget(options: LocalEndpointOptions = {}): Target {
  const target = new Target({
    endpoint: environment['SEALPIPE_CONFORMANCE_ENDPOINT'],
    region: environment['SEALPIPE_CONFORMANCE_REGION'] ?? 'us-east-1',
    credentials: {
      accessKeyId: environment['SEALPIPE_CONFORMANCE_ACCESS_KEY'] ?? 'CONFORMANCEKEYPAIR00',
      secretAccessKey: environment['SEALPIPE_CONFORMANCE_SECRET_KEY'] ?? 'conformance-secret',
    },
  });
  before(() => target.open(options));
  after(() => target.close());
  return target;
}

/** Skips a test where the other endpoint has no KMS. */
export function skipWithoutKms(context: TestContext): boolean {
  const without = environment['SEALPIPE_CONFORMANCE_KMS'] === 'no';
  if (without) context.skip('the endpoint under test has no KMS');
  return without;
}

/** What an SDK call failed with. */
export async function failure(call: Promise<unknown>): Promise<{
  name: string;
  message: string;
  /** HTTP status, where an answer came. */
  status: number | undefined;
  /** Of a broken connection. */
  code: string | undefined;
}> {
  try {
    await call;
  } catch (error) {
    const { name, message } = error as Error;
    const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
    const { code } = error as { code?: string };
    return { name, message, status, code };
  }
  throw new Error('the call succeeded, a failure was expected');
}

/** Bytes that look random and are the same each time. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = seed >>> 0 || 1;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

export const MiB: number = 1024 ** 2;
