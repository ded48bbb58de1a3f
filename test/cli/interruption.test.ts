/** Ctrl-C, pipes that close, readers that are slow. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandLine, mainPath, namesIn } from './command-line.ts';

const line = await CommandLine.start();
const bucket = await line.bucket('interrupt');
const kms = ['--kms-key-id', 'alias/sealpipe', ...line.here];
const MiB = 1024 * 1024;
const content = randomBytes(12 * MiB);
const file = line.file('f', content);
await line.ok(['put', file, `s3://${bucket}/there`, ...kms]);

/** Waits for a request to arrive that a rule holds up. */
async function struck(fault: { readonly hits: number }): Promise<void> {
  for (const end = Date.now() + 30_000; fault.hits === 0; await sleep(10))
    assert.ok(Date.now() < end, 'the request did not come');
}

const interrupted = /^sealpipe: ERR_SEALPIPE_ABORTED: [^\n]+\n$/;

describe('interruption', { concurrency: 2 }, () => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    test(`${signal} in the middle of put ends with 130, and no upload is left`, async () => {
      const key = `put-${signal}`;
      const fault = line.endpoint.faults.add({ operation: 'UploadPart', key, partNumber: 2, stallRequestAfter: 1000 });
      const { status, stderr } = await line.run(['put', file, `s3://${bucket}/${key}`, ...kms, '--part-size', '5MiB'], {
        started: (child) => void struck(fault).then(() => child.kill(signal)),
      });
      fault.remove();
      assert.equal(status, 130);
      assert.match(stderr, interrupted);
      assert.deepEqual(await line.uploadsLeft(bucket, key), []);
    });
  }

  test('Ctrl-C while put waits for a pipe that says nothing', async () => {
    const source = new Readable({ read: () => undefined });
    source.push(randomBytes(6 * MiB));
    const fault = line.endpoint.faults.add({ operation: 'UploadPart', key: 'waiting', delay: 1 });
    const { status, stderr } = await line.run(
      ['put', '-', `s3://${bucket}/waiting`, ...kms, '--part-size', '5MiB', '--workers', '0'],
      {
        stdin: source,
        started: (child) => {
          void struck(fault).then(() => child.kill('SIGINT'));
          child.once('exit', () => source.push(null));
        },
      },
    );
    assert.equal(status, 130);
    assert.match(stderr, interrupted);
    assert.deepEqual(await line.uploadsLeft(bucket, 'waiting'), []);
  });

  test('Ctrl-C while put waits for the silent writer of a FIFO', { skip: process.platform === 'win32' }, async () => {
    const path = line.path('silent-fifo');
    execFileSync('mkfifo', [path]);
    const writer = createWriteStream(path).on('error', () => undefined);
    writer.write(randomBytes(6 * MiB));
    const fault = line.endpoint.faults.add({ operation: 'UploadPart', key: 'fifo', delay: 1 });
    const put = ['put', path, `s3://${bucket}/fifo`, ...kms, '--part-size', '5MiB', '--workers', '0'];
    const { status, stderr } = await line.run(put, {
      // Until all is read, and the next read waits.
      started: (child) =>
        void struck(fault)
          .then(() => sleep(300))
          .then(() => child.kill('SIGINT')),
    });
    writer.destroy();
    assert.equal(status, 130);
    assert.match(stderr, interrupted);
    assert.deepEqual(await line.uploadsLeft(bucket, 'fifo'), []);
  });

  test('Ctrl-C in the middle of get leaves no file, and what was there stays', async () => {
    const folder = line.emptyFolder();
    const fault = line.endpoint.faults.add({ operation: 'GetObject', key: 'there', stallResponseAfter: 2 * MiB });
    const { status, stderr } = await line.run(['get', `s3://${bucket}/there`, folder, ...kms], {
      started: (child) =>
        void struck(fault)
          .then(() => sleep(300))
          .then(() => child.kill('SIGINT')),
    });
    fault.remove();
    assert.equal(status, 130);
    assert.match(stderr, interrupted);
    assert.deepEqual(namesIn(folder), []);
  });

  test('a second Ctrl-C leaves at once', async () => {
    // An endpoint that is slow to end the upload: the first Ctrl-C waits for it.
    const other = await CommandLine.start();
    await other.bucket('bbb');
    const part = other.endpoint.faults.add({ operation: 'UploadPart', stallRequestAfter: 1000 });
    const abort = other.endpoint.faults.add({ operation: 'AbortMultipartUpload', delay: 15_000 });
    let asked = 0;
    const args = ['put', file, 's3://bbb/k', '--kms-key-id', 'alias/sealpipe', ...other.here, '--part-size', '5MiB'];
    const { status } = await other.run(args, {
      started: (child) =>
        void struck(part)
          .then(() => child.kill('SIGINT'))
          .then(() => struck(abort))
          .then(() => {
            asked = performance.now();
            child.kill('SIGINT');
          }),
    });
    assert.equal(status, 130);
    assert.ok(asked > 0 && performance.now() - asked < 12_000);
  });
});

describe('stdout', { concurrency: 2 }, () => {
  const quiet = { shell: '{ "$@"; echo "status $?" >&2; } | head -c 10' };

  for (const release of ['authenticated', 'delayed']) {
    test(`a pipe that is closed early ends cat --release ${release} quietly`, async () => {
      const { stdout, stderr } = await line.run(['cat', `s3://${bucket}/there`, ...kms, '--release', release], quiet);
      assert.ok(stdout.equals(content.subarray(0, 10)));
      assert.equal(stderr, 'status 0\n');
    });
  }

  test('so does ls', async () => {
    for (let n = 0; n < 3; n++)
      await line.ok(['put', '-', `s3://${bucket}/${'long'.repeat(50)}${n}`, ...kms], { stdin: Buffer.from('x') });
    const { stderr } = await line.run(['ls', `s3://${bucket}`, ...line.here], {
      shell: '{ "$@"; echo "status $?" >&2; } | true',
    });
    assert.equal(stderr, 'status 0\n');
  });

  test('put and rm do all of their work, whether anybody reads of it or not', async () => {
    const folder = line.emptyFolder();
    for (const name of ['a', 'b', 'c']) line.file(`${folder.slice(line.folder.length + 1)}/${name}`, name);
    const unread = { shell: '{ sleep 0.2; "$@"; echo "status $?" >&2; } | true' };
    const put = await line.run(['put', '--recursive', folder, `s3://${bucket}/unread/`, ...kms, '--json'], unread);
    assert.equal(put.stderr, 'status 0\n');
    const listed = async (): Promise<string> =>
      (await line.ok(['ls', `s3://${bucket}/unread/`, ...line.here])).stdout.toString();
    assert.equal((await listed()).match(/unread\/[abc]/g)?.length, 3);
    const urls = ['a', 'b', 'c'].map((name) => `s3://${bucket}/unread/${name}`);
    const rm = await line.run(['rm', ...urls, ...line.here], unread);
    assert.equal(rm.stderr, 'status 0\n');
    assert.equal(await listed(), '');
  });

  test('a slow reader slows the download down', async (t) => {
    const child: ChildProcess = spawn(
      process.execPath,
      [mainPath, 'cat', `s3://${bucket}/there`, ...kms, '--release', 'delayed'],
      { env: line.env },
    );
    t.after(() => child.kill());
    const stdout = child.stdout ?? assert.fail();
    await once(stdout, 'readable');
    await sleep(700);
    const sent = line.endpoint.requests.active;
    assert.ok(sent > 0, 'the object was read to its end though nobody took it');
    const chunks: Buffer[] = [];
    for await (const chunk of stdout as AsyncIterable<Buffer>) chunks.push(chunk);
    assert.ok(Buffer.concat(chunks).equals(content));
  });

  test('a TTY is not there, so no bar is', async () => {
    await line.ok(['get', `s3://${bucket}/there`, 'silent.out', ...kms]);
  });
});
