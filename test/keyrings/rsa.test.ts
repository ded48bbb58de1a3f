import assert from 'node:assert/strict';
import { constants, generateKeyPairSync, publicEncrypt, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { cbcSuite, committingSuite, gcmSuite } from '../../src/format/suites.ts';
import { type RsaKeyInput, rsaKeyring } from '../../src/keyrings/rsa.ts';
import { failure, rejection } from '../support/failure.ts';
import { generateRequest, unwrapRequest } from '../support/key-requests.ts';
import { unaligned } from '../support/properties.ts';
import { oaepEncoded, pkcs1Encoded, type RsaKeyName, rawEncrypt, rsaPair } from '../support/rsa-keys.ts';

const names: readonly RsaKeyName[] = ['rsa2048-a', 'rsa3072', 'rsa4096'];
const own = rsaPair('rsa2048-a');
const other = rsaPair('rsa2048-b');
const oaepName = 'RSA/ECB/OAEPWithSHA-256AndMGF1Padding';

for (const name of names) {
  const pair = rsaPair(name);
  const bytes = (pair.publicKey.asymmetricKeyDetails?.modulusLength ?? 0) / 8;

  describe(`an RSA key of ${bytes * 8} bits`, () => {
    test('opens what its public half wrapped, for both suites', async () => {
      for (const suite of [committingSuite, gcmSuite]) {
        const writer = rsaKeyring({ publicKey: pair.publicPem });
        const { dataKey, ...materials } = await writer.generateDataKey(generateRequest({ suite }));
        assert.equal(materials.wrappingAlgorithm, 'RSA-OAEP-SHA1');
        assert.equal(materials.wrappedKey.length, bytes);
        const opened = await rsaKeyring({ privateKey: pair.privatePem }).unwrapDataKey(
          unwrapRequest({ ...materials, suite }),
        );
        assert.deepEqual(opened, dataKey);
        assert.equal(opened.buffer.byteLength, 32, 'in memory of its own');
      }
    });

    test('opens both legacy paddings', async () => {
      const keyring = rsaKeyring({ privateKey: pair.privateKey });
      const dataKey = randomBytes(32);
      const known = [
        ['RSA', publicEncrypt({ key: pair.publicKey, padding: constants.RSA_PKCS1_PADDING }, dataKey)],
        ['RSA', rawEncrypt(pair.publicKey, pkcs1Encoded(dataKey, bytes))],
        [oaepName, rawEncrypt(pair.publicKey, oaepEncoded(dataKey, bytes))],
      ] as const;
      for (const [wrappingAlgorithm, wrappedKey] of known) {
        const request = unwrapRequest({ suite: cbcSuite, wrappingAlgorithm, wrappedKey });
        assert.deepEqual(Buffer.from(await keyring.unwrapDataKey(request)), dataKey);
      }
    });
  });
}

describe('RSA-OAEP-SHA1', () => {
  test('every failure to open is one and the same error, whatever was wrong', async () => {
    const keyring = rsaKeyring({ privateKey: own.privateKey });
    const { wrappedKey } = await rsaKeyring({ publicKey: own.publicKey }).generateDataKey(generateRequest());
    const oaep = (message: Uint8Array): Buffer =>
      publicEncrypt({ key: own.publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }, message);
    const dataKey = randomBytes(32);
    const suffix = Buffer.from('115');
    const wrong = [
      Uint8Array.from(wrappedKey, (byte, at) => (at === 100 ? byte ^ 1 : byte)),
      wrappedKey.subarray(1),
      Buffer.concat([Buffer.of(0), wrappedKey]),
      Buffer.alloc(256, 0xff),
      Buffer.alloc(256),
      Buffer.of(1),
      oaep(Buffer.alloc(0)),
      oaep(dataKey),
      oaep(Buffer.concat([Buffer.of(31), dataKey, suffix])),
      oaep(Buffer.concat([Buffer.of(32), dataKey])),
      oaep(Buffer.concat([Buffer.of(32), dataKey, Buffer.from('AES/GCM/NoPadding')])),
      oaep(Buffer.concat([Buffer.of(32), dataKey, suffix, Buffer.of(0)])),
      oaep(Buffer.concat([Buffer.of(16), dataKey.subarray(16), suffix])),
      publicEncrypt({ key: own.publicKey, padding: constants.RSA_PKCS1_PADDING }, dataKey),
    ];
    const errors = await Promise.all([
      ...wrong.map((bytes) => rejection(keyring.unwrapDataKey(unwrapRequest(oaepRequest(bytes))))),
      rejection(rsaKeyring({ privateKey: other.privateKey }).unwrapDataKey(unwrapRequest(oaepRequest(wrappedKey)))),
      rejection(
        rsaKeyring({ privateKey: rsaPair('rsa3072').privateKey }).unwrapDataKey(unwrapRequest(oaepRequest(wrappedKey))),
      ),
      rejection(keyring.unwrapDataKey(unwrapRequest({ ...oaepRequest(wrappedKey), suite: gcmSuite }))),
    ]);
    assert.equal(
      new Set(errors.map((error) => JSON.stringify([error.message, error.cause, Object.entries(error)]))).size,
      1,
    );
    assert.equal(errors[0]?.code, 'ERR_SEALPIPE_AUTHENTICATION_FAILED');
  });

  test('a good message made by hand opens: length byte, key, name of the suite', async () => {
    const dataKey = randomBytes(32);
    for (const [suite, suffix] of [
      [committingSuite, '115'],
      [gcmSuite, 'AES/GCM/NoPadding'],
    ] as const) {
      const wrappedKey = publicEncrypt(
        { key: own.publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
        Buffer.concat([Buffer.of(32), dataKey, Buffer.from(suffix)]),
      );
      const request = unwrapRequest({ ...oaepRequest(wrappedKey), suite });
      assert.deepEqual(Buffer.from(await rsaKeyring(own).unwrapDataKey(request)), dataKey);
    }
  });

  function oaepRequest(wrappedKey: Uint8Array): { wrappingAlgorithm: 'RSA-OAEP-SHA1'; wrappedKey: Uint8Array } {
    return { wrappingAlgorithm: 'RSA-OAEP-SHA1', wrappedKey };
  }
});

describe('the legacy paddings under tampering', () => {
  const keyring = rsaKeyring({ privateKey: own.privateKey });
  const dataKey = randomBytes(32);
  const open = (wrappingAlgorithm: 'RSA' | typeof oaepName, encoded: Uint8Array): Promise<Uint8Array> =>
    keyring.unwrapDataKey(unwrapRequest({ wrappingAlgorithm, wrappedKey: rawEncrypt(own.publicKey, encoded) }));

  for (const [name, encode] of [
    ['RSA', pkcs1Encoded],
    [oaepName, oaepEncoded],
  ] as const) {
    test(`${name}: any padding byte that is wrong gives a key, a random one each time, never an error`, async () => {
      const good = encode(dataKey, 256);
      const places = name === 'RSA' ? [1, 223] : [1, 17, 32, 33, 64, 100, 200, 223, 255];
      for (const at of places) {
        const bad = Buffer.from(good);
        bad[at]! ^= 0x41;
        const [first, second] = [await open(name, bad), await open(name, bad)];
        assert.equal(first.length, 32);
        assert.notDeepEqual(Buffer.from(first), dataKey, `byte ${at}`);
        assert.notDeepEqual(first, second, `byte ${at}: the replacement is fresh`);
      }
    });
  }

  test('RSA: a zero in the padding, a missing zero before the key, another block type, a shorter key', async () => {
    const good = pkcs1Encoded(dataKey, 256);
    const changed = (at: number, value: number): Buffer => Object.assign(Buffer.from(good), { [at]: value });
    const blocks = [
      changed(2, 0),
      changed(100, 0),
      changed(222, 0),
      changed(223, 1),
      changed(1, 1),
      changed(1, 0),
      pkcs1Encoded(dataKey.subarray(1), 256),
      pkcs1Encoded(Buffer.concat([dataKey, Buffer.of(1)]), 256),
      Buffer.concat([Buffer.alloc(224), dataKey]),
    ];
    for (const block of blocks) {
      const opened = await open('RSA', block);
      assert.equal(opened.length, 32);
      assert.notDeepEqual(Buffer.from(opened), dataKey);
    }
  });

  test('OAEP: a key of another length inside, another hash of the label, no separator', async () => {
    const blocks = [oaepEncoded(dataKey.subarray(1), 256), oaepEncoded(Buffer.concat([Buffer.of(9), dataKey]), 256)];
    for (const block of blocks) assert.notDeepEqual(Buffer.from(await open(oaepName, block)), dataKey);
    const sha1 = publicEncrypt({ key: own.publicKey, oaepHash: 'sha1' }, dataKey);
    const sha256 = publicEncrypt({ key: own.publicKey, oaepHash: 'sha256' }, dataKey);
    for (const wrappedKey of [sha1, sha256]) {
      const opened = await keyring.unwrapDataKey(unwrapRequest({ wrappingAlgorithm: oaepName, wrappedKey }));
      assert.notDeepEqual(Buffer.from(opened), dataKey);
    }
  });

  test('a wrapped key of another length than the modulus is refused: its length is public', async () => {
    for (const wrappingAlgorithm of ['RSA', oaepName] as const) {
      for (const length of [0, 1, 255, 257, 512]) {
        await assert.rejects(
          keyring.unwrapDataKey(unwrapRequest({ wrappingAlgorithm, wrappedKey: randomBytes(length) })),
          failure('AUTHENTICATION_FAILED'),
        );
      }
    }
  });
});

describe('keys in any form', () => {
  const der = {
    publicKey: own.publicKey.export({ type: 'spki', format: 'der' }),
    privateKey: own.privateKey.export({ type: 'pkcs8', format: 'der' }),
  };
  const forms: Record<string, { publicKey: RsaKeyInput; privateKey: RsaKeyInput }> = {
    'PEM text': { publicKey: own.publicPem, privateKey: own.privatePem },
    'PEM bytes': { publicKey: Buffer.from(own.publicPem), privateKey: Buffer.from(own.privatePem) },
    'PEM after blank lines': { publicKey: `\n\n${own.publicPem}`, privateKey: Buffer.from(`\n\n${own.privatePem}`) },
    'DER bytes': der,
    'unaligned DER bytes': { publicKey: unaligned(der.publicKey), privateKey: unaligned(der.privateKey) },
    'DER in a Uint8Array': { publicKey: Uint8Array.from(der.publicKey), privateKey: Uint8Array.from(der.privateKey) },
    'PKCS#1 PEM': {
      publicKey: own.publicKey.export({ type: 'pkcs1', format: 'pem' }),
      privateKey: own.privateKey.export({ type: 'pkcs1', format: 'pem' }),
    },
    'key objects': own,
  };
  for (const [form, { publicKey, privateKey }] of Object.entries(forms)) {
    test(`open: ${form}`, async () => {
      const { dataKey, wrappedKey, wrappingAlgorithm } = await rsaKeyring({ publicKey }).generateDataKey(
        generateRequest(),
      );
      const request = unwrapRequest({ wrappedKey, wrappingAlgorithm });
      assert.deepEqual(await rsaKeyring({ privateKey }).unwrapDataKey(request), dataKey);
    });
  }

  test('a private key alone writes too: it holds the public one', async () => {
    const keyring = rsaKeyring({ privateKey: own.privatePem });
    const { dataKey, wrappedKey, wrappingAlgorithm } = await keyring.generateDataKey(generateRequest());
    assert.deepEqual(await keyring.unwrapDataKey(unwrapRequest({ wrappedKey, wrappingAlgorithm })), dataKey);
  });

  test('a public key alone encrypts and cannot decrypt', async () => {
    const keyring = rsaKeyring({ publicKey: own.publicPem });
    const { wrappedKey, wrappingAlgorithm } = await keyring.generateDataKey(generateRequest());
    await assert.rejects(
      keyring.unwrapDataKey(unwrapRequest({ wrappedKey, wrappingAlgorithm })),
      failure('KEY_MISMATCH', /only an RSA public key/),
    );
  });
});

test('several RSA keys are chosen by exactly the description of the object', async () => {
  const keyring = rsaKeyring({
    ...own,
    materialsDescription: { name: 'own' },
    additional: [{ key: other.privatePem, materialsDescription: { name: 'old' } }],
  });
  const written = await keyring.generateDataKey(generateRequest());
  assert.deepEqual(written.description, { name: 'own' });
  const { wrappingAlgorithm } = written;
  const byOther = await rsaKeyring({ publicKey: other.publicKey }).generateDataKey(generateRequest());
  const opens = (wrappedKey: Uint8Array, materialsDescription: Record<string, string>): Promise<Uint8Array> =>
    keyring.unwrapDataKey(unwrapRequest({ wrappedKey, wrappingAlgorithm, materialsDescription }));
  assert.deepEqual(await opens(written.wrappedKey, { name: 'own' }), written.dataKey);
  assert.deepEqual(await opens(byOther.wrappedKey, { name: 'old' }), byOther.dataKey);
  await assert.rejects(opens(byOther.wrappedKey, { name: 'old', more: '' }), failure('AUTHENTICATION_FAILED'));
  await assert.rejects(opens(written.wrappedKey, { name: 'old' }), failure('AUTHENTICATION_FAILED'));
});

test('additional keys alone decrypt, and cannot write', async () => {
  const keyring = rsaKeyring({ additional: [{ key: own.privatePem, materialsDescription: { name: 'old' } }] });
  await assert.rejects(keyring.generateDataKey(generateRequest()), TypeError);
  await assert.rejects(
    keyring.unwrapDataKey(unwrapRequest({ wrappingAlgorithm: 'RSA', wrappedKey: randomBytes(256) })),
    failure('KEY_MISMATCH'),
  );
});

test('a data key wrapped by something else than RSA is told so, by what it was', async () => {
  const keyring = rsaKeyring(own);
  for (const [wrappingAlgorithm, hint] of [
    ['kms+context', /give the KMS key/],
    ['kms', /give the KMS key/],
    ['AES/GCM', /give the AES key/],
    ['AESWrap', /give the AES key/],
    ['AES', /give the AES key/],
  ] as const)
    await assert.rejects(keyring.unwrapDataKey(unwrapRequest({ wrappingAlgorithm })), failure('KEY_MISMATCH', hint));
});

describe("a caller's mistake with an RSA keyring", () => {
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' });

  test('is refused at once: no key, no RSA key, a public one for a private one', () => {
    assert.throws(() => rsaKeyring({}), TypeError);
    for (const key of ['', 'password', Buffer.from('password'), own.publicPem, own.publicKey, curve.privateKey])
      assert.throws(() => rsaKeyring({ privateKey: key }), TypeError);
    for (const key of ['', 'password', own.privateKey, curve.publicKey])
      assert.throws(() => rsaKeyring({ publicKey: key }), TypeError);
    const additional = [{ key: own.publicPem, materialsDescription: {} }];
    assert.throws(() => rsaKeyring({ ...own, additional }), /additional\[0\]\.key/);
  });

  test('is refused at once: a key below 2048 bits', () => {
    assert.throws(() => rsaKeyring({ publicKey: weak.publicKey }), RangeError);
    assert.throws(() => rsaKeyring({ privateKey: weak.privateKey }), RangeError);
  });

  test('is refused at once: a private key under a pass phrase, which nobody is asked for', () => {
    const locked = own.privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-128-cbc', passphrase: 'x' });
    assert.throws(() => rsaKeyring({ privateKey: locked }), /not encrypted/);
  });

  test('never quotes what was taken for a key', () => {
    for (const privateKey of ['correct horse', `-----BEGIN PRIVATE KEY-----\nhorse\n-----END PRIVATE KEY-----`]) {
      const caught = (): unknown => {
        try {
          return rsaKeyring({ privateKey });
        } catch (error) {
          return error;
        }
      };
      const error = caught() as Error;
      assert.ok(error instanceof TypeError && error.cause === undefined && !String(error.stack).includes('horse'));
    }
  });

  test('is a TypeError when writing with an encryption context', async () => {
    await assert.rejects(
      rsaKeyring(own).generateDataKey(generateRequest({ encryptionContext: { a: '1' } })),
      TypeError,
    );
  });
});
