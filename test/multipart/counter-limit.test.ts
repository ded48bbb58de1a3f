/** The end of GCM's counter: 2^36 − 32 bytes, which no test has to send to see what happens there. */
import assert from 'node:assert/strict';
import { createCipheriv, randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, utimesSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { ContentEncryptor } from '../../src/crypto/content-cipher.ts';
import type { ContentKey } from '../../src/crypto/content-key.ts';
import { elementOf } from '../../src/crypto/field.ts';
import { encryptRagged } from '../../src/crypto/ragged-segment.ts';
import { handOver } from '../../src/crypto/secret-memory.ts';
import { createCtr, MessageSecrets, SegmentHash, TagFold } from '../../src/crypto/segment.ts';
import { committingSuite, gcmSuite, maxPlaintextLength } from '../../src/format/suites.ts';
import { ClientMultipart } from '../../src/multipart/client-multipart.ts';
import { ParallelParts } from '../../src/multipart/parallel-parts.ts';
import { openBody } from '../../src/multipart/upload-body.ts';
import { InlineWorker, type SealWorker } from '../../src/multipart/workers/inline-worker.ts';
import { PartSealer } from '../../src/multipart/workers/part-sealer.ts';
import { takeWorkers } from '../../src/multipart/workers/worker-pool.ts';
import { Bucket, rejection, TestEndpoint } from '../support/endpoint.ts';
import { failure } from '../support/failure.ts';
import { encryptFrom, hashKey, hashOn, hashZeros, ivForFirstCounter, tagFrom } from '../support/gcm-reference.ts';

const MiB = 1024 * 1024;
const folder = mkdtempSync(join(tmpdir(), 'sealpipe-counter-'));
after(() => rmSync(folder, { recursive: true }));

const newKey = (committing: boolean): ContentKey => ({
  suite: committing ? committingSuite : gcmSuite,
  key: Uint8Array.from(randomBytes(32)),
  iv: committing ? new Uint8Array(12).fill(1) : Uint8Array.from(randomBytes(12)),
  aad: committing ? Uint8Array.of(0, 0x73) : new Uint8Array(0),
});
const copyOf = (key: ContentKey): ContentKey => ({ ...key, key: Uint8Array.from(key.key) });
/** The GHASH state of the associated data alone. */
const begin = ({ key, aad }: ContentKey): bigint => hashOn(0n, hashKey(key), aad);

describe('the reference of these tests', () => {
  test('is GCM as node:crypto has it', () => {
    for (const committing of [false, true]) {
      const key = newKey(committing);
      const message = randomBytes(1000);
      const cipher = createCipheriv('aes-256-gcm', key.key, key.iv, { authTagLength: 16 }).setAAD(key.aad);
      const ciphertext = encryptFrom(key, 0, message);
      assert.ok(ciphertext.equals(Buffer.concat([cipher.update(message), cipher.final()])));
      assert.ok(tagFrom(hashOn(begin(key), hashKey(key.key), ciphertext), key, 1000).equals(cipher.getAuthTag()));
    }
  });

  test('wraps its counter within 32 bits, as node:crypto’s GCM does and its CTR does not', () => {
    const { key, iv } = newKey(false);
    // Five blocks before the end of the counter: only an IV of another length than 12 bytes leads there.
    const first = Buffer.concat([iv, Buffer.of(0xff, 0xff, 0xff, 0xfa)]);
    const cipher = createCipheriv('aes-256-gcm', key, ivForFirstCounter(key, first), { authTagLength: 16 });
    const message = randomBytes(160);
    const byGcm = cipher.update(message);
    const block = 0xfffffffb - 2;
    assert.ok(byGcm.equals(encryptFrom({ key, iv }, block, message)));
    const byCtr = createCtr({ ...newKey(false), key, iv }, block).update(message);
    // Counters fffffffb to ffffffff are five blocks; what follows is why no segment may reach beyond them.
    assert.ok(byCtr.subarray(0, 80).equals(byGcm.subarray(0, 80)));
    assert.ok(!byCtr.subarray(80, 96).equals(byGcm.subarray(80, 96)));
  });
});

for (const committing of [false, true]) {
  describe(`the end of the counter, ${committing ? 'committing' : 'plain'} suite`, () => {
    for (const length of [1, 15, 16, 17, 4096, 64 * 1024 + 5]) {
      const offset = Math.floor((maxPlaintextLength - length) / 16) * 16;

      test(`the last ${length} bytes of the longest object are encrypted as GCM does`, async () => {
        const key = newKey(committing);
        const plaintext = randomBytes(maxPlaintextLength - offset);
        const expected = encryptFrom(key, offset / 16, plaintext);
        assert.ok(
          createCtr(key, offset / 16)
            .update(plaintext)
            .equals(expected),
        );

        const memory = new SharedArrayBuffer(plaintext.length);
        Buffer.from(memory).set(plaintext);
        const zs = new SharedArrayBuffer(16);
        const sealer = new PartSealer({
          type: 'open',
          session: 1,
          key: handOver(key.key),
          iv: key.iv,
          aad: key.aad,
          file: undefined,
        });
        const task = { type: 'seal', task: 1, session: 1, memory, zs, zIndex: 0, fromFile: false } as const;
        await sealer.seal({ ...task, offset, length: plaintext.length });
        assert.ok(Buffer.from(memory).equals(expected));
        const secrets = new MessageSecrets(key);
        const hash = new SegmentHash(key, secrets);
        hash.update(expected);
        assert.deepEqual(new Int32Array(zs), hash.final());
        await assert.rejects(
          sealer.seal({ ...task, offset: offset + 16, length: plaintext.length }),
          failure('TOO_LARGE', /2\^36 − 32/),
        );
        sealer.close();

        for (const skipped of [0, 7]) {
          const ragged = { plaintext: plaintext.subarray(skipped), offset: offset + skipped };
          assert.ok(encryptRagged(key, secrets, ragged).ciphertext.equals(expected.subarray(skipped)));
          assert.throws(
            () => encryptRagged(key, secrets, { ...ragged, offset: ragged.offset + 1 }),
            failure('TOO_LARGE'),
          );
        }
      });
    }

    test('there is no counter for a block beyond', () => {
      const key = newKey(committing);
      createCtr(key, 2 ** 32 - 3);
      assert.throws(() => createCtr(key, 2 ** 32 - 2), RangeError);
    });

    test('the tag of the longest object is right: 64 GiB of ciphertext zeros, and then others', () => {
      const key = newKey(committing);
      const h = hashKey(key.key);
      const secrets = new MessageSecrets(key);
      for (const [length, rest] of [
        [maxPlaintextLength, 4096],
        [maxPlaintextLength, 16],
        [maxPlaintextLength - 1, 15],
        [2 ** 32 * 8 + 5, 5],
      ] as const) {
        const last = randomBytes(rest);
        const hash = new SegmentHash(key, secrets);
        hash.update(last);
        const fold = new TagFold(key, secrets);
        // Z of zeros is zero, however many they are.
        fold.append(elementOf(Buffer.alloc(16)), length - rest);
        fold.append(hash.final(), rest);
        const expected = hashOn(hashZeros(begin(key), h, length - rest), h, last);
        assert.ok(Buffer.from(fold.tag()).equals(tagFrom(expected, key, length)), `${length} bytes`);
      }
    });
  });
}

/** A file of that many bytes of which only the last few are there. */
function sparseFile(name: string, length: number, end: Uint8Array): string {
  const path = join(folder, name);
  const descriptor = openSync(path, 'w');
  ftruncateSync(descriptor, length);
  writeSync(descriptor, end, 0, end.length, length - end.length);
  closeSync(descriptor);
  utimesSync(path, 1_000_000, 1_000_000);
  return path;
}

describe('a file of the longest length', () => {
  const partSize = 8 * MiB;
  const end = randomBytes(50_000);

  for (const [engine, workers] of [
    ['the calling thread', (): readonly SealWorker[] => [new InlineWorker()]],
    ['workers', (): readonly SealWorker[] => takeWorkers(2)],
  ] as const) {
    test(`is finished by ${engine} where an earlier process stopped: its last parts and its tag are those of GCM`, async () => {
      const path = sparseFile('longest', maxPlaintextLength, end);
      const key = newKey(true);
      const h = hashKey(key.key);
      const body = await openBody({ path });
      const file = body.file as NonNullable<typeof body.file>;
      // 1 024 parts are stored, with ciphertext zeros; two small ones are left to be made.
      const large = (2 ** 36 - 64 * 1024) / 1024;
      const numbers = Array.from({ length: 1024 }, (_, i) => i + 1);
      const partSize = (number: number): number => (number <= 1024 ? large : 32 * 1024);
      const producer = new ParallelParts(
        copyOf(key),
        { file },
        { length: maxPlaintextLength, partSize, partsInMemory: 3 },
        workers,
        {
          intents: new Map(numbers.map((number) => [number, { length: large, z: new Int32Array(4) }])),
          done: new Set(numbers),
        },
      );
      const made = new Map<number, Buffer>();
      for await (const part of producer.parts()) {
        made.set(part.number, Buffer.from((await part.sealed).bytes));
        part.release();
      }
      producer.close();
      await body.close();
      assert.deepEqual([...made.keys()], [1025, 1026]);
      const stored = Buffer.concat([...made.values()]);
      const ciphertext = stored.subarray(0, -16);
      const offset = maxPlaintextLength - ciphertext.length;
      // Zeros in the file: the keystream itself; from the last bytes of it on, a few blocks by the slow way.
      const shown = Buffer.concat([Buffer.alloc(1024), end]);
      const from = maxPlaintextLength - shown.length;
      const block = Math.ceil(from / 16);
      const skipped = block * 16 - from;
      assert.ok(ciphertext.subarray(from + skipped - offset).equals(encryptFrom(key, block, shown.subarray(skipped))));
      const state = hashOn(hashZeros(begin(key), h, offset), h, ciphertext);
      assert.ok(stored.subarray(-16).equals(tagFrom(state, key, maxPlaintextLength)));
    });
  }

  test('and of one byte more is refused before anything is sent, by both engines and for a promised length', async () => {
    const endpoint = await TestEndpoint.start();
    const path = sparseFile('too-long', maxPlaintextLength + 1, end);
    const s3 = endpoint.encrypted();
    endpoint.local.requests.clear();
    for (const workers of [0, 2])
      failure(
        'TOO_LARGE',
        /68719476705 bytes, .* at most 68719476704 \(2\^36 − 32\)/,
      )(await rejection(s3.upload({ Bucket, Key: 'long', Body: { path } }, { workers }).done()));
    const ContentLength = maxPlaintextLength + 1;
    failure('TOO_LARGE')(
      await rejection(s3.upload({ Bucket, Key: 'long', Body: ['x'], ContentLength } as never).done()),
    );
    assert.equal(endpoint.local.requests.length, 0);
    await endpoint.close();
  });

  test('is the most that parts may come to, in a stream too: the part beyond is not handed out', async () => {
    const path = sparseFile('beyond', maxPlaintextLength + 1, end);
    const body = await openBody({ path });
    const file = body.file as NonNullable<typeof body.file>;
    const parts = Math.ceil((maxPlaintextLength + 1) / partSize);
    const numbers = Array.from({ length: parts - 1 }, (_, i) => i + 1);
    const producer = new ParallelParts(
      newKey(true),
      { file },
      { length: undefined, partSize: () => partSize, partsInMemory: 2 },
      () => [new InlineWorker()],
      {
        intents: new Map(numbers.map((number) => [number, { length: partSize, z: new Int32Array(4) }])),
        done: new Set(numbers),
      },
    );
    const handedOut: number[] = [];
    await assert.rejects(async () => {
      for await (const { number } of producer.parts()) handedOut.push(number);
    }, failure('TOO_LARGE'));
    assert.deepEqual(handedOut, []);
    producer.close();
    await body.close();
    const serial = new ContentEncryptor(newKey(true));
    assert.throws(() => serial.update({ length: maxPlaintextLength + 1 } as Uint8Array), failure('TOO_LARGE'));
    serial.close();
  });
});

test('parts that somebody else drives may claim the longest object, and no byte more', () => {
  const GiB = 1024 * MiB;
  const begun = (): ClientMultipart => {
    const multipart = new ClientMultipart({ contentKey: newKey(true), partSize: undefined, place: 's3://b/k' });
    for (let number = 1; number <= 12; number++) multipart.claim(number, 5 * GiB);
    return multipart;
  };
  const rest = maxPlaintextLength - 60 * GiB;
  begun().claim(13, rest);
  const multipart = begun();
  assert.throws(() => multipart.claim(13, rest + 1), failure('TOO_LARGE'));
  // Nothing was taken: the number is still free for what fits.
  const claim = multipart.claim(13, 33);
  assert.equal(claim.offset, 60 * GiB);
  assert.ok('held' in multipart.encrypt(claim, randomBytes(33)));
});
