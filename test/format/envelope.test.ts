import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  claimedLengthKey,
  envelopeKeys,
  isKmsWrapping,
  isLegacyWrapping,
  userMetadata,
  type WrappingAlgorithm,
} from '../../src/format/envelope.ts';

const algorithms: Record<WrappingAlgorithm, { legacy: boolean; kms: boolean }> = {
  'kms+context': { legacy: false, kms: true },
  'AES/GCM': { legacy: false, kms: false },
  'RSA-OAEP-SHA1': { legacy: false, kms: false },
  kms: { legacy: true, kms: true },
  AESWrap: { legacy: true, kms: false },
  AES: { legacy: true, kms: false },
  'RSA/ECB/OAEPWithSHA-256AndMGF1Padding': { legacy: true, kms: false },
  RSA: { legacy: true, kms: false },
};

test('three wrappings are current, all others legacy; two of all are KMS', () => {
  for (const [name, { legacy, kms }] of Object.entries(algorithms) as [
    WrappingAlgorithm,
    (typeof algorithms)['RSA'],
  ][]) {
    assert.equal(isLegacyWrapping(name), legacy, name);
    assert.equal(isKmsWrapping(name), kms, name);
  }
});

test("user metadata is what is left without the envelope, names of the caller's kept as they are", () => {
  const own = { owner: 'me', 'x-amz-key-v3': 'mine', 'x-amz-meta-x': '', toString: 'x' };
  const envelope = Object.fromEntries([...envelopeKeys, claimedLengthKey].map((name) => [name, 'y']));
  assert.deepEqual(userMetadata({ ...envelope, ...own }), own);
  assert.deepEqual(userMetadata({}), {});
});
