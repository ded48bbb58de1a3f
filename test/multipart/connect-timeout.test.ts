import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sendPart } from '../../src/multipart/workers/part-sender.ts';

const withoutBacklog = process.platform !== 'linux' && 'other systems refuse what Linux leaves waiting';

/** A port whose listener takes no more connections: those that try are neither accepted nor refused. */
async function stuckPort(t: TestContext): Promise<number> {
  const program = `
    const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      require('node:fs').writeSync(1, String(server.address().port));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const child: ChildProcess = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const waiting: Socket[] = [];
  t.after(() => {
    for (const socket of waiting) socket.destroy();
    child.kill('SIGKILL');
  });
  assert.ok(child.stdout);
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(said.toString());
  for (let stuck = false; !stuck; ) {
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    waiting.push(socket);
    stuck = !(await Promise.race([once(socket, 'connect').then(() => true), sleep(300).then(() => false)]));
    assert.ok(waiting.length < 100, 'the listener takes everything');
  }
  return port;
}

test('a part gives up on a connection that does not come about in the time of the client', {
  skip: withoutBacklog,
}, async (t) => {
  const port = await stuckPort(t);
  const place = { protocol: 'http:', hostname: '127.0.0.1', port, method: 'PUT', path: '/', headers: {} } as const;
  const started = performance.now();
  const { answer } = sendPart({ ...place, connectTimeout: 100 }, Buffer.alloc(16));
  await assert.rejects(answer, { code: 'ETIMEDOUT', message: 'no connection within 100 ms' });
  assert.ok(performance.now() - started >= 99);
});

test('a connection that came about in time is not ended later', async (t) => {
  const server = createServer((request, response) => {
    request.resume().on('end', () => setTimeout(() => response.end(), 300));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const place = { protocol: 'http:', hostname: '127.0.0.1', port, method: 'PUT', path: '/', headers: {} } as const;
  for (const what of ['new', 'kept']) {
    const { status } = await sendPart({ ...place, connectTimeout: 100 }, Buffer.alloc(16)).answer;
    assert.equal(status, 200, what);
  }
});
