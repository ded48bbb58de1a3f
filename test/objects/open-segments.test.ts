import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { SealpipeError } from '../../src/errors.ts';
import type { EncryptedObject } from '../../src/objects/encrypted-object.ts';
import { objectSetting } from '../../src/objects/object-setting.ts';
import { type OpenOptions, openObject } from '../../src/objects/open-object.ts';
import type { SegmentIndexState, StartSegmentIndex } from '../../src/readers/segment-verifier.ts';
import { Bucket, bytesOf, TestEndpoint } from '../support/endpoint.ts';
import { failure } from '../support/failure.ts';

const KiB = 1024;
const content = randomBytes(3_000_001);
let endpoint: TestEndpoint;
let stored: Buffer;

before(async () => {
  endpoint = await TestEndpoint.start();
  await endpoint.encrypted().upload({ Bucket, Key: 'object', Body: content }).done();
  await endpoint
    .encrypted()
    .upload({ Bucket, Key: 'small', Body: content.subarray(0, 1000) })
    .done();
  stored = (await endpoint.stored('object')).body.subarray(0, content.length);
});
beforeEach(async () => {
  endpoint.local.faults.clear();
  await endpoint.local.requests.settled();
  endpoint.local.requests.clear();
});
after(() => endpoint.close());

/** An index that knows the ciphertext itself, and notes what becomes of it. */
class KnowingIndex {
  readonly verified: [start: number, length: number][] = [];
  readonly events: string[] = [];
  keys: readonly Uint8Array[] = [];
  readonly #segmentSize: number;
  readonly #states: SegmentIndexState['state'][];

  constructor(segmentSize: number, ...states: SegmentIndexState['state'][]) {
    this.#segmentSize = segmentSize;
    this.#states = states.length === 0 ? ['usable'] : states;
  }

  readonly start: StartSegmentIndex = () => {
    this.events.push('start');
    return {
      derive: [Buffer.from('one'), Buffer.from('two')],
      resolve: async ({ contentLength, keys }) => {
        const state = this.#states.length > 1 ? this.#states.shift() : this.#states[0];
        this.events.push(`resolve ${contentLength}`);
        this.keys = keys;
        if (state !== 'usable') return { state: state ?? 'absent' };
        return {
          state,
          verifier: {
            segmentSize: this.#segmentSize,
            verify: async ({ start, ciphertext }) => {
              this.verified.push([start, ciphertext.length]);
              assert.equal(start % this.#segmentSize, 0);
              const end = start + ciphertext.length;
              assert.ok(end % this.#segmentSize === 0 || end === contentLength);
              if (!stored.subarray(start, end).equals(ciphertext))
                throw new SealpipeError('AUTHENTICATION_FAILED', 'a segment was altered');
            },
            close: () => {
              this.events.push('close');
            },
          },
        };
      },
      discard: () => {
        this.events.push('discard');
      },
    };
  };
}

function open(index: KnowingIndex, options: OpenOptions = {}, Key = 'object'): Promise<EncryptedObject> {
  const setting = objectSetting({ client: endpoint.client, keyring: endpoint.keyring });
  return openObject(setting, { Bucket, Key }, options, index.start);
}

test('with an index every read is verified by whole segments before a byte comes out', async () => {
  for (const segmentSize of [4 * KiB, 64 * KiB, 1024 * KiB]) {
    const index = new KnowingIndex(segmentSize);
    await using object = await open(index);
    assert.deepEqual([object.authenticated, object.segmentSize], ['index', segmentSize]);
    for (const [start, end] of [
      [0, 1],
      [4095, 4097],
      [70_000, 200_000],
      [content.length - 5, content.length],
      [0, content.length],
    ] as const)
      assert.ok(content.subarray(start, end).equals(await object.read(start, end)));
    assert.ok(
      content
        .subarray(12_345, 2_000_000)
        .equals(await bytesOf(object.createReadStream({ start: 12_345, end: 2_000_000 }))),
    );
    const many = await object.readMany([
      { start: 900_000, end: 900_010 },
      { start: 5, end: 6 },
    ]);
    assert.ok(content.subarray(900_000, 900_010).equals(many[0] as Uint8Array));
    assert.ok(content.subarray(5, 6).equals(many[1] as Uint8Array));
  }
});

test('the tail that was asked for is whole segments of what was fetched, at no further request', async () => {
  const index = new KnowingIndex(64 * KiB);
  const object = await open(index, { tail: 100_000 });
  assert.ok(content.subarray(-100_000).equals(await object.tail(100_000)));
  await endpoint.local.requests.settled();
  assert.deepEqual(endpoint.local.requests.counts(), { GetObject: 1, 'KMS.Decrypt': 1 });
  assert.deepEqual(endpoint.local.requests.all('GetObject')[0]?.range, `bytes=-${100_000 + 64 * KiB + 16}`);
  const start = index.verified[0]?.[0] as number;
  assert.equal(start, Math.ceil((content.length - 100_000 - 64 * KiB) / (64 * KiB)) * 64 * KiB);
});

test('a segment that was altered fails the reads that touch it, and no other', async () => {
  const object = await open(new KnowingIndex(64 * KiB));
  endpoint.local.faults.set([{ operation: 'GetObject', flipByteAt: 7 }]);
  await assert.rejects(object.read(70_000, 70_001), failure('AUTHENTICATION_FAILED'));
  assert.ok(content.subarray(70_000, 70_001).equals(await object.read(70_000, 70_001)), 'a failure was kept');
  endpoint.local.faults.set([{ operation: 'GetObject', flipByteAt: 70_000 }]);
  await assert.rejects(open(new KnowingIndex(64 * KiB)), failure('AUTHENTICATION_FAILED'));
  // Last, as requests of a stream that fails may still be on their way when it has.
  endpoint.local.faults.set([{ operation: 'GetObject', flipByteAt: 7 }]);
  await assert.rejects(bytesOf(object.createReadStream({ start: 1_000_000 })), failure('AUTHENTICATION_FAILED'));
});

test('an object that fits needs no index, never asks for none, and absent is as without', async () => {
  const fits = new KnowingIndex(64 * KiB);
  assert.equal((await open(fits, {}, 'small')).authenticated, 'tag');
  assert.deepEqual(fits.events, []);

  const unasked = new KnowingIndex(64 * KiB);
  assert.equal((await open(unasked, { authenticate: 'never' })).authenticated, false);
  assert.deepEqual(unasked.events, []);

  const absent = new KnowingIndex(64 * KiB, 'absent');
  await assert.rejects((await open(absent)).read(0, 1), failure('RANGE_UNAUTHENTICATED', /no segment index/));
  assert.ok(
    absent.keys.every((key) => key.every((byte) => byte === 0)),
    'derived keys were left',
  );
  const possible = await open(new KnowingIndex(64 * KiB, 'absent'), { authenticate: 'when-possible' });
  assert.deepEqual([possible.authenticated, possible.unauthenticatedBecause], [false, 'no index']);
  assert.ok(content.subarray(0, 10).equals(await possible.read(0, 10)));
});

test('a stale index is looked at once more, with the object, before it counts as none', async () => {
  const twice = new KnowingIndex(64 * KiB, 'stale', 'usable');
  assert.equal((await open(twice)).authenticated, 'index');
  await endpoint.local.requests.settled();
  assert.equal(endpoint.local.requests.count('GetObject'), 2);
  const stale = await open(new KnowingIndex(64 * KiB, 'stale'));
  await assert.rejects(stale.read(0, 1), failure('RANGE_UNAUTHENTICATED', /earlier object/));
});

test('close overwrites the key of the index, too', async () => {
  const index = new KnowingIndex(64 * KiB);
  const object = await open(index);
  await object.close();
  assert.equal(index.events.at(-1), 'close');
});
