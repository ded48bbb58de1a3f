import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, before, beforeEach, test } from 'node:test';
import { CopyObjectCommand } from '@aws-sdk/client-s3';
import { SealpipeError } from '../../src/errors.ts';
import { Bucket, bytesOf, rejection, TestEndpoint } from '../support/endpoint.ts';

const MiB = 1024 * 1024;
const content = randomBytes(8 * MiB + 321);
const folder = mkdtempSync(join(tmpdir(), 'sealpipe-download-'));
let endpoint: TestEndpoint;

before(async () => {
  endpoint = await TestEndpoint.start();
  await endpoint.encrypted().upload({ Bucket, Key: 'object', Body: content }).done();
});
beforeEach(() => {
  endpoint.local.faults.clear();
  endpoint.local.requests.clear();
});
after(async () => {
  await endpoint.close();
  rmSync(folder, { recursive: true });
});

const code = (error: unknown): string =>
  error instanceof SealpipeError ? error.code.replace('ERR_SEALPIPE_', '') : String(error);
const leftovers = (): string[] => readdirSync(folder).filter((name) => name.endsWith('.sealpipe'));

test('a download that is cut at ten random points still ends authenticated, in eleven GETs', async () => {
  const rules = Array.from({ length: 10 }, () => ({
    operation: 'GetObject',
    resetResponseAfter: 1 + Math.floor(Math.random() * 700_000),
  }));
  endpoint.local.faults.set(rules);
  const target = join(folder, 'cut');
  await endpoint.encrypted().download({ Bucket, Key: 'object' }, target);
  await endpoint.local.requests.settled();
  assert.ok(readFileSync(target).equals(content));
  assert.equal(endpoint.local.requests.count('GetObject'), 11);
  assert.deepEqual(endpoint.local.requests.counts(), { GetObject: 11, 'KMS.Decrypt': 1 });
  const [first, ...rest] = endpoint.local.requests.all('GetObject');
  assert.equal(first?.range, undefined);
  assert.ok(rest.every(({ range, headers }) => /^bytes=\d+-$/.test(range ?? '') && headers['if-match'] !== undefined));
});

test('a connection that is cut while KMS is asked, before anybody reads from it, is mended like any other', async () => {
  endpoint.local.faults.set([
    { operation: 'KMS.Decrypt', delay: 300 },
    { operation: 'GetObject', resetResponseAfter: 100_000 },
  ]);
  const target = join(folder, 'cut-early');
  await endpoint.encrypted().download({ Bucket, Key: 'object' }, target, { signal: AbortSignal.timeout(20_000) });
  assert.ok(readFileSync(target).equals(content));
});

test('orderly closes, stalls and drips are mended like cuts', async () => {
  endpoint.local.faults.set([
    { operation: 'GetObject', truncateAfter: 1_000_000 },
    { operation: 'GetObject', stallResponseAfter: 500_000, stallMs: 20_000 },
    { operation: 'GetObject', status: 503 },
  ]);
  const { body } = await endpoint.encrypted().get({ Bucket, Key: 'object' }, { idleTimeout: 1500 });
  assert.ok((await bytesOf(body)).equals(content));
  assert.equal(endpoint.local.requests.count('GetObject'), 4);
});

test('five failures in a row without a new byte end the download', async () => {
  endpoint.local.faults.set([
    { operation: 'GetObject', resetResponseAfter: 1_000_000 },
    { operation: 'GetObject', times: 'always', status: 500 },
  ]);
  const target = join(folder, 'dead');
  const error = await rejection(endpoint.encrypted().download({ Bucket, Key: 'object' }, target));
  assert.equal(code(error), 'S3_UNAVAILABLE');
  assert.equal((error as SealpipeError).statusCode, 500);
  assert.equal(endpoint.local.requests.count('GetObject'), 6);
  assert.equal((error as SealpipeError).retryable, true);
  assert.equal(existsSync(target), false);
  assert.deepEqual(leftovers(), []);
});

test('an object that is overwritten in the middle of a download is an error, not a mixture', async () => {
  await endpoint.encrypted().upload({ Bucket, Key: 'changing', Body: content }).done();
  endpoint.local.faults.set([
    { operation: 'GetObject', resetResponseAfter: 3_000_000 },
    { operation: 'GetObject', delay: 1000 },
  ]);
  const { body } = await endpoint.encrypted().get({ Bucket, Key: 'changing' }, { release: 'delayed' });
  await endpoint
    .encrypted()
    .upload({ Bucket, Key: 'changing', Body: randomBytes(content.length) })
    .done();
  assert.equal(code(await rejection(bytesOf(body))), 'OBJECT_CHANGED');
});

test('a release or limit that is none is refused before anything is asked for', async () => {
  const wrong = [
    [{ release: 'delay' }, TypeError],
    [{ release: 'delay', concurrency: 2 }, TypeError],
    [{ maxBuffered: Number.NaN }, RangeError],
    [{ maxBuffered: '64MiB' }, RangeError],
    [{ maxBuffered: -1 }, RangeError],
  ] as const;
  for (const [options, kind] of wrong) {
    const s3 = endpoint.encrypted();
    await assert.rejects(s3.get({ Bucket, Key: 'object' }, options as never), kind);
    await assert.rejects(bytesOf(s3.createReadStream({ Bucket, Key: 'object' }, options as never)), kind);
    if (!('concurrency' in options)) assert.throws(() => endpoint.encrypting(options as never), kind);
  }
  await endpoint.local.requests.settled();
  assert.deepEqual(endpoint.local.requests.counts(), {});
});

test('a byte flipped on the way is an authentication error, and is not asked for again', async () => {
  for (const flipByteAt of [0, 12_345, content.length - 1, content.length, content.length + 15]) {
    endpoint.local.faults.set([{ operation: 'GetObject', flipByteAt }]);
    endpoint.local.requests.clear();
    const target = join(folder, 'flipped');
    writeFileSync(target, 'what was there before');
    const error = await rejection(endpoint.encrypted().download({ Bucket, Key: 'object' }, target));
    assert.equal(code(error), 'AUTHENTICATION_FAILED');
    assert.equal((error as SealpipeError).retryable, false);
    assert.equal(endpoint.local.requests.count('GetObject'), 1);
    assert.equal(readFileSync(target, 'latin1'), 'what was there before');
    assert.deepEqual(leftovers(), []);
  }
});

test('nothing is released before it is authenticated, unless asked for by name', async () => {
  endpoint.local.faults.set([{ operation: 'GetObject', flipByteAt: content.length + 3, times: 'always' }]);
  const released = async (release: 'authenticated' | 'delayed'): Promise<number> => {
    let bytes = 0;
    const { body } = await endpoint.encrypted().get({ Bucket, Key: 'object' }, { release });
    const sink = new Writable({
      write(chunk: Buffer, _encoding, callback) {
        bytes += chunk.length;
        callback();
      },
    });
    assert.equal(code(await rejection(pipeline(body, sink))), 'AUTHENTICATION_FAILED');
    return bytes;
  };
  assert.equal(await released('authenticated'), 0);
  assert.ok((await released('delayed')) > content.length - MiB);
});

test('an object that is too large to be held back is refused before its body is read, and the error says what to do', async () => {
  const counts = await endpoint.requestsOf(async () => {
    const error = await rejection(endpoint.encrypted().get({ Bucket, Key: 'object' }, { maxBuffered: MiB }));
    assert.equal(code(error), 'BUFFER_LIMIT');
    assert.match((error as Error).message, /delayed|file|maxBuffered/);
  });
  assert.deepEqual(counts, { GetObject: 2 });
});

test('a key that does not open fails the call itself; a stream fails when it is read', async () => {
  endpoint.local.faults.set([
    { operation: 'KMS.Decrypt', status: 400, code: 'AccessDeniedException', times: 'always' },
  ]);
  assert.equal(code(await rejection(endpoint.encrypted().get({ Bucket, Key: 'object' }))), 'KEY_DENIED');
  assert.equal(
    code(await rejection(bytesOf(endpoint.encrypted().createReadStream({ Bucket, Key: 'object' })))),
    'KEY_DENIED',
  );
});

test('what is missing is told apart: object, bucket, folder, and what is no file', async () => {
  const s3 = endpoint.encrypted();
  assert.equal(code(await rejection(s3.get({ Bucket, Key: 'none' }))), 'OBJECT_NOT_FOUND');
  assert.equal(code(await rejection(s3.get({ Bucket: 'no-such-bucket', Key: 'none' }))), 'BUCKET_NOT_FOUND');
  assert.equal(code(await rejection(s3.head({ Bucket: 'no-such-bucket', Key: 'none' }))), 'BUCKET_NOT_FOUND');
  endpoint.local.requests.clear();
  assert.equal(
    code(await rejection(s3.download({ Bucket, Key: 'object' }, join(folder, 'no', 'folder')))),
    'TARGET_FAILED',
  );
  mkdirSync(join(folder, 'directory'), { recursive: true });
  assert.equal(
    code(await rejection(s3.download({ Bucket, Key: 'object' }, join(folder, 'directory')))),
    'TARGET_FAILED',
  );
  assert.equal(code(await rejection(s3.download({ Bucket, Key: 'object' }, '/dev/null'))), 'TARGET_FAILED');
  assert.equal(endpoint.local.requests.length, 0, 'a target that cannot be written to cost a request');
});

test('a downloaded file is private, and a link to a file stays a link', async () => {
  const target = join(folder, 'linked-to');
  writeFileSync(target, 'old');
  symlinkSync(target, join(folder, 'link'));
  await endpoint.encrypted().download({ Bucket, Key: 'object' }, join(folder, 'link'));
  assert.ok(lstatSync(join(folder, 'link')).isSymbolicLink());
  assert.ok(readFileSync(target).equals(content));
  assert.equal(statSync(target).mode & 0o777, 0o600);
});

test('an aborted download leaves no file', async () => {
  endpoint.local.faults.set([{ operation: 'GetObject', dripBytesPerSecond: 1_000_000 }]);
  const target = join(folder, 'aborted');
  const error = await rejection(
    endpoint.encrypted().download({ Bucket, Key: 'object' }, target, { signal: AbortSignal.timeout(200) }),
  );
  assert.equal(code(error), 'ABORTED');
  assert.equal(existsSync(target), false);
  assert.deepEqual(leftovers(), []);
});

test('a reader that stops early closes its connection', async () => {
  const stream = endpoint.encrypted().createReadStream({ Bucket, Key: 'object' }, { release: 'delayed' });
  for await (const chunk of stream) {
    assert.ok((chunk as Buffer).length > 0);
    break;
  }
  await endpoint.local.requests.settled();
  assert.ok(stream.destroyed);
});

test('a slow reader slows the sender down instead of filling the memory', async () => {
  const { body } = await endpoint.encrypted().get({ Bucket, Key: 'object' }, { release: 'delayed' });
  body.once('data', () => body.pause());
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.ok(body.readableLength <= 2 * MiB, `${body.readableLength} bytes wait`);
  body.destroy();
});

test('instruction files: overwritten with their object, put back when that fails, removed with it, hidden beside it', async () => {
  const s3 = endpoint.encrypted({ storage: 'instruction-file' });
  const read = async (): Promise<string> => (await bytesOf((await s3.get({ Bucket, Key: 'guarded' })).body)).toString();
  await s3.upload({ Bucket, Key: 'guarded', Body: 'first' }).done();
  await s3.upload({ Bucket, Key: 'guarded', Body: 'second' }).done();
  assert.equal(await read(), 'second');

  const before = await endpoint.stored('guarded.instruction');
  endpoint.local.faults.set([{ operation: 'PutObject', key: 'guarded', status: 403, code: 'AccessDenied' }]);
  assert.equal(code(await rejection(s3.upload({ Bucket, Key: 'guarded', Body: 'third' }).done())), 'ACCESS_DENIED');
  assert.deepEqual(await endpoint.stored('guarded.instruction'), before);
  assert.equal(await read(), 'second');

  endpoint.local.faults.set([{ operation: 'PutObject', key: 'new', status: 403, code: 'AccessDenied' }]);
  assert.equal(code(await rejection(s3.upload({ Bucket, Key: 'new', Body: 'x' }).done())), 'ACCESS_DENIED');
  assert.equal(code(await rejection(endpoint.stored('new.instruction'))) !== '', true);
  const listed: string[] = [];
  for await (const { key } of s3.list({ Bucket, Prefix: 'guarded' })) listed.push(key);
  assert.deepEqual(listed, ['guarded']);
  const all: string[] = [];
  for await (const { key } of s3.list({ Bucket, Prefix: 'guarded' }, { companions: true })) all.push(key);
  assert.deepEqual(all, ['guarded', 'guarded.instruction']);
  assert.deepEqual(await s3.delete({ Bucket, Key: 'guarded' }), {
    deleted: ['guarded', 'guarded.instruction'],
    companions: ['guarded.instruction'],
    failed: [],
  });
});

test('an object named like an instruction file that is none is not deleted as a companion, nor overwritten', async () => {
  await endpoint.store('k.instruction', 'a file of its own');
  await endpoint.encrypted().upload({ Bucket, Key: 'k', Body: 'x' }).done();
  assert.deepEqual((await endpoint.encrypted().delete({ Bucket, Key: 'k' })).deleted, ['k']);
  assert.equal((await endpoint.stored('k.instruction')).body.toString(), 'a file of its own');
  const error = await rejection(
    endpoint.encrypted({ storage: 'instruction-file' }).upload({ Bucket, Key: 'k', Body: 'x' }).done(),
  );
  assert.equal(code(error), 'COMMAND_REFUSED');
});

test('many objects are deleted with their instruction files in few requests', async () => {
  const s3 = endpoint.encrypted({ storage: 'instruction-file' });
  const Keys = ['many/a', 'many/b', 'many/c'];
  for (const Key of Keys) await s3.upload({ Bucket, Key, Body: 'x' }).done();
  const counts = await endpoint.requestsOf(async () => {
    const { deleted, companions, failed } = await s3.deleteMany({ Bucket, Keys });
    assert.deepEqual([deleted.length, companions.length, failed.length], [6, 3, 0]);
  });
  assert.deepEqual(counts, { HeadObject: 3, GetObject: 3, DeleteObjects: 2 });
});

test('listing a thousand objects costs one LIST, with lengths that are a bound, or exact under the promise of GCM', async () => {
  await endpoint
    .encrypted()
    .upload({ Bucket, Key: 'thousand/0000', Body: 'x'.repeat(100) })
    .done();
  const copies = Array.from({ length: 999 }, (_, i) => `thousand/${String(i + 1).padStart(4, '0')}`);
  for (let i = 0; i < copies.length; i += 50) {
    await Promise.all(
      copies
        .slice(i, i + 50)
        .map((Key) =>
          endpoint.client.send(new CopyObjectCommand({ Bucket, Key, CopySource: `${Bucket}/thousand/0000` })),
        ),
    );
  }
  for (const contents of [undefined, 'gcm'] as const) {
    const counts = await endpoint.requestsOf(async () => {
      let count = 0;
      for await (const entry of endpoint.encrypted().list({ Bucket, Prefix: 'thousand/' }, { contents })) {
        count += 1;
        assert.deepEqual(
          [entry.plaintextSize, entry.storedSize, entry.exact, entry.basis],
          [100, 116, contents === 'gcm', contents === 'gcm' ? 'gcm' : 'assumed-gcm'],
        );
      }
      assert.equal(count, 1000);
    });
    assert.deepEqual(counts, { ListObjectsV2: 1 });
  }
});
