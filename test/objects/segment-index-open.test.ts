import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { SealpipeError } from '../../src/errors.ts';
import type { EncryptedObject } from '../../src/objects/encrypted-object.ts';
import type { OpenOptions } from '../../src/objects/open-object.ts';
import { segmentIndexKey } from '../../src/objects/segment-index-key.ts';
import { withEncryption } from '../../src/objects/with-encryption/with-encryption.ts';
import { Bucket, bytesOf, rejection, TestEndpoint } from '../support/endpoint.ts';
import { runs } from '../support/properties.ts';
import { until } from '../support/stream-ends.ts';

const segmentSize = 4096;
/** An index of 4.9 kB: a part of it is not in what is asked for first. */
const content = randomBytes(300 * segmentSize + 1000);

let endpoint: TestEndpoint;
before(async () => {
  endpoint = await TestEndpoint.start();
  await put('object');
});
beforeEach(() => {
  endpoint.local.faults.clear();
});
after(async () => {
  await endpoint.close();
});

async function put(Key: string, Body: Buffer = content, size: number | undefined = segmentSize): Promise<void> {
  const segmentIndex = { segmentSize: size };
  await endpoint.encrypted().upload({ Bucket, Key, Body }, { segmentIndex }).done();
}

const open = (Key: string, options: OpenOptions = {}): Promise<EncryptedObject> =>
  endpoint.encrypted().open({ Bucket, Key }, options);

async function failure(promise: Promise<unknown>): Promise<string> {
  const error = await rejection(promise);
  assert.ok(error instanceof SealpipeError, String(error));
  return error.code;
}

describe('an object that is opened with its index', () => {
  test('is read authenticated: one GET and one GET of the index at the same time, one key', async () => {
    const counts = await endpoint.requestsOf(async () => {
      const object = await open('object');
      assert.equal(object.authenticated, 'index');
      assert.equal(object.segmentSize, segmentSize);
      assert.ok(Buffer.from(await object.tail(1000)).equals(content.subarray(-1000)));
      await object.close();
    });
    assert.deepEqual(counts, { GetObject: 2, 'KMS.Decrypt': 1 });
  });

  test('has its index asked for while its own bytes still arrive', async () => {
    endpoint.local.faults.set([{ operation: 'GetObject', key: 'object', stallResponseAfter: 1000, stallMs: 2000 }]);
    await endpoint.requestsOf(async () => (await open('object')).close());
    const [own, index] = ['object', segmentIndexKey('object')].map((wanted) =>
      endpoint.local.requests.all('GetObject').find(({ key }) => key === wanted),
    );
    assert.ok(own !== undefined && index !== undefined);
    assert.ok(index.startedAt + index.milliseconds < own.startedAt + own.milliseconds - 100, 'one after the other');
  });

  test('gives the right bytes of any range, at one GET each and the rest of the index once', async () => {
    const object = await open('object', { access: 'random', cacheSize: 0 });
    const counts = await endpoint.requestsOf(async () => {
      for (const [start, end] of [
        [0, 1],
        [4095, 4097],
        [10_000, 90_000],
        [100, 100],
        [content.length - 200_000, content.length],
      ] as const)
        assert.ok(Buffer.from(await object.read(start, end)).equals(content.subarray(start, end)), `${start}-${end}`);
    });
    assert.deepEqual(counts, { GetObject: 5 });
    await object.close();
  });

  test('streams segment by segment', async () => {
    const object = await open('object');
    assert.ok((await bytesOf(object.createReadStream())).equals(content));
    await object.close();
  });

  test('has any flipped bit of its content found by the reads that touch it, and by no others', async () => {
    await put('flipped');
    const { body, metadata } = await endpoint.stored('flipped');
    await fc.assert(
      fc.asyncProperty(fc.nat(content.length * 8 - 1), fc.nat(content.length - 1), async (bit, other) => {
        const altered = Buffer.from(body);
        altered.writeUInt8(altered.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        await endpoint.store('flipped', altered, metadata);
        const at = bit >> 3;
        // A tail of nothing: otherwise opening itself reads, and refuses, what is near the end.
        const opening = open('flipped', { tail: 0, access: 'random' });
        const object = await opening.catch((error: unknown) => {
          assert.equal((error as SealpipeError).code, 'ERR_SEALPIPE_AUTHENTICATION_FAILED');
          assert.ok(at >= content.length - 128 * 1024, 'a read failed that touches nothing of it');
        });
        if (object === undefined) return;
        assert.equal(await failure(object.read(at, at + 1)), 'ERR_SEALPIPE_AUTHENTICATION_FAILED');
        const segment = Math.floor(other / segmentSize);
        if (segment !== Math.floor(at / segmentSize))
          assert.equal((await object.read(other, other + 1))[0], content[other]);
        await object.close();
      }),
      runs(12),
    );
  });

  test('has any flipped bit of its index found, at opening or by the reads that touch it, and by no others', async () => {
    await put('entries');
    const { body } = await endpoint.stored('.entries.segments');
    const entries = body.length - 64;
    await fc.assert(
      fc.asyncProperty(fc.nat(body.length * 8 - 1), fc.nat(299), async (bit, other) => {
        const altered = Buffer.from(body);
        altered.writeUInt8(altered.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        await endpoint.store('.entries.segments', altered);
        const segment = bit >> 7;
        const object = await open('entries', { tail: 0, access: 'random' }).catch((error: unknown) => {
          const { code } = error as SealpipeError;
          if (bit >> 3 >= entries) assert.equal(code, 'ERR_SEALPIPE_INDEX_DAMAGED');
          else assert.ok(code === 'ERR_SEALPIPE_AUTHENTICATION_FAILED' && segment >= 300 - 32);
        });
        if (object === undefined) return;
        const at = segment * segmentSize;
        assert.equal(await failure(object.read(at, at + 1)), 'ERR_SEALPIPE_AUTHENTICATION_FAILED');
        if (other !== segment)
          assert.equal(
            (await object.read(other * segmentSize, other * segmentSize + 1))[0],
            content[other * segmentSize],
          );
        await object.close();
      }),
      runs(12),
    );
  });

  test('is not taken for another: segments of an earlier object, with its index or without, are refused', async () => {
    await put('mixed');
    const old = await endpoint.stored('mixed');
    const oldIndex = await endpoint.stored('.mixed.segments');
    await put('mixed');
    const now = await endpoint.stored('mixed');
    const nowIndex = await endpoint.stored('.mixed.segments');
    // The first half of the old one in the place of that of the new.
    const half = 150 * segmentSize;
    await endpoint.store('mixed', Buffer.concat([old.body.subarray(0, half), now.body.subarray(half)]), now.metadata);
    const object = await open('mixed', { access: 'random' });
    assert.equal(await failure(object.read(0, 10)), 'ERR_SEALPIPE_AUTHENTICATION_FAILED');
    await object.close();
    await endpoint.store('mixed', now.body, now.metadata);
    await endpoint.store('.mixed.segments', oldIndex.body);
    const stale = await open('mixed', { authenticate: 'when-possible' });
    assert.equal(stale.authenticated, false);
    assert.equal(stale.unauthenticatedBecause, 'stale index');
    await stale.close();
    // Cut at a segment: the index says how long it was.
    await endpoint.store('.mixed.segments', nowIndex.body);
    await endpoint.store('mixed', now.body.subarray(0, half + 16), now.metadata);
    assert.equal(await failure(open('mixed')), 'ERR_SEALPIPE_INDEX_DAMAGED');
    assert.equal(await failure(open('mixed', { authenticate: 'when-possible' })), 'ERR_SEALPIPE_INDEX_DAMAGED');
  });

  test('is opened again when it is overwritten between its GET and that of its index', async () => {
    await put('raced');
    const index = await endpoint.stored('.raced.segments');
    await put('raced');
    const now = await endpoint.stored('.raced.segments');
    // The old index first; the new one while the object is asked for again.
    await endpoint.store('.raced.segments', index.body);
    const again = endpoint.local.faults.add({ operation: 'GetObject', key: 'raced', nth: 2, delay: 2000 });
    const opening = open('raced');
    await until(() => again.hits > 0, 'the second request');
    await endpoint.store('.raced.segments', now.body);
    const object = await opening;
    assert.equal(object.authenticated, 'index');
    await object.close();
  });
});

describe('an object without a usable index', () => {
  test('is refused where authentication is required, and read where it is wanted when possible', async () => {
    await endpoint.encrypted().upload({ Bucket, Key: 'bare', Body: content }).done();
    const required = await open('bare');
    assert.equal(await failure(required.read(0, 10)), 'ERR_SEALPIPE_RANGE_UNAUTHENTICATED');
    await required.close();
    const possible = await open('bare', { authenticate: 'when-possible' });
    assert.equal(possible.authenticated, false);
    assert.equal(possible.unauthenticatedBecause, 'no index');
    assert.ok(Buffer.from(await possible.read(5, 50)).equals(content.subarray(5, 50)));
    await possible.close();
  });

  test('is not asked for one where nothing is to be authenticated', async () => {
    const counts = await endpoint.requestsOf(async () => (await open('object', { authenticate: 'never' })).close());
    assert.deepEqual(counts, { GetObject: 1, 'KMS.Decrypt': 1 });
  });

  test('can be given one, and then reads', async () => {
    await endpoint.encrypted().createSegmentIndex({ Bucket, Key: 'bare' }, { segmentSize });
    const object = await open('bare');
    assert.ok(Buffer.from(await object.read(5, 50)).equals(content.subarray(5, 50)));
    await object.close();
  });
});

describe('a stream of a whole object that is too large to be held back', () => {
  const maxBuffered = 100_000;

  test('comes out segment by segment where there is an index, at one key', async () => {
    const counts = await endpoint.requestsOf(async () => {
      const { body, plaintextSize, exact, envelope } = await endpoint
        .encrypted()
        .get({ Bucket, Key: 'object' }, { maxBuffered });
      assert.deepEqual([plaintextSize, exact, envelope?.format], [content.length, true, 'V3']);
      assert.ok((await bytesOf(body)).equals(content));
      assert.ok(
        (await bytesOf(endpoint.encrypted().createReadStream({ Bucket, Key: 'object' }, { maxBuffered }))).equals(
          content,
        ),
      );
    });
    assert.equal(counts['KMS.Decrypt'], 2);
  });

  test('never gives out a byte of a segment that was altered, and all of those before it', async () => {
    await put('late');
    const { body, metadata } = await endpoint.stored('late');
    const at = 200 * segmentSize + 5;
    body.writeUInt8(body.readUInt8(at) ^ 1, at);
    await endpoint.store('late', body, metadata);
    const { body: stream } = await endpoint.encrypted().get({ Bucket, Key: 'late' }, { maxBuffered });
    let given = 0;
    const reading = (async () => {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        assert.ok(chunk.equals(content.subarray(given, given + chunk.length)));
        given += chunk.length;
      }
    })();
    assert.equal(await failure(reading), 'ERR_SEALPIPE_AUTHENTICATION_FAILED');
    assert.ok(given <= 200 * segmentSize);
  });

  test('comes out of an encrypting client in the same way, with the headers of the answer', async () => {
    const client = withEncryption(endpoint.client, { keyring: endpoint.keyring, maxBuffered });
    const get = (Key: string) => client.send(new GetObjectCommand({ Bucket, Key }));
    const params = { Bucket, Key: 'typed', Body: content, ContentType: 'text/csv', Metadata: { team: 'sales' } };
    await endpoint.encrypted().upload(params, { segmentIndex: { segmentSize } }).done();
    const counts = await endpoint.requestsOf(async () => {
      const { Body, ContentLength, ContentType, Metadata } = await get('typed');
      assert.deepEqual([ContentLength, ContentType, Metadata], [content.length, 'text/csv', { team: 'sales' }]);
      assert.ok(content.equals((await Body?.transformToByteArray()) ?? Buffer.alloc(0)));
    });
    assert.equal(counts['KMS.Decrypt'], 1);
    await endpoint.encrypted().upload({ Bucket, Key: 'unindexed', Body: content }).done();
    assert.equal(await failure(get('unindexed')), 'ERR_SEALPIPE_BUFFER_LIMIT');
  });

  test('comes out of an encrypting client as the object that was answered, or not at all', async () => {
    await put('exchanged');
    const client = withEncryption(endpoint.client, { keyring: endpoint.keyring, maxBuffered });
    // Between the answer and the look for the index.
    const fault = endpoint.local.faults.add({ operation: 'GetObject', key: '.exchanged.segments', delay: 2000 });
    const reading = failure(client.send(new GetObjectCommand({ Bucket, Key: 'exchanged' })));
    await until(() => fault.hits > 0, 'the look for the index');
    await put('exchanged', Buffer.from(content).reverse());
    assert.equal(await reading, 'ERR_SEALPIPE_OBJECT_CHANGED');
  });

  test('is refused without one, before a key is asked for twice, and what fits asks for none', async () => {
    await endpoint.encrypted().upload({ Bucket, Key: 'large', Body: content }).done();
    assert.equal(
      await failure(endpoint.encrypted().get({ Bucket, Key: 'large' }, { maxBuffered })),
      'ERR_SEALPIPE_BUFFER_LIMIT',
    );
    const counts = await endpoint.requestsOf(async () =>
      bytesOf((await endpoint.encrypted().get({ Bucket, Key: 'object' })).body),
    );
    assert.deepEqual(counts, { GetObject: 1, 'KMS.Decrypt': 1 });
  });
});
