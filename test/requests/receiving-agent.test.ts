/** Agents whose connections can be diverted: plain HTTP for everybody who does not ask for that. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer, get, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer, get as getOverTls } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { LocalCertificates } from '../../src/local/tls/certificates.ts';
import { divertBody, receivingAgents } from '../../src/requests/receiving-agent.ts';
import { bytesOf, rejection } from '../support/endpoint.ts';

const content = randomBytes(3_000_000);
const certificates = new LocalCertificates(undefined);
const { httpAgent, httpsAgent } = receivingAgents({
  http: { keepAlive: true },
  https: { keepAlive: true, ca: certificates.ca } as object,
});
let server: Server;
let secureServer: Server;
let connections = 0;

const answer: RequestListener = (request, response) => {
  if (request.url === '/cut') {
    response.writeHead(200, { 'content-length': content.length });
    response.write(content.subarray(0, 2_000_000), () => response.destroy());
  } else if (request.url === '/chunked') response.writeHead(200).write(content, () => response.end());
  else response.writeHead(200, { 'content-length': content.length }).end(content);
};

before(async () => {
  server = createServer(answer);
  secureServer = createTlsServer(certificates.serverOptions(), answer);
  server.on('connection', () => {
    connections += 1;
  });
  for (const each of [server, secureServer]) await new Promise<void>((resolve) => each.listen(0, '127.0.0.1', resolve));
});
after(() => {
  httpAgent.destroy();
  httpsAgent.destroy();
  server.close();
  secureServer.close();
});

function request(path = '/', { secure = false } = {}): Promise<IncomingMessage> {
  const { port } = (secure ? secureServer : server).address() as AddressInfo;
  const options = { host: 'localhost', family: 4, port, path };
  return new Promise((resolve, reject) => {
    const sent = secure
      ? getOverTls({ ...options, agent: httpsAgent }, resolve)
      : get({ ...options, agent: httpAgent }, resolve);
    sent.once('error', reject);
  });
}

/** Receives a body by diversion, of which `take` says whether more is wanted at once, or `wait` milliseconds later. */
async function diverted(
  response: IncomingMessage,
  take: (received: number) => boolean = () => true,
  wait = 0,
): Promise<{ bytes: Buffer; buffers: number; views: number }> {
  const bytes = Buffer.alloc(content.length);
  const buffers = new Set<unknown>();
  let received = 0;
  let views = 0;
  await new Promise<void>((resolve, reject) => {
    let wanted = true;
    const resume = (): void => {
      wanted = true;
      diversion?.resume();
    };
    const add = (chunk: Uint8Array): boolean => {
      assert.ok(wanted, 'it came though it was not wanted');
      bytes.set(chunk, received);
      received += chunk.length;
      if (received === content.length) {
        response.destroy();
        resolve();
      }
      wanted = take(received);
      if (!wanted && wait > 0) setTimeout(resume, wait);
      else if (!wanted) setImmediate(resume);
      return wanted;
    };
    const diversion = divertBody(response, (view) => {
      buffers.add(view.buffer);
      views += 1;
      return add(view);
    });
    assert.notEqual(diversion, undefined);
    response.on('error', reject);
    // The assertion within, which is thrown where nobody catches it.
    process.once('uncaughtException', reject);
    response.once('close', () => process.off('uncaughtException', reject));
    response.on('data', (chunk: Buffer) => {
      if (!add(chunk)) response.pause();
    });
  });
  return { bytes, buffers: buffers.size, views };
}

describe('a response', () => {
  test('that nobody diverts is as any other, and its connection serves the next', async () => {
    const before = connections;
    for (let i = 0; i < 3; i++) assert.ok((await bytesOf(await request())).equals(content));
    assert.equal(connections, before + 1);
  });

  test('whose chunks are kept is not overwritten', async () => {
    const chunks: Buffer[] = [];
    for await (const chunk of await request()) chunks.push(chunk as Buffer);
    assert.ok(Buffer.concat(chunks).equals(content));
  });

  for (const secure of [false, true]) {
    const over = secure ? ', over TLS' : '';

    test(`that is diverted comes in views of one buffer${over}`, async () => {
      const { bytes, buffers, views } = await diverted(await request('/', { secure }));
      assert.ok(bytes.equals(content));
      assert.equal(buffers, 1);
      assert.ok(views > 0);
    });

    test(`that is diverted comes in order, and only when it is wanted, however its reader stops and goes on${over}`, async () => {
      for (const [every, wait] of [
        [1, 0],
        [2, 0],
        [7, 0],
        [7, 20],
      ] as const) {
        let calls = 0;
        const { bytes } = await diverted(await request('/', { secure }), () => ++calls % every > 0, wait);
        assert.ok(bytes.equals(content), `stopping at every ${every} for ${wait} ms`);
      }
    });
  }

  test('that breaks while it is diverted ends in its own error', async () => {
    const error = await rejection(diverted(await request('/cut')));
    assert.equal((error as NodeJS.ErrnoException).code, 'ECONNRESET');
  });

  test('in chunks, or of another agent, cannot be diverted', async () => {
    const chunked = await request('/chunked');
    assert.equal(
      divertBody(chunked, () => true),
      undefined,
    );
    assert.ok((await bytesOf(chunked)).equals(content));
    const { port } = server.address() as AddressInfo;
    const other = await new Promise<IncomingMessage>((resolve) => get({ host: '127.0.0.1', port }, resolve));
    assert.equal(
      divertBody(other, () => true),
      undefined,
    );
    other.destroy();
  });
});
