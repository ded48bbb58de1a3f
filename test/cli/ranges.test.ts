import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import * as schemas from '../../src/cli/schemas.ts';
import { legacyObject } from '../support/legacy-objects.ts';
import { CommandLine, documents, namesIn } from './command-line.ts';

const line = await CommandLine.start();
const bucket = await line.bucket('ranges');
const kms = ['--kms-key-id', 'alias/sealpipe', ...line.here];
const content = randomBytes(1_000_000);
await line.ok(['put', line.file('big', content), `s3://${bucket}/big`, ...kms]);
await line.ok(['put', line.file('small', content.subarray(0, 1000)), `s3://${bucket}/small`, ...kms]);

const wrappingKey = randomBytes(32);
const aes = ['--aes-key-file', line.file('aes.hex', wrappingKey.toString('hex'))];
line.secret(wrappingKey.toString('hex'));
const legacy = [
  '--legacy',
  'wrapping',
  '--legacy',
  'unauthenticated',
  '--commitment-policy',
  'REQUIRE_ENCRYPT_ALLOW_DECRYPT',
];
const { body, metadata } = legacyObject(wrappingKey, content.subarray(0, 5000));
await line.s3.send(new PutObjectCommand({ Bucket: bucket, Key: 'old/cbc', Body: body, Metadata: metadata }));
await line.s3.send(new PutObjectCommand({ Bucket: bucket, Key: 'old/plain', Body: 'plain' }));

const get = (range: string, target: string, ...args: string[]): readonly string[] => [
  'get',
  `s3://${bucket}/big`,
  target,
  '--range',
  range,
  ...kms,
  ...args,
];
const never = ['--authenticate', 'never'];

test('get --range writes the bytes that HTTP means, in the three forms', async () => {
  const forms: [string, Buffer][] = [
    ['bytes=0-0', content.subarray(0, 1)],
    ['bytes=100-299', content.subarray(100, 300)],
    ['bytes=999000-', content.subarray(999_000)],
    ['bytes=-70000', content.subarray(-70_000)],
    ['bytes=999990-5000000', content.subarray(999_990)],
  ];
  for (const [range, expected] of forms) {
    const { stdout } = await line.ok(get(range, '-', ...never));
    assert.ok(stdout.equals(expected), range);
  }
});

test('a suffix is one request, one key, to stdout and to a file', async () => {
  line.endpoint.requests.clear();
  const path = line.path('suffix');
  const { stdout } = await line.ok(get('bytes=-70000', path, ...never, '--json'));
  await line.endpoint.requests.settled();
  assert.deepEqual(line.endpoint.requests.counts(), { GetObject: 1, 'KMS.Decrypt': 1 });
  assert.ok(readFileSync(path).equals(content.subarray(-70_000)));
  const [{ seconds, etag, ...known } = assert.fail()] = documents(stdout).map((document) =>
    schemas.get.parse(document),
  );
  assert.ok(seconds >= 0 && etag !== '');
  assert.deepEqual(known, {
    bucket,
    key: 'big',
    bytes: 70_000,
    parts: 1,
    retries: 0,
    restarts: 0,
    kmsCalls: 1,
    range: { start: 930_000, end: 1_000_000 },
    authenticated: false,
  });
});

test('a range that nothing verifies is refused, and the error names the option', async () => {
  const folder = line.emptyFolder();
  await line.fails(get('bytes=0-9', '-'), { code: 'RANGE_UNAUTHENTICATED', message: /--authenticate never/ });
  await line.fails(get('bytes=0-9', `${folder}/x`), { code: 'RANGE_UNAUTHENTICATED' });
  assert.deepEqual(namesIn(folder), []);
  const small = ['get', `s3://${bucket}/small`, '-', '--range', 'bytes=5-9', ...kms];
  assert.ok((await line.ok(small)).stdout.equals(content.subarray(5, 10)));
  const people = (await line.ok(['get', `s3://${bucket}/small`, line.path('s'), '--range', 'bytes=5-9', ...kms]))
    .stdout;
  assert.match(people.toString(), /bytes 5-9 \(5 B\), verified by its tag\n$/);
});

test('what is no range, and one with no byte of the content, are told apart', async () => {
  await line.allFail([
    ...['bytes=5-2', 'bytes=0-4,8-9', '0-4', 'bytes=a-b', ''].map(
      (range) => [get(range, '-', ...never), { code: 'USAGE' }] as const,
    ),
    [get('bytes=1000000-', '-', ...never), { code: 'RANGE_INVALID', message: /1000000 bytes/ }],
    [get('bytes=-0', '-', ...never), { code: 'RANGE_INVALID' }],
    [get('bytes=0-1', '-', '--release', 'delayed'), { code: 'USAGE' }],
    [['ls', `s3://${bucket}`, '--concurrency', '3', ...line.here], { code: 'USAGE' }],
    [['ls', `s3://${bucket}`, '--exact', '--concurrency', '0', ...line.here], { code: 'USAGE' }],
  ]);
});

test('ls --exact looks at every object: exact sizes, and what each is', async () => {
  const { stdout } = await line.ok(['ls', `s3://${bucket}/old/`, '--exact', '--json', ...aes, ...legacy, ...line.here]);
  assert.deepEqual(
    documents(stdout)
      .map((document) => schemas.ls.parse(document))
      .map(({ key, plaintextSize, exact, basis, kind }) => [key, plaintextSize, exact, basis, kind]),
    [
      ['old/cbc', 5000, true, 'padding', 'V1'],
      ['old/plain', 5, true, 'plaintext', 'plaintext'],
    ],
  );
  const people = (await line.ok(['ls', `s3://${bucket}/small`, '--exact', ...line.here])).stdout.toString();
  assert.match(people, /Z +1000 {2}V3 {9}small\n$/);
});

test('ls --exact without a key leaves a bound for CBC, and says so', async () => {
  const { status, stdout, stderr } = await line.run(['ls', `s3://${bucket}/old/cbc`, '--exact', ...line.here]);
  assert.equal(status, 0);
  assert.match(stdout.toString(), /≤5007 {2}V1 {9}old\/cbc\n$/);
  assert.match(stderr, /^[^\n]*1 size could not be made exact [^\n]*LEGACY_DISABLED[^\n]*\n$/);
});

test('stat has the exact size of CBC where a key is given, the bound without', async () => {
  const stat = async (...args: string[]): Promise<unknown[]> => {
    const { stdout } = await line.ok(['stat', ...args, '--json', ...line.here]);
    return documents(stdout)
      .map((document) => schemas.stat.parse(document))
      .map(({ key, plaintextSize, exact, encryption }) => [key, plaintextSize, exact, encryption?.format]);
  };
  assert.deepEqual(await stat(`s3://${bucket}/old/cbc`), [['old/cbc', 5007, false, 'V1']]);
  assert.deepEqual(await stat(`s3://${bucket}/old/cbc`, ...aes, ...legacy), [['old/cbc', 5000, true, 'V1']]);
  assert.deepEqual(await stat('--recursive', `s3://${bucket}/`, ...aes, ...legacy), [
    ['big', 1_000_000, true, 'V3'],
    ['old/cbc', 5000, true, 'V1'],
    ['old/plain', 5, true, undefined],
    ['small', 1000, true, 'V3'],
  ]);
});
