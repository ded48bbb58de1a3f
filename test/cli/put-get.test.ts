import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { GetObjectCommand, HeadObjectCommand, PutBucketEncryptionCommand } from '@aws-sdk/client-s3';
import * as schemas from '../../src/cli/schemas.ts';
import { CommandLine, documents, namesIn } from './command-line.ts';

const line = await CommandLine.start();
const bucket = await line.bucket('put-get');
const kms = ['--kms-key-id', 'alias/sealpipe', ...line.here];
/** Three parts of 5 MiB, and not a multiple of anything. */
const content = randomBytes(12_345_677);
const file = line.file('big.bin', content);
const small = line.file('small.txt', 'a few words\n');
const smallParts = ['--part-size', '5MiB'];

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Requests for one key, by operation. */
async function requestsFor(key: string): Promise<Record<string, number>> {
  await line.endpoint.requests.settled();
  const counts: Record<string, number> = {};
  for (const entry of line.endpoint.requests.all())
    if (entry.key === key) counts[entry.operation] = (counts[entry.operation] ?? 0) + 1;
  return counts;
}

describe('put and get', { concurrency: 2 }, () => {
  test('a file goes up in parts and comes back, with one call to KMS each way and one GET', async () => {
    const put = await line.ok(['put', file, `s3://${bucket}/file`, ...kms, ...smallParts, '--json']);
    const [up] = documents(put.stdout).map((document) => schemas.put.parse(document));
    const { seconds, etag, ...rest } = up ?? assert.fail();
    assert.deepEqual(rest, {
      bucket,
      key: 'file',
      bytes: content.length,
      parts: 3,
      retries: 0,
      restarts: 0,
      kmsCalls: 1,
    });
    assert.match(etag, /^"[0-9a-f]{32}-3"$/);
    assert.ok(seconds > 0 && seconds < 60);
    assert.deepEqual(await requestsFor('file'), {
      CreateMultipartUpload: 1,
      UploadPart: 3,
      CompleteMultipartUpload: 1,
    });
    line.endpoint.requests.clear();
    const get = await line.ok(['get', `s3://${bucket}/file`, 'file.out', ...kms, '--json']);
    const [down] = documents(get.stdout).map((document) => schemas.get.parse(document));
    assert.deepEqual(
      { ...down, seconds: 0 },
      { bucket, key: 'file', bytes: content.length, seconds: 0, parts: 1, retries: 0, restarts: 0, kmsCalls: 1, etag },
    );
    assert.deepEqual(await requestsFor('file'), { GetObject: 1 });
    assert.deepEqual(readFileSync(line.path('file.out')), content);
    assert.equal(statSync(line.path('file.out')).mode & 0o777, 0o600);
  });

  test('a pipe of unknown length goes up in parts; - as the target is stdout', async () => {
    await line.ok(['put', '-', `s3://${bucket}/pipe`, ...kms, ...smallParts], { stdin: content });
    const { stdout } = await line.ok(['get', `s3://${bucket}/pipe`, '-', ...kms]);
    assert.equal(sha256(stdout), sha256(content));
  });

  test('stdin may be a file, empty, or closed', async () => {
    await line.ok(['put', '-', `s3://${bucket}/redirected`, ...kms], { shell: `exec "$@" < '${small}'` });
    await line.ok(['put', '-', `s3://${bucket}/nothing`, ...kms], { stdin: Buffer.alloc(0) });
    const { status } = await line.run(['put', '-', `s3://${bucket}/closed`, ...kms], { shell: 'exec "$@" <&-' });
    assert.equal(status, 0);
    for (const [key, expected] of [
      ['redirected', 'a few words\n'],
      ['nothing', ''],
      ['closed', ''],
    ] as const)
      assert.equal((await line.ok(['cat', `s3://${bucket}/${key}`, ...kms])).stdout.toString(), expected);
  });

  test('--expect-size refuses a pipe that ends early, and one that does not end', async () => {
    for (const size of ['13', '11']) {
      const args = ['put', '-', `s3://${bucket}/short`, ...kms, '--expect-size', size];
      await line.fails(args, { code: 'SOURCE_FAILED', message: /expected/ }, { stdin: readFileSync(small) });
    }
    await line.ok(['put', '-', `s3://${bucket}/right`, ...kms, '--expect-size', '12'], { stdin: readFileSync(small) });
    assert.deepEqual((await requestsFor('short')).PutObject, undefined);
  });

  test('several files go under a prefix, one line of JSON each', async () => {
    const { stdout } = await line.ok(['put', small, file, `s3://${bucket}/several/`, ...kms, '--json']);
    const keys = documents(stdout).map((document) => schemas.put.parse(document).key);
    assert.deepEqual(keys, ['several/small.txt', 'several/big.bin']);
    await line.ok(['put', small, `s3://${bucket}`, ...kms]);
    assert.equal((await line.ok(['cat', `s3://${bucket}/small.txt`, ...kms])).stdout.toString(), 'a few words\n');
  });

  test('--recursive uploads what is in a folder, links to files too, and says what it leaves out', async () => {
    const folder = line.path('tree');
    mkdirSync(`${folder}/deep/er`, { recursive: true });
    writeFileSync(`${folder}/a`, '1');
    writeFileSync(`${folder}/deep/er/b c`, '2');
    symlinkSync(`${folder}/a`, `${folder}/link`);
    symlinkSync(folder, `${folder}/deep/circle`);
    const { status, stdout, stderr } = await line.run([
      'put',
      '--recursive',
      folder,
      `s3://${bucket}/tree`,
      ...kms,
      '--json',
    ]);
    assert.equal(status, 0);
    assert.match(stderr, /^sealpipe: \S+circle was left out: it is a link to a folder\n$/);
    const keys = documents(stdout).map((document) => schemas.put.parse(document).key);
    assert.deepEqual(keys, ['tree/a', 'tree/deep/er/b c', 'tree/link']);
  });

  test('two files that would go to one key are refused before anything is sent, whatever folder they are from', async () => {
    const root = line.emptyFolder();
    for (const folder of ['1/deep', '2/deep', '3']) mkdirSync(`${root}/${folder}`, { recursive: true });
    for (const path of ['1/deep/part', '2/deep/part', '3/other', '3/deep', 'other', '1/link'])
      writeFileSync(`${root}/${path}`, path);
    symlinkSync(`${root}/other`, `${root}/2/link`);
    const put = (...names: string[]): string[] => [
      'put',
      '--recursive',
      ...names.map((name) => `${root}/${name}`),
      `s3://${bucket}/met/`,
      ...kms,
    ];
    await line.allFail([
      [
        put('1', '3', '2'),
        { code: 'USAGE', message: /1\/(deep\/part and \S+2\/deep\/part|link and \S+2\/link) would both go to s3:/ },
      ],
      [
        put('1/deep', '2/deep'),
        { code: 'USAGE', message: /1\/deep\/part and \S+2\/deep\/part would both go to s3:\S+\/met\/part: / },
      ],
      [put('other', '3'), { code: 'USAGE', message: /other and \S+3\/other would both go to s3:\S+\/met\/other: / }],
      [put('3', '3'), { code: 'USAGE', message: /would both go to/ }],
    ]);
    assert.deepEqual(
      line.endpoint.requests.all('PutObject').filter(({ key }) => key?.startsWith('met/')),
      [],
    );
    // A file and a folder of one name lead to different keys.
    await line.ok(put('1', '3'));
  });

  test('what cannot be read does not keep the others: each is named, and the command fails', async () => {
    const folder = line.emptyFolder();
    for (const name of ['a', 'z']) writeFileSync(`${folder}/${name}`, name);
    symlinkSync('nowhere', `${folder}/dangling`);
    const put = ['put', '--recursive', folder, `s3://${bucket}/dangling/`, ...kms, '--json'];
    const { status, stdout, stderr } = await line.run(put);
    assert.equal(status, 1);
    assert.deepEqual(
      documents(stdout).map((document) => schemas.put.parse(document).key),
      ['dangling/a', 'dangling/z'],
    );
    const lines = stderr.split('\n');
    assert.match(lines[0] ?? '', /^sealpipe: \S+dangling was not uploaded: .* does not exist$/);
    assert.match(lines[1] ?? '', /^sealpipe: ERR_SEALPIPE_SOURCE_FAILED: one file was not uploaded: .*dangling/);
    assert.equal(lines.length, 3);
    for (const name of ['more', 'even-more']) symlinkSync('nowhere', `${folder}/${name}`);
    assert.match(
      (await line.run(put)).stderr,
      /ERR_SEALPIPE_SOURCE_FAILED: 3 files were not uploaded, the first: [^\n]+\n$/,
    );
  });

  test('a folder as the target takes the name from the key', async () => {
    await line.ok(['put', small, `s3://${bucket}/a/b/name.txt`, ...kms]);
    const folder = line.emptyFolder();
    await line.ok(['get', `s3://${bucket}/a/b/name.txt`, folder, ...kms]);
    assert.deepEqual(namesIn(folder), ['name.txt']);
    await line.fails(['get', `s3://${bucket}/a/b/..`, folder, ...kms], {
      code: 'USAGE',
      message: /gives no file name/,
    });
  });

  test('an existing file is replaced only by what was authenticated, and a link stays one', async () => {
    const target = line.file('existing', 'before');
    symlinkSync(target, line.path('existing-link'));
    await line.ok(['put', small, `s3://${bucket}/replace`, ...kms]);
    await line.ok(['get', `s3://${bucket}/replace`, 'existing-link', ...kms]);
    assert.equal(readFileSync(target, 'utf8'), 'a few words\n');
  });

  test('metadata, media type, context and instruction file are stored as asked', async () => {
    const context = ['--encryption-context', 'team=söme = team', '--encryption-context', 'n=1'];
    const args = [
      '--metadata',
      'color=blue=ish',
      '--content-type',
      'text/plain',
      '--storage',
      'instruction-file',
      ...context,
    ];
    await line.ok(['put', small, `s3://${bucket}/dressed`, ...kms, ...args]);
    const head = await line.s3.send(new HeadObjectCommand({ Bucket: bucket, Key: 'dressed' }));
    assert.equal(head.ContentType, 'text/plain');
    assert.equal(head.Metadata?.color, 'blue=ish');
    assert.equal(head.Metadata?.['x-amz-3'], undefined);
    const { stdout } = await line.ok(['get', `s3://${bucket}/dressed`, 'dressed.out', ...kms, ...context, '--json']);
    assert.deepEqual(
      documents(stdout).map((document) => schemas.get.parse(document).retries),
      [0],
    );
    assert.equal(readFileSync(line.path('dressed.out'), 'utf8'), 'a few words\n');
  });

  test('what a terminal would obey is shown and not sent to it: in keys, contexts and errors', async () => {
    const key = 'odd\n\u001b[31m\u009bred';
    const url = `s3://${bucket}/${key}`;
    const context = ['--encryption-context', 'team=a\u009bb'];
    const said = [
      await line.ok(['put', line.file('odd', 'x'), url, ...kms, ...context]),
      await line.ok(['get', url, line.path('odd'), ...kms, ...context]),
      await line.ok(['stat', url, ...line.here]),
      await line.ok(['rm', url, ...line.here]),
      await line.run(['cat', url, ...kms, '--verbose']),
    ].map(({ stdout, stderr }) => `${stdout.toString('utf8')}${stderr}`);
    for (const text of said) {
      assert.match(text, /odd\\x0a\\x1b\[31m\\x9bred|odd \\x1b\[31m\\x9bred/);
      assert.doesNotMatch(text.replaceAll('\n', ''), /\p{Cc}/u);
    }
    assert.equal(said[0]?.split('\n').length, 2);
  });

  test('--format v2 writes what only a weaker policy reads', async () => {
    await line.ok(['put', small, `s3://${bucket}/v2`, ...kms, '--format', 'v2']);
    const head = await line.s3.send(new HeadObjectCommand({ Bucket: bucket, Key: 'v2' }));
    assert.equal(head.Metadata?.['x-amz-cek-alg'], 'AES/GCM/NoPadding');
    assert.equal(head.Metadata?.['x-amz-unencrypted-content-length'], '12');
    await line.fails(['cat', `s3://${bucket}/v2`, ...kms], {
      code: 'COMMITMENT_POLICY',
      message: /--commitment-policy/,
    });
    const { stdout } = await line.ok([
      'cat',
      `s3://${bucket}/v2`,
      ...kms,
      '--commitment-policy',
      'REQUIRE_ENCRYPT_ALLOW_DECRYPT',
    ]);
    assert.equal(stdout.toString(), 'a few words\n');
  });

  test('--if-none-match keeps what is there', async () => {
    await line.ok(['put', small, `s3://${bucket}/once`, ...kms, '--if-none-match']);
    for (const source of [small, file])
      await line.fails(['put', source, `s3://${bucket}/once`, ...kms, '--if-none-match', ...smallParts], {
        code: 'PRECONDITION_FAILED',
      });
    assert.equal((await line.ok(['cat', `s3://${bucket}/once`, ...kms])).stdout.toString(), 'a few words\n');
    assert.deepEqual(await line.uploadsLeft(bucket, 'once'), []);
  });

  test('encryption by S3 goes beside ours, and alone only by name', async () => {
    const sseC = line.aesKeyFile('sse-c.hex');
    await line.ok([
      'put',
      small,
      `s3://${bucket}/sse-kms`,
      ...kms,
      '--sse',
      'SSE-KMS',
      '--sse-kms-key-id',
      'alias/sealpipe',
      '--sse-context',
      'a=b',
    ]);
    const { stdout } = await line.ok(['stat', `s3://${bucket}/sse-kms`, ...line.here, '--json']);
    const [{ sse, encryption } = assert.fail()] = documents(stdout).map((document) => schemas.stat.parse(document));
    assert.equal(sse?.mode, 'SSE-KMS');
    assert.equal(encryption?.format, 'V3');
    await line.ok([
      'put',
      file,
      `s3://${bucket}/plain`,
      ...line.here,
      '--client-side',
      'none',
      '--sse',
      'SSE-C',
      '--sse-c-key-file',
      sseC,
      ...smallParts,
    ]);
    await line.fails(['get', `s3://${bucket}/plain`, 'plain.out', ...kms, '--sse-c-key-file', sseC], {
      code: 'NOT_ENCRYPTED',
      message: /--plaintext allow/,
    });
    await line.ok([
      'get',
      `s3://${bucket}/plain`,
      'plain.out',
      ...line.here,
      '--sse-c-key-file',
      sseC,
      '--plaintext',
      'allow',
    ]);
    assert.deepEqual(readFileSync(line.path('plain.out')), content);
    const without = await line.run(['get', `s3://${bucket}/plain`, 'plain.out', ...line.here, '--plaintext', 'allow']);
    assert.equal(without.status, 1);
  });

  test('a part that fails is sent again, and the JSON and --verbose say so', async () => {
    const fault = line.endpoint.faults.add({ operation: 'UploadPart', key: 'retried', partNumber: 2, status: 503 });
    const { status, stdout, stderr } = await line.run([
      'put',
      file,
      `s3://${bucket}/retried`,
      ...kms,
      ...smallParts,
      '--json',
      '--verbose',
    ]);
    assert.equal(fault.hits, 1);
    fault.remove();
    assert.equal(status, 0);
    assert.match(stderr, /part 2 failed at attempt 1 and is sent again/);
    assert.deepEqual(
      documents(stdout).map((document) => schemas.put.parse(document).retries),
      [1],
    );
  });

  test('a download whose connection breaks goes on where it broke, and the JSON says so', async () => {
    await line.ok(['put', file, `s3://${bucket}/broken`, ...kms]);
    const fault = line.endpoint.faults.add({
      operation: 'GetObject',
      key: 'broken',
      times: 3,
      resetResponseAfter: 3_000_000,
    });
    const { stdout } = await line.ok(['get', `s3://${bucket}/broken`, 'broken.out', ...kms, '--json']);
    fault.remove();
    assert.deepEqual(
      documents(stdout).map((document) => schemas.get.parse(document).retries),
      [3],
    );
    assert.equal(sha256(readFileSync(line.path('broken.out'))), sha256(content));
  });

  test('--progress json tells how far it is, in lines on stderr', async () => {
    const up = await line.run(['put', file, `s3://${bucket}/progress`, ...kms, ...smallParts, '--progress', 'json']);
    const down = await line.run(['get', `s3://${bucket}/progress`, 'progress.out', ...kms, '--progress', 'json']);
    for (const { status, stderr } of [up, down]) {
      assert.equal(status, 0);
      const reports = documents(Buffer.from(stderr)).map((document) => schemas.progress.parse(document));
      assert.deepEqual(reports.at(-1)?.bytes, content.length);
      assert.ok(reports.every(({ total }) => total === content.length));
      assert.ok(reports.every(({ bytes }, index) => bytes >= (reports[index - 1]?.bytes ?? 0)));
    }
  });

  test('what is stored does not hold the plaintext', async () => {
    const text = Buffer.from('the quick brown fox jumps over the lazy dog. '.repeat(100));
    await line.ok(['put', '-', `s3://${bucket}/fox`, ...kms], { stdin: text });
    const { Body } = await line.s3.send(new GetObjectCommand({ Bucket: bucket, Key: 'fox' }));
    const stored = Buffer.from((await Body?.transformToByteArray()) ?? []);
    assert.equal(stored.length, text.length + 16);
    assert.ok(!stored.includes('quick brown'));
  });

  test('a bucket whose default is KMS encryption takes the objects as they are', async () => {
    const name = await line.bucket('default-kms');
    const rule = {
      ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms' as const, KMSMasterKeyID: 'alias/sealpipe' },
    };
    await line.s3.send(
      new PutBucketEncryptionCommand({ Bucket: name, ServerSideEncryptionConfiguration: { Rules: [rule] } }),
    );
    await line.ok(['put', file, `s3://${name}/k`, ...kms, ...smallParts]);
    await line.ok(['get', `s3://${name}/k`, 'default.out', ...kms]);
    assert.equal(sha256(readFileSync(line.path('default.out'))), sha256(content));
  });
});
