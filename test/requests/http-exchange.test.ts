import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { getEventListeners } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Agent } from 'undici';
import { exchange, exchangeWhole, type HttpRequest } from '../../src/requests/http-exchange.ts';
import { bytesOf, rejection } from '../support/endpoint.ts';

const unhandled: unknown[] = [];
process.on('unhandledRejection', (reason) => unhandled.push(reason));
process.on('uncaughtException', (error) => unhandled.push(error));

const never = new AbortController().signal;
const long = Buffer.alloc(2_000_000, 7);
type Serve = (request: IncomingMessage, response: ServerResponse) => void;

const served: string[] = [];
let connections = 0;
let server: Server;
let open: Set<object>;
let origin: string;
const agents: Agent[] = [];

const paths: Record<string, Serve> = {
  '/short': (_, response) => response.end('short'),
  '/empty': (_, response) => response.end(),
  '/long': (_, response) => response.end(long),
  '/silent': () => undefined,
  '/half': (_, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('half');
  },
  '/cut': (_, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('cut', () => response.destroy());
  },
  '/garbage': (_, response) => response.socket?.end('FOO BAR\r\n\r\n'),
  '/pieces': (_, response) => {
    response.write('one,');
    setTimeout(() => response.end('two'), 20);
  },
  '/huge': (_, response) => response.end(Buffer.alloc(1024 * 1024 + 1)),
  '/headers': (_, response) => {
    response.writeHead(200, [
      ['x-amz-meta-a', 'one'],
      ['X-Amz-Meta-A', 'two'],
      ['x-amz-meta-raw', Buffer.from('ä').toString('latin1')],
      ['x-amz-meta-__proto__', 'p'],
      ['etag', '"one"'],
      ['etag', '"two"'],
      ['content-type', 'text/one'],
      ['content-type', 'text/two'],
    ] as never);
    response.end();
  },
  '/early': (_, response) => {
    response.writeEarlyHints({ link: '</x>; rel=preload' });
    response.end('early');
  },
};

before(async () => {
  open = new Set();
  server = createServer((incoming, response) => {
    served.push(incoming.url ?? '');
    incoming.resume();
    incoming.on('end', () => paths[incoming.url ?? '']?.(incoming, response));
  });
  server.on('connection', (socket) => {
    connections += 1;
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  await Promise.all(agents.splice(0).map((agent) => agent.destroy()));
  served.length = 0;
  connections = 0;
});
after(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  assert.deepEqual(unhandled, []);
});

function agent(count: number): Agent {
  const made = new Agent({ connections: count, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });
  agents.push(made);
  return made;
}

const get = (path: string): HttpRequest => ({ origin, method: 'GET', path, headers: [], body: undefined });

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !holds(); i++) await sleep(5);
  assert.ok(holds(), 'it never came to that');
}

describe('an answer', () => {
  test('is streamed, whole or empty', async () => {
    const one = agent(1);
    for (const [path, expected] of [
      ['/short', Buffer.from('short')],
      ['/empty', Buffer.alloc(0)],
      ['/long', long],
      ['/pieces', Buffer.from('one,two')],
      ['/early', Buffer.from('early')],
    ] as const) {
      const { status, body } = await exchange(one, get(path), never);
      assert.equal(status, 200);
      assert.ok((await bytesOf(body)).equals(expected), path);
      if (expected.length < 100) assert.ok((await exchangeWhole(one, get(path), never)).body.equals(expected), path);
    }
    assert.equal(connections, 1);
  });

  test('has its headers as Node would put them', async () => {
    const { headers } = await exchangeWhole(agent(1), get('/headers'), never);
    const theirs = await new Promise<IncomingMessage>((resolve) => {
      request(`${origin}/headers`, { agent: false }, resolve).end();
    });
    theirs.resume();
    for (const name of ['x-amz-meta-a', 'x-amz-meta-raw', 'x-amz-meta-__proto__', 'etag', 'content-type'])
      assert.equal(headers[name], theirs.headers[name], name);
  });

  test('that is cut is an error with the code of a broken connection', async () => {
    const whole = (await rejection(exchangeWhole(agent(1), get('/cut'), never))) as NodeJS.ErrnoException;
    assert.equal(whole.code, 'ECONNRESET');
    const { body } = await exchange(agent(1), get('/cut'), never);
    const streamed = (await rejection(bytesOf(body))) as NodeJS.ErrnoException;
    assert.equal(streamed.code, 'ECONNRESET');
  });

  test('that is cut before anybody reads is no uncaught error', async () => {
    const { body } = await exchange(agent(1), get('/cut'), never);
    await sleep(50);
    assert.equal(body.destroyed, true);
    assert.deepEqual(unhandled, []);
  });

  test('that was to be short is let go when it is not', async () => {
    await assert.rejects(exchangeWhole(agent(1), get('/huge'), never), /more than 1048576 bytes/);
  });

  test('in several pieces leaves none of them behind', async () => {
    const pieces: Buffer[] = [];
    const one = agent(1);
    const observed = one.compose((dispatch) => (options, handler) => {
      const receive = handler.onResponseData?.bind(handler);
      handler.onResponseData = (controller, bytes) => {
        pieces.push(bytes);
        receive?.(controller, bytes);
      };
      return dispatch(options, handler);
    });
    const { body } = await exchangeWhole(observed, get('/pieces'), never);
    assert.equal(body.toString(), 'one,two');
    assert.ok(pieces.length >= 2);
    for (const piece of pieces) assert.ok(piece.every((byte) => byte === 0));
  });
});

describe('an abort', () => {
  const aborted = { name: 'AbortError' };

  test('before the request sends nothing', async () => {
    await assert.rejects(exchange(agent(1), get('/short'), AbortSignal.abort()), aborted);
    await assert.rejects(exchangeWhole(agent(1), get('/short'), AbortSignal.abort()), aborted);
    assert.deepEqual(served, []);
  });

  for (const [how, run] of [
    ['streamed', exchange],
    ['whole', exchangeWhole],
  ] as const) {
    test(`of one that waits for a connection ends it at once and sends nothing, ${how}`, async () => {
      const one = agent(1);
      const first = new AbortController();
      const holding = rejection(run(one, get('/silent'), first.signal));
      await until(() => served.length === 1);
      const queued = new AbortController();
      const waiting = rejection(run(one, get('/short'), queued.signal));
      queued.abort();
      assert.equal(((await waiting) as Error).name, 'AbortError');
      first.abort();
      await holding;
      const { body } = await exchangeWhole(one, get('/short'), never);
      assert.equal(body.toString(), 'short');
      assert.deepEqual(served, ['/silent', '/short'], 'the one that was let go never came');
    });

    test(`of one that waits for its head ends it and its connection, ${how}`, async () => {
      const controller = new AbortController();
      const waiting = rejection(run(agent(1), get('/silent'), controller.signal));
      await until(() => served.length === 1);
      controller.abort();
      assert.equal(((await waiting) as Error).name, 'AbortError');
      await until(() => open.size === 0);
    });
  }

  test('in the middle of a body that comes whole ends it', async () => {
    const controller = new AbortController();
    const waiting = rejection(exchangeWhole(agent(1), get('/half'), controller.signal));
    await until(() => served.length === 1);
    await sleep(20);
    controller.abort();
    assert.equal(((await waiting) as Error).name, 'AbortError');
    await until(() => open.size === 0);
  });

  test('after the head leaves a streamed body to its reader', async () => {
    const controller = new AbortController();
    const { body } = await exchange(agent(1), get('/long'), controller.signal);
    controller.abort();
    assert.ok((await bytesOf(body)).equals(long));
  });

  test('leaves no listener behind', async () => {
    const { signal } = new AbortController();
    const one = agent(1);
    await exchangeWhole(one, get('/short'), signal);
    await bytesOf((await exchange(one, get('/long'), signal)).body);
    await rejection(exchangeWhole(one, get('/cut'), signal));
    assert.deepEqual(getEventListeners(signal, 'abort'), []);
  });
});

describe('a body', () => {
  test('that nobody reads holds its connection, and frees it when destroyed', async () => {
    const one = agent(1);
    const { body } = await exchange(one, get('/long'), never);
    const next = exchangeWhole(one, get('/short'), never);
    assert.equal(await Promise.race([next.then(() => 'answered'), sleep(50, 'waiting')]), 'waiting');
    body.destroy();
    assert.equal((await next).body.toString(), 'short');
  });

  test('is not taken faster than it is read', async () => {
    const { body } = await exchange(agent(1), get('/long'), never);
    await sleep(50);
    assert.ok(body.readableLength < long.length, `${body.readableLength} bytes are held`);
    assert.ok((await bytesOf(body)).equals(long));
  });

  test('that is whole, though not read, costs nobody the connection when destroyed', async () => {
    const one = agent(1);
    const { body } = await exchange(one, get('/short'), never);
    await sleep(20);
    const { body: silent } = await exchange(one, get('/half'), never);
    body.destroy();
    await sleep(20);
    assert.equal(silent.destroyed, false, 'the connection serves another request by now');
    assert.equal(connections, 1);
    silent.destroy();
  });
});

test('no more connections are opened than allowed', async () => {
  const three = agent(3);
  const answers = await Promise.all(Array.from({ length: 20 }, () => exchangeWhole(three, get('/pieces'), never)));
  assert.ok(answers.every(({ body }) => body.toString() === 'one,two'));
  assert.equal(connections, 3);
});

test('an IPv6 address is an origin', async (t) => {
  const six = createServer(({ headers }, response) => response.end(headers.host));
  const listening = await new Promise<boolean>((resolve) => {
    six.once('error', () => resolve(false)).listen(0, '::1', () => resolve(true));
  });
  if (!listening) {
    t.skip('this machine has no IPv6');
    return;
  }
  const { port } = six.address() as AddressInfo;
  const { body } = await exchangeWhole(agent(1), { ...get('/x?y=z'), origin: `http://[::1]:${port}` }, never);
  assert.equal(body.toString(), `[::1]:${port}`);
  six.closeAllConnections();
  six.close();
});

test('a process ends though connections are open that nobody uses', async () => {
  const [requests, transport] = ['get-request', 'transport'].map(
    (name) => new URL(`../../src/requests/${name}.js`, import.meta.url).href,
  );
  const program = `
    (await import(${JSON.stringify(transport)})).loadTransport();
    const { S3Client } = await import('@aws-sdk/client-s3');
    const { sendGet } = await import(${JSON.stringify(requests)});
    const client = new S3Client({ endpoint: ${JSON.stringify(origin)}, region: 'us-east-1', forcePathStyle: true,
      credentials: { accessKeyId: 'a', secretAccessKey: 'b' } });
    for (let i = 0; i < 6; i++) {
      const { Body } = await sendGet(client, { Bucket: 'b', Key: 'k' }, { signal: new AbortController().signal });
      for await (const _ of Body);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const done = Date.now();
    process.on('exit', () => process.stdout.write(String(Date.now() - done)));`;
  paths['/b/k?x-id=GetObject'] = (_, response) => response.end('short');
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--no-warnings',
    '--input-type=module',
    '-e',
    program,
  ]);
  assert.ok(connections >= 2, 'both ways were gone');
  assert.ok(Number(stdout) < 3000, `it was held up by ${stdout} ms`);
});

test('an answer that is no HTTP fails under the code that Node has for it', async () => {
  for (const send of [exchange, exchangeWhole]) {
    const error = await rejection(send(agent(1), get('/garbage'), never));
    assert.equal((error as NodeJS.ErrnoException).code, 'HPE_INVALID_CONSTANT');
  }
});
