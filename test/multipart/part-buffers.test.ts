import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PartBuffers, type PartMemory } from '../../src/multipart/part-buffers.ts';
import { stockMemory } from '../../src/multipart/workers/shared-memory.ts';
import { failure } from '../support/failure.ts';
import { settle } from '../support/stream-ends.ts';

/** Memory that counts what it gave and got back. */
function countedMemory(): PartMemory & { taken: number; returned: number } {
  return {
    taken: 0,
    returned: 0,
    take(length) {
      this.taken += 1;
      return Buffer.allocUnsafeSlow(length);
    },
    giveBack() {
      this.returned += 1;
    },
  };
}

/** Whether a promise has settled by now. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  await settle();
  return (await Promise.race([promise.catch(() => undefined), Promise.resolve(pending)])) === pending;
}

describe('part buffers', () => {
  test('that there is no memory for are an error that says what to choose', async () => {
    const exhausted: PartMemory = {
      take: (length) => Buffer.from(new SharedArrayBuffer(length)),
      giveBack: () => undefined,
    };
    await assert.rejects(new PartBuffers(1, exhausted).acquire(2 ** 52), (error: Error) => {
      failure('BUFFER_LIMIT', /smaller partSize/)(error);
      assert.ok(error.cause instanceof RangeError);
      return true;
    });
    const stock = stockMemory({ count: 2, length: 2 ** 52 }, () => undefined);
    assert.throws(() => stock.take(2 ** 52), RangeError);
    stock.close();
  });

  test('are as many as allowed; the next waits until one is given back, and gets that one', async () => {
    const buffers = new PartBuffers(2);
    const first = await buffers.acquire(100);
    await buffers.acquire(100);
    const third = buffers.acquire(100);
    assert.equal(await isPending(third), true);
    buffers.release(first);
    assert.equal(await third, first);
  });

  test('go to whoever waited longest', async () => {
    const buffers = new PartBuffers(1);
    const only = await buffers.acquire(10);
    const order: number[] = [];
    const waiting = [1, 2, 3].map(async (number) => {
      const buffer = await buffers.acquire(10);
      order.push(number);
      buffers.release(buffer);
    });
    buffers.release(only);
    await Promise.all(waiting);
    assert.deepEqual(order, [1, 2, 3]);
  });

  test('are used again, and replaced only where they are too small', async () => {
    const memory = countedMemory();
    const buffers = new PartBuffers(2, memory);
    buffers.release(await buffers.acquire(100));
    buffers.release(await buffers.acquire(50));
    assert.deepEqual([memory.taken, memory.returned], [1, 0]);
    const larger = await buffers.acquire(200);
    assert.ok(larger.length >= 200);
    assert.deepEqual([memory.taken, memory.returned], [2, 1]);
  });

  test('handed over to one who waits are replaced where they are too small', async () => {
    const buffers = new PartBuffers(1);
    const small = await buffers.acquire(10);
    const waiting = buffers.acquire(1000);
    buffers.release(small);
    assert.ok((await waiting).length >= 1000);
  });

  test('lie alone in their memory', async () => {
    const buffer = await new PartBuffers(1).acquire(100);
    assert.equal(buffer.buffer.byteLength, 100);
  });
});

describe('part buffers that are closed', () => {
  test('fail whoever waits, and whoever comes', async () => {
    const buffers = new PartBuffers(1);
    await buffers.acquire(10);
    const waiting = [buffers.acquire(10), buffers.acquire(10)];
    buffers.close();
    for (const wait of waiting) await assert.rejects(wait, failure('ABORTED'));
    await assert.rejects(buffers.acquire(10), failure('ABORTED'));
  });

  test('give all memory back: what was free, and what comes back later', async () => {
    const memory = countedMemory();
    const buffers = new PartBuffers(3, memory);
    const [lent, free] = [await buffers.acquire(10), await buffers.acquire(10)];
    buffers.release(free);
    buffers.close();
    assert.equal(memory.returned, 1);
    buffers.release(lent);
    assert.deepEqual([memory.taken, memory.returned], [2, 2]);
  });

  test('fail a waiter that was handed a buffer in the same moment, and lose no buffer over it', async () => {
    const memory = countedMemory();
    const buffers = new PartBuffers(1, memory);
    const only = await buffers.acquire(10);
    const waiting = buffers.acquire(10);
    buffers.release(only);
    buffers.close();
    await assert.rejects(waiting, failure('ABORTED'));
    assert.deepEqual([memory.taken, memory.returned], [1, 1]);
  });
});
