/** What of a read that broke off is asked for again, when, and what ends it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import { brokenOff, pauseBefore } from '../../src/objects/broken-off.ts';
import { EncryptedS3 } from '../../src/objects/encrypted-s3.ts';
import { createEncryptStream } from '../../src/streams/encrypt-stream.ts';
import { Bucket, bytesOf, TestEndpoint } from '../support/endpoint.ts';
import { failure, rejection } from '../support/failure.ts';
import { RecordingServer, s3Error } from '../support/recording-server.ts';
import { through } from '../support/stream-ends.ts';

const content = randomBytes(1_000_000);
const partSize = 256 * 1024;
const folder = mkdtempSync(join(tmpdir(), 'sealpipe-mended-'));
const target = join(folder, 'target');
let endpoint: TestEndpoint;
let s3: EncryptedS3;

before(async () => {
  endpoint = await TestEndpoint.start();
  s3 = endpoint.encrypted({ plaintext: 'allow' });
  await s3.upload({ Bucket, Key: 'object', Body: content }).done();
  await endpoint.store('plain', content);
});
beforeEach(() => {
  endpoint.local.faults.clear();
  rmSync(target, { force: true });
});
after(async () => {
  await endpoint.close();
  rmSync(folder, { recursive: true });
});

describe('the rest of a body that broke off', () => {
  test('is refused where it is of another object, also where a store passes over the condition', async () => {
    for (const Key of ['object', 'plain']) {
      endpoint.local.faults.set([
        { operation: 'GetObject', key: Key, resetResponseAfter: 300_000 },
        { operation: 'GetObject', key: Key, etag: '"other"' },
      ]);
      const error = await rejection(s3.download({ Bucket, Key }, target));
      assert.ok(failure('OBJECT_CHANGED', /was overwritten while it was being read/)(error));
      assert.equal(error.key, Key);
      assert.equal(existsSync(target), false);
    }
  });

  test('is refused where there is more of it than the object has, and nothing of that comes out', async (t) => {
    const stored = Buffer.alloc(1000, 'x');
    const server = await RecordingServer.start(({ headers }) =>
      headers.range === undefined
        ? { headers: { 'content-length': '1000', etag: '"e"' }, body: stored.subarray(0, 400) }
        : { status: 206, headers: { 'content-range': 'bytes 400-999/1000', etag: '"e"' }, body: stored },
    );
    t.after(() => server.close());
    const keyring = aesKeyring({ key: randomBytes(32) });
    const reader = new EncryptedS3({ client: server.client(), keyring, plaintext: 'allow', instructionFiles: false });
    const { body } = await reader.get({ Bucket, Key: 'longer' }, { idleTimeout: 200 });
    let released = 0;
    body.on('data', (chunk: Buffer) => {
      released += chunk.length;
    });
    const error = await rejection(new Promise((_, reject) => body.once('error', reject)));
    assert.ok(failure('OBJECT_CHANGED', /more bytes than the object has/)(error));
    assert.equal(released, 400);
  });
});

const ways = [
  { name: 'over one connection', options: {} },
  { name: 'in ranges that workers fetch', options: { concurrency: 4, partSize, workers: 1 } },
  { name: 'in ranges that the client fetches', options: { concurrency: 4, partSize, transport: 'client' } },
] as const;

for (const { name, options } of ways) {
  describe(`a read ${name}`, () => {
    test('that is throttled waits as long as it is told to', async () => {
      const cut = 'concurrency' in options ? [] : [{ operation: 'GetObject', resetResponseAfter: 300_000 }];
      endpoint.local.faults.set([
        ...cut,
        { operation: 'GetObject', nth: 3 - 2 * cut.length, status: 503, retryAfter: 1 },
      ]);
      let again = 0;
      const began = performance.now();
      const { retries } = await s3.download({ Bucket, Key: 'object' }, target, {
        ...options,
        onRetry: () => {
          again = performance.now();
        },
      });
      assert.equal(retries, 1 + cut.length);
      assert.ok(again - began >= 950, `asked for again after ${Math.round(again - began)} ms`);
    });

    test('whose connection breaks is asked for again at once', async () => {
      endpoint.local.faults.set([
        { operation: 'GetObject', nth: 2 - Number(name.endsWith('one connection')), resetResponseAfter: 50_000 },
      ]);
      assert.equal((await s3.download({ Bucket, Key: 'object' }, target, options)).retries, 1);
    });

    test('ends with what the function that is told of it throws', async () => {
      const own = new Error('no more of this');
      endpoint.local.faults.set([{ operation: 'GetObject', resetResponseAfter: 50_000 }]);
      const read = s3.download({ Bucket, Key: 'object' }, target, {
        ...options,
        onRetry: () => {
          throw own;
        },
      });
      await assert.rejects(read, own);
      assert.equal(existsSync(target), false);
    });
  });
}

test('what stays throttled, unavailable or broken is called so, with what S3 said', () => {
  const answered = (name: string, status: number): Error =>
    Object.assign(new Error('said'), { name, $metadata: { httpStatusCode: status, requestId: 'r' } });
  for (const [cause, code, statusCode] of [
    [answered('SlowDown', 503), 'THROTTLED', 503],
    [answered('InternalError', 500), 'S3_UNAVAILABLE', 500],
    [Object.assign(new Error('cut'), { code: 'ECONNRESET' }), 'NETWORK', undefined],
  ] as const) {
    const error = brokenOff({ Bucket: 'b', Key: 'k' }, 7, cause);
    assert.ok(failure(code, /^the read of s3:\/\/b\/k broke off at byte 7, and 5 attempts to go on from there/)(error));
    assert.deepEqual([error.cause, error.retryable, error.offset, error.attempts], [cause, true, 7, 5]);
    assert.deepEqual([error.statusCode, error.requestId], [statusCode, statusCode && 'r']);
    // A broken connection alone is no reason to wait.
    assert.equal(pauseBefore(1, cause) > 0, statusCode !== undefined);
    assert.ok(pauseBefore(2, cause) > 0);
  }
});

test('content that comes over one connection whatever the concurrency counts no retry for what did not break', async () => {
  const again: unknown[] = [];
  const options = { concurrency: 4, partSize, onRetry: (retry: unknown) => again.push(retry) };
  assert.equal((await s3.download({ Bucket, Key: 'plain' }, target, options)).retries, 0);
  assert.ok(readFileSync(target).equals(content));
  assert.deepEqual(again, []);
  // What breaks does count, in the first range and behind it.
  for (const nth of [1, 2]) {
    endpoint.local.faults.set([{ operation: 'GetObject', key: 'plain', nth, resetResponseAfter: 100_000 }]);
    assert.equal((await s3.download({ Bucket, Key: 'plain' }, target, options)).retries, 1);
    assert.ok(readFileSync(target).equals(content));
  }
});

test('a condition of the caller that the object does not meet is no change of it while it was read', async () => {
  const { etag } = await s3.head({ Bucket, Key: 'object' });
  for (const options of [{}, { concurrency: 4, partSize }]) {
    const read = (condition: object): Promise<unknown> => s3.get({ Bucket, Key: 'object', ...condition }, options);
    for (const [condition, status] of [
      [{ IfMatch: '"another"' }, 412],
      [{ IfNoneMatch: etag }, 304],
    ] as const) {
      const error = await rejection(read(condition));
      assert.ok(failure('PRECONDITION_FAILED', /condition of the read/)(error));
      assert.equal(error.statusCode, status);
    }
  }
});

test('an object that is read by its segments is read by whom the caller says, who is told of what broke', async () => {
  await s3.upload({ Bucket, Key: 'indexed', Body: content }, { segmentIndex: true }).done();
  for (const transport of ['auto', 'client'] as const) {
    const again: unknown[] = [];
    endpoint.local.requests.clear();
    endpoint.local.faults.set([{ operation: 'GetObject', key: 'indexed', nth: 4, resetResponseAfter: 10_000 }]);
    const { body } = await s3.get(
      { Bucket, Key: 'indexed' },
      { maxBuffered: partSize, transport, onRetry: (retry) => again.push(retry) },
    );
    assert.ok((await bytesOf(body)).equals(content));
    assert.equal(again.length, 1);
    await endpoint.local.requests.settled();
    const gets = endpoint.local.requests.all('GetObject').filter(({ key }) => key === 'indexed');
    // The client puts the host last, who leaves without it first.
    if (transport === 'client') assert.ok(gets.every(({ headers }) => Object.keys(headers)[0] !== 'host'));
  }
});

test('ranges of a bucket in another region come by the client where it follows there, and the workers do not', async (t) => {
  const keyring = aesKeyring({ key: randomBytes(32) });
  const encrypt = createEncryptStream({ keyring });
  const stored = await through(encrypt, [content]);
  const metadata = Object.fromEntries(
    Object.entries(await encrypt.envelope).map(([name, value]) => [`x-amz-meta-${name}`, value]),
  );
  const server = await RecordingServer.start(({ headers }) => {
    if (!headers.authorization?.includes('/eu-west-1/s3/')) {
      const { headers: type, body } = s3Error('PermanentRedirect');
      return { status: 301, headers: { ...type, 'x-amz-bucket-region': 'eu-west-1' }, body: body as string };
    }
    const [, start = 0, last = 0] = (/^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? []).map(Number);
    const body = stored.subarray(start, last + 1);
    const range = `bytes ${start}-${start + body.length - 1}/${stored.length}`;
    const described = { etag: '"e"', 'content-range': range, 'content-length': String(body.length) };
    return { status: 206, headers: { ...metadata, ...described }, body };
  });
  t.after(() => server.close());
  const read = (followRegionRedirects: boolean): EncryptedS3 =>
    new EncryptedS3({ client: server.client({ followRegionRedirects, maxAttempts: 1 }), keyring });
  const options = { concurrency: 2, partSize, workers: 1, transport: 'workers' } as const;
  const address = { Bucket: 'b', Key: 'k' };
  await read(true).download(address, target, options);
  assert.ok(readFileSync(target).equals(content));
  const { body } = await read(true).get(address, options);
  assert.ok((await bytesOf(body)).equals(content));
  const error = await rejection(read(false).download(address, target, options));
  assert.ok(failure('REQUEST_REJECTED', /another region/)(error));
});
