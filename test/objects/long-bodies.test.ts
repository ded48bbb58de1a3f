/** Bodies that are long enough to be received past their response: the same bytes, the same errors, and connections that end. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import http, { createServer, type Server, type ServerResponse } from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { S3Client } from '@aws-sdk/client-s3';
import { EncryptedS3 } from '../../src/objects/encrypted-s3.ts';
import { divertFrom } from '../../src/requests/receiving-agent.ts';
import { Bucket, bytesOf, rejection, TestEndpoint } from '../support/endpoint.ts';
import { failure } from '../support/failure.ts';

const MiB = 1024 * 1024;
const content = randomBytes(divertFrom + 3 * MiB + 7);
/** Enough for workers to decrypt what one connection brings. */
const large = Buffer.concat(Array.from({ length: 4 }, () => content));
const folder = mkdtempSync(join(tmpdir(), 'sealpipe-long-'));
const unhandled: unknown[] = [];
process.on('unhandledRejection', (reason) => unhandled.push(reason));
process.on('uncaughtException', (error) => unhandled.push(error));
let endpoint: TestEndpoint;

before(async () => {
  endpoint = await TestEndpoint.start();
  await endpoint.encrypted().upload({ Bucket, Key: 'long', Body: content }).done();
  await endpoint.encrypted().upload({ Bucket, Key: 'large', Body: large }).done();
  await endpoint.encrypted().upload({ Bucket, Key: 'short', Body: 'short' }).done();
  for (const [Key, less] of [
    ['shortest diverted', 16],
    ['longest not diverted', 17],
  ] as const)
    await endpoint
      .encrypted()
      .upload({ Bucket, Key, Body: content.subarray(0, divertFrom - less) })
      .done();
});
beforeEach(async () => {
  endpoint.local.faults.clear();
  await endpoint.local.requests.settled();
  endpoint.local.requests.clear();
});
after(async () => {
  await endpoint.close();
  rmSync(folder, { recursive: true });
  assert.deepEqual(unhandled, []);
});

/** Numbers of the connections that GETs came over. */
async function connections(): Promise<number[]> {
  await endpoint.local.requests.settled();
  return endpoint.local.requests.all('GetObject').map(({ connection }) => connection);
}

const delayed = { release: 'delayed' } as const;

describe('a long body', () => {
  test('is the content, and uses up its connection', async () => {
    const keys = ['short', 'long', 'long', 'shortest diverted', 'longest not diverted', 'large', 'short'];
    const s3 = endpoint.encrypted();
    for (const Key of keys) {
      const { body } = await s3.get({ Bucket, Key }, delayed);
      const found = await bytesOf(body);
      const expected = Key === 'short' ? Buffer.from('short') : large.subarray(0, found.length);
      assert.ok(found.equals(expected), Key);
    }
    const used = await connections();
    assert.equal(used.length, keys.length);
    for (const [i, key] of keys.entries()) {
      if (['short', 'longest not diverted'].includes(key)) continue;
      assert.equal(used.indexOf(used[i] as number, i + 1), -1, `the connection of ${key} was used again`);
    }
  });

  test('is held back until its tag is verified, where the caller did not say otherwise', async () => {
    const { body } = await endpoint.encrypted().get({ Bucket, Key: 'long' });
    assert.ok((await bytesOf(body)).equals(content));
    endpoint.local.faults.set([{ operation: 'GetObject', flipByteAt: 5 }]);
    const altered = await endpoint.encrypted().get({ Bucket, Key: 'long' });
    let released = 0;
    altered.body.on('data', ({ length }: Buffer) => {
      released += length;
    });
    await assert.rejects(bytesOf(altered.body), failure('AUTHENTICATION_FAILED'));
    assert.equal(released, 0);
  });

  test('comes at the pace of its reader, whatever that is', async () => {
    for (const [pieces, wait] of [
      [1, 5],
      [50, 1],
      [3, 0],
    ] as const) {
      const { body } = await endpoint.encrypted().get({ Bucket, Key: 'long' }, delayed);
      const chunks: Buffer[] = [];
      let mostBuffered = 0;
      const slow = new Writable({
        highWaterMark: 1,
        write(chunk: Buffer, _, done) {
          chunks.push(Buffer.from(chunk));
          mostBuffered = Math.max(mostBuffered, body.readableLength);
          if (chunks.length % pieces > 0) done();
          else if (wait === 0) setImmediate(done);
          else setTimeout(done, wait);
        },
      });
      await pipeline(body, slow);
      assert.ok(Buffer.concat(chunks).equals(content));
      assert.ok(mostBuffered < 2 * MiB, `${mostBuffered} bytes waited for a slow reader`);
    }
  });

  test('that is cut at random points is mended, and received past its responses again', async () => {
    for (const [Key, expected] of [
      ['long', content],
      ['large', large],
    ] as const) {
      endpoint.local.faults.set(
        Array.from({ length: 6 }, () => ({
          operation: 'GetObject',
          resetResponseAfter: 1 + Math.floor(Math.random() * 3_000_000),
        })),
      );
      const retries: number[] = [];
      const target = join(folder, 'cut');
      await endpoint
        .encrypted()
        .download({ Bucket, Key }, target, { onRetry: ({ offset }) => void retries.push(offset) });
      assert.ok(readFileSync(target).equals(expected));
      assert.equal(retries.length, 6);
      assert.equal(new Set(await connections()).size, 7);
      endpoint.local.requests.clear();
    }
  });

  test('that stops coming is asked for again; one whose reader stops is not', async () => {
    endpoint.local.faults.set([{ operation: 'GetObject', stallResponseAfter: 5_000_000, stallMs: 60_000 }]);
    const s3 = endpoint.encrypted();
    const stalled = await s3.get({ Bucket, Key: 'long' }, { ...delayed, idleTimeout: 400 });
    assert.ok((await bytesOf(stalled.body)).equals(content));
    assert.equal((await connections()).length, 2);

    endpoint.local.requests.clear();
    const { body } = await s3.get({ Bucket, Key: 'long' }, { ...delayed, idleTimeout: 400 });
    const chunks: Buffer[] = [];
    for await (const chunk of body as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      if (chunks.length === 20) await sleep(1200);
    }
    assert.ok(Buffer.concat(chunks).equals(content));
    assert.equal((await connections()).length, 1);
  });

  test('with one bit changed, wherever, is refused, and leaves no file', async () => {
    for (const [Key, { length }] of [
      ['long', content],
      ['large', large],
    ] as const) {
      for (const flipByteAt of [0, 70_000, length - 1, length, length + 15]) {
        endpoint.local.faults.set([{ operation: 'GetObject', flipByteAt }]);
        const target = join(folder, 'flipped');
        const error = await rejection(endpoint.encrypted().download({ Bucket, Key }, target));
        assert.ok(failure('AUTHENTICATION_FAILED')(error));
        assert.equal(existsSync(target), false);
      }
    }
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith('.sealpipe')),
      [],
    );
  });

  test('that is given up, by its signal or by its reader, frees its connection', async () => {
    for (const Key of ['long', 'large']) {
      for (const after of [0, 1, 3_000_000, 12_000_000]) {
        const stop = new AbortController();
        const { body } = await endpoint.encrypted().get({ Bucket, Key }, { ...delayed, signal: stop.signal });
        let read = 0;
        const reading = (async () => {
          for await (const chunk of body as AsyncIterable<Buffer>) {
            read += chunk.length;
            if (read >= after) stop.abort(new Error('enough'));
          }
        })();
        if (after === 0) stop.abort(new Error('enough'));
        await assert.rejects(reading, failure('ABORTED'));
      }
      const target = join(folder, 'aborted');
      const stop = new AbortController();
      const onProgress = (): void => stop.abort(new Error('enough'));
      const error = await rejection(
        endpoint.encrypted().download({ Bucket, Key }, target, { signal: stop.signal, onProgress }),
      );
      assert.ok(failure('ABORTED')(error));
      assert.equal(existsSync(target), false);
    }
    const { body } = await endpoint.encrypted().get({ Bucket, Key: 'large' }, delayed);
    for await (const _ of body) break;
    assert.equal(body.destroyed, true);
    // Each is entered when its connection has ended.
    await endpoint.local.requests.settled();
    assert.equal(
      endpoint.local.requests.all('GetObject').every(({ answered }) => !answered),
      true,
    );
  });

  test('comes by the client’s own connections where that was asked for, or is a caller’s', async () => {
    const client = new S3Client(endpoint.local.s3Config);
    const s3 = endpoint.encrypted({ client });
    for (let i = 0; i < 2; i++) {
      const { body } = await s3.get({ Bucket, Key: 'long' }, { ...delayed, transport: 'client' });
      assert.ok((await bytesOf(body)).equals(content));
    }
    const [first, second] = await connections();
    assert.equal(first, second, 'a body that its response receives leaves the connection as it is');

    client.destroy();
  });

  test('comes by what a caller put in: a handler, an agent, or a watcher of requests', async () => {
    const seen: string[] = [];
    const through = async (what: string, client: S3Client): Promise<void> => {
      const { body } = await endpoint.encrypted({ client }).get({ Bucket, Key: 'long' }, delayed);
      assert.ok((await bytesOf(body)).equals(content));
      assert.deepEqual(seen.splice(0), [what]);
      client.destroy();
    };

    const handling = new S3Client(endpoint.local.s3Config);
    const { requestHandler } = handling.config;
    const handle = requestHandler.handle.bind(requestHandler);
    requestHandler.handle = (request, options) => {
      seen.push('handler');
      return handle(request, options);
    };
    await through('handler', handling);

    const httpAgent = new http.Agent({ keepAlive: true });
    const createConnection = httpAgent.createConnection.bind(httpAgent);
    httpAgent.createConnection = (options, connected) => {
      seen.push('agent');
      return createConnection(options, connected);
    };
    await through('agent', new S3Client({ ...endpoint.local.s3Config, requestHandler: { httpAgent } }));

    // As OpenTelemetry does it: it would take a body that goes past its response for one that was given up.
    const { request } = http;
    const watching = (...args: Parameters<typeof request>): http.ClientRequest =>
      request(...args).once('response', (response) => {
        if (Number(response.headers['content-length']) > content.length) response.once('end', () => seen.push('end'));
      });
    http.request = Object.assign(watching, { __original: request }) as never;
    syncBuiltinESMExports();
    try {
      await through('end', new S3Client(endpoint.local.s3Config));
    } finally {
      http.request = request;
      syncBuiltinESMExports();
    }
  });

  test('comes the same over TLS', async () => {
    const secure = await TestEndpoint.start({ tls: true });
    const s3 = secure.encrypted();
    await s3.upload({ Bucket, Key: 'large', Body: large }).done();
    for (let i = 0; i < 2; i++) {
      const { body } = await s3.get({ Bucket, Key: 'large' }, delayed);
      assert.ok((await bytesOf(body)).equals(large));
    }
    const target = join(folder, 'secure');
    for (let i = 0; i < 5; i++) {
      await s3.download({ Bucket, Key: 'large' }, target);
      assert.ok(readFileSync(target).equals(large));
    }
    await secure.close();
  });
});

describe('a server of its own kind', () => {
  /** An object as it is stored, answered for every GET in a way of the server's. */
  async function serving(
    answer: (response: ServerResponse, object: { body: Buffer; headers: Record<string, string> }) => void,
  ): Promise<{ s3: EncryptedS3; server: Server; close: () => void }> {
    const { body, metadata } = await endpoint.stored('long');
    const headers = Object.fromEntries(Object.entries(metadata).map(([name, value]) => [`x-amz-meta-${name}`, value]));
    const server = createServer((_, response) => answer(response, { body, headers: { etag: '"e"', ...headers } }));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const client = new S3Client({
      ...endpoint.local.s3Config,
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    });
    const close = (): void => {
      client.destroy();
      server.closeAllConnections();
      server.close();
    };
    return { s3: new EncryptedS3({ client, keyring: endpoint.keyring }), server, close };
  }

  test('that sends in chunks, without a length, is read as ever', async () => {
    const { s3, close } = await serving((response, { body, headers }) => {
      response.writeHead(200, headers);
      Readable.from(pieces(body, 30_001)).pipe(response);
    });
    const { body } = await s3.get({ Bucket, Key: 'any' }, delayed);
    assert.ok((await bytesOf(body)).equals(content));
    close();
  });

  test('that sends more than it said is held to what it said', async () => {
    const { s3, close } = await serving((response, { body, headers }) => {
      const head = Object.entries({ ...headers, 'content-length': String(body.length) });
      const text = `HTTP/1.1 200 OK\r\n${head.map(([name, value]) => `${name}: ${value}`).join('\r\n')}\r\n\r\n`;
      response.socket?.write(
        Buffer.concat([Buffer.from(text, 'latin1'), body, Buffer.from('HTTP/1.1 500 no\r\n\r\n')]),
      );
    });
    for (let i = 0; i < 3; i++) {
      const { body } = await s3.get({ Bucket, Key: 'any' }, delayed);
      assert.ok((await bytesOf(body)).equals(content));
    }
    close();
  });

  test('that sends a few bytes at a time, or all at once with the head, is read as ever', async () => {
    for (const length of [7_919, 65_536, 65_537, 3_000_000, 40_000_000]) {
      const { s3, close } = await serving((response, { body, headers }) => {
        response.writeHead(200, { ...headers, 'content-length': body.length });
        Readable.from(pieces(body, length)).pipe(response);
      });
      const { body } = await s3.get({ Bucket, Key: 'any' }, delayed);
      assert.ok((await bytesOf(body)).equals(content), `${length} bytes at a time`);
      close();
    }
  });
});

function* pieces(bytes: Buffer, length: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}
