import assert from 'node:assert/strict';
import { test } from 'node:test';
import { touchPages } from '../../src/multipart/workers/page-touch.ts';
import { sharedMemory, stockMemory } from '../../src/multipart/workers/shared-memory.ts';

const MiB = 1024 * 1024;

/** The process's own memory: what a test leaves there another one finds. */
function emptied(): void {
  // More than is kept pushes all of it out, and is too much to be kept itself.
  sharedMemory.giveBack(sharedMemory.take(256 * MiB));
}

test('a buffer that was given back is used again for one of its length', () => {
  emptied();
  const buffer = sharedMemory.take(4 * MiB);
  sharedMemory.giveBack(buffer);
  assert.equal(sharedMemory.take(4 * MiB - 100).buffer, buffer.buffer);
});

test('ten buffers of 16 MiB and a tag are all kept: a second upload of eight connections makes no memory', () => {
  emptied();
  const buffers = Array.from({ length: 10 }, () => sharedMemory.take(16 * MiB + 16));
  for (const buffer of buffers) sharedMemory.giveBack(buffer);
  const made: SharedArrayBuffer[] = [];
  const stock = stockMemory({ count: 10, length: 16 * MiB + 16 }, (memory) => made.push(memory));
  assert.equal(made.length, 0);
  stock.close();
});

test('what is kept and does not fit gives way to new memory', () => {
  emptied();
  const small = Array.from({ length: 8 }, () => sharedMemory.take(MiB));
  for (const buffer of small) sharedMemory.giveBack(buffer);
  // As much as all of them together.
  sharedMemory.take(8 * MiB);
  assert.ok(
    small.every(({ buffer }) => sharedMemory.take(MiB).buffer !== buffer),
    'a buffer was still kept',
  );
});

test('pages are made without a change to what lies in them, and not where there is something better to do', async () => {
  const memory = new SharedArrayBuffer(3 * MiB + 5);
  const bytes = new Uint8Array(memory).fill(7);
  await touchPages(memory, () => false);
  assert.ok(bytes.every((byte) => byte === 7));
  let asked = 0;
  await touchPages(memory, () => {
    asked += 1;
    return true;
  });
  assert.equal(asked, 1);
});

test('what comes together with the wish for pages is heard of before the first one is made', async () => {
  let busy = false;
  let asked = 0;
  const touched = touchPages(new SharedArrayBuffer(MiB), () => {
    asked += 1;
    return busy;
  });
  busy = true;
  await touched;
  assert.equal(asked, 1);
});
