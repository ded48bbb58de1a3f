import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PeerError, type ReadJob } from '../../interop/peer.ts';
import { startProgramPeer } from '../../interop/program-peer.ts';

/** A program that does what the object's key says, and names the run it is in. */
const script = `
const { createInterface } = require('node:readline');
const answer = (line) => process.stdout.write(JSON.stringify(line) + '\\n');
answer({ client: 'fake 1.0', runtime: 'pid ' + process.pid });
createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, key } = JSON.parse(line);
  if (key === 'good') answer({ id, ok: true, sha256: String(process.pid), length: 3 });
  if (key === 'bad') answer({ id, ok: false, error: { name: 'TagError', message: 'no', causes: ['Inner: why'] } });
  if (key === 'fatal') { console.error('out of memory, or so'); process.exit(3); }
});
`;

const job = (key: string): ReadJob => ({ bucket: 'b', key, keyring: { type: 'kms', keyId: 'k' }, timeoutMs: 30_000 });
const start = (program = script) =>
  startProgramPeer({ name: 'go', command: process.execPath, args: ['-e', program], env: {} });

function failure(kind: string, message: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof PeerError && error.kind === kind && message.test(error.message);
}

test('a program names its client and answers jobs that were handed in at once in their order', async () => {
  const peer = await start();
  assert.equal(peer.client, 'fake 1.0');
  const pid = peer.runtime.replace('pid ', '');
  const answers = await Promise.all([peer.read(job('good')), peer.read(job('good'))]);
  assert.deepEqual(answers, [
    { sha256: pid, length: 3 },
    { sha256: pid, length: 3 },
  ]);
  await peer.close();
});

test('a refusal carries the error and its causes, and the program goes on', async () => {
  const peer = await start();
  await assert.rejects(peer.read(job('bad')), failure('refused', /^TagError: no <- Inner: why$/));
  assert.equal((await peer.read(job('good'))).length, 3);
  await peer.close();
});

test('a job without an answer counts as hung when its time is over, and the next one gets a new program', async () => {
  const peer = await start();
  const first = await peer.read(job('good'));
  await assert.rejects(peer.read({ ...job('silent'), timeoutMs: 50 }), failure('hung', /no answer in 50 ms/));
  assert.notEqual((await peer.read(job('good'))).sha256, first.sha256);
  await peer.close();
});

test('a program that dies is reported with its last words, and the next job gets a new one', async () => {
  const peer = await start();
  await assert.rejects(peer.read(job('fatal')), failure('died', /out of memory, or so/));
  assert.equal((await peer.read(job('good'))).length, 3);
  await peer.close();
});

test('a program that dies before its first line, or cannot be started, fails the start', async () => {
  await assert.rejects(start('console.error("no such class"); process.exit(1)'), failure('died', /no such class/));
  const missing = { name: 'go', command: '/nonexistent/program', args: [], env: {} } as const;
  await assert.rejects(startProgramPeer(missing), failure('died', /ENOENT/));
});
