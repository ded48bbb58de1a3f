import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { newContentKey, storedContentKey, wipe } from '../../src/crypto/content-key.ts';
import { cbcSuite, committingSuite, gcmSuite } from '../../src/format/suites.ts';
import { failure } from '../support/failure.ts';
import { runs, unaligned } from '../support/properties.ts';

/** RFC 5869 by hand: outputs of up to 64 bytes take one HMAC-SHA512 after the extraction. */
function hkdf(dataKey: Uint8Array, salt: Uint8Array, info: string, length: number): Buffer {
  const prk = createHmac('sha512', salt).update(dataKey).digest();
  const block = createHmac('sha512', prk).update(Buffer.from(info, 'latin1')).update(Buffer.of(1)).digest();
  return block.subarray(0, length);
}

describe('the content key of the committing suite', () => {
  test('and its commitment are HKDF-SHA512 of the data key, with the message id as salt', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (dataKey) => {
        const { contentKey, iv, commitment } = newContentKey(committingSuite, unaligned(dataKey));
        assert.equal(iv.length, 28);
        assert.deepEqual(Buffer.from(contentKey.key), hkdf(dataKey, iv, '\0sDERIVEKEY', 32));
        assert.deepEqual(Buffer.from(commitment as Uint8Array), hkdf(dataKey, iv, '\0sCOMMITKEY', 28));
        assert.deepEqual(Buffer.from(contentKey.iv), Buffer.alloc(12, 1));
        assert.deepEqual(Buffer.from(contentKey.aad), Buffer.from([0x00, 0x73]));
      }),
      runs(20),
    );
  });

  test('opens again from what the envelope holds', () => {
    const dataKey = randomBytes(32);
    const { contentKey, iv, commitment } = newContentKey(committingSuite, dataKey);
    assert.deepEqual(storedContentKey({ suite: committingSuite, iv, commitment }, dataKey), contentKey);
  });

  test('is refused when one bit of commitment, message id or data key differs', () => {
    const dataKey = randomBytes(32);
    const { iv, commitment } = newContentKey(committingSuite, dataKey);
    const flipped = (bytes: Uint8Array, bit: number): Uint8Array =>
      Uint8Array.from(bytes, (byte, at) => (at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
    const refused = failure('AUTHENTICATION_FAILED', /commitment/);
    for (let bit = 0; bit < 28 * 8; bit++) {
      const changed = flipped(commitment as Uint8Array, bit);
      assert.throws(() => storedContentKey({ suite: committingSuite, iv, commitment: changed }, dataKey), refused);
      const otherId = flipped(iv, bit);
      assert.throws(() => storedContentKey({ suite: committingSuite, iv: otherId, commitment }, dataKey), refused);
    }
    for (let bit = 0; bit < 256; bit++)
      assert.throws(() => storedContentKey({ suite: committingSuite, iv, commitment }, flipped(dataKey, bit)), refused);
  });

  test('is refused without a commitment, or with one of another length', () => {
    const dataKey = randomBytes(32);
    const { iv, commitment } = newContentKey(committingSuite, dataKey);
    for (const wrong of [undefined, new Uint8Array(0), commitment?.subarray(1), Buffer.alloc(29)]) {
      assert.throws(
        () => storedContentKey({ suite: committingSuite, iv, commitment: wrong }, dataKey),
        failure('AUTHENTICATION_FAILED'),
      );
    }
  });
});

describe('the content key of the other suites', () => {
  test('is the data key itself, under a random IV of 12 bytes, without associated data', () => {
    const dataKey = randomBytes(32);
    const { contentKey, iv, commitment } = newContentKey(gcmSuite, dataKey);
    assert.deepEqual([iv.length, commitment, contentKey.aad.length], [12, undefined, 0]);
    assert.deepEqual(Buffer.from(contentKey.key), dataKey);
    assert.deepEqual(storedContentKey({ suite: gcmSuite, iv, commitment: undefined }, dataKey), contentKey);
    const cbc = storedContentKey({ suite: cbcSuite, iv: randomBytes(16), commitment: undefined }, dataKey);
    assert.deepEqual(Buffer.from(cbc.key), dataKey);
  });
});

for (const suite of [committingSuite, gcmSuite]) {
  test(`two content keys of ${suite.name} never share IV or message id`, () => {
    const dataKey = randomBytes(32);
    const seen = new Set(
      Array.from({ length: 1000 }, () => Buffer.from(newContentKey(suite, dataKey).iv).toString('hex')),
    );
    assert.equal(seen.size, 1000);
  });

  test(`a content key of ${suite.name} is in memory of its own: overwriting the data key leaves it alone, and the reverse`, () => {
    const dataKey = randomBytes(32);
    const original = Buffer.from(dataKey);
    const made = newContentKey(suite, dataKey);
    const stored = storedContentKey({ suite, iv: made.iv, commitment: made.commitment }, dataKey);
    for (const { key } of [made.contentKey, stored]) {
      assert.equal(key.buffer.byteLength, 32);
      assert.notEqual(key.buffer, dataKey.buffer);
    }
    wipe(made.contentKey.key);
    assert.deepEqual(dataKey, original);
    wipe(dataKey);
    assert.notDeepEqual(Buffer.from(stored.key), Buffer.alloc(32));
  });
}

test('a data key of another length is never used', () => {
  for (const length of [0, 16, 24, 31, 33, 64]) {
    const dataKey = randomBytes(length);
    for (const suite of [committingSuite, gcmSuite]) {
      assert.throws(() => newContentKey(suite, dataKey), failure('AUTHENTICATION_FAILED', /expected 32/));
      const stored = { suite, iv: randomBytes(28), commitment: randomBytes(28) };
      assert.throws(() => storedContentKey(stored, dataKey), failure('AUTHENTICATION_FAILED', /expected 32/));
    }
  }
});

test('a wiped secret is all zero', () => {
  const secret = randomBytes(32);
  wipe(secret);
  assert.deepEqual(secret, Buffer.alloc(32));
});
