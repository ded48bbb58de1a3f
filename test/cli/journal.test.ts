/** put --journal and --journal-dir, and get --concurrency. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandLine, documents } from './command-line.ts';

const MiB = 1024 * 1024;
const line = await CommandLine.start();
const bucket = await line.bucket('journal');
const kms = ['--kms-key-id', 'alias/sealpipe', ...line.here];
const parts = ['--part-size', '5MiB', '--queue-size', '2'];
const content = randomBytes(42 * MiB + 7);
const file = line.file('source.bin', content);

const sends = (key: string): number =>
  line.endpoint.requests.all('UploadPart').filter((sent) => sent.key === key).length;

async function readsBack(key: string, expected: Buffer): Promise<void> {
  await line.ok(['get', `s3://${bucket}/${key}`, `${key.replaceAll('/', '-')}.out`, ...kms]);
  assert.ok(readFileSync(line.path(`${key.replaceAll('/', '-')}.out`)).equals(expected));
}

describe('put with a journal', { concurrency: 2 }, () => {
  for (const signal of ['SIGKILL', 'SIGINT'] as const) {
    test(`goes on after ${signal} where it stopped, by the same command`, async () => {
      const key = `killed-${signal}`;
      const indexed = signal === 'SIGKILL' ? ['--segment-index'] : [];
      const journal = ['--journal', `${key}.journal`];
      const command = ['put', file, `s3://${bucket}/${key}`, ...kms, ...parts, ...journal, ...indexed];
      const fault = line.endpoint.faults.add({
        operation: 'UploadPart',
        key,
        nth: 5,
        times: 'always',
        stallRequestAfter: 1000,
      });
      const { status, stderr } = await line.run(command, {
        started: (child) => {
          void (async () => {
            for (let waited = 0; fault.hits === 0 && waited < 30_000; waited += 10) await sleep(10);
            child.kill(signal);
          })();
        },
      });
      fault.remove();
      assert.equal(status, signal === 'SIGINT' ? 130 : null);
      if (signal === 'SIGINT') assert.match(stderr, /ERR_SEALPIPE_ABORTED.*journal/);
      assert.equal((await line.uploadsLeft(bucket, key)).length, 1);
      // Those that were cut off are entered a moment later.
      await line.endpoint.requests.settled();
      const before = sends(key);
      const put = await line.ok([...command, '--json']);
      const [document] = documents(put.stdout) as { bytes: number; parts: number; kmsCalls: number }[];
      assert.deepEqual([document?.bytes, document?.parts, document?.kmsCalls], [content.length, 9, 1]);
      // The fifth was sent when three were acknowledged, two being in flight at a time.
      assert.ok(sends(key) - before <= 9 - 3, `${sends(key) - before} parts were sent again`);
      assert.equal(existsSync(line.path(`${key}.journal`)), false);
      assert.deepEqual(await line.uploadsLeft(bucket, key), []);
      await readsBack(key, content);
      if (indexed.length === 0) return;
      const range = ['get', `s3://${bucket}/${key}`, 'range.out', ...kms, '--range', 'bytes=11000000-11999999'];
      await line.ok(range);
      assert.ok(readFileSync(line.path('range.out')).equals(content.subarray(11_000_000, 12_000_000)));
    });
  }

  test('keeps a journal for each of several files in a folder, and removes it with its upload', async () => {
    mkdirSync(line.path('several'));
    writeFileSync(line.path('several/a'), content);
    writeFileSync(line.path('several/b'), content.subarray(0, 11 * MiB));
    const target = `s3://${bucket}/several/`;
    const command = [
      'put',
      '--recursive',
      'several',
      target,
      ...kms,
      ...parts,
      '--journal-dir',
      'journals',
      '--part-attempts',
      '1',
    ];
    const fault = line.endpoint.faults.add({
      operation: 'UploadPart',
      key: 'several/b',
      partNumber: 3,
      times: 'always',
      status: 503,
    });
    const { status, stderr } = await line.run(command);
    fault.remove();
    assert.equal(status, 1);
    assert.match(stderr, /ERR_SEALPIPE_PART_FAILED/);
    assert.equal(readdirSync(line.path('journals')).length, 1);
    await line.ok(command);
    assert.deepEqual(readdirSync(line.path('journals')), []);
    await readsBack('several/b', content.subarray(0, 11 * MiB));
  });

  test('refuses an index that the journal was begun without, with what to do', async () => {
    const key = 'begun-without';
    const command = ['put', file, `s3://${bucket}/${key}`, ...kms, ...parts, '--journal', `${key}.journal`];
    const fault = line.endpoint.faults.add({
      operation: 'UploadPart',
      key,
      partNumber: 3,
      times: 'always',
      status: 503,
    });
    assert.equal((await line.run([...command, '--part-attempts', '1'])).status, 1);
    fault.remove();
    const { status, stderr } = await line.run([...command, '--segment-index']);
    assert.equal(status, 1);
    assert.match(stderr, /ERR_SEALPIPE_JOURNAL_INVALID.*begun without a segment index.*sealpipe index/);
    await line.ok(command);
    await line.ok(['index', `s3://${bucket}/${key}`, ...kms]);
  });

  test('refuses what no journal can be kept for, with what to do', async () => {
    for (const [command, expected] of [
      [['put', '-', `s3://${bucket}/x`, '--journal', 'j', ...kms], /stdin cannot be read again/],
      [['put', file, file, `s3://${bucket}/x/`, '--journal', 'j', ...kms], /--journal-dir/],
      [['put', file, `s3://${bucket}/x`, '--journal', '', ...kms], /--journal is empty: name a file/],
      [['put', file, `s3://${bucket}/x`, '--journal-dir', '', ...kms], /--journal-dir is empty: name a folder/],
      [['put', file, `s3://${bucket}/x`, '--journal', 'j', '--journal-dir', 'd', ...kms], /one of the two/],
      [
        ['put', file, `s3://${bucket}/x`, '--journal', 'j', '--client-side', 'none', '--sse', 'SSE-S3', ...line.here],
        /encrypts nothing/,
      ],
    ] as const) {
      const { status, stderr } = await line.run([...command]);
      assert.equal(status, 2, stderr);
      assert.match(stderr, expected);
    }
  });
});

describe('get with several connections', () => {
  test('brings the same bytes, in ranges side by side', async () => {
    await line.ok(['put', file, `s3://${bucket}/wide`, ...kms]);
    line.endpoint.requests.clear();
    const command = [
      'get',
      `s3://${bucket}/wide`,
      'wide.out',
      ...kms,
      '--concurrency',
      '4',
      '--part-size',
      '4MiB',
      '--json',
    ];
    line.endpoint.faults.add({ operation: 'GetObject', key: 'wide', nth: 3, resetResponseAfter: 1_000_000 });
    const { stdout } = await line.ok(command);
    const [document] = documents(stdout) as { bytes: number; retries: number; kmsCalls: number }[];
    assert.deepEqual([document?.bytes, document?.retries, document?.kmsCalls], [content.length, 1, 1]);
    assert.ok(readFileSync(line.path('wide.out')).equals(content));
    await line.endpoint.requests.settled();
    assert.equal(line.endpoint.requests.count('GetObject'), 12);
  });

  test('writes them to stdout in order, too', async () => {
    await line.ok(['put', file, `s3://${bucket}/wide-out`, ...kms]);
    const object = ['get', `s3://${bucket}/wide-out`, '-', ...kms];
    const { stdout } = await line.ok([...object, '--concurrency', '3', '--part-size', '8MiB', '--release', 'delayed']);
    assert.ok(stdout.equals(content));
    await line.endpoint.requests.settled();
    const gets = line.endpoint.requests.all('GetObject').filter(({ key }) => key === 'wide-out');
    assert.equal(gets.length, Math.ceil(content.length / (8 * 1024 * 1024)));
  });

  test('refuses sizes that make no sense', async () => {
    for (const more of [
      ['--concurrency', '0'],
      ['--concurrency', 'many'],
      ['--concurrency', '2', '--part-size', '1000'],
    ]) {
      const { status, stderr } = await line.run(['get', `s3://${bucket}/wide`, 'x', ...kms, ...more]);
      assert.equal(status, 2, stderr);
    }
  });
});
