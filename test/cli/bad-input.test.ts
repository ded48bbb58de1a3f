/** What bad input gets: its code, its exit status, one line, and nothing half-written left behind. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { CreateKeyCommand, DisableKeyCommand, ScheduleKeyDeletionCommand } from '@aws-sdk/client-kms';
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import type { FaultRule } from '../../src/local/index.ts';
import { assertFailure, CommandLine, namesIn } from './command-line.ts';

const line = await CommandLine.start();
const bucket = await line.bucket('bad-input');
const kms = ['--kms-key-id', 'alias/sealpipe', ...line.here];
const content = randomBytes(200_001);
const file = line.file('f', content);
const context = ['--encryption-context', 'team=a'];
await line.ok(['put', file, `s3://${bucket}/good`, ...kms, ...context]);

/** Downloads over a file that is there already: it fails, the file stays as it was, and nothing is beside it. */
async function getFails(
  key: string,
  args: readonly string[],
  expected: { code: string; message?: RegExp },
): Promise<void> {
  const folder = line.emptyFolder();
  const target = join(folder, 'target');
  writeFileSync(target, 'what was there before');
  await line.fails(['get', `s3://${bucket}/${key}`, target, ...args], expected);
  assert.deepEqual(namesIn(folder), ['target']);
  assert.equal(readFileSync(target, 'utf8'), 'what was there before');
}

/** Uploads: it fails, and neither an object nor an upload is there. */
async function putFails(
  key: string,
  args: readonly string[],
  expected: { code: string; message?: RegExp },
  source = file,
): Promise<void> {
  await line.fails(['put', source, `s3://${bucket}/${key}`, ...args], expected);
  assert.deepEqual(await line.uploadsLeft(bucket, key), []);
  await assert.rejects(line.s3.send(new GetObjectCommand({ Bucket: bucket, Key: key })), { name: 'NoSuchKey' });
}

async function withFault<T>(rule: FaultRule, work: () => Promise<T>): Promise<T> {
  const fault = line.endpoint.faults.add(rule);
  try {
    return await work();
  } finally {
    fault.remove();
  }
}

/** A copy of the good object as somebody who can write to the bucket would alter it. */
async function altered(key: string, alter: (body: Buffer, metadata: Record<string, string>) => Buffer): Promise<void> {
  const good = await line.s3.send(new GetObjectCommand({ Bucket: bucket, Key: 'good' }));
  const body = Buffer.from((await good.Body?.transformToByteArray()) ?? []);
  const metadata = { ...good.Metadata };
  const changed = alter(body, metadata);
  await line.s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: changed, Metadata: metadata }));
}

function flipped(base64: string): string {
  const bytes = Buffer.from(base64, 'base64');
  bytes.writeUInt8(bytes.readUInt8(0) ^ 1, 0);
  return bytes.toString('base64');
}

function flip(body: Buffer, at: number): Buffer {
  body.writeUInt8(body.readUInt8(at) ^ 1, at);
  return body;
}

describe('what bad input gets', { concurrency: 2 }, () => {
  test('a key that KMS does not have', async () => {
    await putFails('no-key', ['--kms-key-id', 'alias/none', ...line.here], {
      code: 'KEY_NOT_FOUND',
      message: /alias\/none/,
    });
    await getFails('good', ['--kms-key-id', '11111111-2222-3333-4444-555555555555', ...line.here, ...context], {
      code: 'KEY_NOT_FOUND',
    });
  });

  test('a wrong key', async () => {
    const { KeyMetadata } = await line.kms.send(new CreateKeyCommand({}));
    await getFails('good', ['--kms-key-id', KeyMetadata?.Arn ?? '', ...line.here, ...context], {
      code: 'KEY_MISMATCH',
    });
    await line.ok(['put', file, `s3://${bucket}/aes`, '--aes-key-file', line.aesKeyFile('one.hex'), ...line.here]);
    await getFails('aes', ['--aes-key-file', line.aesKeyFile('two.hex'), ...line.here], {
      code: 'AUTHENTICATION_FAILED',
    });
  });

  test("another context than the object's, before KMS is asked", async () => {
    const target = await CommandLine.start();
    await target.bucket('bbb');
    const here = ['--kms-key-id', 'alias/sealpipe', ...target.here];
    await target.ok(['put', file, 's3://bbb/k', ...here, '--encryption-context', 'team=a']);
    for (const args of [
      [],
      ['--encryption-context', 'team=b'],
      ['--encryption-context', 'team=a', '--encryption-context', 'more=x'],
    ])
      await target.fails(['cat', 's3://bbb/k', ...here, ...args], {
        code: 'CONTEXT_MISMATCH',
        message: /--encryption-context/,
      });
    assert.equal(target.endpoint.requests.count('KMS.Decrypt'), 0);
  });

  const alterations: [string, (body: Buffer, metadata: Record<string, string>) => Buffer, string][] = [
    ['the first byte', (body) => flip(body, 0), 'AUTHENTICATION_FAILED'],
    ['a byte in the middle', (body) => flip(body, 100_000), 'AUTHENTICATION_FAILED'],
    ['the tag', (body) => flip(body, body.length - 1), 'AUTHENTICATION_FAILED'],
    ['the length, cut', (body) => body.subarray(0, 150_000), 'AUTHENTICATION_FAILED'],
    ['the length, cut to less than a tag', (body) => body.subarray(0, 10), 'TRUNCATED'],
    ['the length, grown', (body) => Buffer.concat([body, body]), 'AUTHENTICATION_FAILED'],
    [
      'the message id',
      (body, meta) => {
        meta['x-amz-i'] = flipped(meta['x-amz-i'] ?? '');
        return body;
      },
      'AUTHENTICATION_FAILED',
    ],
    [
      'the commitment',
      (body, meta) => {
        meta['x-amz-d'] = flipped(meta['x-amz-d'] ?? '');
        return body;
      },
      'AUTHENTICATION_FAILED',
    ],
    [
      'the wrapped key',
      (body, meta) => {
        meta['x-amz-3'] = flipped(meta['x-amz-3'] ?? '');
        return body;
      },
      'AUTHENTICATION_FAILED',
    ],
    [
      'the wrapping',
      (body, meta) => {
        meta['x-amz-w'] = '02';
        return body;
      },
      'KEY_MISMATCH',
    ],
    [
      'one entry, taken away',
      (body, meta) => {
        delete meta['x-amz-d'];
        return body;
      },
      'ENVELOPE_INVALID',
    ],
    [
      'the whole envelope, taken away',
      (body, meta) => {
        for (const name of Object.keys(meta)) delete meta[name];
        return body;
      },
      'NOT_ENCRYPTED',
    ],
  ];
  test('an object of which somebody altered anything', async (t) => {
    const folder = line.emptyFolder();
    const target = join(folder, 'target');
    writeFileSync(target, 'what was there before');
    for (const [what, alter] of alterations) await altered(`altered/${what}`, alter);
    const commands = alterations.map(([what]) => ['get', `s3://${bucket}/altered/${what}`, target, ...kms, ...context]);
    const outcomes = await line.runAll(commands);
    for (const [index, [what, , code]] of alterations.entries()) {
      await t.test(`${what}: ${code}`, () => {
        assertFailure(outcomes[index] ?? assert.fail(), { code }, commands[index] ?? []);
      });
    }
    assert.deepEqual(namesIn(folder), ['target']);
    assert.equal(readFileSync(target, 'utf8'), 'what was there before');
  });

  test('an altered object writes nothing to stdout, and under --release delayed ends with an error', async () => {
    await altered('altered/stdout', (body) => flip(body, 5));
    await line.fails(['cat', `s3://${bucket}/altered/stdout`, ...kms, ...context], { code: 'AUTHENTICATION_FAILED' });
    const { status, stdout, stderr } = await line.run([
      'cat',
      `s3://${bucket}/altered/stdout`,
      ...kms,
      ...context,
      '--release',
      'delayed',
    ]);
    assert.equal(status, 1);
    assert.ok(stdout.length <= content.length);
    assert.match(stderr, /^sealpipe: ERR_SEALPIPE_AUTHENTICATION_FAILED: [^\n]+\n$/);
  });

  test('an instruction file that was altered, or taken away', async () => {
    await line.ok(['put', file, `s3://${bucket}/apart`, ...kms, '--storage', 'instruction-file']);
    const Key = 'apart.instruction';
    const { Metadata } = await line.s3.send(new GetObjectCommand({ Bucket: bucket, Key }));
    await line.s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body: '{"x-amz-3": 7}', Metadata }));
    await getFails('apart', kms, { code: 'ENVELOPE_INVALID' });
    await line.ok(['rm', `s3://${bucket}/apart.instruction`, ...line.here]);
    await getFails('apart', kms, {
      code: 'ENVELOPE_INVALID',
      message: /instruction file apart\.instruction does not exist/,
    });
  });

  test('a plaintext object', async () => {
    await line.s3.send(new PutObjectCommand({ Bucket: bucket, Key: 'plain', Body: 'as it is' }));
    await getFails('plain', kms, { code: 'NOT_ENCRYPTED', message: /--plaintext allow/ });
    assert.equal(
      (await line.ok(['cat', `s3://${bucket}/plain`, ...kms, '--plaintext', 'allow'])).stdout.toString(),
      'as it is',
    );
  });

  test('an encrypted object where no key was given for what may be plaintext', async () => {
    await getFails('good', [...line.here, '--plaintext', 'allow', ...context], {
      code: 'USAGE',
      message: /no key is given to decrypt with/,
    });
  });

  test('a bucket or an object that is not there', async () => {
    const missing = { code: 'BUCKET_NOT_FOUND', message: /no-such-bucket/ };
    const nothing = { code: 'OBJECT_NOT_FOUND', message: /nothing/ };
    await line.allFail([
      [['put', file, 's3://no-such-bucket/k', ...kms], missing],
      [['get', 's3://no-such-bucket/k', line.path('out'), ...kms], missing],
      [['ls', 's3://no-such-bucket', ...line.here], missing],
      [['stat', 's3://no-such-bucket/k', ...line.here], missing],
      [['rm', 's3://no-such-bucket/k', ...line.here], missing],
      [['rb', 's3://no-such-bucket', ...line.here], missing],
      [['get', `s3://${bucket}/nothing`, line.path('out'), ...kms], nothing],
      [['stat', `s3://${bucket}/nothing`, ...line.here], nothing],
    ]);
    assert.ok(!namesIn(line.folder).includes('out'));
  });

  test('a KMS call that is denied, on the way up and on the way down', async () => {
    const denied = { status: 400, code: 'AccessDeniedException', message: 'not authorized', times: 'always' } as const;
    const other = await CommandLine.start();
    await other.bucket('bbb');
    const here = ['--kms-key-id', 'alias/sealpipe', ...other.here];
    await other.ok(['put', file, 's3://bbb/k', ...here]);
    other.endpoint.faults.set([{ operation: 'KMS.*', ...denied }]);
    await other.fails(['put', file, 's3://bbb/new', ...here], { code: 'KEY_DENIED', message: /kms:GenerateDataKey/ });
    await other.fails(['get', 's3://bbb/k', 'denied.out', ...here], { code: 'KEY_DENIED', message: /kms:Decrypt/ });
    assert.ok(!namesIn(other.folder).some((name) => name.includes('denied')));
  });

  test('a key that was disabled, or is pending deletion', async () => {
    const { KeyMetadata } = await line.kms.send(new CreateKeyCommand({}));
    const KeyId = KeyMetadata?.KeyId ?? '';
    const key = ['--kms-key-id', KeyId, ...line.here];
    await line.ok(['put', file, `s3://${bucket}/disabled`, ...key]);
    await line.kms.send(new DisableKeyCommand({ KeyId }));
    await getFails('disabled', key, { code: 'KEY_UNUSABLE', message: /disabled/ });
    await putFails('never', key, { code: 'KEY_UNUSABLE' });
    await line.kms.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
    await getFails('disabled', key, { code: 'KEY_UNUSABLE', message: /pending deletion/ });
  });

  test('credentials that expired, are wrong, or are none', async () => {
    const expired = {
      status: 400,
      code: 'ExpiredToken',
      message: 'The provided token has expired.',
      times: 'always',
    } as const;
    await withFault({ operation: ['GetObject', 'PutObject'], key: 'expired*', ...expired }, async () => {
      await getFails('expired', kms, { code: 'CREDENTIALS', message: /ExpiredToken/ });
      await line.fails(['put', file, `s3://${bucket}/expired`, ...kms], { code: 'CREDENTIALS' });
    });
    const env = { AWS_SECRET_ACCESS_KEY: 'another' };
    await line.fails(['ls', `s3://${bucket}`, ...line.here], { code: 'CREDENTIALS' }, { env });
    const none = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' };
    await line.fails(['ls', `s3://${bucket}`, ...line.here], { code: 'CREDENTIALS' }, { env: none });
  });

  test('no region, where S3 is Amazon', async () => {
    await line.fails(['ls', 's3://bucket'], { code: 'CONFIG_INVALID', message: /--region/ });
  });

  test('an endpoint that nobody listens at', async () => {
    await line.fails(['stat', 's3://bucket/k', '--endpoint-url', 'http://127.0.0.1:9'], { code: 'NETWORK' });
  });

  test('a file that is not there, or cannot be read', async (t) => {
    await putFails('unread', kms, { code: 'SOURCE_FAILED', message: /does not exist/ }, line.path('missing'));
    if (process.getuid?.() === 0) return t.diagnostic('root can read every file: permissions were not tried');
    const locked = line.file('locked', 'x');
    chmodSync(locked, 0);
    await putFails('unread', kms, { code: 'SOURCE_FAILED', message: /permission denied|EACCES/ }, locked);
  });

  test('a target that cannot be written, before a request is sent', async () => {
    const url = `s3://${bucket}/good`;
    await line.fails(['get', url, 'no/such/folder/out', ...kms, ...context], {
      code: 'TARGET_FAILED',
      message: /folder does not exist/,
    });
    if (process.platform === 'linux')
      await line.fails(['get', url, '/dev/full', ...kms, ...context], { code: 'TARGET_FAILED', message: /a device/ });
  });

  test('a disk that takes no more', {
    skip: process.platform === 'win32' && 'no limit on the size of files to set there',
  }, async () => {
    const folder = line.emptyFolder();
    // The one limit on files that needs neither a disk nor privileges; its unit differs, 64 of it are less than the object in all.
    const shell = 'ulimit -f 64; exec "$@"';
    await line.fails(
      ['get', `s3://${bucket}/good`, folder, ...kms, ...context],
      { code: 'TARGET_FAILED', message: /nothing was left there/ },
      { shell },
    );
    assert.deepEqual(namesIn(folder), []);
  });

  test('a full disk behind stdout', { skip: process.platform !== 'linux' && 'there is no /dev/full' }, async () => {
    const { status, stderr } = await line.run(['cat', `s3://${bucket}/good`, ...kms, ...context], {
      shell: 'exec "$@" > /dev/full',
    });
    assert.equal(status, 1);
    assert.match(stderr, /^sealpipe: ERR_SEALPIPE_TARGET_FAILED: stdout cannot be written: ENOSPC[^\n]*\n$/);
  });

  test('more than may be held back until it is verified', async () => {
    await line.fails(['cat', `s3://${bucket}/good`, ...kms, ...context, '--max-buffered', '100KB'], {
      code: 'BUFFER_LIMIT',
      message: /--release delayed/,
    });
    const { stdout } = await line.ok([
      'cat',
      `s3://${bucket}/good`,
      ...kms,
      ...context,
      '--max-buffered',
      '100KB',
      '--release',
      'delayed',
    ]);
    assert.ok(stdout.equals(content));
  });

  test('metadata that S3 would not take, before anything is sent', async () => {
    await putFails('fat', [...kms, '--metadata', `a=${'x'.repeat(2000)}`], {
      code: 'ENVELOPE_TOO_LARGE',
      message: /--storage instruction-file/,
    });
  });

  test('a part that fails for good: the upload is gone, and a file was tried again under a fresh data key', async () => {
    const big = line.file('big', randomBytes(6 * 1024 * 1024));
    const args = [...kms, '--part-size', '5MiB', '--part-attempts', '2'];
    await withFault(
      { operation: 'UploadPart', key: 'hopeless*', partNumber: 2, status: 503, times: 'always' },
      async () => {
        await putFails('hopeless', args, { code: 'RESTART_REQUIRED', message: /started over once already/ }, big);
        await line.fails(
          ['put', '-', `s3://${bucket}/hopeless-pipe`, ...args],
          { code: 'RESTART_REQUIRED', message: /cannot be read again/ },
          { stdin: readFileSync(big) },
        );
      },
    );
    assert.deepEqual(await line.uploadsLeft(bucket, 'hopeless'), []);
  });

  test('--verbose adds what led to it, with the request id, and no secret', async () => {
    const { stderr } = await line.run(['get', `s3://${bucket}/nothing`, 'out', ...kms, '--verbose']);
    assert.match(
      stderr,
      /^sealpipe: ERR_SEALPIPE_OBJECT_NOT_FOUND: [^\n]+\n {2}with [^\n]*requestId \S+[^\n]*\n {2}caused by NoSuchKey: [^\n]*\(status 404, request id \S+\)\n$/,
    );
  });
});
