import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { CreateBucketCommand, ListMultipartUploadsCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import type { BenchReport } from '../../bench/report/figures.ts';
import { startLocalEndpoint } from '../../src/local/index.ts';

const program = join(import.meta.dirname, '../../bench/run.js');

function bench(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, ['--no-warnings', program, ...args], { encoding: 'utf8' });
}

test('a quick run verifies and measures its cases, and leaves a table, figures and a page', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sealpipe-bench-test-'));
  try {
    const [json, html] = [join(folder, 'figures.json'), join(folder, 'page.html')];
    const only = 'upload-stream/sealpipe-8x4,small-get/sealpipe,micro/multiply';
    const files = ['--json', json, '--html', html];
    const { status, stdout, stderr } = bench(
      '--quick',
      '--size',
      '8MiB',
      '--operations',
      '20',
      '--only',
      only,
      ...files,
    );
    assert.equal(status, 0, stderr);
    const report = JSON.parse(readFileSync(json, 'utf8')) as BenchReport;
    assert.deepEqual(
      report.cases.map(({ name }) => name),
      ['upload-stream/lib-storage', 'upload-stream/sealpipe-8x4', 'small-get/sdk', 'small-get/sealpipe'],
      'those that were asked for, and what they are compared with',
    );
    for (const { name, median, ratio } of report.cases) {
      assert.ok(median.throughput > 0 && median.cpu > 0 && median.peakMemory > 1e7, name);
      assert.equal(ratio === undefined, /lib-storage$|sdk$/.test(name));
    }
    const [libStorage, sealpipe, sdk, sealed] = report.cases.map(({ median }) => median);
    assert.deepEqual([libStorage?.requests, libStorage?.kmsRequests, libStorage?.payload], [4, 0, 'hashed']);
    assert.deepEqual([sealpipe?.kmsRequests, sealpipe?.payload], [1, 'unsigned']);
    assert.deepEqual([sdk?.requests, sealed?.requests, sealed?.kmsRequests], [20, 40, 20]);
    assert.equal(report.micro.length, 1);
    assert.deepEqual(report.failures, []);
    assert.match(stdout, /Uploads of a stream/);
    assert.match(readFileSync(html, 'utf8'), /^<!doctype html>/);
    assert.deepEqual(readdirSync(folder).sort(), ['figures.json', 'page.html']);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the names of all cases can be listed', () => {
  const { status, stdout } = bench('--list');
  assert.equal(status, 0);
  const names = stdout.trim().split('\n');
  assert.ok(names.includes('upload-file/sealpipe') && names.includes('micro/segment'));
});

test('help shows every option, and a wrong call is said in one line', () => {
  const { status, stdout } = bench('--help');
  assert.equal(status, 0);
  for (const option of [
    '--rounds',
    '--size',
    '--only',
    '--quick',
    '--tls',
    '--json',
    '--html',
    '--endpoint-url',
    '--sink-command',
  ])
    assert.ok(stdout.includes(option), option);
  for (const [args, message] of [
    [['--rounds', 'some'], /^bench: --rounds is "some".*\n$/],
    [['--only', ','], /^bench: --only is ",", expected names.*\n$/],
    [['--only', 'small-get', '--json', 'no/such/folder/figures.json'], /^bench: --json "no\/such\/.*ENOENT.*\n$/],
    [['--only', 'uplaod'], /^bench: no case is named like uplaod: --list shows the names.*\n$/],
  ] as const) {
    const wrong = bench(...args);
    assert.equal(wrong.status, 2);
    assert.match(wrong.stderr, message);
  }
});

test('a sink command that does not start is said, and the run ends', () => {
  const { status, stderr } = bench('--quick', '--only', 'small-get/sdk', '--sink-command', 'exit 3 # {port}');
  assert.equal(status, 1);
  assert.match(stderr, /the sink command ended with status 3/);
});

test('at an endpoint that it was named, Ctrl-C in the middle leaves nothing behind, and what is refused there is one line', async () => {
  await using local = await startLocalEndpoint({ etags: 'random', hashBodies: false });
  const client = new S3Client(local.s3Config);
  const bucket = { Bucket: 'figures' };
  await client.send(new CreateBucketCommand(bucket));
  const { accessKeyId, secretAccessKey } = local.credentials;
  const run = (...args: string[]) =>
    spawn(
      process.execPath,
      ['--no-warnings', program, '--endpoint-url', local.endpoint, '--kms-key', 'alias/sealpipe', ...args],
      {
        env: { ...process.env, AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
  const left = async (): Promise<number> => {
    const { Contents = [] } = await client.send(new ListObjectsV2Command(bucket));
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand(bucket));
    return Contents.length + Uploads.length;
  };

  const small = [
    '--quick',
    '--size',
    '8MiB',
    '--bucket',
    'figures',
    '--only',
    'upload-stream/sealpipe-8x4,small-get/sdk',
  ];
  const interrupted = run(...small, '--rounds', '1000');
  let most = 0;
  for await (const line of createInterface({ input: interrupted.stderr })) {
    if (!line.startsWith('round 1/')) continue;
    most = Math.max(most, await left());
    interrupted.kill('SIGINT');
  }
  if (interrupted.exitCode === null) await once(interrupted, 'exit');
  assert.equal(interrupted.exitCode, 130);
  assert.ok(most > 0, 'there was something to remove');
  assert.equal(await left(), 0);

  const refused = run('--quick', '--bucket', 'not-there', '--only', 'small-get/sdk');
  let said = '';
  for await (const piece of refused.stderr) said += String(piece);
  if (refused.exitCode === null) await once(refused, 'exit');
  assert.equal(refused.exitCode, 1);
  assert.match(said, /(^|\n)bench: NoSuchBucket: [^\n]+\n$/);
  client.destroy();
});
