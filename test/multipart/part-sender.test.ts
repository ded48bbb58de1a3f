import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LocalCertificates } from '../../src/local/tls/certificates.ts';
import { type RunningSend, sendPart } from '../../src/multipart/workers/part-sender.ts';

// Whom to trust is not what is looked at here, and a thread cannot be told so otherwise when it runs.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';

const MiB = 1024 * 1024;
/** What is handed to TLS at once. */
const slice = 512 * 1024;

interface TlsServer {
  readonly sockets: readonly Socket[];
  send(body: Uint8Array): RunningSend;
}

async function serve(t: TestContext, listener: RequestListener): Promise<TlsServer> {
  const server = createServer(new LocalCertificates(undefined).serverOptions(), listener);
  const sockets: Socket[] = [];
  server.on('secureConnection', (socket) => sockets.push(socket.on('error', () => undefined)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    sockets,
    send: (body) =>
      sendPart(
        {
          protocol: 'https:',
          hostname: '127.0.0.1',
          port,
          method: 'PUT',
          path: '/bucket/key',
          headers: { 'content-length': String(body.length) },
        },
        body,
      ),
  };
}

async function contentOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('over TLS a part of any length arrives as it is, its length said beforehand, over one connection', async (t) => {
  const received: { readonly headers: IncomingMessage['headers']; readonly body: Buffer }[] = [];
  const server = await serve(t, (request, response) => {
    void contentOf(request).then((body) => {
      received.push({ headers: request.headers, body });
      response.end();
    });
  });
  const bodies = [1, slice - 1, slice, slice + 1, 2 * slice, 5 * slice + 7].map((length) => randomBytes(length));
  for (const body of bodies) assert.equal((await server.send(body).answer).status, 200);
  for (const [i, body] of bodies.entries()) {
    assert.ok(received[i]?.body.equals(body), `${body.length} bytes`);
    assert.equal(received[i]?.headers['content-length'], String(body.length));
    assert.equal(received[i]?.headers['transfer-encoding'], undefined);
  }
  assert.equal(server.sockets.length, 1);
});

test('a part that a server is slow to take over TLS is not kept in memory a second time', async (t) => {
  const server = await serve(t, () => undefined);
  // Whatever a first connection needs.
  const first = server.send(Buffer.alloc(2 * MiB, 1));
  await sleep(300);
  first.cancel();
  await assert.rejects(first.answer);
  const body = Buffer.alloc(128 * MiB, 1);
  const before = process.memoryUsage().rss;
  const sending = server.send(body);
  let most = 0;
  for (let i = 0; i < 20; i++) {
    await sleep(50);
    most = Math.max(most, process.memoryUsage().rss - before);
  }
  sending.cancel();
  await assert.rejects(sending.answer, { name: 'AbortError' });
  assert.ok(most < body.length / 4, `${Math.round(most / MiB)} MiB more for a part of 128 MiB`);
});

test('a part that is answered over TLS before all of it was taken ends there', async (t) => {
  const server = await serve(t, (_, response) => {
    response.writeHead(503).end('<Error><Code>SlowDown</Code></Error>');
  });
  const answer = await server.send(Buffer.alloc(64 * MiB, 1)).answer;
  assert.equal(answer.status, 503);
  const [socket] = server.sockets;
  socket?.resume();
  // The connection is ended from the other side, and has carried less than the part.
  if (socket?.destroyed === false) await new Promise((resolve) => socket.once('close', resolve));
  assert.ok((socket?.bytesRead ?? 0) < 64 * MiB);
});
