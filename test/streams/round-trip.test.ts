import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import type { Keyring } from '../../src/keyrings/keyring.ts';
import { rsaKeyring } from '../../src/keyrings/rsa.ts';
import { createDecryptStream } from '../../src/streams/decrypt-stream.ts';
import { createEncryptStream } from '../../src/streams/encrypt-stream.ts';
import { fromAmazonS3, fromPlainStore } from '../support/metadata-stores.ts';
import { cutAt, pieces, runs, stringMap, unaligned } from '../support/properties.ts';
import { rsaPair } from '../support/rsa-keys.ts';
import { through } from '../support/stream-ends.ts';

const keyrings: Record<string, Keyring> = {
  'AES 128': aesKeyring({ key: randomBytes(16) }),
  'AES 256': aesKeyring({ key: randomBytes(32) }),
  RSA: rsaKeyring({ privateKey: rsaPair('rsa2048-a').privatePem }),
};
const commitmentPolicy = 'REQUIRE_ENCRYPT_ALLOW_DECRYPT';
const slice = 256 * 1024;

describe('what was encrypted decrypts to the same', () => {
  for (const suite of ['gcm-commit', 'gcm'] as const) {
    test(`${suite}: for any content, cut in any way on both sides, under any keyring, rule and description`, async () => {
      const places = fc.array(fc.nat({ max: 5000 }), { maxLength: 12 });
      const options = fc.record({
        name: fc.constantFrom(...Object.keys(keyrings)),
        release: fc.constantFrom('authenticated' as const, 'delayed' as const),
        lengthKnown: fc.boolean(),
        materialsDescription: stringMap,
        store: fc.constantFrom(fromPlainStore, (value: string) => fromAmazonS3(value, { encoding: 'B' })),
      });
      await fc.assert(
        fc.asyncProperty(
          fc.uint8Array({ maxLength: 5000 }),
          places,
          places,
          options,
          async (content, cuts, others, o) => {
            const plaintext = unaligned(content);
            const keyring = keyrings[o.name] as Keyring;
            const { materialsDescription, release } = o;
            const length = o.lengthKnown ? plaintext.length : undefined;
            const encrypt = createEncryptStream({ keyring, suite, materialsDescription, length });
            const stored = await through(encrypt, cutAt(plaintext, cuts));
            assert.equal(stored.length, plaintext.length + 16);
            const envelope = Object.fromEntries(
              Object.entries(await encrypt.envelope).map(([key, value]) => [key, o.store(value)]),
            );
            const contentLength = o.lengthKnown ? stored.length : undefined;
            const decrypt = createDecryptStream({ keyring, envelope, commitmentPolicy, release, contentLength });
            assert.deepEqual(await through(decrypt, cutAt(unaligned(stored), others)), plaintext);
          },
        ),
        runs(30),
      );
    });

    test(`${suite}: at every length around blocks, tag and slices, in pieces of odd sizes`, async () => {
      const keyring = keyrings['AES 256'] as Keyring;
      for (const length of [0, 1, 15, 16, 17, slice - 1, slice, slice + 1, 2 * slice - 16, 2 * slice, 2 * slice + 1]) {
        const plaintext = randomBytes(length);
        for (const size of [slice * 4, 65_536, 9973]) {
          const encrypt = createEncryptStream({ keyring, suite });
          const stored = await through(encrypt, pieces(plaintext, size));
          const envelope = await encrypt.envelope;
          const decrypt = createDecryptStream({ keyring, envelope, commitmentPolicy });
          assert.deepEqual(await through(decrypt, pieces(stored, size + 1)), plaintext);
        }
      }
    });

    test(`${suite}: byte by byte on both sides, with the lengths known and not`, async () => {
      const keyring = keyrings['AES 256'] as Keyring;
      for (const length of [0, 1, 15, 16, 17, 100]) {
        for (const known of [false, true]) {
          const plaintext = randomBytes(length);
          const encrypt = createEncryptStream({ keyring, suite, ...(known && { length }) });
          const stored = await through(encrypt, pieces(plaintext, 1));
          const envelope = await encrypt.envelope;
          const contentLength = known ? stored.length : undefined;
          const decrypt = createDecryptStream({ keyring, envelope, commitmentPolicy, contentLength });
          assert.deepEqual(await through(decrypt, pieces(stored, 1)), plaintext);
        }
      }
    });
  }
});
