/** Who may read, write and delete objects, but not list their bucket: what is not there is denied to them. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { CopyObjectCommand, DeleteObjectCommand, PutBucketPolicyCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { Bucket, bytesOf, TestEndpoint } from '../support/endpoint.ts';
import { failure, rejection } from '../support/failure.ts';

let endpoint: TestEndpoint;
before(async () => {
  endpoint = await TestEndpoint.start();
});
beforeEach(() => deny([]));
after(() => endpoint.close());

/** Denies listing, and reading of some keys. */
async function deny(keys: readonly string[]): Promise<void> {
  const arn = `arn:aws:s3:::${Bucket}`;
  const statements = [
    { Effect: 'Deny', Principal: '*', Action: 's3:ListBucket', Resource: arn },
    ...keys.map((key) => ({ Effect: 'Deny', Principal: '*', Action: 's3:GetObject', Resource: `${arn}/${key}` })),
  ];
  const Policy = JSON.stringify({ Version: '2012-10-17', Statement: statements });
  await endpoint.client.send(new PutBucketPolicyCommand({ Bucket, Policy }));
}

const read = async (Key: string): Promise<string> =>
  bytesOf((await endpoint.encrypted().get({ Bucket, Key })).body).then(String);
const isThere = (Key: string): Promise<boolean> =>
  endpoint.stored(Key).then(
    () => true,
    () => false,
  );

test('what is not there is denied by the endpoint, as by S3', async () => {
  assert.ok(failure('ACCESS_DENIED')(await rejection(endpoint.encrypted().get({ Bucket, Key: 'nothing' }))));
});

test('deleting goes on without companions that are not there, and takes along those that are', async () => {
  const s3 = endpoint.encrypted();
  for (const storage of ['metadata', 'instruction-file'] as const) {
    const options = { storage, segmentIndex: storage === 'instruction-file' };
    for (const Key of ['one', 'two']) await s3.upload({ Bucket, Key, Body: 'content' }, options).done();
    await s3.delete({ Bucket, Key: 'one' });
    await s3.deleteMany({ Bucket, Keys: ['two'] });
    for (const Key of ['one', 'two'])
      for (const key of [Key, `${Key}.instruction`, `.${Key}.segments`])
        assert.equal(await isThere(key), false, `${key} of the ${storage}`);
  }
  await endpoint.encrypting().send(new PutObjectCommand({ Bucket, Key: 'three', Body: 'content' }));
  await endpoint.encrypting().send(new DeleteObjectCommand({ Bucket, Key: 'three' }));
  assert.equal(await isThere('three'), false);
});

test('objects with an instruction file and an index are written, and overwritten', async () => {
  const s3 = endpoint.encrypted({ storage: 'instruction-file' });
  for (const Body of ['old', 'new']) {
    await s3.upload({ Bucket, Key: 'both', Body }, { segmentIndex: true }).done();
    assert.equal(await read('both'), Body);
    const by = endpoint.encrypting({ storage: 'instruction-file', segmentIndex: true });
    await by.send(new PutObjectCommand({ Bucket, Key: 'by-client', Body }));
    assert.equal(await read('by-client'), Body);
    assert.ok(await isThere('.by-client.segments'));
  }
  await s3.upload({ Bucket, Key: 'created', Body: 'new', IfNoneMatch: '*' }, { segmentIndex: true }).done();
  const again = s3.upload({ Bucket, Key: 'created', Body: 'newer', IfNoneMatch: '*' }, { segmentIndex: true });
  assert.ok(failure('PRECONDITION_FAILED')(await rejection(again.done())));
  assert.equal(await read('created'), 'new');
});

test('a lost answer to a companion is recognised there, too', async () => {
  const s3 = endpoint.encrypted({ storage: 'instruction-file' });
  for (const key of ['lost.instruction', '.lost.segments'])
    endpoint.local.faults.add({ operation: 'PutObject', key, loseAnswer: true });
  await s3.upload({ Bucket, Key: 'lost', Body: 'content' }, { segmentIndex: true }).done();
  assert.equal(await read('lost'), 'content');
});

test('an object with an index is copied', async () => {
  const by = endpoint.encrypting({ segmentIndex: true });
  await by.send(new PutObjectCommand({ Bucket, Key: 'source', Body: 'content' }));
  await by.send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/source` }));
  assert.equal(await read('copy'), 'content');
  assert.ok(await isThere('.copy.segments'));
});

test('a companion that may not be read is not overwritten: it may hold the only key of an object', async () => {
  const s3 = endpoint.encrypted({ storage: 'instruction-file' });
  await s3.upload({ Bucket, Key: 'kept', Body: 'old' }, { segmentIndex: true }).done();
  await deny(['kept.instruction']);
  const refused = await rejection(s3.upload({ Bucket, Key: 'kept', Body: 'new' }).done());
  assert.ok(failure('ACCESS_DENIED', /kept\.instruction is there.*not overwritten; allow s3:GetObject/)(refused));
  await deny(['.kept.segments']);
  const again = s3.upload({ Bucket, Key: 'kept', Body: 'new' }, { segmentIndex: true });
  assert.ok(failure('ACCESS_DENIED')(await rejection(again.done())));
  await deny([]);
  assert.equal(await read('kept'), 'old');
});
