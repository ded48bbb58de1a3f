import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { S3Client } from '@aws-sdk/client-s3';
import { contentRange, readRange } from '../../src/local/s3/ranges.ts';
import type { Vector } from './vectors.ts';

interface StoredVector {
  readonly metadata: Record<string, string>;
  readonly body: () => Buffer;
}

/** An S3 that answers GET and HEAD with the objects of the conformance set, headers as they were captured. Real HTTP. */
export class VectorS3 {
  readonly client: S3Client;
  /** Method and key of each request. */
  readonly requests: string[];
  readonly #server: Server;

  private constructor(server: Server, client: S3Client, requests: string[]) {
    this.#server = server;
    this.client = client;
    this.requests = requests;
  }

  static async start(vectors: readonly Vector[]): Promise<VectorS3> {
    const objects = new Map<string, StoredVector>();
    for (const vector of vectors) {
      const { key, metadata, instructionFile } = vector.record;
      objects.set(key, { metadata, body: () => vector.body() });
      const file = vector.instructionFile();
      if (file !== undefined && instructionFile !== undefined) {
        objects.set(instructionFile.key, { metadata: instructionFile.metadata, body: () => file });
      }
    }
    const requests: string[] = [];
    const server = createServer((request, response) => {
      const key = decodeURIComponent((request.url ?? '').split('?')[0]?.replace(/^\/[^/]*\//, '') ?? '');
      requests.push(`${request.method} ${key}`);
      const object = objects.get(key);
      if (object === undefined) {
        response.writeHead(404, { 'content-type': 'application/xml' });
        response.end(
          request.method === 'HEAD'
            ? ''
            : '<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>',
        );
        return;
      }
      const body = object.body();
      const headers = Object.fromEntries(
        Object.entries(object.metadata).map(([name, value]) => [`x-amz-meta-${name}`, value]),
      );
      const range = readRange(request.headers.range, body.length);
      if (range === 'unsatisfiable') {
        response.writeHead(416, { 'content-type': 'application/xml' });
        response.end(
          '<Error><Code>InvalidRange</Code><Message>The requested range is not satisfiable</Message></Error>',
        );
        return;
      }
      const part = range === 'whole' ? body : body.subarray(range.start, range.end);
      response.writeHead(range === 'whole' ? 200 : 206, {
        ...headers,
        'content-length': part.length,
        etag: '"vector"',
        ...(range !== 'whole' && { 'content-range': contentRange(range, body.length) }),
      });
      response.end(request.method === 'HEAD' ? undefined : part);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
    return new VectorS3(
      server,
      new S3Client({ endpoint, region: 'us-east-1', credentials, forcePathStyle: true }),
      requests,
    );
  }

  async close(): Promise<void> {
    this.client.destroy();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
