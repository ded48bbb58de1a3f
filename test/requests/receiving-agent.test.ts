/** Agents whose connections can be diverted: plain HTTP for everybody who does not ask for that. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer, get, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { divertBody, receivingAgents } from '../../src/requests/receiving-agent.ts';
import { bytesOf, rejection } from '../support/endpoint.ts';

const content = randomBytes(3_000_000);
const { httpAgent: agent } = receivingAgents({ http: { keepAlive: true }, https: {} });
let server: Server;
let connections = 0;

before(async () => {
  server = createServer((request, response) => {
    if (request.url === '/cut') {
      response.writeHead(200, { 'content-length': content.length });
      response.write(content.subarray(0, 2_000_000), () => response.destroy());
    } else if (request.url === '/chunked') response.writeHead(200).write(content, () => response.end());
    else response.writeHead(200, { 'content-length': content.length }).end(content);
  });
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
after(() => {
  agent.destroy();
  server.close();
});

function request(path = '/'): Promise<IncomingMessage> {
  const { port } = server.address() as AddressInfo;
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, agent }, resolve).once('error', reject);
  });
}

/** Receives a body by diversion, of which `take` says whether more is wanted at once. */
async function diverted(
  response: IncomingMessage,
  take: (received: number) => boolean = () => true,
): Promise<{ bytes: Buffer; buffers: number; views: number }> {
  const bytes = Buffer.alloc(content.length);
  const buffers = new Set<unknown>();
  let received = 0;
  let views = 0;
  await new Promise<void>((resolve, reject) => {
    const add = (chunk: Uint8Array): boolean => {
      bytes.set(chunk, received);
      received += chunk.length;
      if (received === content.length) {
        response.destroy();
        resolve();
      }
      const wanted = take(received);
      if (!wanted) setImmediate(() => diversion?.resume());
      return wanted;
    };
    const diversion = divertBody(response, (view) => {
      buffers.add(view.buffer);
      views += 1;
      return add(view);
    });
    assert.notEqual(diversion, undefined);
    response.on('error', reject);
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

  test('that is diverted comes in views of one buffer', async () => {
    const { bytes, buffers, views } = await diverted(await request());
    assert.ok(bytes.equals(content));
    assert.equal(buffers, 1);
    assert.ok(views > 0);
  });

  test('that is diverted comes in order, however its reader stops and goes on', async () => {
    for (const every of [1, 2, 7]) {
      let calls = 0;
      const { bytes } = await diverted(await request(), () => ++calls % every > 0);
      assert.ok(bytes.equals(content), `stopping at every ${every}`);
    }
  });

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
