import assert from 'node:assert/strict';
import { createCipheriv, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ContentEncryptor, createContentDecryptor, sliceLength, slices } from '../../src/crypto/content-cipher.ts';
import { type ContentKey, newContentKey, storedContentKey } from '../../src/crypto/content-key.ts';
import { cbcSuite, committingSuite, gcmSuite, maxPlaintextLength } from '../../src/format/suites.ts';
import { failure } from '../support/failure.ts';
import { LongBytes } from '../support/long-bytes.ts';
import { boundaryLengths, cutAt, pieces, runs, unaligned } from '../support/properties.ts';

const dataKey = randomBytes(32);
const suites = [committingSuite, gcmSuite] as const;
const keyOf = (suite: (typeof suites)[number]): ContentKey => newContentKey(suite, dataKey).contentKey;
const cbcKey = (): ContentKey =>
  storedContentKey({ suite: cbcSuite, iv: randomBytes(16), commitment: undefined }, dataKey);

function encrypt(contentKey: ContentKey, chunks: readonly Uint8Array[]): Buffer {
  const encryptor = new ContentEncryptor(contentKey);
  return Buffer.concat([...chunks.map((chunk) => encryptor.update(chunk)), encryptor.final()]);
}

function decrypt(contentKey: ContentKey, chunks: readonly Uint8Array[], storedLength?: number): Buffer {
  const decryptor = createContentDecryptor(contentKey, storedLength);
  return Buffer.concat([...chunks.map((chunk) => Uint8Array.from(decryptor.update(chunk))), decryptor.final()]);
}

/** What OpenSSL makes of it in one go: the oracle. */
function oracle({ key, iv, aad }: ContentKey, plaintext: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: 16 }).setAAD(aad);
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function oracleCbc({ key, iv }: ContentKey, plaintext: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  return Buffer.concat([cipher.update(plaintext), cipher.final()]);
}

describe('slices', () => {
  test('are views of at most 256 KiB that join to the whole', () => {
    assert.equal(sliceLength, 256 * 1024);
    for (const length of boundaryLengths.concat(2 * sliceLength - 1, 2 * sliceLength, 2 * sliceLength + 1)) {
      const bytes = randomBytes(length);
      const cut = [...slices(bytes)];
      assert.ok(cut.every((slice) => slice.length > 0 && slice.length <= sliceLength && slice.buffer === bytes.buffer));
      assert.equal(cut.length, Math.ceil(length / sliceLength));
      assert.deepEqual(Buffer.concat(cut), bytes);
    }
  });
});

for (const suite of suites) {
  describe(suite.name, () => {
    test('encrypts as OpenSSL does in one go, at every boundary length and however the bytes lie', () => {
      for (const length of boundaryLengths) {
        const contentKey = keyOf(suite);
        const plaintext = unaligned(randomBytes(length));
        const stored = encrypt(contentKey, [...slices(plaintext, 1000)]);
        assert.deepEqual(stored, oracle(contentKey, plaintext));
      }
    });

    test('decryption undoes encryption for any content cut in any way, with the length known or not', () => {
      const places = fc.array(fc.nat({ max: 1100 }), { maxLength: 8 });
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 1000 }), places, places, (content, cuts, otherCuts) => {
          const contentKey = keyOf(suite);
          const stored = encrypt(contentKey, cutAt(Buffer.from(content), cuts));
          assert.deepEqual(decrypt(contentKey, cutAt(stored, otherCuts)), Buffer.from(content));
          assert.deepEqual(decrypt(contentKey, cutAt(stored, otherCuts), stored.length), Buffer.from(content));
        }),
        runs(100),
      );
    });

    test('decrypts byte by byte, with empty pieces between, and keeps back no more than the tag', () => {
      for (const length of [0, 1, 15, 16, 17, 100]) {
        const contentKey = keyOf(suite);
        const plaintext = randomBytes(length);
        const stored = oracle(contentKey, plaintext);
        const decryptor = createContentDecryptor(contentKey);
        let out = 0;
        for (const [index, byte] of pieces(stored, 1).entries()) {
          out += decryptor.update(byte).length;
          assert.equal(decryptor.update(Buffer.alloc(0)).length, 0);
          assert.equal(out, Math.max(0, index + 1 - 16));
        }
        assert.equal(decryptor.final().length, 0);
        assert.deepEqual(decrypt(contentKey, pieces(stored, 1), stored.length), plaintext);
      }
    });

    test('refuses any change of any byte of a small object', () => {
      for (const length of [0, 1, 16, 33]) {
        const contentKey = keyOf(suite);
        const stored = oracle(contentKey, randomBytes(length));
        for (let at = 0; at < stored.length; at++) {
          const tampered = Buffer.from(stored);
          tampered[at]! ^= 1 << (at % 8);
          for (const known of [undefined, stored.length]) {
            assert.throws(() => decrypt(contentKey, [tampered], known), failure('AUTHENTICATION_FAILED'));
          }
        }
      }
    });

    test('refuses an object cut anywhere: as cut where the length is known or not even a tag is left, else as altered', () => {
      const contentKey = keyOf(suite);
      const stored = oracle(contentKey, randomBytes(40));
      for (let length = 0; length < stored.length; length++) {
        const cut = stored.subarray(0, length);
        assert.throws(() => decrypt(contentKey, [cut], stored.length), failure('TRUNCATED', /ended after/));
        const code = length < 16 ? 'TRUNCATED' : 'AUTHENTICATION_FAILED';
        assert.throws(() => decrypt(contentKey, [cut]), failure(code));
      }
    });

    test('refuses an object that has more bytes than it should, in the same piece or the next', () => {
      const contentKey = keyOf(suite);
      const stored = oracle(contentKey, randomBytes(40));
      const longer = Buffer.concat([stored, Buffer.of(0)]);
      assert.throws(() => decrypt(contentKey, [longer]), failure('AUTHENTICATION_FAILED'));
      assert.throws(() => decrypt(contentKey, [longer], stored.length), failure('AUTHENTICATION_FAILED'));
      assert.throws(() => decrypt(contentKey, [stored, Buffer.of(0)], stored.length), failure('AUTHENTICATION_FAILED'));
    });

    test('refuses content under another key, IV or associated data', () => {
      const contentKey = keyOf(suite);
      const stored = oracle(contentKey, randomBytes(40));
      const others = [
        { ...contentKey, key: randomBytes(32) },
        { ...contentKey, iv: randomBytes(12) },
        { ...contentKey, aad: Buffer.from([0, suite === gcmSuite ? 0x73 : 0x72]) },
      ];
      for (const other of others) assert.throws(() => decrypt(other, [stored]), failure('AUTHENTICATION_FAILED'));
    });

    test('the limit of one message is met exactly: 2^36 − 32 bytes pass, one more does not', () => {
      const encryptor = new ContentEncryptor(keyOf(suite));
      encryptor.update(new LongBytes(maxPlaintextLength - 1));
      encryptor.update(Buffer.alloc(1));
      assert.equal(encryptor.length, maxPlaintextLength);
      assert.throws(() => encryptor.update(Buffer.alloc(1)), failure('TOO_LARGE', /2\^36 − 32/));
      assert.throws(() => encryptor.update(Buffer.alloc(1)), failure('TOO_LARGE'));
      encryptor.close();
      for (const known of [undefined, 2 ** 37]) {
        const decryptor = createContentDecryptor(keyOf(suite), known);
        decryptor.update(new LongBytes(maxPlaintextLength + 15));
        decryptor.update(Buffer.alloc(1));
        assert.throws(() => decryptor.update(Buffer.alloc(1)), failure('TOO_LARGE'));
        decryptor.close();
      }
    });

    test('an encryptor makes one message: after its end it takes nothing and gives no second tag', () => {
      const encryptor = new ContentEncryptor(keyOf(suite));
      encryptor.update(Buffer.from('a'));
      encryptor.final();
      assert.throws(() => encryptor.update(Buffer.from('b')));
      assert.throws(() => encryptor.final());
      encryptor.close();
    });

    test('given up in the middle, both directions are over, and giving up twice is no error', () => {
      const encryptor = new ContentEncryptor(keyOf(suite));
      encryptor.update(Buffer.from('a'));
      const decryptor = createContentDecryptor(keyOf(suite));
      decryptor.update(Buffer.alloc(20));
      for (const cipher of [encryptor, decryptor]) {
        cipher.close();
        cipher.close();
        assert.throws(() => cipher.update(Buffer.alloc(20)));
      }
    });

    test('a decryptor that failed does not succeed later', () => {
      const decryptor = createContentDecryptor(keyOf(suite));
      decryptor.update(Buffer.alloc(32));
      for (let round = 0; round < 2; round++) assert.throws(() => decryptor.final());
    });
  });
}

describe('AES-256-CBC, read only', () => {
  test('decrypts any length, byte by byte as in one go', () => {
    for (const length of [0, 1, 15, 16, 17, 31, 32, 100]) {
      const contentKey = cbcKey();
      const plaintext = randomBytes(length);
      const stored = oracleCbc(contentKey, plaintext);
      assert.deepEqual(decrypt(contentKey, [stored]), plaintext);
      assert.deepEqual(decrypt(contentKey, pieces(stored, 1)), plaintext);
      assert.deepEqual(decrypt(contentKey, pieces(stored, 7), stored.length), plaintext);
    }
  });

  test('refuses what is no whole number of blocks, or none at all, as cut', () => {
    const contentKey = cbcKey();
    const stored = oracleCbc(contentKey, randomBytes(40));
    for (let length = 0; length < stored.length; length++) {
      if (length > 0 && length % 16 === 0) continue;
      assert.throws(() => decrypt(contentKey, [stored.subarray(0, length)]), failure('TRUNCATED'));
    }
  });

  test('refuses what is cut at a block edge or has more, where the length is known: padding alone can happen to fit', () => {
    const contentKey = cbcKey();
    // Every block ends in 01, so that whatever block comes last, its padding is right.
    const stored = oracleCbc(contentKey, Buffer.alloc(64, 1));
    assert.equal(decrypt(contentKey, [stored.subarray(0, 32)]).length, 31);
    assert.throws(() => decrypt(contentKey, [stored.subarray(0, 32)], 80), failure('TRUNCATED', /32 bytes/));
    assert.throws(() => decrypt(contentKey, [stored], 64), failure('AUTHENTICATION_FAILED'));
  });

  test('refuses a last block without valid padding', () => {
    const contentKey = cbcKey();
    const stored = oracleCbc(contentKey, Buffer.alloc(32, 0x55));
    assert.throws(() => decrypt(contentKey, [stored.subarray(0, 32)]), failure('AUTHENTICATION_FAILED', /padding/));
  });

  test('is never written', () => {
    assert.throws(() => new ContentEncryptor(cbcKey()), /internal error/);
  });
});
