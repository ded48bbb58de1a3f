import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { SegmentIndexBuilder } from '../../src/crypto/segment-index-builder.ts';
import { entryLength } from '../../src/crypto/segment-index-macs.ts';
import { SealpipeError } from '../../src/errors.ts';
import { parseEnvelope } from '../../src/format/parse-envelope.ts';
import { openKeys } from '../../src/keyrings/open-content-key.ts';
import { IndexRequests, startSegmentIndex } from '../../src/objects/segment-index-reader.ts';
import { IndexVerifier } from '../../src/objects/segment-index-verifier.ts';
import type { SegmentIndexState, SegmentVerifier } from '../../src/readers/segment-verifier.ts';
import { Bucket, rejection, TestEndpoint } from '../support/endpoint.ts';
import { runs } from '../support/properties.ts';

const segmentSize = 4096;
/** 2 000 segments: an index of 32 kB, of which the last 4 kB come at once. */
const content = randomBytes(2000 * segmentSize - 100);

let endpoint: TestEndpoint;
before(async () => {
  endpoint = await TestEndpoint.start();
  await put('object', content);
});
beforeEach(() => {
  endpoint.local.faults.clear();
});
after(async () => {
  await endpoint.close();
});

async function put(Key: string, Body: Buffer, size = segmentSize): Promise<void> {
  await endpoint
    .encrypted()
    .upload({ Bucket, Key, Body }, { segmentIndex: { segmentSize: size } })
    .done();
}

interface Opened {
  readonly state: SegmentIndexState;
  readonly ciphertext: Buffer;
}

/** What opening an object does with its index. */
async function open(Key: string, contentLength?: number): Promise<Opened> {
  const { signal } = new AbortController();
  const pending = startSegmentIndex({ client: endpoint.client, address: { Bucket, Key }, signal });
  const { body, metadata } = await endpoint.stored(Key);
  const envelope = parseEnvelope(metadata);
  const policy = {};
  const { derived } = await openKeys({ keyring: endpoint.keyring, envelope, policy, derive: pending.derive });
  const ciphertext = body.subarray(0, -16);
  const state = await pending.resolve({
    envelope,
    contentLength: contentLength ?? ciphertext.length,
    keys: derived,
  });
  assert.ok(
    derived.every((key) => key.every((byte) => byte === 0)),
    'a key was left behind',
  );
  return { state, ciphertext };
}

async function usable(Key: string): Promise<{ verifier: SegmentVerifier; ciphertext: Buffer }> {
  const { state, ciphertext } = await open(Key);
  assert.equal(state.state, 'usable');
  return { verifier: (state as { verifier: SegmentVerifier }).verifier, ciphertext };
}

const piece = (ciphertext: Buffer, first: number, end: number): { start: number; ciphertext: Buffer } => ({
  start: first * segmentSize,
  ciphertext: ciphertext.subarray(first * segmentSize, end * segmentSize),
});

async function code(promise: Promise<unknown>): Promise<string> {
  const error = await rejection(promise);
  assert.ok(error instanceof SealpipeError, String(error));
  return error.code;
}

describe('an index that is there', () => {
  test('verifies its end without a further request, and everything else with one', async () => {
    const { verifier, ciphertext } = await usable('object');
    assert.equal(verifier.segmentSize, segmentSize);
    const atEnd = await endpoint.requestsOf(() => verifier.verify(piece(ciphertext, 1990, 2000)));
    assert.deepEqual(atEnd, {});
    const before = await endpoint.requestsOf(async () => {
      await Promise.all([0, 100, 1500].map((i) => verifier.verify(piece(ciphertext, i, i + 3))));
      await verifier.verify(piece(ciphertext, 0, 2000));
    });
    assert.deepEqual(before, { GetObject: 1 });
    const [request] = endpoint.local.requests.all('GetObject');
    assert.equal(request?.range, `bytes=0-${2000 * entryLength - 1}`);
    assert.ok(request.headers['if-match'] !== undefined);
    verifier.close();
  });

  test('is asked for by its last 4 KiB', async () => {
    await endpoint.requestsOf(() => open('object'));
    const asked = endpoint.local.requests.all('GetObject').find(({ key }) => key === '.object.segments');
    assert.equal(asked?.range, 'bytes=-4096');
  });

  test('finds any flipped bit of the content, in the reads that touch it', async () => {
    const { verifier, ciphertext } = await usable('object');
    await fc.assert(
      fc.asyncProperty(fc.nat(content.length * 8 - 1), fc.nat(1999), async (bit, other) => {
        const altered = Buffer.from(ciphertext);
        altered.writeUInt8(altered.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        const touched = Math.floor((bit >> 3) / segmentSize);
        assert.equal(
          await code(verifier.verify(piece(altered, touched, touched + 1))),
          'ERR_SEALPIPE_AUTHENTICATION_FAILED',
        );
        if (other !== touched) await verifier.verify(piece(altered, other, other + 1));
      }),
      runs(15),
    );
  });

  test('finds any flipped bit of its own, when it is opened or in the reads that touch it', async () => {
    await put('bits', content.subarray(0, 5 * segmentSize));
    const index = (await endpoint.stored('.bits.segments')).body;
    const entries = 5 * entryLength * 8;
    const bits = [0, 127, 128, 300, entries - 1, entries, entries + 64, entries + 200, index.length * 8 - 1];
    for (const bit of bits) {
      const altered = Buffer.from(index);
      altered.writeUInt8(altered.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      await endpoint.store('.bits.segments', altered);
      if (bit >= entries) {
        assert.equal(await code(open('bits')), 'ERR_SEALPIPE_INDEX_DAMAGED', `bit ${bit}`);
        continue;
      }
      const { verifier, ciphertext } = await usable('bits');
      for (let i = 0; i < 5; i++) {
        const verified = verifier.verify(piece(ciphertext, i, i + 1));
        if (i === bit >> 7) assert.equal(await code(verified), 'ERR_SEALPIPE_AUTHENTICATION_FAILED', `bit ${bit}`);
        else await verified;
      }
    }
  });

  test('of an empty object is its trailer alone', async () => {
    await put('empty', Buffer.alloc(0));
    const { verifier } = await usable('empty');
    await verifier.verify({ start: 0, ciphertext: new Uint8Array(0) });
  });

  test('goes on when it is written anew of the same object while it is read', async () => {
    await put('rewritten', content);
    const { verifier, ciphertext } = await usable('rewritten');
    const { body } = await endpoint.stored('.rewritten.segments');
    // Another ETag for the same bytes, as S3 gives under SSE-KMS.
    endpoint.local.faults.add({
      operation: 'GetObject',
      key: '.rewritten.segments',
      nth: 1,
      status: 412,
      code: 'PreconditionFailed',
    });
    await endpoint.store('.rewritten.segments', body);
    await verifier.verify(piece(ciphertext, 0, 1));
  });

  test('that is replaced, or removed, while it is read ends the reading', async () => {
    for (const [key, replace] of Object.entries({
      replaced: () => put('replaced', content),
      removed: () => endpoint.client.send(new DeleteObjectCommand({ Bucket, Key: '.removed.segments' })),
    })) {
      await put(key, content);
      const { verifier, ciphertext } = await usable(key);
      await replace();
      assert.equal(await code(verifier.verify(piece(ciphertext, 0, 1))), 'ERR_SEALPIPE_OBJECT_CHANGED');
    }
  });

  test('is asked for again when the connection breaks', async () => {
    const { verifier, ciphertext } = await usable('object');
    endpoint.local.faults.add({ operation: 'GetObject', key: '.object.segments', resetResponseAfter: 100 });
    await verifier.verify(piece(ciphertext, 7, 8));
  });

  test('can be given up: by one reader, who alone hears of it, and by all', async () => {
    const { verifier, ciphertext } = await usable('object');
    endpoint.local.faults.add({ operation: 'GetObject', key: '.object.segments', delay: 100, times: 'always' });
    const { signal } = new AbortController();
    const early = AbortSignal.timeout(20);
    const [given, kept] = await Promise.allSettled([
      verifier.verify(piece(ciphertext, 0, 1), { signal: early }),
      verifier.verify(piece(ciphertext, 1, 2), { signal }),
    ]);
    assert.equal(given.status, 'rejected');
    assert.equal(kept.status, 'fulfilled');
    const second = await usable('object');
    const waiting = second.verifier.verify(piece(ciphertext, 0, 1));
    second.verifier.close();
    assert.equal(await code(waiting), 'ERR_SEALPIPE_ABORTED');
    assert.equal(await code(second.verifier.verify(piece(ciphertext, 0, 1))), 'ERR_SEALPIPE_ABORTED');
  });
});

describe('an index that cannot be used', () => {
  test('is absent where there is none, or can be none', async () => {
    await endpoint.encrypted().upload({ Bucket, Key: 'bare', Body: 'bare' }).done();
    assert.equal((await open('bare')).state.state, 'absent');
    await endpoint.encrypted().upload({ Bucket, Key: 'folder/', Body: 'folder' }).done();
    const counts = await endpoint.requestsOf(() => open('folder/'));
    assert.deepEqual(counts, { GetObject: 1, 'KMS.Decrypt': 1 });
  });

  test('is an error where it may not be read', async () => {
    endpoint.local.faults.add({ operation: 'GetObject', key: '.object.segments', status: 403 });
    assert.equal(await code(open('object')), 'ERR_SEALPIPE_ACCESS_DENIED');
  });

  test('is stale where the object was overwritten without one', async () => {
    await put('stale', content.subarray(0, 10_000));
    await endpoint
      .encrypted()
      .upload({ Bucket, Key: 'stale', Body: content.subarray(0, 10_000) })
      .done();
    assert.equal((await open('stale')).state.state, 'stale');
  });

  test('is stale where it is the index of another object', async () => {
    await put('one', content.subarray(0, 10_000));
    await put('other', content.subarray(0, 10_000));
    await endpoint.store('.one.segments', (await endpoint.stored('.other.segments')).body);
    assert.equal((await open('one')).state.state, 'stale');
  });

  test('is damaged when it is cut, long, empty, or something else', async () => {
    await put('hurt', content.subarray(0, 10_000));
    const index = (await endpoint.stored('.hurt.segments')).body;
    const bad = [
      index.subarray(16),
      index.subarray(0, -1),
      index.subarray(-63),
      Buffer.concat([index, index]),
      Buffer.alloc(0),
      randomBytes(500),
    ];
    for (const bytes of bad) {
      await endpoint.store('.hurt.segments', bytes);
      assert.equal(await code(open('hurt')), 'ERR_SEALPIPE_INDEX_DAMAGED', `${bytes.length} bytes`);
    }
  });

  test('is damaged when the object has another length than it says', async () => {
    await put('longer', content.subarray(0, 10_000));
    assert.equal(await code(open('longer', 10_001)), 'ERR_SEALPIPE_INDEX_DAMAGED');
  });

  test('of whatever bytes never passes, never hangs', async () => {
    await put('fuzz', content.subarray(0, 10_000));
    const index = (await endpoint.stored('.fuzz.segments')).body;
    const places = fc.array(fc.tuple(fc.nat(index.length - 1), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(places, async (changes) => {
        const altered = Buffer.from(index);
        for (const [at, mask] of changes) altered.writeUInt8(altered.readUInt8(at) ^ mask, at);
        if (altered.equals(index)) return;
        await endpoint.store('.fuzz.segments', altered);
        const verified = (async () => {
          const { verifier, ciphertext } = await usable('fuzz');
          await verifier.verify({ start: 0, ciphertext });
        })();
        assert.match(await code(verified), /INDEX_DAMAGED|AUTHENTICATION_FAILED/);
      }),
      runs(15),
    );
  });

  test('that is not wanted any more is let go', async () => {
    endpoint.local.faults.add({ operation: 'GetObject', key: '.object.segments', delay: 5000 });
    const { signal } = new AbortController();
    const pending = startSegmentIndex({ client: endpoint.client, address: { Bucket, Key: 'object' }, signal });
    pending.discard();
    await endpoint.local.requests.settled();
  });
});

test('a long index is read by blocks: those that a range needs, each once', async () => {
  const segment = Buffer.alloc(segmentSize);
  const count = 80_000;
  const contentLength = count * segmentSize;
  const secret = randomBytes(32);
  const key = createSecretKey(secret);
  const builder = new SegmentIndexBuilder({ key: secret, segmentSize, iv: randomBytes(28), contentLength });
  const macs = builder.macs(0);
  for (let i = 0; i < count; i++) macs.update(segment);
  builder.add(0, macs.final());
  const index = builder.finish(contentLength);
  await endpoint.store('.long.segments', index);
  const requests = new IndexRequests({ client: endpoint.client, address: { Bucket, Key: 'long' } });
  const tail = await requests.tail(new AbortController().signal);
  assert.ok(tail !== undefined);
  const verifier = new IndexVerifier({ requests, tail, key, segmentSize, contentLength });
  const verify = (first: number, segments = 1): Promise<void> =>
    verifier.verify({ start: first * segmentSize, ciphertext: Buffer.alloc(segments * segmentSize) });
  const ranges = async (run: () => Promise<unknown>): Promise<(string | undefined)[]> => {
    await endpoint.requestsOf(run);
    return endpoint.local.requests.all('GetObject').map(({ range }) => range);
  };
  assert.deepEqual(await ranges(() => Promise.all([verify(0), verify(5), verify(1023)])), ['bytes=0-16383']);
  assert.deepEqual(await ranges(() => verify(1)), []);
  assert.deepEqual(await ranges(() => verify(1020, 3000)), ['bytes=16384-65535']);
  assert.deepEqual(await ranges(() => verify(count - 1)), []);
  // The last block ends with the entries.
  assert.deepEqual(await ranges(() => verify(count - 300, 300)), [`bytes=1261568-${count * entryLength - 1}`]);
  // What has not been used for long is forgotten.
  assert.equal(
    (
      await ranges(async () => {
        for (let i = 10; i < 75; i++) await verify(i * 1024);
      })
    ).length,
    65,
  );
  assert.deepEqual(await ranges(() => verify(0)), ['bytes=0-16383']);
});
