import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { SealpipeError } from '../../src/errors.ts';
import { kmsKeyring } from '../../src/keyrings/kms.ts';
import { kmsDiscoveryKeyring } from '../../src/keyrings/kms-discovery.ts';
import { EncryptedS3 } from '../../src/objects/encrypted-s3.ts';
import { bytesOf, rejection, sha256 } from '../support/endpoint.ts';
import { TranscriptKms } from '../support/transcript-kms.ts';
import { VectorS3 } from '../support/vector-s3.ts';
import { loadVectors, type Vector } from '../support/vectors.ts';

const { vectors, transcript } = loadVectors();
let kms: TranscriptKms;
let s3: VectorS3;
before(async () => {
  kms = await TranscriptKms.start(transcript);
  s3 = await VectorS3.start(vectors);
});
after(async () => {
  await s3.close();
  await kms.close();
});

function reader(vector: Vector): EncryptedS3 {
  const keyring = vector.keyring((keyId) =>
    keyId === undefined
      ? kmsDiscoveryKeyring({ client: kms.client, accounts: ['123456789012'] })
      : kmsKeyring({ keyId, client: kms.client }),
  );
  return new EncryptedS3({ client: s3.client, keyring, encryptionContext: vector.encryptionContext, ...vector.policy });
}

describe('through EncryptedS3, objects of the official clients', () => {
  for (const vector of vectors.filter(({ record }) => record.kind === 'ok')) {
    test(`${vector.id} reads at one GET, another for an instruction file, and no HEAD`, async () => {
      const { bucket: Bucket, key: Key, plaintext, instructionFile } = vector.record;
      s3.requests.length = 0;
      const asked = kms.operations.length;
      const object = await reader(vector).get({ Bucket, Key });
      const whole = await bytesOf(object.body);
      assert.equal(sha256(whole), plaintext.sha256);
      assert.deepEqual(
        s3.requests,
        instructionFile === undefined ? [`GET ${Key}`] : [`GET ${Key}`, `GET ${instructionFile.key}`],
      );
      assert.ok(kms.operations.length - asked <= 1);
      // A bound where it cannot be exact, never less than there is, never more than a block above.
      assert.ok(
        object.exact
          ? object.plaintextSize === whole.length
          : object.plaintextSize >= whole.length && object.plaintextSize - whole.length < 16,
      );
      const head = await reader(vector).head({ Bucket, Key });
      assert.deepEqual(
        [head.plaintextSize, head.exact, head.envelope?.format],
        [object.plaintextSize, object.exact, vector.record.format],
      );
      assert.equal(head.envelope?.storage, vector.record.storage);
    });
  }
});

describe('through EncryptedS3, edited objects', () => {
  for (const vector of vectors.filter(({ record }) => record.kind === 'negative' && !record.expect.ok)) {
    test(`${vector.id} (${vector.record.expect.meaning}) does not pass`, async () => {
      const { bucket: Bucket, key: Key, expect } = vector.record;
      const outcome = await reader(vector)
        .get({ Bucket, Key })
        .then(({ body }) => bytesOf(body))
        .catch((error: unknown) => error);
      if (outcome instanceof Buffer) assert.equal(sha256(outcome), expect.error?.javaReturned?.sha256);
      else assert.ok(outcome instanceof SealpipeError, String(outcome));
    });
  }
});

test('an object without an envelope is NOT_ENCRYPTED, or read as it is when plaintext is allowed by name', async () => {
  const vector = vectors.find(({ record }) => record.edit === 'plaintext-5') as Vector;
  const { bucket: Bucket, key: Key } = vector.record;
  const error = await rejection(reader(vector).get({ Bucket, Key }));
  assert.ok(error instanceof SealpipeError && error.code === 'ERR_SEALPIPE_NOT_ENCRYPTED');
  const allowing = new EncryptedS3({
    client: s3.client,
    keyring: vector.keyring(() => assert.fail()),
    plaintext: 'allow',
  });
  const { body, envelope, plaintextSize } = await allowing.get({ Bucket, Key });
  assert.equal(envelope, undefined);
  assert.equal((await bytesOf(body)).length, plaintextSize);
});

test('under plaintext: allow, an incomplete envelope is still an error and never plaintext', async () => {
  const broken = vectors.filter(
    ({ record }) =>
      ['no-3', 'no-key-v2', 'no-key', 'object-no-c', 'object-no-d', 'object-no-i', 'instruction-missing'].includes(
        record.edit ?? '',
      ) && record.storage === 'metadata',
  );
  assert.ok(broken.length >= 3);
  for (const vector of broken) {
    const { bucket: Bucket, key: Key } = vector.record;
    const keyring = vector.keyring(() => kmsKeyring({ keyId: 'k', client: kms.client }));
    const allowing = new EncryptedS3({ client: s3.client, keyring, ...vector.policy, plaintext: 'allow' });
    const error = await rejection(allowing.get({ Bucket, Key }));
    assert.ok(error instanceof SealpipeError && error.code === 'ERR_SEALPIPE_ENVELOPE_INVALID', vector.id);
  }
});
