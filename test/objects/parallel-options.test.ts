import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { parallelOptions } from '../../src/objects/parallel-options.ts';

const threads = (given: object): number => parallelOptions(given).workers;

test('one object takes few threads by itself, and of those that it is given none without a connection', () => {
  const few = Math.min(availableParallelism(), 3);
  for (const concurrency of [1, 8, 256]) assert.equal(threads({ concurrency }), few);
  assert.equal(threads({ concurrency: 2 }), Math.min(few, 2));
  assert.equal(threads({ concurrency: 8, workers: 16 }), 8);
  assert.equal(threads({ concurrency: 8, workers: 5 }), 5);
  // What one connection brings is shared by all of them.
  assert.equal(threads({ workers: 16 }), 16);
  for (const concurrency of [1, 8]) assert.equal(threads({ concurrency, workers: 0 }), 0);
});
