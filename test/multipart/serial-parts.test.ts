import assert from 'node:assert/strict';
import { createCipheriv, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { type ContentKey, newContentKey } from '../../src/crypto/content-key.ts';
import { committingSuite, gcmSuite } from '../../src/format/suites.ts';
import type { PartPlan, SealedPart } from '../../src/multipart/parts.ts';
import { SerialParts } from '../../src/multipart/serial-parts.ts';
import { failure } from '../support/failure.ts';
import { cutAt, pieces, runs, unaligned } from '../support/properties.ts';
import { settle } from '../support/stream-ends.ts';

const partSize = 64 * 1024;

const newKey = (): ContentKey => newContentKey(gcmSuite, randomBytes(32)).contentKey;
const copyOf = (key: ContentKey): ContentKey => ({ ...key, key: Uint8Array.from(key.key) });

function oracle({ key, iv, aad }: ContentKey, message: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: 16 }).setAAD(aad);
  return Buffer.concat([cipher.update(message), cipher.final(), cipher.getAuthTag()]);
}

async function* given(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

const planOf = (plan: Partial<PartPlan> = {}): PartPlan => ({
  length: undefined,
  partSize: () => partSize,
  partsInMemory: 3,
  ...plan,
});

interface Made {
  readonly parts: SealedPart[];
  readonly stored: Buffer;
  readonly whole: boolean[];
}

/** All parts, their bytes copied, as they are given back at once. */
async function make(key: ContentKey, chunks: readonly Uint8Array[], plan: Partial<PartPlan> = {}): Promise<Made> {
  const producer = new SerialParts(copyOf(key), given(chunks), planOf(plan));
  const parts: SealedPart[] = [];
  const whole: boolean[] = [];
  try {
    for await (const part of producer.parts()) {
      const sealed = await part.sealed;
      parts.push({ ...sealed, bytes: Buffer.from(sealed.bytes) });
      whole.push(part.whole);
      part.release();
    }
  } finally {
    producer.close();
  }
  return { parts, whole, stored: Buffer.concat(parts.map(({ bytes }) => bytes)) };
}

describe('serial parts', () => {
  test('are the one GCM message, cut at the part size, however the source is cut', async () => {
    const places = fc.array(fc.nat({ max: 4 * partSize }), { maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 4 * partSize }), places, fc.boolean(), async (length, cuts, known) => {
        const key = newKey();
        const message = unaligned(randomBytes(length));
        const { parts, stored } = await make(key, cutAt(message, cuts), known ? { length } : {});
        assert.ok(stored.equals(oracle(key, message)));
        assert.deepEqual(
          parts.map(({ number }) => number),
          parts.map((_, index) => index + 1),
        );
        for (const { bytes, crc32: sum } of parts) assert.equal(sum, crc32(bytes));
        assert.equal(
          parts.reduce((sum, { plaintextLength }) => sum + plaintextLength, 0),
          length,
        );
      }),
      runs(25),
    );
  });

  test('are all of the size asked for but the last, and one PUT up to that size, tag on top', async () => {
    const expected: [number, number[], boolean][] = [
      [0, [16], true],
      [1, [17], true],
      [partSize - 16, [partSize], true],
      [partSize - 1, [partSize + 15], true],
      [partSize, [partSize + 16], true],
      [partSize + 1, [partSize, 17], false],
      [2 * partSize - 16, [partSize, partSize], false],
      [2 * partSize - 15, [partSize, partSize, 1], false],
      [2 * partSize - 1, [partSize, partSize, 15], false],
      [2 * partSize, [partSize, partSize, 16], false],
      [2 * partSize + 1, [partSize, partSize, 17], false],
    ];
    for (const [length, sizes, whole] of expected) {
      for (const known of [undefined, length]) {
        const made = await make(newKey(), pieces(randomBytes(length), 10_007), { length: known });
        assert.deepEqual(
          made.parts.map(({ bytes }) => bytes.length),
          sizes,
          `length ${length}`,
        );
        assert.ok(made.whole.every((each) => each === whole));
      }
    }
  });

  test('may grow, each of the size that the plan says', async () => {
    const key = newKey();
    const message = randomBytes(1000);
    const { parts, stored } = await make(key, [message], { partSize: (number) => (number <= 2 ? 64 : 256) });
    assert.deepEqual(
      parts.map(({ bytes }) => bytes.length),
      [64, 64, 256, 256, 256, 120],
    );
    assert.ok(stored.equals(oracle(key, message)));
  });

  test('take a source byte by byte, with empty pieces between', async () => {
    const key = newKey();
    const message = randomBytes(200);
    const chunks = pieces(message, 1).flatMap((piece) => [piece, Buffer.alloc(0)]);
    const { stored } = await make(key, chunks, { partSize: () => 64 });
    assert.ok(stored.equals(oracle(key, message)));
  });

  test('work for the committing suite too', async () => {
    const key = newContentKey(committingSuite, randomBytes(32)).contentKey;
    const message = randomBytes(3 * partSize);
    assert.ok((await make(key, pieces(message, 999))).stored.equals(oracle(key, message)));
  });
});

describe('a length that was promised', () => {
  test('is kept to the byte, whether the object is one part or many', async () => {
    for (const length of [0, 1, 100, partSize, 2 * partSize]) {
      for (const found of [length - 1, length + 1, length + partSize, length + 3 * partSize]) {
        if (found < 0) continue;
        for (const step of [found, 1000]) {
          await assert.rejects(
            make(newKey(), step === 0 ? [] : pieces(randomBytes(found), step), { length }),
            failure('SOURCE_FAILED', found < length ? /ended after/ : /has more than/),
            `${found} of ${length} in steps of ${step}`,
          );
        }
      }
    }
  });

  test('makes no tag where it was not kept', async () => {
    const producer = new SerialParts(newKey(), given([randomBytes(200)]), planOf({ length: 199, partSize: () => 64 }));
    let stored = 0;
    await assert.rejects(async () => {
      for await (const part of producer.parts()) {
        stored += (await part.sealed).bytes.length;
        part.release();
      }
    }, failure('SOURCE_FAILED'));
    producer.close();
    assert.ok(stored <= 199);
  });
});

describe('memory', () => {
  test('bounds the source: nothing more is read than fits the parts that are held', async () => {
    let read = 0;
    async function* source(): AsyncGenerator<Uint8Array> {
      for (;;) {
        read += 1024;
        yield Buffer.alloc(1024);
      }
    }
    const producer = new SerialParts(newKey(), source(), planOf({ partsInMemory: 2, partSize: () => 4096 }));
    const iterator = producer.parts()[Symbol.asyncIterator]();
    await iterator.next();
    await iterator.next();
    const third = iterator.next();
    await settle();
    assert.ok(read <= 2 * 4096 + 1024, `${read} bytes were read`);
    assert.equal(await Promise.race([third, settle()]), undefined, 'the third part waits for memory');
    producer.close();
    await assert.rejects(third, failure('ABORTED'));
  });

  test('of a small object of known length is no more than that object', async () => {
    const producer = new SerialParts(newKey(), given([Buffer.alloc(5)]), planOf({ length: 5 }));
    for await (const part of producer.parts()) assert.equal((await part.sealed).bytes.buffer.byteLength, 5 + 16);
    producer.close();
  });
});

test('the content key is overwritten as soon as the cipher has it', () => {
  const key = newKey();
  const producer = new SerialParts(key, given([]), planOf());
  assert.deepEqual(Buffer.from(key.key), Buffer.alloc(32));
  producer.close();
  producer.close();
});

test('a source that fails ends the parts with its error, and no tag', async () => {
  const cause = new Error('source failed');
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield randomBytes(2 * partSize);
    throw cause;
  }
  const producer = new SerialParts(newKey(), failing(), planOf());
  let parts = 0;
  await assert.rejects(
    async () => {
      for await (const part of producer.parts()) {
        parts += 1;
        part.release();
      }
    },
    (error) => error === cause,
  );
  producer.close();
  assert.equal(parts, 1);
});
