import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeadBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import * as schemas from '../../src/cli/schemas.ts';
import { CommandLine, documents } from './command-line.ts';

const line = await CommandLine.start();
const bucket = await line.bucket('looking');
const kms = ['--kms-key-id', 'alias/sealpipe', ...line.here];
const small = line.file('small', 'twelve bytes');
await line.ok(['put', small, `s3://${bucket}/a/one`, ...kms, '--encryption-context', 'team=x', '--metadata', 'own=1']);
await line.ok(['put', small, `s3://${bucket}/a/two`, ...kms, '--storage', 'instruction-file']);
await line.s3.send(new PutObjectCommand({ Bucket: bucket, Key: 'b\u0007', Body: 'not encrypted' }));
const ls = (...args: string[]): readonly string[] => ['ls', ...args, ...line.here];

test('ls shows the sizes of the plaintext as bounds, one LIST and nothing else, companions hidden', async () => {
  line.endpoint.requests.clear();
  const { stdout } = await line.ok(ls(`s3://${bucket}`));
  await line.endpoint.requests.settled();
  assert.deepEqual(line.endpoint.requests.counts(), { ListObjectsV2: 1 });
  const lines = stdout.toString().trimEnd().split('\n');
  assert.match(lines[0] ?? '', /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ +≥12 {2}a\/one$/);
  assert.match(lines[1] ?? '', /≥12 {2}a\/two$/);
  // Bytes that a terminal would act on are shown, not sent.
  assert.match(lines[2] ?? '', / {2}b\\x07$/);
  assert.equal(lines.length, 3);
});

test('ls --json has a line for each object, and --contents gcm makes them exact', async () => {
  const bounds = documents((await line.ok(ls(`s3://${bucket}/a/`, '--json'))).stdout).map((document) =>
    schemas.ls.parse(document),
  );
  assert.deepEqual(
    bounds.map(({ key, storedSize, plaintextSize, exact, basis }) => ({
      key,
      storedSize,
      plaintextSize,
      exact,
      basis,
    })),
    ['a/one', 'a/two'].map((key) => ({ key, storedSize: 28, plaintextSize: 12, exact: false, basis: 'assumed-gcm' })),
  );
  const exact = documents((await line.ok(ls(`s3://${bucket}/a/one`, '--json', '--contents', 'gcm'))).stdout);
  assert.deepEqual(
    exact.map((document) => schemas.ls.parse(document).exact),
    [true],
  );
});

test('ls --all lists companions, too; a prefix with nothing is no error', async () => {
  const { stdout } = await line.ok(ls(`s3://${bucket}/a/`, '--all', '--json'));
  assert.deepEqual(
    documents(stdout).map((document) => schemas.ls.parse(document).key),
    ['a/one', 'a/two', 'a/two.instruction'],
  );
  assert.equal((await line.ok(ls(`s3://${bucket}/none`))).stdout.length, 0);
});

test('stat tells everything that is known without the key', async () => {
  const { stdout } = await line.ok(['stat', `s3://${bucket}/a/one`, ...line.here, '--json']);
  const [{ etag, sse, ...known } = assert.fail()] = documents(stdout).map((document) => schemas.stat.parse(document));
  assert.deepEqual(known, {
    bucket,
    key: 'a/one',
    storedSize: 28,
    plaintextSize: 12,
    exact: true,
    encryption: {
      format: 'V3',
      suite: 'AES-256-GCM-HKDF-SHA512-COMMIT',
      wrapping: 'kms+context',
      storage: 'metadata',
      encryptionContext: { team: 'x' },
    },
    index: null,
    metadata: { own: '1' },
    versionId: null,
  });
  assert.match(etag, /^"[0-9a-f]{32}"$/);
  assert.equal(sse?.mode, 'SSE-S3');
  const people = (await line.ok(['stat', `s3://${bucket}/a/two`, ...line.here])).stdout.toString();
  assert.match(people, /size +12 bytes \(12 B\), stored 28\n/);
  assert.match(people, /envelope +in an instruction file\n/);
});

test('stat of an object that is not encrypted says so, with no error', async () => {
  const { stdout } = await line.ok(['stat', `s3://${bucket}/b\u0007`, ...line.here, '--json']);
  const [{ encryption, plaintextSize } = assert.fail()] = documents(stdout).map((document) =>
    schemas.stat.parse(document),
  );
  assert.deepEqual([encryption, plaintextSize], [null, 13]);
});

test('rm removes an object with its instruction file; mb and rb make and remove buckets', async () => {
  const made = await line.ok(['mb', 's3://rm-bucket', ...line.here, '--json']);
  assert.deepEqual(
    documents(made.stdout).map((document) => schemas.mb.parse(document)),
    [{ bucket: 'rm-bucket', region: 'us-east-1' }],
  );
  await line.fails(['mb', 's3://rm-bucket', ...line.here, '--region', 'eu-central-1'], { code: 'BUCKET_EXISTS' });
  for (const key of ['one', 'p/two', 'p/three'])
    await line.ok(['put', small, `s3://rm-bucket/${key}`, ...kms, '--storage', 'instruction-file']);
  const one = await line.ok(['rm', 's3://rm-bucket/one', ...line.here, '--json']);
  assert.deepEqual(
    documents(one.stdout).map((document) => schemas.rm.parse(document)),
    [{ bucket: 'rm-bucket', deleted: ['one', 'one.instruction'], companions: ['one.instruction'], failed: [] }],
  );
  await line.fails(['rb', 's3://rm-bucket', ...line.here], { code: 'BUCKET_NOT_EMPTY' });
  const rest = await line.ok(['rm', '--recursive', 's3://rm-bucket/p/', ...line.here, '--json']);
  const [{ deleted } = assert.fail()] = documents(rest.stdout).map((document) => schemas.rm.parse(document));
  assert.deepEqual([...deleted].sort(), ['p/three', 'p/three.instruction', 'p/two', 'p/two.instruction']);
  const removed = await line.ok(['rb', 's3://rm-bucket', ...line.here, '--json']);
  assert.deepEqual(
    documents(removed.stdout).map((document) => schemas.rb.parse(document)),
    [{ bucket: 'rm-bucket' }],
  );
  await assert.rejects(line.s3.send(new HeadBucketCommand({ Bucket: 'rm-bucket' })));
});

test('rm goes on past what cannot be deleted, says so of each, and ends with a failure', async () => {
  await line.ok(['put', small, `s3://${bucket}/rm/last`, ...kms]);
  const urls = ['s3://no-such-bucket-1/x', 's3://no-such-bucket-2/y', `s3://${bucket}/rm/last`];
  const { stdout, stderr, status } = await line.run(['rm', ...urls, ...line.here, '--json']);
  assert.equal(status, 1);
  assert.match(stderr, /^sealpipe: ERR_SEALPIPE_REQUEST_REJECTED: 2 objects were not deleted, the first [^\n]+\n$/);
  const found = documents(stdout).map((document) => schemas.rm.parse(document));
  assert.deepEqual(
    found.map(({ deleted, failed }) => [deleted, failed.map(({ key, code }) => [key, code])]),
    [
      [[], [['x', 'ERR_SEALPIPE_BUCKET_NOT_FOUND']]],
      [[], [['y', 'ERR_SEALPIPE_BUCKET_NOT_FOUND']]],
      [['rm/last'], []],
    ],
  );
  await line.fails(['rm', 's3://no-such-bucket-1/x', ...line.here], { code: 'BUCKET_NOT_FOUND' });
});

test('rm ends with the first failure that the next object would meet, too', async () => {
  line.endpoint.requests.clear();
  line.endpoint.faults.add({ operation: 'DeleteObject', status: 403, code: 'ExpiredToken', times: 'always' });
  try {
    await line.fails(['rm', `s3://${bucket}/a/none`, `s3://${bucket}/a/nor-this`, ...line.here], {
      code: 'CREDENTIALS',
    });
  } finally {
    line.endpoint.faults.clear();
  }
  await line.endpoint.requests.settled();
  assert.ok(line.endpoint.requests.all().every(({ key }) => key !== 'a/nor-this'));
});
