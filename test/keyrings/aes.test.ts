import assert from 'node:assert/strict';
import { createCipheriv, createSecretKey, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { cbcSuite, committingSuite, gcmSuite } from '../../src/format/suites.ts';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import { failure, rejection } from '../support/failure.ts';
import { generateRequest, unwrapRequest } from '../support/key-requests.ts';
import { unaligned } from '../support/properties.ts';

const sizes = [16, 24, 32] as const;
const wrapName = { 16: 'id-aes128-wrap', 24: 'id-aes192-wrap', 32: 'id-aes256-wrap' } as const;

for (const size of sizes) {
  describe(`an AES wrapping key of ${size} bytes`, () => {
    const key = randomBytes(size);

    test('opens what it wrapped, as bytes, as unaligned bytes and as KeyObject, for both suites', async () => {
      for (const suite of [committingSuite, gcmSuite]) {
        const { dataKey, ...materials } = await aesKeyring({ key }).generateDataKey(generateRequest({ suite }));
        assert.equal(materials.wrappingAlgorithm, 'AES/GCM');
        assert.equal(materials.wrappedKey.length, 60);
        for (const given of [key, unaligned(key), createSecretKey(key)]) {
          const opened = await aesKeyring({ key: given }).unwrapDataKey(unwrapRequest({ ...materials, suite }));
          assert.deepEqual(opened, dataKey);
          assert.equal(opened.buffer.byteLength, 32, 'in memory of its own');
        }
      }
    });

    test('opens RFC 3394 (AESWrap) and ECB (AES), which others wrote', async () => {
      const dataKey = randomBytes(32);
      const wrap = createCipheriv(wrapName[size], key, Buffer.alloc(8, 0xa6));
      const ecb = createCipheriv(`aes-${size * 8}-ecb`, key, null);
      const wrapped = {
        AESWrap: Buffer.concat([wrap.update(dataKey), wrap.final()]),
        AES: Buffer.concat([ecb.update(dataKey), ecb.final()]),
      };
      for (const wrappingAlgorithm of ['AESWrap', 'AES'] as const) {
        const request = unwrapRequest({ suite: cbcSuite, wrappingAlgorithm, wrappedKey: wrapped[wrappingAlgorithm] });
        assert.deepEqual(Buffer.from(await aesKeyring({ key }).unwrapDataKey(request)), dataKey);
      }
    });
  });
}

test('a wrapped key known from the specification of RFC 3394 (section 4.6) opens', async () => {
  const key = Buffer.from('000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F', 'hex');
  const wrappedKey = Buffer.from(
    '28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21',
    'hex',
  );
  const opened = await aesKeyring({ key }).unwrapDataKey(unwrapRequest({ wrappingAlgorithm: 'AESWrap', wrappedKey }));
  assert.equal(
    Buffer.from(opened).toString('hex').toUpperCase(),
    '00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F',
  );
});

test('every failure to open is one and the same error, whatever was wrong', async () => {
  const key = randomBytes(32);
  const keyring = aesKeyring({ key });
  const { wrappedKey } = await keyring.generateDataKey(generateRequest());
  const ecb = (plaintext: Uint8Array): Buffer => {
    const cipher = createCipheriv('aes-256-ecb', key, null);
    return Buffer.concat([cipher.update(plaintext), cipher.final()]);
  };
  const flipped = (at: number): Uint8Array => Uint8Array.from(wrappedKey, (byte, i) => (i === at ? byte ^ 1 : byte));
  const cases = [
    ...Array.from(wrappedKey, (_, at) => unwrapRequest({ wrappedKey: flipped(at) })),
    unwrapRequest({ wrappedKey: wrappedKey.subarray(0, 59) }),
    unwrapRequest({ wrappedKey: Buffer.concat([wrappedKey, Buffer.of(0)]) }),
    unwrapRequest({ wrappedKey: Buffer.of(1) }),
    // Bound to the other suite.
    unwrapRequest({ wrappedKey, suite: gcmSuite }),
    unwrapRequest({ wrappedKey, suite: cbcSuite }),
    unwrapRequest({ wrappedKey, wrappingAlgorithm: 'AESWrap' }),
    unwrapRequest({ wrappedKey: randomBytes(40), wrappingAlgorithm: 'AESWrap' }),
    unwrapRequest({ wrappedKey: randomBytes(47), wrappingAlgorithm: 'AES' }),
    unwrapRequest({ wrappedKey: randomBytes(48), wrappingAlgorithm: 'AES' }),
    // Well-formed, but the key inside has another length.
    unwrapRequest({ wrappedKey: ecb(randomBytes(16)), wrappingAlgorithm: 'AES' }),
    unwrapRequest({ wrappedKey: ecb(randomBytes(33)), wrappingAlgorithm: 'AES' }),
  ];
  const errors = await Promise.all([
    ...cases.map((request) => rejection(keyring.unwrapDataKey(request))),
    rejection(aesKeyring({ key: randomBytes(32) }).unwrapDataKey(unwrapRequest({ wrappedKey }))),
    rejection(aesKeyring({ key: key.subarray(0, 16) }).unwrapDataKey(unwrapRequest({ wrappedKey }))),
  ]);
  const shapes = new Set(
    errors.map((error) => JSON.stringify([error.message, error.cause, Object.entries(error)], undefined)),
  );
  assert.equal(shapes.size, 1, [...shapes].join('\n'));
  assert.equal(errors[0]?.code, 'ERR_SEALPIPE_AUTHENTICATION_FAILED');
  assert.equal(errors[0].retryable, false);
});

test('a data key wrapped by something else than AES is told so, by what it was', async () => {
  const keyring = aesKeyring({ key: randomBytes(32) });
  for (const [wrappingAlgorithm, hint] of [
    ['kms+context', /give the KMS key/],
    ['kms', /give the KMS key/],
    ['RSA', /give the RSA key/],
    ['RSA-OAEP-SHA1', /give the RSA key/],
  ] as const)
    await assert.rejects(keyring.unwrapDataKey(unwrapRequest({ wrappingAlgorithm })), failure('KEY_MISMATCH', hint));
});

describe('several AES keys', () => {
  const keys = { own: randomBytes(32), old: randomBytes(16), older: randomBytes(24) };
  const keyring = aesKeyring({
    key: keys.own,
    materialsDescription: { name: 'own' },
    additional: [
      { key: keys.old, materialsDescription: { name: 'old' } },
      { key: createSecretKey(keys.older), materialsDescription: { name: 'old', age: '2' } },
    ],
  });
  const wrappedBy = async (key: Uint8Array): Promise<Uint8Array> =>
    (await aesKeyring({ key }).generateDataKey(generateRequest())).wrappedKey;

  test('are chosen by exactly the description of the object', async () => {
    const opens = async (key: Uint8Array, materialsDescription: Record<string, string>): Promise<boolean> => {
      const wrappedKey = await wrappedBy(key);
      return keyring.unwrapDataKey(unwrapRequest({ wrappedKey, materialsDescription })).then(
        () => true,
        () => false,
      );
    };
    assert.equal(await opens(keys.old, { name: 'old' }), true);
    assert.equal(await opens(keys.older, { age: '2', name: 'old' }), true);
    assert.equal(await opens(keys.own, { name: 'own' }), true);
    // No match is the keyring's own key; a subset is no match, and nothing is tried in turn.
    assert.equal(await opens(keys.own, {}), true);
    assert.equal(await opens(keys.own, { age: '2' }), true);
    assert.equal(await opens(keys.old, {}), false);
    assert.equal(await opens(keys.own, { name: 'old' }), false);
    assert.equal(await opens(keys.older, { name: 'old' }), false);
  });

  test("write with the keyring's own key and description, unless the object has one of its own", async () => {
    const { description } = await keyring.generateDataKey(generateRequest());
    assert.deepEqual(description, { name: 'own' });
    const forObject = await keyring.generateDataKey(generateRequest({ materialsDescription: { name: 'this' } }));
    assert.deepEqual(forObject.description, { name: 'this' });
    assert.deepEqual((await keyring.generateDataKey(generateRequest({ materialsDescription: {} }))).description, {});
  });
});

describe("a caller's mistake with an AES keyring is a TypeError or RangeError", () => {
  test('at once, for a key that is none', () => {
    for (const key of [undefined, null, 'a'.repeat(32), 32, new ArrayBuffer(32), {}])
      assert.throws(() => aesKeyring({ key: key as Uint8Array }), TypeError);
    for (const length of [0, 1, 8, 15, 17, 31, 33, 64])
      assert.throws(() => aesKeyring({ key: randomBytes(length) }), RangeError);
    const good = randomBytes(32);
    const additional = [{ key: randomBytes(15), materialsDescription: {} }];
    assert.throws(() => aesKeyring({ key: good, additional }), /additional\[0\]\.key has 15 bytes/);
    const described = [{ key: good, materialsDescription: undefined as unknown as Record<string, string> }];
    assert.throws(() => aesKeyring({ key: good, additional: described }), TypeError);
  });

  test('when writing, for an encryption context: AES envelopes have no place for one, and it would protect nothing', async () => {
    const keyring = aesKeyring({ key: randomBytes(32) });
    await assert.rejects(keyring.generateDataKey(generateRequest({ encryptionContext: { a: '1' } })), TypeError);
    await keyring.generateDataKey(generateRequest({ encryptionContext: {} }));
  });

  test('never quotes the key', () => {
    const password = 'correct horse battery staple';
    for (const key of [password, Buffer.from(password)]) {
      try {
        aesKeyring({ key: key as Uint8Array });
        assert.fail('accepted');
      } catch (error) {
        assert.ok(!String((error as Error).message).includes('horse'));
      }
    }
  });
});

test('a wrapping key changed after the keyring was made changes nothing', async () => {
  const key = randomBytes(32);
  const keyring = aesKeyring({ key });
  const { dataKey, wrappedKey } = await keyring.generateDataKey(generateRequest());
  key.fill(0);
  assert.deepEqual(await keyring.unwrapDataKey(unwrapRequest({ wrappedKey })), dataKey);
});

test('no two data keys and no two IVs of a keyring are the same', async () => {
  const keyring = aesKeyring({ key: randomBytes(32) });
  const made = await Promise.all(Array.from({ length: 500 }, () => keyring.generateDataKey(generateRequest())));
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  assert.equal(new Set(made.map(({ dataKey }) => hex(dataKey))).size, 500);
  assert.equal(new Set(made.map(({ wrappedKey }) => hex(wrappedKey.subarray(0, 12)))).size, 500);
});
