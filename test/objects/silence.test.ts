/** Services that accept a request and never answer it: each has to end in an error or a second try, none may hang. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { kmsKeyring } from '../../src/keyrings/kms.ts';
import { kmsDiscoveryKeyring } from '../../src/keyrings/kms-discovery.ts';
import { Bucket, bytesOf, TestEndpoint } from '../support/endpoint.ts';
import { failure, rejection } from '../support/failure.ts';

let endpoint: TestEndpoint;
before(async () => {
  endpoint = await TestEndpoint.start();
  await endpoint.encrypted().upload({ Bucket, Key: 'object', Body: 'content' }).done();
  await endpoint.encrypted({ storage: 'instruction-file' }).upload({ Bucket, Key: 'filed', Body: 'content' }).done();
});
beforeEach(() => {
  endpoint.local.faults.clear();
  endpoint.local.requests.clear();
});
after(() => endpoint.close());

const quick = { idleTimeout: 1000 };

test('a GET that is never answered is a network error, though its connection stands', { timeout: 60_000 }, async () => {
  endpoint.local.faults.add({ operation: 'GetObject', stallRequestAfter: 0, times: 'always' });
  const error = await rejection(endpoint.encrypted().get({ Bucket, Key: 'object' }, quick));
  assert.ok(failure('NETWORK', /GetObject of s3:\/\/test-bucket\/object was not answered within 1000 ms/)(error));
  assert.equal(error.retryable, true);
});

for (const [what, fault] of [
  ['never comes', { stallResponseAfter: 0 }],
  ['stops in the middle', { stallResponseAfter: 20 }],
  ['is cut', { resetResponseAfter: 20 }],
  ['ends early', { truncateAfter: 20 }],
  ['is refused for now', { status: 503 }],
] as const) {
  test(`an instruction file whose answer ${what} is asked for again`, { timeout: 60_000 }, async () => {
    endpoint.local.faults.add({ operation: 'GetObject', key: 'filed.instruction', ...fault });
    const { body } = await endpoint.encrypted().get({ Bucket, Key: 'filed' }, quick);
    assert.equal((await bytesOf(body)).toString(), 'content');
    assert.equal(endpoint.local.requests.all('GetObject').filter(({ key }) => key === 'filed.instruction').length, 2);
  });
}

test('an instruction file that never comes ends in an error after five tries', { timeout: 60_000 }, async () => {
  endpoint.local.faults.add({
    operation: 'GetObject',
    key: 'filed.instruction',
    resetResponseAfter: 0,
    times: 'always',
  });
  const error = await rejection(endpoint.encrypted().get({ Bucket, Key: 'filed' }, quick));
  assert.ok(failure('NETWORK')(error));
  await endpoint.local.requests.settled();
  assert.equal(endpoint.local.requests.all('GetObject').filter(({ key }) => key === 'filed.instruction').length, 5);
});

test('a condition on an object is not taken for one on its instruction file', async () => {
  const { etag } = await endpoint.encrypted().head({ Bucket, Key: 'filed' });
  const { body } = await endpoint.encrypted().get({ Bucket, Key: 'filed', IfMatch: etag });
  assert.equal((await bytesOf(body)).toString(), 'content');
});

test('the rest of a broken download that is not answered is asked for again, and given up after five times', {
  timeout: 60_000,
}, async () => {
  const bytes = Buffer.alloc(1_000_000, 7);
  await endpoint.encrypted().upload({ Bucket, Key: 'long', Body: bytes }).done();
  endpoint.local.faults.set([
    { operation: 'GetObject', resetResponseAfter: 300_000 },
    { operation: 'GetObject', stallRequestAfter: 0 },
  ]);
  const { body } = await endpoint.encrypted().get({ Bucket, Key: 'long' }, quick);
  assert.ok((await bytesOf(body)).equals(bytes));
  endpoint.local.faults.set([
    { operation: 'GetObject', resetResponseAfter: 300_000 },
    { operation: 'GetObject', stallRequestAfter: 0, times: 'always' },
  ]);
  const dead = await endpoint.encrypted().get({ Bucket, Key: 'long' }, { idleTimeout: 500 });
  assert.ok(failure('NETWORK', /broke off at byte \d+, and 5 attempts/)(await rejection(bytesOf(dead.body))));
});

test('an abort that is not answered is sent again, and nothing of the upload is left', {
  timeout: 60_000,
}, async () => {
  endpoint.local.faults.set([
    { operation: 'UploadPart', status: 403, code: 'AccessDenied' },
    { operation: 'AbortMultipartUpload', stallRequestAfter: 0 },
  ]);
  const Body = (async function* () {
    yield Buffer.alloc(6 * 1024 * 1024);
  })();
  const upload = endpoint.encrypted().upload({ Bucket, Key: 'given-up', Body }, { partSize: 5 * 1024 * 1024 });
  const error = await rejection(upload.done());
  assert.ok(failure('ACCESS_DENIED')(error));
  assert.doesNotMatch(error.message, /did not confirm/);
  await endpoint.assertNoUploads('given-up');
});

test('a KMS that never answers is given up, writing and reading', { timeout: 60_000 }, async () => {
  endpoint.local.faults.add({ operation: 'KMS.*', stallResponseAfter: 0, times: 'always' });
  const client = endpoint.kms;
  const one = endpoint.encrypted({ keyring: kmsKeyring({ keyId: 'alias/sealpipe', client, timeout: 200 }) });
  const any = endpoint.encrypted({
    keyring: kmsDiscoveryKeyring({ accounts: ['000000000000'], client, timeout: 200 }),
  });
  for (const attempt of [
    one.upload({ Bucket, Key: 'new', Body: 'x' }).done(),
    one.get({ Bucket, Key: 'object' }),
    any.get({ Bucket, Key: 'object' }),
  ]) {
    const error = await rejection(attempt);
    assert.ok(failure('KMS_UNAVAILABLE', /was not answered within 200 ms/)(error));
    assert.equal(error.retryable, true);
  }
});

test('a timeout that is none is refused at once', () => {
  for (const timeout of [0, -1, Number.NaN]) {
    assert.throws(() => kmsKeyring({ keyId: 'k', client: endpoint.kms, timeout }), RangeError);
    assert.throws(() => kmsDiscoveryKeyring({ accounts: ['000000000000'], client: endpoint.kms, timeout }), RangeError);
  }
});
