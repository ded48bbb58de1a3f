/** Mistakes of a caller: a TypeError or RangeError that names what is wrong, at once and before any request. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import {
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { createDecryptStream, createEncryptStream, kmsDiscoveryKeyring, kmsKeyring } from '../src/index.ts';
import { aesKeyring } from '../src/keyrings/aes.ts';
import { withEncryption } from '../src/objects/with-encryption/with-encryption.ts';
import { Bucket, TestEndpoint } from './support/endpoint.ts';

let endpoint: TestEndpoint;
before(async () => {
  endpoint = await TestEndpoint.start();
});
after(() => endpoint.close());

const keyring = aesKeyring({ key: randomBytes(32) });
const wrong = <T>(value: unknown): T => value as T;

test('switches of a read policy that are no switches are refused everywhere: they would be taken for off', () => {
  for (const [policy, message] of [
    [{ legacy: 'yes' }, /^legacy is no object/],
    [{ legacy: { wrappingAlgorithms: 'yes' } }, /^legacy.wrappingAlgorithms is "yes", expected true or false/],
    [{ legacy: { unauthenticatedModes: 1 } }, /^legacy.unauthenticatedModes is 1/],
    [{ instructionFiles: 'no' }, /^instructionFiles is "no"/],
    [{ instructionSuffix: '' }, /^instructionSuffix is empty/],
    [{ plaintext: true }, /^plaintext is true/],
    [{ commitmentPolicy: 'NONE' }, /^commitmentPolicy is "NONE"/],
  ] as const) {
    const error = { name: 'TypeError', message };
    assert.throws(() => endpoint.encrypted(wrong(policy)), error);
    assert.throws(() => withEncryption(endpoint.client, { keyring, ...wrong<object>(policy) }), error);
    assert.throws(() => createDecryptStream({ keyring, envelope: {}, ...wrong<object>(policy) }), error);
  }
});

test('an envelope that is no map of strings is refused, as a context or a description is', () => {
  for (const envelope of [undefined, null, 'x-amz-3', new Map([['x-amz-3', '']]), { 'x-amz-c': 115 }])
    assert.throws(() => createDecryptStream({ keyring, envelope: wrong(envelope) }), {
      name: 'TypeError',
      message: /^envelope/,
    });
  for (const map of [['a'], { a: 1 }, 'a=b']) {
    assert.throws(() => createEncryptStream({ keyring, materialsDescription: wrong(map) }), TypeError);
    assert.throws(() => createEncryptStream({ keyring, encryptionContext: wrong(map) }), TypeError);
    assert.throws(
      () => endpoint.encrypted().upload({ Bucket, Key: 'k', Body: 'x' }, { materialsDescription: wrong(map) }),
      TypeError,
    );
  }
  assert.throws(() => createDecryptStream({ keyring, envelope: {}, maxBuffered: wrong('10') }), RangeError);
});

test('keyrings of KMS need a client', () => {
  assert.throws(() => kmsKeyring(wrong({ keyId: 'k' })), /client is missing/);
  assert.throws(() => kmsDiscoveryKeyring(wrong({ accounts: ['111122223333'] })), /client is missing/);
});

test('what cannot be uploaded is refused before the upload is begun', () => {
  const s3 = endpoint.encrypted();
  for (const Body of [5, true, {}, { path: 5 }, Symbol('x')])
    assert.throws(() => s3.upload({ Bucket, Key: 'k', Body: wrong(Body) }), /Body is nothing that can be uploaded/);
  const upload = (options: unknown) => () => s3.upload({ Bucket, Key: 'k', Body: 'x' }, wrong(options));
  assert.throws(upload({ storage: 'header' }), /storage is "header"/);
  assert.throws(upload({ tags: 'a=b' }), /tags is no list/);
  for (const workers of [-1, 1.5, 65, '2'])
    assert.throws(upload({ workers }), {
      name: 'RangeError',
      message: /^workers is .*, expected an integer from 0 to 64$/,
    });
  for (const journal of ['', 5, null])
    assert.throws(upload({ journal }), { name: 'TypeError', message: /^journal is (empty|no string)/ });
});

test('an operation without a bucket, a key or a path sends nothing', async () => {
  const s3 = endpoint.encrypted();
  const counts = await endpoint.requestsOf(async () => {
    for (const call of [
      () => s3.get(wrong({ Bucket })),
      () => s3.head(wrong({ Bucket })),
      () => s3.delete(wrong({ Bucket })),
      () => s3.delete(wrong({ Key: 'k' })),
      () => s3.deleteMany(wrong({ Bucket })),
      () => s3.deleteMany({ Bucket, Keys: ['a', ''] }),
      () => s3.download({ Bucket, Key: 'k' }, wrong(undefined)),
      () => s3.download({ Bucket, Key: 'k' }, wrong(new URL('file:///tmp/x'))),
    ])
      await assert.rejects(async () => call(), TypeError);
  });
  assert.deepEqual(counts, {});
});

test('an encrypting client is given what it can keep to, and commands that say where', async () => {
  const wrap = (options: unknown) => () =>
    withEncryption(endpoint.client, wrong({ keyring, ...wrong<object>(options) }));
  assert.throws(() => withEncryption(endpoint.client, wrong(undefined)), /keyring/);
  assert.throws(wrap({ contents: 'GCM' }), { name: 'TypeError', message: /^contents is "GCM"/ });
  for (const value of [0, -1, 1.5, Number.NaN, '5'])
    for (const option of ['maxUploads', 'uploadMaxAgeMs'])
      assert.throws(wrap({ [option]: value }), { name: 'RangeError', message: new RegExp(`^${option} is ${value}`) });
  const client = withEncryption(endpoint.client, { keyring: endpoint.keyring, storage: 'instruction-file' });
  const reserved = { 'X-Amz-IV': '1' };
  const counts = await endpoint.requestsOf(async () => {
    for (const command of [
      new PutObjectCommand(wrong({ Bucket, Body: 'x' })),
      new PutObjectCommand(wrong({ Key: 'k', Body: 'x' })),
      new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', Metadata: reserved }),
      new CreateMultipartUploadCommand(wrong({ Bucket })),
      new CreateMultipartUploadCommand({ Bucket, Key: 'k', Metadata: reserved }),
      new CopyObjectCommand(wrong({ Bucket, CopySource: 'a/b' })),
      new DeleteObjectCommand(wrong({ Bucket })),
    ])
      await assert.rejects(client.send(wrong<PutObjectCommand>(command)), TypeError);
  });
  assert.deepEqual(counts, {});
});
