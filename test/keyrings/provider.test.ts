import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { SealpipeError } from '../../src/errors.ts';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import type { Keyring } from '../../src/keyrings/keyring.ts';
import { isKeyring, type ProviderRequest, providerKeyring } from '../../src/keyrings/provider.ts';
import { failure, rejection } from '../support/failure.ts';
import { generateRequest, unwrapRequest } from '../support/key-requests.ts';

const own = aesKeyring({ key: randomBytes(32) });
const place = { bucket: 'b', key: 'k' };

describe('a materials provider', () => {
  test('is asked per object, with what the object is and holds', async () => {
    const asked: ProviderRequest[] = [];
    const keyring = providerKeyring((request) => {
      asked.push(request);
      return own;
    });
    const { signal } = new AbortController();
    const { wrappedKey } = await keyring.generateDataKey(
      generateRequest({ ...place, materialsDescription: { a: '1' }, signal }),
    );
    await keyring.generateDataKey(generateRequest(place));
    await keyring.unwrapDataKey(unwrapRequest({ ...place, wrappedKey, materialsDescription: { a: '1' } }));
    assert.deepEqual(asked, [
      { ...place, materialsDescription: { a: '1' }, operation: 'encrypt', signal },
      { ...place, materialsDescription: {}, operation: 'encrypt', signal: undefined },
      { ...place, materialsDescription: { a: '1' }, operation: 'decrypt', signal: undefined },
    ]);
  });

  test('is shown the encryption context where the object is wrapped by KMS', async () => {
    const asked: ProviderRequest[] = [];
    const keyring = providerKeyring((request) => {
      asked.push(request);
      return own;
    });
    const encryptionContext = { a: '1' };
    const kms = unwrapRequest({ ...place, wrappingAlgorithm: 'kms+context', encryptionContext });
    await assert.rejects(keyring.unwrapDataKey(kms), failure('KEY_MISMATCH'));
    await assert.rejects(keyring.generateDataKey(generateRequest({ ...place, encryptionContext })), TypeError);
    assert.deepEqual(
      asked.map(({ materialsDescription }) => materialsDescription),
      [encryptionContext, encryptionContext],
    );
  });

  test('may answer later, and with another keyring for every object', async () => {
    const keyrings = new Map(['x', 'y'].map((name) => [name, aesKeyring({ key: randomBytes(32) })]));
    const keyring = providerKeyring(async ({ key }) => keyrings.get(key) as Keyring);
    const { wrappedKey, dataKey } = await keyring.generateDataKey(generateRequest({ key: 'x' }));
    assert.deepEqual(await keyring.unwrapDataKey(unwrapRequest({ key: 'x', wrappedKey })), dataKey);
    await assert.rejects(
      keyring.unwrapDataKey(unwrapRequest({ key: 'y', wrappedKey })),
      failure('AUTHENTICATION_FAILED'),
    );
  });

  test('that throws, at once or later, is ERR_SEALPIPE_PROVIDER_FAILED with the object and the cause', async () => {
    const cause = new Error('database is down');
    for (const provider of [
      () => {
        throw cause;
      },
      () => Promise.reject(cause),
    ]) {
      for (const call of [
        providerKeyring(provider).generateDataKey(generateRequest(place)),
        providerKeyring(provider).unwrapDataKey(unwrapRequest(place)),
      ]) {
        const error = await rejection(call);
        failure('PROVIDER_FAILED', /s3:\/\/b\/k/)(error);
        assert.deepEqual([error.cause, error.bucket, error.key, error.retryable], [cause, 'b', 'k', false]);
      }
    }
  });

  test('that throws an error of ours is passed on as it is', async () => {
    const own = new SealpipeError('KEY_DENIED', 'not you');
    const call = providerKeyring(() => Promise.reject(own)).unwrapDataKey(unwrapRequest(place));
    await assert.rejects(call, own);
  });

  test('that returns no keyring is ERR_SEALPIPE_PROVIDER_FAILED', async () => {
    for (const value of [undefined, null, {}, 'keyring', { generateDataKey: () => undefined }, randomBytes(32)]) {
      const keyring = providerKeyring(() => value as unknown as Keyring);
      await assert.rejects(keyring.unwrapDataKey(unwrapRequest(place)), failure('PROVIDER_FAILED', /no keyring/));
    }
  });

  test('that is no function is a mistake of the caller', () => {
    for (const value of [undefined, null, {}, own])
      assert.throws(() => providerKeyring(value as () => Keyring), TypeError);
  });
});

test('a keyring is whatever has the two methods', () => {
  assert.ok(isKeyring(own) && isKeyring(providerKeyring(() => own)));
  for (const value of [undefined, null, 1, {}, { unwrapDataKey: () => undefined }])
    assert.equal(isKeyring(value), false);
});
