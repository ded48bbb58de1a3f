import assert from 'node:assert/strict';
import { test } from 'node:test';
import { steadyAllocator } from '../../src/crypto/steady-allocator.ts';

test('steadying the allocator holds no memory, and happens once', () => {
  const before = process.memoryUsage();
  for (let i = 0; i < 100; i++) steadyAllocator();
  const after = process.memoryUsage();
  const held = after.arrayBuffers - before.arrayBuffers;
  assert.ok(held < 1024 * 1024, `${held} bytes are still held`);
  const touched = after.rss - before.rss;
  assert.ok(touched < 16 * 1024 * 1024, `${touched} bytes were touched`);
});
