import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import type { EncryptedObject } from '../../src/objects/encrypted-object.ts';
import type { EncryptedS3 } from '../../src/objects/encrypted-s3.ts';
import type { OpenOptions } from '../../src/objects/open-object.ts';
import { Bucket, bytesOf, TestEndpoint } from '../support/endpoint.ts';
import { failure, rejection } from '../support/failure.ts';
import { legacyObject, legacyPolicy } from '../support/legacy-objects.ts';
import { runs } from '../support/properties.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const content = randomBytes(64 * MiB + 321);
const small = content.subarray(0, 5000);
const wrappingKey = randomBytes(32);
const folder = mkdtempSync(join(tmpdir(), 'sealpipe-open-'));
const never: OpenOptions = { authenticate: 'never' };
let endpoint: TestEndpoint;
let s3: EncryptedS3;
/** Reads everything that anybody ever wrote. */
let lenient: EncryptedS3;

before(async () => {
  endpoint = await TestEndpoint.start();
  s3 = endpoint.encrypted();
  lenient = endpoint.encrypted({ keyring: aesKeyring({ key: wrappingKey }), ...legacyPolicy, plaintext: 'allow' });
  await s3.upload({ Bucket, Key: 'big', Body: content }).done();
  await s3.upload({ Bucket, Key: 'small', Body: small }).done();
  await s3.upload({ Bucket, Key: 'empty', Body: '' }).done();
});
beforeEach(async () => {
  endpoint.local.faults.clear();
  await endpoint.local.requests.settled();
  endpoint.local.requests.clear();
});
after(async () => {
  await endpoint.close();
  rmSync(folder, { recursive: true });
});

const open = (Key: string, options: OpenOptions = {}): Promise<EncryptedObject> => s3.open({ Bucket, Key }, options);
const counts = async (): Promise<Record<string, number>> => {
  await endpoint.local.requests.settled();
  return endpoint.local.requests.counts();
};
const ranges = (): (string | undefined)[] => endpoint.local.requests.all('GetObject').map(({ range }) => range);
const same = (actual: Uint8Array, expected: Uint8Array): void =>
  assert.ok(Buffer.from(actual).equals(expected), 'the bytes differ');

describe('opening', () => {
  test('envelope, length, ETag and tail come from one suffix GET and one key, with no HEAD', async () => {
    const object = await open('big', never);
    assert.equal(object.size, content.length);
    assert.equal(object.storedSize, content.length + 16);
    assert.equal(object.envelope?.format, 'V3');
    assert.match(object.etag, /^"[0-9a-f]+(-\d+)?"$/);
    same(await object.tail(64 * KiB), content.subarray(-64 * KiB));
    same(await object.read(content.length - 100, content.length), content.subarray(-100));
    assert.deepEqual(await counts(), { GetObject: 1, 'KMS.Decrypt': 1 });
    assert.deepEqual(ranges(), [`bytes=-${64 * KiB + 16}`]);
  });

  test('the key is asked for while the body still arrives', async () => {
    endpoint.local.faults.set([{ operation: 'GetObject', stallResponseAfter: 1000, stallMs: 2000 }]);
    await open('big', never);
    await endpoint.local.requests.settled();
    const [decrypt] = endpoint.local.requests.all('KMS.Decrypt');
    const [get] = endpoint.local.requests.all('GetObject');
    assert.ok(decrypt !== undefined && get !== undefined);
    assert.ok(decrypt.startedAt < get.startedAt + get.milliseconds - 200, 'KMS was asked after the body had come');
  });

  test('an object that fits into the tail is verified by its own tag, and read without another request', async () => {
    const object = await open('small');
    assert.equal(object.authenticated, 'tag');
    same(await object.read(17, 4999), small.subarray(17, 4999));
    same(await object.tail(1e6), small);
    same(await bytesOf(object.createReadStream()), small);
    // No segment index is asked for: the tag has verified all there is.
    assert.deepEqual(await counts(), { GetObject: 1, 'KMS.Decrypt': 1 });
  });

  test('one that fits and was altered is an authentication error under required and when-possible, not under never', async () => {
    for (const authenticate of ['required', 'when-possible'] as const) {
      endpoint.local.faults.set([{ operation: 'GetObject', key: 'small', flipByteAt: 3 }]);
      await assert.rejects(open('small', { authenticate }), failure('AUTHENTICATION_FAILED'));
    }
    endpoint.local.faults.set([{ operation: 'GetObject', key: 'small', flipByteAt: 3 }]);
    const object = await open('small', never);
    assert.equal(object.authenticated, false);
    assert.equal((await object.read(3, 4))[0], (small[3] as number) ^ 1);
  });

  test('an empty object has no content and an authenticated end', async () => {
    const object = await open('empty');
    assert.deepEqual([object.size, object.authenticated], [0, 'tag']);
    assert.equal((await object.read(0, 0)).length, 0);
    assert.equal((await object.tail(10)).length, 0);
    assert.equal((await bytesOf(object.createReadStream())).length, 0);
    assert.deepEqual(await counts(), { GetObject: 1, 'KMS.Decrypt': 1 });
  });

  test('an object of no bytes at all answers no range: one GET more', async () => {
    await endpoint.store('nothing', '');
    endpoint.local.requests.clear();
    const object = await lenient.open({ Bucket, Key: 'nothing' }, never);
    assert.deepEqual([object.size, object.envelope], [0, undefined]);
    // And one for the instruction file that it might have.
    assert.deepEqual(await counts(), { GetObject: 3 });
    await assert.rejects(s3.open({ Bucket, Key: 'nothing' }), failure('NOT_ENCRYPTED'));
  });

  test('an envelope in an instruction file costs one GET more', async () => {
    const writer = endpoint.encrypted({ storage: 'instruction-file' });
    await writer.upload({ Bucket, Key: 'filed', Body: content.subarray(0, MiB) }).done();
    await endpoint.local.requests.settled();
    endpoint.local.requests.clear();
    const object = await open('filed', never);
    same(await object.read(100, 200), content.subarray(100, 200));
    assert.deepEqual(await counts(), { GetObject: 3, 'KMS.Decrypt': 1 });
    assert.equal(object.envelope?.storage, 'instruction-file');
  });

  test('lengths at which something changes, each with tails around them', async () => {
    for (const length of [1, 15, 16, 17, 31, 32, 33, 1000]) {
      await s3.upload({ Bucket, Key: 'length', Body: content.subarray(0, length) }).done();
      for (const tail of [0, 1, 15, 16, 17, 32, 999, 1000, 1001]) {
        const object = await open('length', { ...never, tail });
        assert.equal(object.size, length);
        same(await object.tail(tail), content.subarray(Math.max(0, length - tail), length));
        same(await object.read(0, length), content.subarray(0, length));
      }
    }
  });

  test('what policy and context decide costs no key', async () => {
    const v2 = endpoint.encrypted({ suite: 'gcm', commitmentPolicy: 'FORBID_ENCRYPT_ALLOW_DECRYPT' });
    await v2.upload({ Bucket, Key: 'v2', Body: content.subarray(0, MiB) }).done();
    endpoint.local.requests.clear();
    await assert.rejects(open('v2', never), failure('COMMITMENT_POLICY'));
    await assert.rejects(open('big', { ...never, encryptionContext: { a: 'b' } }), failure('CONTEXT_MISMATCH'));
    assert.deepEqual(await counts(), { GetObject: 2 });
    const object = await v2.open({ Bucket, Key: 'v2' }, never);
    same(await object.read(5, 50_000), content.subarray(5, 50_000));
  });

  test('an altered commitment is refused before a byte is used', async () => {
    const { body, metadata } = await endpoint.stored('small');
    await endpoint.store('uncommitted', body, { ...metadata, 'x-amz-d': randomBytes(28).toString('base64') });
    await assert.rejects(open('uncommitted', never), failure('AUTHENTICATION_FAILED', /commitment/));
  });

  test('failures are told apart, and leave nothing open', async () => {
    await assert.rejects(open('none'), failure('OBJECT_NOT_FOUND'));
    await assert.rejects(s3.open({ Bucket: 'no-such-bucket', Key: 'k' }), failure('BUCKET_NOT_FOUND'));
    endpoint.local.faults.set([{ operation: 'KMS.Decrypt', status: 400, code: 'AccessDeniedException' }]);
    await assert.rejects(open('big', never), failure('KEY_DENIED'));
    await endpoint.store(
      'cut',
      (await endpoint.stored('small')).body.subarray(0, 7),
      (await endpoint.stored('small')).metadata,
    );
    await assert.rejects(open('cut', never), failure('TRUNCATED'));
    await assert.rejects(s3.open({ Bucket, Key: 'small', IfMatch: '"another"' }), failure('OBJECT_CHANGED'));
  });

  test('options that cannot be right are refused at once', async () => {
    const wrong: OpenOptions[] = [
      { tail: -1 },
      { tail: 1.5 },
      { tail: Number.NaN },
      { cacheSize: -1 },
      { maxRequest: 0 },
      { concurrency: 0 },
    ];
    for (const options of wrong) await assert.rejects(open('small', options), RangeError);
    await assert.rejects(open('small', { authenticate: 'sometimes' as never }), TypeError);
    await assert.rejects(open('small', { access: 'backwards' as never }), TypeError);
    assert.deepEqual(await counts(), {});
  });

  test('an abort while the key is asked for ends the opening', async () => {
    endpoint.local.faults.set([{ operation: 'KMS.Decrypt', delay: 8000 }]);
    const began = performance.now();
    await assert.rejects(open('big', { ...never, signal: AbortSignal.timeout(100) }), failure('ABORTED'));
    assert.ok(performance.now() - began < 7000);
  });
});

describe('authentication', () => {
  test('a range of an object without an index is refused by default, and the error says how to have it', async () => {
    const object = await open('big');
    assert.equal(object.authenticated, false);
    assert.equal(object.size, content.length);
    await assert.rejects(object.read(0, 1), failure('RANGE_UNAUTHENTICATED', /authenticate: 'never'/));
    await assert.rejects(object.tail(1), failure('RANGE_UNAUTHENTICATED'));
    await assert.rejects(object.readMany([{ start: 0, end: 1 }]), failure('RANGE_UNAUTHENTICATED'));
    await assert.rejects(bytesOf(object.createReadStream()), failure('RANGE_UNAUTHENTICATED'));
    const path = join(folder, 'refused');
    await assert.rejects(object.download(path), failure('RANGE_UNAUTHENTICATED'));
    assert.equal(existsSync(path), false);
  });

  test('when-possible and never return it, and say that nothing verified it', async () => {
    for (const authenticate of ['when-possible', 'never'] as const) {
      const object = await open('big', { authenticate });
      assert.equal(object.authenticated, false);
      same(await object.read(1, 100), content.subarray(1, 100));
    }
  });

  test('plaintext and CBC are never authenticated: required refuses them', async () => {
    await endpoint.store('plain', 'plain text');
    const { body, metadata } = legacyObject(wrappingKey, small);
    await endpoint.store('cbc', body, metadata);
    for (const [Key, message] of [
      ['plain', /not encrypted/],
      ['cbc', /CBC/],
    ] as const) {
      const object = await lenient.open({ Bucket, Key });
      await assert.rejects(object.read(0, 1), failure('RANGE_UNAUTHENTICATED', message));
    }
  });
});

describe('formats', () => {
  test('V1 with CBC is read in any range, and its length is exact whatever the writer claims', async () => {
    for (const length of [0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 100_000, 100_001]) {
      const plaintext = content.subarray(0, length);
      for (const claim of [undefined, length, length + 1]) {
        const { body, metadata } = legacyObject(wrappingKey, plaintext, { ...(claim !== undefined && { claim }) });
        await endpoint.store('v1', body, metadata);
        for (const tail of [0, 40, 64 * KiB]) {
          const object = await lenient.open({ Bucket, Key: 'v1' }, { ...never, tail });
          assert.equal(object.size, length, `length ${length}, tail ${tail}`);
          same(await object.tail(tail), plaintext.subarray(Math.max(0, length - tail)));
          for (const [start, end] of [
            [0, length],
            [Math.min(1, length), length],
            [length >> 1, (length >> 1) + (length >> 2)],
          ]) {
            same(await object.read(start as number, end as number), plaintext.subarray(start, end));
          }
          await object.close();
        }
      }
    }
  });

  test('V1 with GCM is read like V2', async () => {
    const { body, metadata } = legacyObject(wrappingKey, content.subarray(0, MiB), { content: 'GCM' });
    await endpoint.store('v1-gcm', body, metadata);
    const object = await lenient.open({ Bucket, Key: 'v1-gcm' }, never);
    assert.equal(object.size, MiB);
    same(await object.read(12_345, 54_321), content.subarray(12_345, 54_321));
    await endpoint.store('v1-small', ...storedAs(legacyObject(wrappingKey, small, { content: 'GCM' })));
    assert.equal((await lenient.open({ Bucket, Key: 'v1-small' })).authenticated, 'tag');
  });

  test('CBC whose padding is none is an authentication error', async () => {
    const { body, metadata } = legacyObject(wrappingKey, small);
    body[body.length - 1] = (body.at(-1) as number) ^ 0x55;
    await endpoint.store('badly-padded', body, metadata);
    // One in 256 ends in valid padding by chance, which no length can show.
    const outcome = await lenient.open({ Bucket, Key: 'badly-padded' }, never).catch((error: unknown) => error);
    if (outcome instanceof Error) failure('AUTHENTICATION_FAILED')(outcome);
  });

  test('plaintext is read where it is allowed by name, at no key', async () => {
    await endpoint.store('plain-big', content.subarray(0, MiB));
    endpoint.local.requests.clear();
    await assert.rejects(s3.open({ Bucket, Key: 'plain-big' }, never), failure('NOT_ENCRYPTED'));
    const object = await lenient.open({ Bucket, Key: 'plain-big' }, never);
    assert.deepEqual([object.size, object.envelope, object.authenticated], [MiB, undefined, false]);
    same(await object.read(7, 77_777), content.subarray(7, 77_777));
    assert.equal((await counts())['KMS.Decrypt'], undefined);
  });
});

describe('reading', () => {
  test('random reads cost one key and at most one GET each, all of the object that was opened', async () => {
    const object = await open('big', never);
    for (let i = 0; i < 100; i++) {
      const start = Math.floor(Math.random() * (content.length - 64 * KiB));
      const bytes = await object.read(start, start + 64 * KiB);
      assert.ok(content.subarray(start, start + 64 * KiB).equals(bytes));
    }
    const { GetObject = 0, ...others } = await counts();
    assert.deepEqual(others, { 'KMS.Decrypt': 1 });
    assert.ok(GetObject <= 101, `${GetObject} GETs`);
    assert.ok(ranges().every((range) => range?.startsWith('bytes=')));
    assert.ok(
      endpoint.local.requests
        .all('GetObject')
        .slice(1)
        .every(({ headers }) => headers['if-match'] === object.etag),
    );
    await object.close();
  });

  test('a random read fetches what it asks for and not a byte more', async () => {
    const object = await open('big', never);
    await object.read(1_000_003, 1_000_003 + 64 * KiB);
    assert.equal(ranges()[1], `bytes=1000003-${1_000_002 + 64 * KiB}`);
    await object.read(1_000_003, 1_000_100);
    await object.read(1_030_000, 1_070_000);
    // Only what is not at hand.
    assert.deepEqual(ranges().slice(2), [`bytes=${1_000_003 + 64 * KiB}-1069999`]);
  });

  test('a reader that goes from one end to the other takes far fewer requests than reads', async () => {
    for (const access of ['adaptive', 'sequential'] as const) {
      endpoint.local.requests.clear();
      const object = await open('big', { ...never, access });
      for (let at = 0; at < 16 * MiB; at += 64 * KiB)
        same(await object.read(at, at + 64 * KiB), content.subarray(at, at + 64 * KiB));
      const { GetObject = 0 } = await counts();
      assert.ok(GetObject < 24, `${access}: ${GetObject} GETs for 256 reads`);
      await object.close();
    }
    endpoint.local.requests.clear();
    const object = await open('big', { ...never, access: 'random' });
    for (let at = 0; at < MiB; at += 64 * KiB) await object.read(at, at + 64 * KiB);
    assert.equal((await counts()).GetObject, 17);
  });

  test('pieces of a range that are asked for at the same time are fetched, and nothing ahead of them', async () => {
    const object = await open('big', never);
    const starts = [0, 1, 2, 3].map((piece) => piece * 100_000);
    await Promise.all(starts.map((start) => object.read(start, start + 100_000)));
    assert.deepEqual(
      ranges().slice(1).sort(),
      starts.map((start) => `bytes=${start}-${start + 99_999}`),
    );
  });

  test('readers at the same time share requests', async () => {
    const object = await open('big', never);
    const reads = Array.from({ length: 20 }, (_, i) => object.read(5 * MiB + i, 6 * MiB - i));
    for (const [i, bytes] of (await Promise.all(reads)).entries())
      same(bytes, content.subarray(5 * MiB + i, 6 * MiB - i));
    assert.equal((await counts()).GetObject, 2);
  });

  test('readMany answers in the order given, by one request for what lies close together', async () => {
    const object = await open('big', never);
    const wanted = [
      { start: 9 * MiB, end: 9 * MiB + 10 },
      { start: 1000, end: 2000 },
      { start: 50_000, end: 60_000 },
      { start: 1500, end: 1600 },
      { start: 7, end: 7 },
      { start: content.length - 5, end: content.length },
    ];
    const results = await object.readMany(wanted);
    for (const [i, { start, end }] of wanted.entries()) same(results[i] as Uint8Array, content.subarray(start, end));
    assert.deepEqual(ranges().slice(1).sort(), ['bytes=1000-59999', `bytes=${9 * MiB}-${9 * MiB + 9}`]);
    assert.deepEqual(await object.readMany([]), []);
  });

  test('what is long is fetched in pieces, a limited number of them at a time', async () => {
    const object = await open('big', { ...never, maxRequest: MiB, concurrency: 3 });
    endpoint.local.faults.set([{ operation: 'GetObject', delay: 20, times: 'always' }]);
    same(await object.read(100, 12 * MiB), content.subarray(100, 12 * MiB));
    await endpoint.local.requests.settled();
    const gets = endpoint.local.requests.all('GetObject').slice(1);
    assert.equal(gets.length, 12);
    const most = Math.max(
      ...gets.map(
        ({ startedAt }) =>
          gets.filter((o) => o.startedAt <= startedAt && startedAt < o.startedAt + o.milliseconds).length,
      ),
    );
    assert.ok(most <= 3, `${most} at a time`);
  });

  test('any ranges are the bytes of the content, in any order, whatever is cached', async () => {
    const part = content.subarray(0, 70_000);
    await s3.upload({ Bucket, Key: 'any', Body: part }).done();
    const { body, metadata } = legacyObject(wrappingKey, part);
    await endpoint.store('any-cbc', body, metadata);
    const bound = fc.nat(part.length);
    const pairs = fc.array(
      fc.tuple(bound, bound).map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) })),
      { maxLength: 6 },
    );
    const settings = fc.record({
      tail: fc.constantFrom(0, 100, 20_000),
      cacheSize: fc.constantFrom(0, 10_000, 1e7),
      maxRequest: fc.constantFrom(9000, 65_537, 1e7),
      maxGap: fc.constantFrom(0, 3000),
      access: fc.constantFrom('adaptive', 'random', 'sequential'),
    });
    await fc.assert(
      fc.asyncProperty(settings, pairs, fc.constantFrom('any', 'any-cbc'), async (options, wanted, Key) => {
        const object = await (Key === 'any' ? s3 : lenient).open({ Bucket, Key }, { ...never, ...options });
        try {
          const [many, ...each] = await Promise.all([
            object.readMany(wanted),
            ...wanted.map(({ start, end }) => object.read(start, end)),
          ]);
          for (const [i, { start, end }] of wanted.entries()) {
            same(each[i] as Uint8Array, part.subarray(start, end));
            same(many[i] as Uint8Array, part.subarray(start, end));
            same(await bytesOf(object.createReadStream({ start, end })), part.subarray(start, end));
          }
        } finally {
          await object.close();
        }
      }),
      runs(15),
    );
  });

  test('what a caller does to the bytes of a read changes no later read', async () => {
    const object = await open('big', never);
    (await object.read(0, 1000)).fill(0);
    (await object.tail(1000)).fill(0);
    same(await object.read(0, 1000), content.subarray(0, 1000));
    same(await object.tail(1000), content.subarray(-1000));
  });

  test('a stream gives the part that was asked for, by few requests', async () => {
    const object = await open('big', never);
    same(await bytesOf(object.createReadStream()), content);
    const { GetObject = 0 } = await counts();
    assert.ok(GetObject <= 20, `${GetObject} GETs for 64 MiB`);
    same(await bytesOf(object.createReadStream({ start: 17, end: 3 * MiB + 1 })), content.subarray(17, 3 * MiB + 1));
    same(await bytesOf(object.createReadStream({ start: content.length - 3 })), content.subarray(-3));
    assert.throws(() => object.createReadStream({ start: 2, end: 1 }), RangeError);
  });

  test('a stream that is left early ends its requests, and asks for no more', async () => {
    const object = await open('big', never);
    for await (const chunk of object.createReadStream()) {
      assert.ok((chunk as Buffer).length > 0);
      break;
    }
    // What was being asked for when it was left has been cut off by then.
    await new Promise((resolve) => setTimeout(resolve, 500));
    await endpoint.local.requests.settled();
    const after = endpoint.local.requests.count();
    await new Promise((resolve) => setTimeout(resolve, 100));
    await endpoint.local.requests.settled();
    assert.equal(endpoint.local.requests.count(), after);
    assert.ok(endpoint.local.requests.count('GetObject') <= 5);
  });

  test('a part is downloaded to a file that appears whole', async () => {
    const object = await open('big', never);
    const path = join(folder, 'part');
    assert.deepEqual(await object.download(path, { start: 5, end: 2 * MiB }), { bytes: 2 * MiB - 5 });
    same(readFileSync(path), content.subarray(5, 2 * MiB));
  });
});

describe('what goes wrong', () => {
  test('what is no range of the content is a RangeError', async () => {
    const object = await open('big', never);
    const wrong = [
      [-1, 5],
      [0, content.length + 1],
      [5, 4],
      [0.5, 3],
      [0, Number.NaN],
      [Number.NaN, 1],
      [0, Number.POSITIVE_INFINITY],
      [content.length + 1, content.length + 1],
    ] as const;
    for (const [start, end] of wrong) {
      await assert.rejects(object.read(start, end), RangeError);
      await assert.rejects(object.readMany([{ start, end }]), RangeError);
      assert.throws(() => object.createReadStream({ start, end }), RangeError);
    }
    for (const length of [-1, 0.5, Number.NaN]) await assert.rejects(object.tail(length), RangeError);
    assert.equal((await counts()).GetObject, 1);
  });

  test('an object that was overwritten is an error that says so', async () => {
    await s3.upload({ Bucket, Key: 'changing', Body: content.subarray(0, MiB) }).done();
    const object = await open('changing', never);
    same(await object.read(0, 100), content.subarray(0, 100));
    await s3.upload({ Bucket, Key: 'changing', Body: content.subarray(0, MiB) }).done();
    await assert.rejects(object.read(1000, 2000), failure('OBJECT_CHANGED', /overwritten/));
    await s3.upload({ Bucket, Key: 'changing', Body: 'short' }).done();
    await assert.rejects(object.read(1000, 2000), failure('OBJECT_CHANGED'));
    await s3.delete({ Bucket, Key: 'changing' });
    await assert.rejects(object.read(1000, 2000), failure('OBJECT_NOT_FOUND'));
  });

  test('bodies that are cut, reset and stalled are mended from where they broke', async () => {
    const object = await open('big', { ...never, idleTimeout: 1500 });
    endpoint.local.faults.set([
      { operation: 'GetObject', truncateAfter: 100_000 },
      { operation: 'GetObject', resetResponseAfter: 50_000 },
      { operation: 'GetObject', stallResponseAfter: 50_000, stallMs: 20_000 },
      { operation: 'GetObject', status: 503 },
    ]);
    same(await object.read(10, MiB), content.subarray(10, MiB));
    assert.equal((await counts()).GetObject, 6);
  });

  test('a tail that breaks off is mended, too', async () => {
    endpoint.local.faults.set([{ operation: 'GetObject', resetResponseAfter: 30_000 }]);
    const object = await open('big', never);
    same(await object.tail(64 * KiB), content.subarray(-64 * KiB));
    assert.deepEqual(await counts(), { GetObject: 2, 'KMS.Decrypt': 1 });
  });

  test('five failures in a row without a new byte end the read, and the next one can succeed', async () => {
    const object = await open('big', never);
    endpoint.local.faults.set([{ operation: 'GetObject', status: 500, times: 'always' }]);
    const error = await rejection(object.read(0, 1000));
    failure('S3_UNAVAILABLE')(error);
    assert.equal(error.retryable, true);
    assert.equal((await counts()).GetObject, 7);
    endpoint.local.faults.clear();
    same(await object.read(0, 1000), content.subarray(0, 1000));
  });

  test('a reader that gives up lets go of the request that others wait for, the last one ends it', async () => {
    const object = await open('big', never);
    endpoint.local.faults.set([{ operation: 'GetObject', delay: 300 }]);
    const controller = new AbortController();
    const [left, stayed] = [object.read(0, 1000, { signal: controller.signal }), object.read(0, 1000)];
    controller.abort();
    await assert.rejects(left, failure('ABORTED'));
    same(await stayed, content.subarray(0, 1000));
    await assert.rejects(object.read(0, 10, { signal: AbortSignal.abort() }), failure('ABORTED'));

    endpoint.local.faults.set([{ operation: 'GetObject', stallResponseAfter: 10 }]);
    await assert.rejects(object.read(5000, 6000, { signal: AbortSignal.timeout(100) }), failure('ABORTED'));
    await endpoint.local.requests.settled();
    same(await object.read(5000, 6000), content.subarray(5000, 6000));
  });

  test('close ends what is under way, and nothing is read afterwards', async () => {
    const object = await open('big', never);
    endpoint.local.faults.set([{ operation: 'GetObject', stallResponseAfter: 10 }]);
    const read = assert.rejects(object.read(0, 1000), failure('ABORTED', /closed/));
    const cached = object.tail(10).catch(failure('ABORTED', /closed/));
    const closing = object.close();
    await read;
    await closing;
    const bytes = await cached;
    assert.ok(bytes === true || content.subarray(-10).equals(bytes), 'overwritten bytes came out');
    await assert.rejects(object.read(0, 1), failure('ABORTED', /closed/));
    await assert.rejects(object.tail(1), failure('ABORTED', /closed/));
    await assert.rejects(bytesOf(object.createReadStream()), failure('ABORTED', /closed/));
    await object.close();
    endpoint.local.faults.clear();
    {
      await using disposed = await open('small');
      assert.equal(disposed.size, small.length);
    }
  });
});

function storedAs({ body, metadata }: ReturnType<typeof legacyObject>): [Buffer, Record<string, string>] {
  return [body, metadata];
}
