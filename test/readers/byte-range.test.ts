import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { alignRange, assertRange, type ByteRange, mergeRanges, splitRange } from '../../src/readers/byte-range.ts';
import { runs } from '../support/properties.ts';

const range = fc.tuple(fc.nat(5000), fc.nat(2000)).map(([start, length]) => ({ start, end: start + length }));

test('a range has whole bounds in order within the content', () => {
  for (const [start, end] of [
    [0, 0],
    [0, 10],
    [10, 10],
    [3, 7],
  ] as const)
    assertRange({ start, end }, 10);
  for (const [start, end] of [
    [-1, 2],
    [0, 11],
    [7, 3],
    [0.5, 2],
    [0, Number.NaN],
    [11, 11],
    [-0.1, 0],
  ] as const)
    assert.throws(() => assertRange({ start, end }, 10), RangeError);
});

test('merged ranges are in order, cover all bytes, and lie further apart than the gap', () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 20 }), fc.nat(300), (ranges, gap) => {
      const merged = mergeRanges(ranges, gap);
      for (const { start, end } of ranges)
        assert.ok(start === end || merged.some((span) => span.start <= start && end <= span.end));
      for (const [i, { start, end }] of merged.entries()) {
        assert.ok(end > start);
        assert.ok(i === 0 || start - (merged[i - 1] as ByteRange).end > gap);
        assert.ok(ranges.some((one) => one.start === start) && ranges.some((one) => one.end === end));
      }
    }),
    runs(200),
  );
});

test('pieces follow on one another, are cut at the alignment, and are about as long as each other', () => {
  fc.assert(
    fc.property(range, fc.constantFrom(1, 16, 64), fc.integer({ min: 64, max: 1000 }), (whole, alignment, longest) => {
      if (whole.end === whole.start) return;
      const pieces = splitRange(whole, { longest, alignment });
      assert.equal(pieces[0]?.start, whole.start);
      assert.equal(pieces.at(-1)?.end, whole.end);
      for (const [i, { start, end }] of pieces.entries()) {
        assert.ok(end > start && end - start <= longest + alignment);
        if (i > 0) assert.deepEqual([start % alignment, start], [0, pieces[i - 1]?.end]);
      }
    }),
    runs(300),
  );
});

test('a range is widened to its alignment, and never past the content', () => {
  assert.deepEqual(alignRange({ start: 17, end: 33 }, 16, 100), { start: 16, end: 48 });
  assert.deepEqual(alignRange({ start: 16, end: 32 }, 16, 100), { start: 16, end: 32 });
  assert.deepEqual(alignRange({ start: 95, end: 99 }, 16, 100), { start: 80, end: 100 });
  assert.deepEqual(alignRange({ start: 95, end: 99 }, 1, 100), { start: 95, end: 99 });
});
