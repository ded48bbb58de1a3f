import assert from 'node:assert/strict';
import { createCipheriv, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import type { ContentKey } from '../../src/crypto/content-key.ts';
import { committingSuite } from '../../src/format/suites.ts';
import { ParallelParts } from '../../src/multipart/parallel-parts.ts';
import type { PendingPart } from '../../src/multipart/parts.ts';
import { type PoolWorker, takeWorkers } from '../../src/multipart/workers/worker-pool.ts';
import { failure } from '../support/failure.ts';
import { settle } from '../support/stream-ends.ts';

const newKey = (): ContentKey => ({
  suite: committingSuite,
  key: new Uint8Array(randomBytes(32)),
  iv: new Uint8Array(12).fill(1),
  aad: Uint8Array.of(0, 0x73),
});

/** The first part large, so that it is the last one to be made; then small ones. */
const sizes = [8 * 1024 * 1024, 16, 16];
const plan = { length: undefined, partSize: (number: number) => sizes[number - 1] ?? 64, partsInMemory: 8 };

async function* source(message: Uint8Array): AsyncGenerator<Uint8Array> {
  yield message;
}

function reference({ key, iv, aad }: ContentKey, message: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: 16 }).setAAD(aad);
  return Buffer.concat([cipher.update(message), cipher.final(), cipher.getAuthTag()]);
}

async function all(producer: ParallelParts): Promise<PendingPart[]> {
  const parts: PendingPart[] = [];
  for await (const part of producer.parts()) parts.push(part);
  return parts;
}

/** What a promise settles with; fails when it does not within a minute, which no machine is too busy for. */
async function outcome<T>(promise: Promise<T>): Promise<T | Error> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('a part never settled')), 60_000);
  });
  const settled = promise.catch((error: unknown) => error as Error);
  return Promise.race([settled, late]).finally(() => clearTimeout(timer));
}

describe('parts of an upload that ends early', () => {
  // With a tag that fits the last part, with one that needs a part of its own, and with one divided between two.
  for (const last of [0, 1, 48, 49, 64]) {
    test(`all settle, whenever it ends, with ${last} bytes in the last part; no tag is made without the key`, async () => {
      for (const ending of ['at once', 'after the second part', 'after the third part'] as const) {
        const message = randomBytes(8 * 1024 * 1024 + 32 + last);
        const key = newKey();
        const expected = reference(key, message);
        const producer = new ParallelParts(key, { chunks: source(message) }, plan, () => takeWorkers(2));
        const parts = await all(producer);
        const close = (): void => producer.close();
        if (ending === 'at once') close();
        else void parts[ending === 'after the second part' ? 1 : 2]?.sealed.then(close);
        const made = await Promise.all(parts.map(({ sealed }) => outcome(sealed)));
        close();
        const bytes = made.flatMap((part) => {
          if (!(part instanceof Error)) return [part.bytes];
          failure('ABORTED')(part);
          return [];
        });
        // It may have been faster; then the tag is the right one.
        if (!(made.at(-1) instanceof Error)) assert.ok(Buffer.concat(bytes).equals(expected), ending);
        if (ending === 'at once') assert.ok(made.at(-1) instanceof Error);
      }
    });
  }
});

/** A thread whose answers come when they are asked for, in any order. */
class ScriptedWorker {
  readonly load = 0;
  readonly #answers: (() => void)[] = [];

  post(): void {}

  run(): Promise<number> {
    return new Promise((resolve) => {
      this.#answers.push(() => resolve(0));
    });
  }

  /** Answers the tasks of these numbers, from 1. */
  async answer(...tasks: readonly number[]): Promise<void> {
    for (const task of tasks) {
      this.#answers[task - 1]?.();
      await settle();
    }
  }
}

test('parts settle in whatever order the threads answered, before and after the end', async () => {
  const orders = [
    [1, 2, 3],
    [1, 3, 2],
    [2, 1, 3],
    [2, 3, 1],
    [3, 1, 2],
    [3, 2, 1],
  ];
  for (const order of orders) {
    for (let answered = 0; answered <= 3; answered++) {
      for (const last of [1, 48, 49, 64]) {
        const thread = new ScriptedWorker();
        const small = { ...plan, partSize: (number: number) => (number < 3 ? 16 : 64) };
        // Twice: one is given no more than two parts.
        const workers = [thread, thread] as unknown as readonly PoolWorker[];
        const producer = new ParallelParts(newKey(), { chunks: source(Buffer.alloc(32 + last)) }, small, () => workers);
        const parts = await all(producer);
        await thread.answer(...order.slice(0, answered));
        producer.close();
        await thread.answer(...order.slice(answered));
        const made = await Promise.all(parts.map(({ sealed }) => outcome(sealed)));
        for (const part of made) if (part instanceof Error) failure('ABORTED')(part);
        // Z of a part that is answered after the end has been overwritten: in a journal it would refuse the true part later.
        for (const task of order.slice(answered))
          assert.ok(made[task - 1] instanceof Error, `part ${task} was made after the end`);
      }
    }
  }
});
