/** The last step of an upload, cut off at the wrong moment: what was there before has to stay readable, or what is there now. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { CopyObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { withEncryption } from '../../src/objects/with-encryption/with-encryption.ts';
import { Bucket, bytesOf, TestEndpoint } from '../support/endpoint.ts';
import { failure, rejection } from '../support/failure.ts';

let endpoint: TestEndpoint;
before(async () => {
  endpoint = await TestEndpoint.start();
});
beforeEach(() => endpoint.local.faults.clear());
after(() => endpoint.close());

const read = async (Key: string): Promise<string> =>
  bytesOf((await endpoint.encrypted().get({ Bucket, Key })).body).then(String);

/** Uploads, and aborts as soon as a request has arrived that the fault holds back. */
async function abortedUpload(
  Key: string,
  storage: 'metadata' | 'instruction-file',
  fault: { readonly hits: number },
): Promise<unknown> {
  const upload = endpoint.encrypted({ storage }).upload({ Bucket, Key, Body: 'new' });
  const done = upload.done().then(
    () => 'done',
    (error: unknown) => error,
  );
  while (fault.hits === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await upload.abort();
  return done;
}

for (const storage of ['metadata', 'instruction-file'] as const) {
  describe(`with the envelope in the ${storage}`, () => {
    test('a PUT under way at an abort is awaited: what it did is what is told', { timeout: 60_000 }, async () => {
      const Key = `awaited-${storage}`;
      await endpoint.encrypted({ storage }).upload({ Bucket, Key, Body: 'old' }).done();
      const fault = endpoint.local.faults.add({ operation: 'PutObject', key: Key, delay: 600 });
      assert.equal(await abortedUpload(Key, storage, fault), 'done');
      assert.equal(await read(Key), 'new');
    });

    test('an abort before the PUT leaves the old object, readable', { timeout: 60_000 }, async () => {
      const Key = `before-${storage}`;
      await endpoint.encrypted({ storage }).upload({ Bucket, Key, Body: 'old' }).done();
      const fault = endpoint.local.faults.add({ operation: 'KMS.GenerateDataKey', delay: 600 });
      assert.ok(failure('ABORTED')(await abortedUpload(Key, storage, fault)));
      assert.equal(await read(Key), 'old');
    });
  });
}

test('an abort while the instruction file is written puts the old one back', { timeout: 60_000 }, async () => {
  const Key = 'between';
  await endpoint.encrypted({ storage: 'instruction-file' }).upload({ Bucket, Key, Body: 'old' }).done();
  const old = await endpoint.stored(`${Key}.instruction`);
  const fault = endpoint.local.faults.add({ operation: 'PutObject', key: `${Key}.instruction`, delay: 600 });
  assert.ok(failure('ABORTED')(await abortedUpload(Key, 'instruction-file', fault)));
  assert.equal(await read(Key), 'old');
  assert.deepEqual(await endpoint.stored(`${Key}.instruction`), old);
});

test('an instruction file whose answer is always lost is recognised, and the object stored', async () => {
  const Key = 'lost-file';
  const s3 = endpoint.encrypted({ storage: 'instruction-file' });
  await s3.upload({ Bucket, Key, Body: 'old' }).done();
  endpoint.local.faults.add({ operation: 'PutObject', key: `${Key}.instruction`, loseAnswer: true, times: 'always' });
  await s3.upload({ Bucket, Key, Body: 'new' }).done();
  assert.equal(await read(Key), 'new');
});

test('an instruction file whose answer never comes is sent again', { timeout: 60_000 }, async () => {
  const Key = 'silent-file';
  const s3 = endpoint.encrypted({ storage: 'instruction-file' });
  endpoint.local.faults.add({ operation: 'PutObject', key: `${Key}.instruction`, stallRequestAfter: 10 });
  await s3.upload({ Bucket, Key, Body: 'new' }, { partTimeout: 1500 }).done();
  assert.equal(await read(Key), 'new');
});

test('with If-None-Match, a lost answer to the instruction file is not taken for another writer', async () => {
  const Key = 'created';
  endpoint.local.faults.add({ operation: 'PutObject', key: `${Key}.instruction`, loseAnswer: true });
  await endpoint
    .encrypted({ storage: 'instruction-file' })
    .upload({ Bucket, Key, Body: 'new', IfNoneMatch: '*' })
    .done();
  assert.equal(await read(Key), 'new');
});

test('an instruction file that cannot be written leaves the old object as it was', async () => {
  const Key = 'refused';
  const s3 = endpoint.encrypted({ storage: 'instruction-file' });
  await s3.upload({ Bucket, Key, Body: 'old' }).done();
  endpoint.local.faults.add({ operation: 'PutObject', key: `${Key}.instruction`, status: 500, times: 'always' });
  assert.ok(failure('S3_UNAVAILABLE')(await rejection(s3.upload({ Bucket, Key, Body: 'new' }).done())));
  endpoint.local.faults.clear();
  assert.equal(await read(Key), 'old');
});

test('PutObject of withEncryption whose answer is always lost leaves object and instruction file together', async () => {
  const Key = 'wrapped';
  // The SDK's own repeats, the answers to all of which are lost.
  const client = withEncryption(new S3Client({ ...endpoint.local.s3Config, maxAttempts: 2 }), {
    keyring: endpoint.keyring,
    storage: 'instruction-file',
  });
  await client.send(new PutObjectCommand({ Bucket, Key, Body: 'old' }));
  endpoint.local.faults.add({ operation: 'PutObject', key: Key, loseAnswer: true, times: 2 });
  const { ETag } = await client.send(new PutObjectCommand({ Bucket, Key, Body: 'new' }));
  assert.equal(ETag, (await endpoint.encrypted().head({ Bucket, Key })).etag);
  assert.equal(await read(Key), 'new');
  endpoint.local.faults.add({ operation: 'PutObject', key: Key, status: 500, times: 2 });
  await assert.rejects(client.send(new PutObjectCommand({ Bucket, Key, Body: 'third' })));
  assert.equal(await read(Key), 'new');
});

test('a copy whose answer is always lost keeps its instruction file', async () => {
  const client = withEncryption(new S3Client({ ...endpoint.local.s3Config, maxAttempts: 2 }), {
    keyring: endpoint.keyring,
    storage: 'instruction-file',
  });
  await client.send(new PutObjectCommand({ Bucket, Key: 'source', Body: 'copied' }));
  await client.send(new PutObjectCommand({ Bucket, Key: 'target', Body: 'old' }));
  endpoint.local.faults.add({ operation: 'CopyObject', loseAnswer: true, times: 2 });
  await client.send(new CopyObjectCommand({ Bucket, Key: 'target', CopySource: `${Bucket}/source` }));
  assert.equal(await read('target'), 'copied');
  endpoint.local.faults.add({ operation: 'CopyObject', status: 500, times: 2 });
  await client.send(new PutObjectCommand({ Bucket, Key: 'source', Body: 'another' }));
  await assert.rejects(client.send(new CopyObjectCommand({ Bucket, Key: 'target', CopySource: `${Bucket}/source` })));
  assert.equal(await read('target'), 'copied');
});

test('a key that leaves no room for an instruction file is read, deleted, and refused for writing one', async () => {
  const s3 = endpoint.encrypted();
  const Key = `${'k'.repeat(1020)}ä`;
  await s3.upload({ Bucket, Key, Body: 'new' }).done();
  assert.equal(await read(Key), 'new');
  assert.throws(() => s3.upload({ Bucket, Key, Body: 'x' }, { storage: 'instruction-file' }), {
    name: 'RangeError',
    message: /instruction file has 1034 bytes/,
  });
  assert.throws(() => s3.upload({ Bucket, Key: `${Key}abc`, Body: 'x' }), {
    name: 'RangeError',
    message: /1025 bytes/,
  });
  await endpoint.store(Key, 'plaintext');
  assert.ok(failure('NOT_ENCRYPTED')(await rejection(s3.get({ Bucket, Key }))));
  assert.deepEqual(await s3.delete({ Bucket, Key }), { deleted: [Key], companions: [], failed: [] });
  assert.ok(failure('OBJECT_NOT_FOUND')(await rejection(s3.get({ Bucket, Key }))));
});

test('metadata that S3 would change or refuse is refused before anything is asked for', async () => {
  const counts = await endpoint.requestsOf(async () => {
    for (const Metadata of [{ 'a b': '1' }, { a: '漢字' }, { 'x-amz-iv': '1' }, { a: 1 as never }])
      assert.throws(() => endpoint.encrypted().upload({ Bucket, Key: 'k', Body: 'x', Metadata }), TypeError);
  });
  assert.deepEqual(counts, {});
});
