import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { assumedGcmLength, fitsOneMessage, plaintextLength, storedLength } from '../../src/format/lengths.ts';
import { cbcSuite, committingSuite, gcmSuite, maxPlaintextLength } from '../../src/format/suites.ts';
import { boundaryLengths, runs } from '../support/properties.ts';

describe('the length of GCM content', () => {
  for (const suite of [gcmSuite, committingSuite]) {
    test(`${suite.name}: stored length and plaintext length are each other's inverse, around every boundary`, () => {
      for (const length of [...boundaryLengths, 2 ** 32, maxPlaintextLength]) {
        assert.equal(storedLength(suite, length), length + 16);
        assert.deepEqual(plaintextLength(suite, length + 16), { plaintextSize: length, exact: true, basis: 'gcm' });
      }
    });

    test(`${suite.name}: a stored length below that of a tag is no object`, () => {
      for (const stored of [0, 1, 15]) assert.equal(plaintextLength(suite, stored), undefined);
    });

    test(`${suite.name}: the writer's claim changes nothing, as the stored length is exact`, () => {
      for (const claimed of [0, 83, 84, 85, 100, Number.MAX_SAFE_INTEGER]) {
        assert.deepEqual(plaintextLength(suite, 100, claimed), { plaintextSize: 84, exact: true, basis: 'gcm' });
      }
    });
  }
});

describe('the length of CBC content', () => {
  test('stored content is padded to whole blocks, by one byte at least', () => {
    const expected: [number, number][] = [
      [0, 16],
      [1, 16],
      [15, 16],
      [16, 32],
      [17, 32],
      [31, 32],
      [32, 48],
    ];
    for (const [length, stored] of expected) assert.equal(storedLength(cbcSuite, length), stored);
  });

  test('without a claim the plaintext length is an upper bound, at most 15 bytes too high', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 31 }), (length) => {
        const bound = plaintextLength(cbcSuite, storedLength(cbcSuite, length));
        assert.ok(bound !== undefined && !bound.exact && bound.basis === 'cbc-bound');
        assert.ok(bound.plaintextSize >= length && bound.plaintextSize - length <= 15);
      }),
      runs(100),
    );
  });

  test('a true claim is believed at every padding, and makes the length exact', () => {
    for (let length = 0; length <= 64; length++) {
      const stored = storedLength(cbcSuite, length);
      const expected = { plaintextSize: length, exact: true, basis: 'claimed' };
      assert.deepEqual(plaintextLength(cbcSuite, stored, length), expected);
    }
  });

  test('a claim outside of what the padding allows is not believed', () => {
    for (const claimed of [0, 15, 32, 33, 10 ** 15]) {
      assert.deepEqual(plaintextLength(cbcSuite, 32, claimed), { plaintextSize: 31, exact: false, basis: 'cbc-bound' });
    }
    for (const claimed of [16, 31]) assert.equal(plaintextLength(cbcSuite, 32, claimed)?.exact, true);
  });

  test('a stored length that is no whole number of blocks is no object', () => {
    for (const stored of [0, 1, 15, 17, 31, 33]) assert.equal(plaintextLength(cbcSuite, stored), undefined);
  });
});

test('a listing assumes a tag, and never a negative length', () => {
  assert.deepEqual([0, 1, 15, 16, 17, 2 ** 40].map(assumedGcmLength), [0, 0, 0, 0, 1, 2 ** 40 - 16]);
});

test('one message holds 2^36 − 32 bytes and not one more', () => {
  assert.equal(maxPlaintextLength, 68_719_476_704);
  assert.equal(fitsOneMessage(maxPlaintextLength), true);
  assert.equal(fitsOneMessage(maxPlaintextLength + 1), false);
});
