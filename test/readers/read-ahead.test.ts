import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AccessPolicy, ReadAhead } from '../../src/readers/read-ahead.ts';

const KiB = 1024;
const make = (policy: AccessPolicy, limit = 1024 * KiB): ReadAhead =>
  new ReadAhead({ policy, limit, size: 100 * 1024 * KiB });

test('random never reads ahead, however sequential the reads are', () => {
  const ahead = make('random');
  for (let at = 0; at < 100; at++) assert.equal(ahead.after({ start: at * 10, end: at * 10 + 10 }), undefined);
});

test('sequential reads ahead from the first read on, and again when half of it is used up', () => {
  const ahead = make('sequential', 1000);
  assert.deepEqual(ahead.after({ start: 0, end: 100 }), { start: 100, end: 1100 });
  for (let at = 100; at < 600; at += 100) assert.equal(ahead.after({ start: at, end: at + 100 }), undefined);
  assert.deepEqual(ahead.after({ start: 600, end: 700 }), { start: 1100, end: 1700 });
});

test('adaptive begins in good faith: with the second read that follows on', () => {
  const ahead = make('adaptive');
  assert.equal(ahead.after({ start: 0, end: 100 }), undefined);
  assert.deepEqual(ahead.after({ start: 100, end: 200 }), { start: 200, end: 400 });
});

test('adaptive backs off after a seek, until two reads in a row follow on', () => {
  const ahead = make('adaptive');
  ahead.after({ start: 5000, end: 5100 });
  assert.equal(ahead.after({ start: 0, end: 100 }), undefined);
  assert.equal(ahead.after({ start: 100, end: 200 }), undefined);
  assert.deepEqual(ahead.after({ start: 200, end: 300 }), { start: 300, end: 500 });
  // Who asks for many ranges at once knows where to go.
  const vectored = make('adaptive');
  vectored.vectored();
  vectored.after({ start: 0, end: 100 });
  assert.equal(vectored.after({ start: 100, end: 200 }), undefined);
});

test('adaptive takes the pieces of one range, asked for at the same time, for no sequential reader', () => {
  const ahead = make('adaptive');
  assert.equal(ahead.after({ start: 0, end: 100 }), undefined);
  for (let at = 100; at < 1000; at += 100)
    assert.equal(ahead.after({ start: at, end: at + 100 }, { parallel: true }), undefined);
  // One that goes on from there is given time to show what it is.
  assert.equal(ahead.after({ start: 1000, end: 1100 }), undefined);
  assert.deepEqual(ahead.after({ start: 1100, end: 1200 }), { start: 1200, end: 1400 });
  const sequential = make('sequential', 1000);
  assert.deepEqual(sequential.after({ start: 0, end: 100 }, { parallel: true }), { start: 100, end: 1100 });
});

test('the window doubles up to its limit and ends with the content', () => {
  const ahead = new ReadAhead({ policy: 'adaptive', limit: 1000, size: 5000 });
  let most = 0;
  for (let at = 0; at < 5000; at += 100) {
    const range = ahead.after({ start: at, end: at + 100 });
    if (range === undefined) continue;
    most = Math.max(most, range.end - (at + 100));
    assert.ok(range.end <= 5000 && range.end > range.start);
  }
  assert.equal(most, 1000);
});

test('several sequential readers of one object are told apart', () => {
  const ahead = make('adaptive');
  let fetched = 0;
  for (let i = 0; i < 10; i++)
    for (const base of [0, 1_000_000, 2_000_000])
      if (ahead.after({ start: base + i * 100, end: base + i * 100 + 100 }) !== undefined) fetched += 1;
  assert.ok(fetched >= 6, `${fetched}`);
});

test('a limit of 0 and empty reads fetch nothing ahead', () => {
  const off = make('sequential', 0);
  assert.equal(off.after({ start: 0, end: 10 }), undefined);
  assert.equal(make('sequential').after({ start: 5, end: 5 }), undefined);
});
