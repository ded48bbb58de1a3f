import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  assertPartSize,
  defaultPartSize,
  growingPartSize,
  knownPartSize,
  maxPartSize,
  maxParts,
  maxStoredLength,
  minPartSize,
} from '../../src/multipart/part-sizes.ts';
import { runs } from '../support/properties.ts';

const MiB = 1024 * 1024;

test('the largest object is 2^36 − 16 bytes, and default parts hold it', () => {
  assert.equal(maxStoredLength, 2 ** 36 - 16);
  assert.ok(defaultPartSize * maxParts >= maxStoredLength);
});

describe('a part size that a caller asks for', () => {
  test('is from 5 MiB to 5 GiB, the limits included', () => {
    for (const size of [minPartSize, minPartSize + 16, defaultPartSize, maxPartSize]) assertPartSize(size);
    for (const size of [
      0,
      -5,
      minPartSize - 16,
      maxPartSize + 16,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      5.5 * MiB + 0.5,
    ])
      assert.throws(() => assertPartSize(size), RangeError);
    assert.throws(() => assertPartSize('8388608' as unknown as number), RangeError);
  });

  test('is a multiple of 16; the error names the nearest one, which is right', () => {
    fc.assert(
      fc.property(fc.integer({ min: minPartSize, max: maxPartSize }), (size) => {
        if (size % 16 === 0) {
          assertPartSize(size);
          return;
        }
        try {
          assertPartSize(size);
          assert.fail('accepted');
        } catch (error) {
          assert.ok(error instanceof RangeError);
          const nearest = Number(/nearest is (\d+)/.exec(error.message)?.[1]);
          assertPartSize(nearest);
          assert.ok(Math.abs(nearest - size) <= 8 || nearest === maxPartSize);
        }
      }),
      runs(200),
    );
  });
});

describe('parts of an object whose length is known', () => {
  test('are all equal, as asked for wherever 10 000 suffice, and never more than 10 000', () => {
    const stored = fc.oneof(
      fc.integer({ min: 16, max: maxStoredLength }),
      fc.constantFrom(
        16,
        maxStoredLength,
        maxParts * minPartSize,
        maxParts * minPartSize + 1,
        maxParts * minPartSize - 1,
      ),
    );
    const asked = fc.integer({ min: minPartSize / 16, max: (64 * MiB) / 16 }).map((blocks) => blocks * 16);
    fc.assert(
      fc.property(stored, asked, (length, partSize) => {
        const size = knownPartSize(length, partSize);
        assertPartSize(size);
        assert.ok(size >= partSize && Math.ceil(length / size) <= maxParts);
        if (Math.ceil(length / partSize) <= maxParts) assert.equal(size, partSize);
        else assert.ok(size - Math.ceil(length / maxParts) < MiB, 'no larger than needed, rounded to a MiB');
      }),
      runs(300),
    );
  });
});

describe('parts of an object whose length is not known', () => {
  const asked = fc.oneof(
    fc.constantFrom(minPartSize, minPartSize + 16, 6 * MiB, 7 * MiB, 8 * MiB, defaultPartSize, maxPartSize),
    fc.integer({ min: minPartSize / 16, max: (8 * MiB) / 16 }).map((blocks) => blocks * 16),
  );

  test('are 10 000 that hold the largest object, however small they begin', () => {
    fc.assert(
      fc.property(asked, (partSize) => {
        let total = 0;
        let before = 0;
        for (let number = 1; number <= maxParts; number++) {
          const size = growingPartSize(number, partSize);
          assert.ok(size >= before, 'never smaller than the one before');
          assert.ok(size % 16 === 0 && size >= minPartSize && size <= maxPartSize);
          before = size;
          total += size;
        }
        assert.ok(total >= maxStoredLength, `${total} of ${maxStoredLength}`);
      }),
      runs(15),
    );
  });

  test('stay equal where equal ones suffice', () => {
    const enough = Math.ceil(maxStoredLength / maxParts / 16) * 16;
    for (const partSize of [enough, 8 * MiB, defaultPartSize, maxPartSize])
      for (const number of [1, 2, 5000, 5001, 9999, maxParts])
        assert.equal(growingPartSize(number, partSize), partSize);
    assert.ok(growingPartSize(maxParts, enough - 16) > enough);
  });

  test('stay as asked for through the first half, so that usual objects never notice', () => {
    for (const number of [1, 4999, 5000]) assert.equal(growingPartSize(number, minPartSize), minPartSize);
    for (const number of [5001, 7500, 7501, maxParts])
      assert.equal(growingPartSize(number, minPartSize), 2 * minPartSize);
  });
});
