import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { sendPart } from '../../src/multipart/workers/part-sender.ts';
import { type RunningReceive, receiveRange } from '../../src/multipart/workers/range-receiver.ts';
import type { SignedRequest } from '../../src/multipart/workers/worker-protocol.ts';
import { until } from '../support/stream-ends.ts';

const content = randomBytes(100_000);
const contentRange = 'bytes 0-99999/200000';
const etag = '"e"';

interface RangeServer {
  readonly sockets: readonly Socket[];
  readonly request: SignedRequest;
  receive(options?: { idleTimeout?: number; take?: (chunk: Uint8Array) => void }): RunningReceive;
}

async function serve(t: TestContext, listener: RequestListener): Promise<RangeServer> {
  const server = createServer(listener);
  const sockets: Socket[] = [];
  server.on('connection', (socket) => sockets.push(socket.on('error', () => undefined)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const request = {
    protocol: 'http:',
    hostname: '127.0.0.1',
    port,
    method: 'GET',
    path: '/bucket/key',
    headers: {},
  } as const;
  return {
    sockets,
    request,
    receive: ({ idleTimeout = 10_000, take = () => undefined } = {}) =>
      receiveRange(request, { length: content.length, contentRange, etag, idleTimeout, take }),
  };
}

/** Writes without end, as fast as it is read or a byte every few milliseconds. */
function endless(slow: boolean): RequestListener {
  return (request, response) => {
    request.resume();
    response.on('error', () => undefined);
    response.writeHead(503);
    const chunk = slow ? 'x' : 'x'.repeat(16_384);
    const writing = setInterval(() => response.write(chunk), slow ? 20 : 1);
    response.once('close', () => clearInterval(writing));
  };
}

test('a range arrives over a connection that is kept, however long it takes with bytes to show for it', async (t) => {
  const server = await serve(t, (_, response) => {
    response.writeHead(206, { 'content-length': String(content.length), 'content-range': contentRange });
    let sent = 0;
    const writing = setInterval(() => {
      response.write(content.subarray(sent, sent + 10_000));
      sent += 10_000;
      if (sent < content.length) return;
      clearInterval(writing);
      response.end();
    }, 60);
  });
  for (let round = 0; round < 2; round++) {
    const chunks: Uint8Array[] = [];
    // Less than the whole takes, more than any pause in it.
    const taken: Uint8Array[] = [];
    const take = (chunk: Uint8Array): void => {
      chunks.push(Uint8Array.from(chunk));
      taken.push(chunk);
    };
    assert.equal(await server.receive({ idleTimeout: 450, take }).answer, undefined);
    // At a gigabyte a second nobody waits for the garbage collector.
    assert.ok(taken.every(({ length }) => length === 0));
    assert.ok(Buffer.concat(chunks).equals(content));
  }
  assert.equal(server.sockets.length, 1);
});

test('an error whose body drips without end is a broken connection in the time of a silent one', async (t) => {
  const server = await serve(t, endless(true));
  await assert.rejects(server.receive({ idleTimeout: 300 }).answer, { code: 'ETIMEDOUT', message: /within 300 ms/ });
  await until(() => server.sockets.every(({ destroyed }) => destroyed), 'the end of the connection');
});

test('an error whose body is far too long is told of by its beginning, and its connection is given up', async (t) => {
  const server = await serve(t, endless(false));
  for (const { answer } of [server.receive(), sendPart({ ...server.request, method: 'PUT' }, Buffer.from('part'))]) {
    const { status, body } = (await answer) as { status: number; body: string };
    assert.equal(status, 503);
    assert.ok(body.length >= 65_536 && body.length < 65_536 * 4, `${body.length} characters`);
  }
  await until(() => server.sockets.every(({ destroyed }) => destroyed), 'the end of the connections');
});

test('a range of an object with another ETag is no range of this one, one without any is taken at its word', async (t) => {
  const etags = ['"other"', undefined, etag];
  const server = await serve(t, (_, response) => {
    const found = etags.shift();
    response
      .writeHead(206, { 'content-range': contentRange, ...(found !== undefined && { etag: found }) })
      .end(content);
  });
  assert.deepEqual(await server.receive().answer, {
    status: 206,
    headers: { 'content-range': contentRange, etag: '"other"' },
    body: '',
  });
  for (let i = 0; i < 2; i++) assert.equal(await server.receive().answer, undefined);
});
