import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SealQueue } from '../../src/multipart/seal-queue.ts';
import type { SealWorker } from '../../src/multipart/workers/inline-worker.ts';

/** A worker as the queue sees it: who it is, and what else it has to do. */
function workerOf(load = 0): SealWorker {
  return { load, post: () => undefined, run: () => Promise.reject(new Error('the queue hands out, it does not run')) };
}

/** Makes parts that end when they are told to; keeps who got which, in order. */
function workshop(queue: SealQueue): {
  readonly begun: { readonly part: number; readonly worker: SealWorker; readonly end: (error?: Error) => void }[];
  readonly order: (part: number) => Promise<number>;
} {
  const begun: ReturnType<typeof workshop>['begun'] = [];
  return {
    begun,
    order: (part) =>
      queue.run(
        (worker) =>
          new Promise((resolve, reject) =>
            begun.push({ part, worker, end: (error) => (error === undefined ? resolve(part) : reject(error)) }),
          ),
      ),
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('each worker is given two parts at first, in turn, and the rest waits', () => {
  const [a, b] = [workerOf(), workerOf()];
  const { begun, order } = workshop(new SealQueue([a, b]));
  for (let part = 1; part <= 7; part++) void order(part);
  assert.deepEqual(
    begun.map(({ part, worker }) => [part, worker === a ? 'a' : 'b']),
    [
      [1, 'a'],
      [2, 'b'],
      [3, 'a'],
      [4, 'b'],
    ],
  );
});

test('a worker that is slow is left with what it has: another makes all the rest', async () => {
  const [slow, quick] = [workerOf(), workerOf()];
  const { begun, order } = workshop(new SealQueue([slow, quick]));
  const parts = Array.from({ length: 9 }, (_, i) => order(i + 1));
  for (let made = 0; made < begun.length; made++) {
    if (begun[made]?.worker === quick) begun[made]?.end();
    await turn();
  }
  assert.deepEqual(
    begun.filter(({ worker }) => worker === slow).map(({ part }) => part),
    [1, 3],
  );
  assert.deepEqual(
    begun.map(({ part }) => part),
    [1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
  for (const { worker, end } of begun) if (worker === slow) end();
  assert.deepEqual(await Promise.all(parts), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('a part that comes in the moment in which another ends does not overtake those that wait', async () => {
  const { begun, order } = workshop(new SealQueue([workerOf()]));
  for (let part = 1; part <= 3; part++) void order(part);
  begun[0]?.end();
  // Before the one that waits was told.
  void order(4);
  await turn();
  begun[1]?.end();
  await turn();
  assert.deepEqual(
    begun.map(({ part }) => part),
    [1, 2, 3, 4],
  );
});

test('a part that fails leaves its place to the next', async () => {
  const { begun, order } = workshop(new SealQueue([workerOf()]));
  const parts = [1, 2, 3].map((part) => order(part));
  begun[0]?.end(new Error('changed'));
  await assert.rejects(parts[0] as Promise<number>, /changed/);
  await turn();
  assert.deepEqual(
    begun.map(({ part }) => part),
    [1, 2, 3],
  );
});

test('of two workers with as many parts the one with less else to do is given the next', () => {
  const [busy, idle] = [workerOf(3), workerOf(1)];
  const { begun, order } = workshop(new SealQueue([busy, idle]));
  void order(1);
  assert.equal(begun[0]?.worker, idle);
});
