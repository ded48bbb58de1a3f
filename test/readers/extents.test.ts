import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Extent, Extents } from '../../src/readers/extents.ts';

const extent = (start: number, end: number, pinned = false): Extent => ({
  start,
  end,
  bytes: undefined,
  fetch: undefined,
  pinned,
});
const starts = (extents: Extents): number[] => extents.overlapping({ start: 0, end: 1e9 }).map(({ start }) => start);

test('extents are found by what they overlap, in order', () => {
  const extents = new Extents(1000);
  for (const start of [300, 0, 100, 200]) extents.add(extent(start, start + 50));
  assert.deepEqual(starts(extents), [0, 100, 200, 300]);
  assert.deepEqual(
    extents.overlapping({ start: 49, end: 101 }).map(({ start }) => start),
    [0, 100],
  );
  assert.deepEqual(extents.overlapping({ start: 50, end: 100 }), []);
  assert.deepEqual(
    extents.overlapping({ start: 349, end: 400 }).map(({ start }) => start),
    [300],
  );
});

test('beyond the limit what was used longest ago goes, and never what is pinned', () => {
  const extents = new Extents(1000);
  extents.add({ ...extent(5000, 9000, true), bytes: new Uint8Array(4000) });
  const held = Array.from({ length: 6 }, (_, i) => extent(i * 200, i * 200 + 200));
  for (const [i, one] of held.entries()) {
    extents.add(one);
    extents.arrived(one, new Uint8Array(200));
    if (i === 3) extents.touch(held[0] as Extent);
  }
  assert.deepEqual(starts(extents), [0, 400, 600, 800, 1000, 5000]);
});

test('what would take the place of a quarter and more is not kept', () => {
  const extents = new Extents(1000);
  const long = extent(0, 251);
  extents.add(long);
  extents.arrived(long, new Uint8Array(251));
  assert.deepEqual(starts(extents), []);
  assert.equal(long.bytes?.length, 251);
});

test('clear gives back what was held', () => {
  const extents = new Extents(1000);
  extents.add(extent(0, 10));
  assert.equal(extents.clear().length, 1);
  assert.deepEqual(starts(extents), []);
});
