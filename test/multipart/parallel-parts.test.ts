import assert from 'node:assert/strict';
import { createCipheriv, randomBytes } from 'node:crypto';
import { appendFileSync, mkdtempSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { crc32 } from 'node:zlib';
import type { ContentKey } from '../../src/crypto/content-key.ts';
import { SealpipeError } from '../../src/errors.ts';
import { committingSuite, gcmSuite } from '../../src/format/suites.ts';
import { ParallelParts, type ParallelSource, type ResumedParts } from '../../src/multipart/parallel-parts.ts';
import type { PartPlan, PartProducer } from '../../src/multipart/parts.ts';
import { SerialParts } from '../../src/multipart/serial-parts.ts';
import { openBody } from '../../src/multipart/upload-body.ts';
import { takeWorkers } from '../../src/multipart/workers/worker-pool.ts';

const partSize = 64 * 1024;
const folder = mkdtempSync(join(tmpdir(), 'sealpipe-parts-'));
after(() => rmSync(folder, { recursive: true }));

const newKey = (committing: boolean): ContentKey => ({
  suite: committing ? committingSuite : gcmSuite,
  key: Uint8Array.from(randomBytes(32)),
  iv: committing ? new Uint8Array(12).fill(1) : Uint8Array.from(randomBytes(12)),
  aad: committing ? Uint8Array.of(0, 0x73) : new Uint8Array(0),
});

/** What plain GCM makes of the message. */
function reference({ key, iv, aad }: ContentKey, message: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
  cipher.setAAD(aad);
  return Buffer.concat([cipher.update(message), cipher.final(), cipher.getAuthTag()]);
}

async function* cut(message: Uint8Array, step: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < message.length; at += step) yield message.subarray(at, at + step);
}

interface Made {
  readonly stored: Buffer;
  readonly sizes: number[];
  readonly whole: boolean;
}

/** Takes all parts, holding as many as an upload would, and joins them. */
async function collect(producer: PartProducer, inMemory: number): Promise<Made> {
  const held: Promise<void>[] = [];
  const pieces: Buffer[] = [];
  let whole = false;
  for await (const part of producer.parts()) {
    const taken = part.sealed.then((sealed) => {
      assert.equal(sealed.number, part.number);
      assert.equal(sealed.crc32, crc32(sealed.bytes));
      pieces[part.number - 1] = Buffer.from(sealed.bytes);
      part.release();
    });
    taken.catch(() => undefined);
    held.push(taken);
    whole ||= part.whole;
    // Parts are waited for late and out of step, as sends are.
    if (held.length >= inMemory) await held.shift();
  }
  await Promise.all(held);
  producer.close();
  return { stored: Buffer.concat(pieces), sizes: pieces.map(({ length }) => length), whole };
}

const plan = (length: number | undefined, inMemory = 3): PartPlan => ({
  length,
  partSize: () => partSize,
  partsInMemory: inMemory,
});

const lengths = [
  0,
  1,
  15,
  16,
  17,
  partSize - 17,
  partSize - 16,
  partSize - 1,
  partSize,
  partSize + 1,
  2 * partSize - 17,
  2 * partSize - 16,
  2 * partSize - 15,
  2 * partSize,
  2 * partSize + 1,
  5 * partSize + 37,
  9 * partSize,
];

for (const committing of [false, true]) {
  test(`every engine and source gives the parts of plain GCM, ${committing ? 'committing' : 'plain'} suite`, async () => {
    for (const length of lengths) {
      const message = randomBytes(length);
      const path = join(folder, `source-${length}`);
      writeFileSync(path, message);
      const made: Made[] = [];
      const key = newKey(committing);
      const expected = reference(key, message);
      const copy = (): ContentKey => ({ ...key, key: Uint8Array.from(key.key) });
      for (const known of [length, undefined]) {
        made.push(await collect(new SerialParts(copy(), cut(message, 10_007), plan(known)), 3));
        made.push(
          await collect(
            new ParallelParts(copy(), { chunks: cut(message, 10_007) }, plan(known), () => takeWorkers(2)),
            3,
          ),
        );
        made.push(
          await collect(
            new ParallelParts(copy(), { chunks: cut(message, partSize) }, plan(known, 2), () => takeWorkers(1)),
            2,
          ),
        );
      }
      const body = await openBody({ path });
      made.push(
        await collect(
          new ParallelParts(copy(), { file: body.file as NonNullable<typeof body.file> }, plan(length, 4), () =>
            takeWorkers(2),
          ),
          4,
        ),
      );
      await body.close();
      for (const { stored, sizes, whole } of made) {
        assert.ok(stored.equals(expected), `length ${length}`);
        assert.equal(whole, length <= partSize, `length ${length}`);
        // All but the last have the part size exactly; a single one holds content and tag whatever their length.
        if (!whole)
          assert.ok(
            sizes.slice(0, -1).every((size) => size === partSize) && sizes.at(-1)! <= partSize,
            `length ${length}: ${sizes.join()}`,
          );
      }
    }
  });
}

test('parts whose size grows are cut alike by both engines', async () => {
  const message = randomBytes(40 * 1024);
  const key = newKey(true);
  const growing: PartPlan = { length: undefined, partSize: (number) => (number <= 4 ? 1024 : 4096), partsInMemory: 2 };
  const copy = (): ContentKey => ({ ...key, key: Uint8Array.from(key.key) });
  const serial = await collect(new SerialParts(copy(), cut(message, 700), growing), 2);
  const parallel = await collect(
    new ParallelParts(copy(), { chunks: cut(message, 700) }, growing, () => takeWorkers(2)),
    2,
  );
  assert.deepEqual(parallel.sizes, serial.sizes);
  assert.ok(parallel.stored.equals(serial.stored) && serial.stored.equals(reference(key, message)));
});

async function failureOf(source: ParallelSource, options: { plan: PartPlan; during?: () => void }): Promise<unknown> {
  const producer = new ParallelParts(newKey(true), source, options.plan, () => takeWorkers(2));
  try {
    let first = true;
    for await (const part of producer.parts()) {
      if (first) options.during?.();
      first = false;
      await part.sealed;
      part.release();
    }
    return undefined;
  } catch (error) {
    return error;
  } finally {
    producer.close();
  }
}

for (const [what, change] of [
  ['is cut', (path: string) => truncateSync(path, partSize + 5)],
  ['grows', (path: string) => appendFileSync(path, 'more')],
  ['is written to in place', (path: string) => writeFileSync(path, randomBytes(6 * partSize), { flag: 'r+' })],
  [
    'is replaced',
    (path: string) => {
      rmSync(path);
      writeFileSync(path, randomBytes(6 * partSize));
    },
  ],
  ['is removed', (path: string) => rmSync(path)],
  ['gets another time', (path: string) => utimesSync(path, 1, 1)],
] as const) {
  test(`a file that ${what} while workers read it is an error`, async () => {
    const path = join(folder, 'changing');
    writeFileSync(path, randomBytes(6 * partSize));
    const body = await openBody({ path });
    const error = await failureOf(
      { file: body.file as NonNullable<typeof body.file> },
      { plan: plan(6 * partSize, 2), during: () => change(path) },
    );
    await body.close();
    assert.ok(error instanceof SealpipeError, String(error));
    assert.equal(error.code, 'ERR_SEALPIPE_SOURCE_CHANGED');
  });
}

test('a stream that delivers more or fewer bytes than promised is an error, however late', async () => {
  for (const promised of [0, 1, 3 * partSize - 1, 3 * partSize + 1, 9 * partSize]) {
    const error = await failureOf({ chunks: cut(randomBytes(3 * partSize), 9999) }, { plan: plan(promised) });
    assert.ok(
      error instanceof SealpipeError && error.code === 'ERR_SEALPIPE_SOURCE_FAILED',
      `${promised}: ${String(error)}`,
    );
  }
});

test('closing in the middle ends everything that waits, and overwrites the key', async () => {
  const key = newKey(true);
  const producer = new ParallelParts(
    key,
    { chunks: cut(randomBytes(8 * partSize), partSize) },
    plan(undefined, 2),
    () => takeWorkers(2),
  );
  const seen: number[] = [];
  const error = await (async () => {
    for await (const part of producer.parts()) {
      seen.push(part.number);
      // Nothing is released: the third part waits for memory.
      if (part.number === 2) setTimeout(() => producer.close(), 5);
    }
  })().catch((cause: unknown) => cause);
  assert.deepEqual(seen, [1, 2]);
  assert.ok(error instanceof SealpipeError && error.code === 'ERR_SEALPIPE_ABORTED');
  assert.ok(key.key.every((byte) => byte === 0));
});

test('a part that an earlier process fixed and that comes out different is refused: nothing of it is handed out', async () => {
  const path = join(folder, 'forged');
  const content = randomBytes(4 * partSize);
  const key = newKey(true);
  const fixed = async (
    bytes: Buffer,
    resumed?: ResumedParts,
  ): Promise<Map<number, { length: number; z: Int32Array }>> => {
    writeFileSync(path, bytes);
    const body = await openBody({ path });
    const file = body.file as NonNullable<typeof body.file>;
    const copy = { ...key, key: Uint8Array.from(key.key) };
    const producer = new ParallelParts(copy, { file }, plan(bytes.length, 2), () => takeWorkers(2), resumed);
    const intents = new Map<number, { length: number; z: Int32Array }>();
    try {
      for await (const part of producer.parts()) {
        const { segment } = await part.sealed;
        if (segment !== undefined) intents.set(part.number, { length: segment.length, z: Int32Array.from(segment.z) });
        part.release();
      }
    } finally {
      producer.close();
      await body.close();
    }
    return intents;
  };
  const intents = await fixed(content);
  assert.equal(intents.size, 5);
  const again = (): ResumedParts => ({
    intents: new Map([...intents].map(([n, { length, z }]) => [n, { length, z: Int32Array.from(z) }])),
    done: new Set([1]),
  });
  await fixed(content, again());
  // Other bytes, as a write through mmap can leave them without a trace in the file's times.
  const changed = Buffer.from(content);
  changed[2 * partSize + 5]! ^= 1;
  await assert.rejects(fixed(changed, again()), { code: 'ERR_SEALPIPE_SOURCE_CHANGED', part: 3 });
});
