import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseHttpRange, resolveHttpRange } from '../../src/readers/http-range.ts';

const bytes = (text: string, size: number): unknown => {
  const range = parseHttpRange(text);
  if (range === undefined) return 'no range';
  const found = resolveHttpRange(range, size);
  return found === undefined ? 'none' : [found.start, found.end];
};

test('the three forms mean what HTTP says, cut off at the end of the content', () => {
  assert.deepEqual(bytes('bytes=0-0', 1000), [0, 1]);
  assert.deepEqual(bytes('bytes=999-1030', 1000), [999, 1000]);
  assert.deepEqual(bytes('bytes=17-', 1000), [17, 1000]);
  assert.deepEqual(bytes('bytes=-5', 1000), [995, 1000]);
  assert.deepEqual(bytes('bytes=-5000', 1000), [0, 1000]);
});

test('a range with not one byte of the content is unsatisfiable', () => {
  for (const text of ['bytes=1000-1015', 'bytes=1000-', 'bytes=-0']) assert.equal(bytes(text, 1000), 'none');
  for (const text of ['bytes=0-0', 'bytes=0-', 'bytes=-5']) assert.equal(bytes(text, 0), 'none');
});

test('what is no single range is none, and never the whole', () => {
  const wrong = [
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=5-2',
    'bytes=0-4,8-9',
    'items=0-1',
    '0-1',
    'bytes=a-b',
    'bytes=1--2',
  ];
  for (const text of [...wrong, 'bytes= 1-2', 'bytes=1-2 ', 'bytes=0-9999999999999999999', 'bytes=-1-2', 'bytes=1.5-2'])
    assert.equal(bytes(text, 1000), 'no range', text);
});
