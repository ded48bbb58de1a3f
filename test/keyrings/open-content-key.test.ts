import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { parseEnvelope } from '../../src/format/parse-envelope.ts';
import { committingSuite, gcmSuite } from '../../src/format/suites.ts';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import type { EncryptionMaterials, Keyring, UnwrapDataKeyRequest } from '../../src/keyrings/keyring.ts';
import { createContentKey, openContentKey } from '../../src/keyrings/open-content-key.ts';
import { edited, envelopeV2, envelopeV2Cbc, envelopeV3, envelopeV3Kms } from '../support/envelopes.ts';
import { failure } from '../support/failure.ts';

/** Remembers what it was asked and what it handed out. */
class WatchedKeyring implements Keyring {
  readonly requests: UnwrapDataKeyRequest[] = [];
  readonly dataKeys: Uint8Array[] = [];

  async generateDataKey(): Promise<EncryptionMaterials> {
    const dataKey = this.#key();
    return { dataKey, wrappedKey: randomBytes(60), wrappingAlgorithm: 'AES/GCM', description: { a: '1' } };
  }

  async unwrapDataKey(request: UnwrapDataKeyRequest): Promise<Uint8Array> {
    this.requests.push(request);
    return this.#key();
  }

  #key(): Uint8Array {
    const dataKey = new Uint8Array(randomBytes(32));
    this.dataKeys.push(dataKey);
    return dataKey;
  }
}

const anything = {
  commitmentPolicy: 'REQUIRE_ENCRYPT_ALLOW_DECRYPT',
  legacy: { wrappingAlgorithms: true, unauthenticatedModes: true },
} as const;

describe('the order on read', () => {
  test('policy, legacy switches and context come before the keyring: a refusal costs no call', async () => {
    const keyring = new WatchedKeyring();
    const refused = [
      [envelopeV2, {}, undefined, 'COMMITMENT_POLICY'],
      [envelopeV2Cbc, { commitmentPolicy: 'REQUIRE_ENCRYPT_ALLOW_DECRYPT' }, undefined, 'LEGACY_DISABLED'],
      [
        edited(envelopeV2, { 'x-amz-wrap-alg': 'AESWrap' }),
        { commitmentPolicy: 'REQUIRE_ENCRYPT_ALLOW_DECRYPT' },
        undefined,
        'LEGACY_DISABLED',
      ],
      [envelopeV3Kms, {}, { dataset: 'b' }, 'CONTEXT_MISMATCH'],
      [envelopeV3Kms, anything, undefined, 'CONTEXT_MISMATCH'],
    ] as const;
    for (const [fields, policy, encryptionContext, code] of refused) {
      const envelope = parseEnvelope(fields);
      await assert.rejects(openContentKey({ keyring, envelope, policy, encryptionContext }), failure(code));
    }
    const context = new Map() as unknown as Record<string, string>;
    const envelope = parseEnvelope(envelopeV3Kms);
    await assert.rejects(openContentKey({ keyring, envelope, policy: {}, encryptionContext: context }), TypeError);
    assert.equal(keyring.requests.length, 0);
  });

  test('the commitment comes after the keyring, before any content', async () => {
    const keyring = new WatchedKeyring();
    const envelope = parseEnvelope(envelopeV3);
    await assert.rejects(
      openContentKey({ keyring, envelope, policy: {} }),
      failure('AUTHENTICATION_FAILED', /commitment/),
    );
    assert.equal(keyring.requests.length, 1);
  });
});

describe('the keyring is asked', () => {
  test('with the stored context for KMS and the stored description for raw keys, never both', async () => {
    const keyring = new WatchedKeyring();
    const place = { bucket: 'b', key: 'k', storedLength: 5, signal: new AbortController().signal };
    const kms = { keyring, envelope: parseEnvelope(envelopeV3Kms), policy: {}, encryptionContext: { dataset: 'a' } };
    const raw = { keyring, envelope: parseEnvelope(envelopeV3), policy: {} };
    await openContentKey({ ...kms, ...place }).catch(() => undefined);
    await openContentKey({ ...raw, ...place }).catch(() => undefined);
    assert.deepEqual(
      keyring.requests.map(({ suite, wrappedKey, ...rest }) => rest),
      [
        {
          wrappingAlgorithm: 'kms+context',
          encryptionContext: { dataset: 'a', 'aws:x-amz-cek-alg': '115' },
          materialsDescription: {},
          ...place,
        },
        { wrappingAlgorithm: 'AES/GCM', encryptionContext: {}, materialsDescription: { key: 'a' }, ...place },
      ],
    );
  });
});

describe('a data key', () => {
  test('is overwritten once the content key is made, whatever came of it', async () => {
    const keyring = new WatchedKeyring();
    await createContentKey({ keyring, suite: committingSuite });
    await createContentKey({ keyring, suite: gcmSuite });
    await openContentKey({ keyring, envelope: parseEnvelope(envelopeV2), policy: anything });
    await assert.rejects(openContentKey({ keyring, envelope: parseEnvelope(envelopeV3), policy: {} }));
    assert.deepEqual(keyring.dataKeys, Array(4).fill(new Uint8Array(32)));
  });

  test('of the wrong length from a keyring of the caller is refused', async () => {
    const short: Keyring = {
      generateDataKey: async () => ({
        dataKey: new Uint8Array(16),
        wrappedKey: new Uint8Array(60),
        wrappingAlgorithm: 'AES/GCM',
        description: {},
      }),
      unwrapDataKey: async () => new Uint8Array(31),
    };
    await assert.rejects(
      createContentKey({ keyring: short, suite: gcmSuite }),
      failure('AUTHENTICATION_FAILED', /16 bytes/),
    );
    const envelope = parseEnvelope(envelopeV2);
    await assert.rejects(
      openContentKey({ keyring: short, envelope, policy: anything }),
      failure('AUTHENTICATION_FAILED', /31/),
    );
  });
});

test('a content key that was made opens again by its envelope, in both suites', async () => {
  const keyring = aesKeyring({ key: randomBytes(32), materialsDescription: { name: 'é' } });
  for (const suite of [committingSuite, gcmSuite]) {
    const { contentKey, envelope } = await createContentKey({ keyring, suite, length: 7 });
    const opened = await openContentKey({ keyring, envelope: parseEnvelope(envelope), policy: anything });
    assert.deepEqual(Buffer.from(opened.key), Buffer.from(contentKey.key));
    assert.deepEqual(Buffer.from(opened.iv), Buffer.from(contentKey.iv));
  }
});
