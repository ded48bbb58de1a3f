import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { SealpipeError } from '../../src/errors.ts';
import { gcmSuite } from '../../src/format/suites.ts';
import { cachingKeyring } from '../../src/keyrings/caching.ts';
import type { EncryptionMaterials, Keyring, UnwrapDataKeyRequest } from '../../src/keyrings/keyring.ts';
import { generateRequest, unwrapRequest } from '../support/key-requests.ts';
import { runs } from '../support/properties.ts';

/** Counts what it is asked, and derives keys from the request so that a mix-up shows. */
class CountingKeyring implements Keyring {
  unwrapped = 0;
  generated = 0;
  /** What the next calls wait for, or fail with. */
  gate: Promise<void> = Promise.resolve();
  /** The arrays that were handed out. */
  readonly handedOut: Uint8Array[] = [];

  async generateDataKey(): Promise<EncryptionMaterials> {
    this.generated += 1;
    const wrappedKey = randomBytes(60);
    return { dataKey: new Uint8Array(randomBytes(32)), wrappedKey, wrappingAlgorithm: 'AES/GCM', description: {} };
  }

  async unwrapDataKey({ wrappedKey }: UnwrapDataKeyRequest): Promise<Uint8Array> {
    this.unwrapped += 1;
    await this.gate;
    const dataKey = new Uint8Array(32).fill(wrappedKey[0] as number);
    this.handedOut.push(dataKey);
    return dataKey;
  }
}

const generous = { maxAgeMs: 60_000, maxUses: 1000, maxBytes: 2 ** 40 };
const first = unwrapRequest({ wrappedKey: new Uint8Array(60).fill(1) });
const keyOf = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);

describe('a caching keyring', () => {
  test('asks once for the same object and hands out a copy each time, that its caller may overwrite', async () => {
    const inner = new CountingKeyring();
    const cache = cachingKeyring(inner, generous);
    for (let use = 0; use < 5; use++) {
      const key = await cache.unwrapDataKey(first);
      assert.deepEqual(key, keyOf(1));
      key.fill(0);
    }
    assert.equal(inner.unwrapped, 1);
    cache.clear();
  });

  test('never caches for encryption: one data key, one object', async () => {
    const inner = new CountingKeyring();
    const cache = cachingKeyring(inner, generous);
    const keys = new Set<string>();
    for (let use = 0; use < 5; use++)
      keys.add(Buffer.from((await cache.generateDataKey(generateRequest())).dataKey).toString('hex'));
    assert.deepEqual([inner.generated, keys.size], [5, 5]);
  });

  test('takes requests for different only when nothing that the answer depends on differs', async () => {
    const inner = new CountingKeyring();
    const cache = cachingKeyring(inner, generous);
    const others: Partial<UnwrapDataKeyRequest>[] = [
      {},
      { wrappedKey: new Uint8Array(60).fill(2) },
      { wrappedKey: new Uint8Array(61).fill(1) },
      { suite: gcmSuite },
      { wrappingAlgorithm: 'kms' },
      { encryptionContext: { a: '1' } },
      { encryptionContext: { a: '1', b: '2' } },
      { encryptionContext: { 'a":"1': '' } },
      { materialsDescription: { a: '1' } },
      { bucket: 'b' },
      { bucket: 'b', key: 'k' },
      { key: 'k' },
    ];
    for (const other of others) await cache.unwrapDataKey({ ...first, ...other });
    assert.equal(inner.unwrapped, others.length);
    await cache.unwrapDataKey({ ...first, encryptionContext: { b: '2', a: '1' } });
    await cache.unwrapDataKey({ ...first, storedLength: 5, signal: new AbortController().signal });
    assert.equal(inner.unwrapped, others.length, 'order of the context, length and signal change nothing');
    cache.clear();
  });

  test('shares one call among openings at the same time, each with its own copy', async () => {
    const inner = new CountingKeyring();
    const cache = cachingKeyring(inner, generous);
    const keys = await Promise.all(Array.from({ length: 20 }, () => cache.unwrapDataKey(first)));
    assert.equal(inner.unwrapped, 1);
    assert.equal(new Set(keys.map((key) => key.buffer)).size, 20);
    keys.forEach((key, index) => {
      assert.deepEqual(key, keyOf(1), `copy ${index}`);
      key.fill(0);
    });
    cache.clear();
  });

  test('remembers no failure, and lets those who waited for a failed call ask for themselves', async () => {
    const inner = new CountingKeyring();
    const cache = cachingKeyring(inner, generous);
    const denied = new SealpipeError('KEY_DENIED', 'denied');
    let deny!: (error: Error) => void;
    inner.gate = new Promise((_, reject) => {
      deny = reject;
    });
    const failing = cache.unwrapDataKey(first);
    const waiting = cache.unwrapDataKey(first);
    inner.gate.catch(() => undefined);
    deny(denied);
    inner.gate = Promise.resolve();
    await assert.rejects(failing, denied);
    assert.deepEqual(await waiting, keyOf(1));
    assert.equal(inner.unwrapped, 2);
    cache.clear();
  });
});

describe('its limits', () => {
  test('on uses: a key is handed out that often, the first time included', async () => {
    for (const maxUses of [1, 2, 5]) {
      const inner = new CountingKeyring();
      const cache = cachingKeyring(inner, { ...generous, maxUses });
      for (let use = 0; use < maxUses * 3; use++) await cache.unwrapDataKey(first);
      assert.equal(inner.unwrapped, 3, `maxUses ${maxUses}`);
      cache.clear();
    }
  });

  test('on uses hold for openings at the same time too', async () => {
    const inner = new CountingKeyring();
    const cache = cachingKeyring(inner, { ...generous, maxUses: 3 });
    await Promise.all(Array.from({ length: 5 }, () => cache.unwrapDataKey(first)));
    assert.ok(inner.unwrapped >= 2, `5 openings with ${inner.unwrapped} calls of at most 3 uses each`);
    cache.clear();
  });

  test('on bytes: a key is forgotten before it would open more, all objects together', async () => {
    const inner = new CountingKeyring();
    const cache = cachingKeyring(inner, { ...generous, maxBytes: 100 });
    const open = (storedLength: number): Promise<Uint8Array> => cache.unwrapDataKey({ ...first, storedLength });
    await open(40);
    await open(60);
    assert.equal(inner.unwrapped, 1, 'exactly the limit');
    await open(1);
    assert.equal(inner.unwrapped, 2, 'one byte more');
    await open(101);
    assert.equal(inner.unwrapped, 3, 'an object beyond the limit');
    await open(1);
    assert.equal(inner.unwrapped, 4, 'whose key was not kept');
    cache.clear();
  });

  test('on age: a key is forgotten when its time is up, and overwritten though nobody asks again', async () => {
    const inner = new CountingKeyring();
    const cache = cachingKeyring(inner, { ...generous, maxAgeMs: 1000 });
    await cache.unwrapDataKey(first);
    await cache.unwrapDataKey(first);
    assert.equal(inner.unwrapped, 1);
    await sleep(1100);
    await cache.unwrapDataKey(first);
    assert.equal(inner.unwrapped, 2);
    cache.clear();
  });

  test('on keys: the one used longest ago goes first', async () => {
    const inner = new CountingKeyring();
    const cache = cachingKeyring(inner, { ...generous, maxKeys: 2 });
    const open = (fill: number): Promise<Uint8Array> =>
      cache.unwrapDataKey({ ...first, wrappedKey: new Uint8Array(60).fill(fill) });
    await open(1);
    await open(2);
    await open(1);
    await open(3);
    assert.equal(inner.unwrapped, 3);
    await open(1);
    assert.equal(inner.unwrapped, 3, '1 was used after 2');
    await open(2);
    assert.equal(inner.unwrapped, 4, '2 had gone');
    cache.clear();
  });

  test('are never passed, whatever is asked for in whatever order', async () => {
    const lengths = fc.array(fc.nat({ max: 60 }), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(
        lengths,
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 100 }),
        async (all, maxUses, maxBytes) => {
          const inner = new CountingKeyring();
          const cache = cachingKeyring(inner, { ...generous, maxUses, maxBytes });
          let [calls, uses, bytes] = [0, 0, 0];
          for (const storedLength of all) {
            await cache.unwrapDataKey({ ...first, storedLength });
            if (inner.unwrapped > calls) [calls, uses, bytes] = [inner.unwrapped, 0, 0];
            uses += 1;
            bytes += storedLength;
            assert.ok(uses <= maxUses && (bytes <= maxBytes || uses === 1));
          }
          cache.clear();
        },
      ),
      runs(50),
    );
  });

  test('must be positive numbers', () => {
    for (const value of [0, -1, Number.NaN, undefined, '5', null]) {
      for (const name of ['maxAgeMs', 'maxUses', 'maxBytes'])
        assert.throws(() => cachingKeyring(new CountingKeyring(), { ...generous, [name]: value }), RangeError);
    }
    for (const maxKeys of [0, -1, Number.NaN])
      assert.throws(() => cachingKeyring(new CountingKeyring(), { ...generous, maxKeys }), RangeError);
    const endless = Number.POSITIVE_INFINITY;
    cachingKeyring(new CountingKeyring(), { maxAgeMs: endless, maxUses: endless, maxBytes: endless, maxKeys: endless });
  });

  test('without end are kept without a timer that fires at once', async () => {
    const inner = new CountingKeyring();
    const endless = Number.POSITIVE_INFINITY;
    const cache = cachingKeyring(inner, { maxAgeMs: endless, maxUses: endless, maxBytes: endless });
    await cache.unwrapDataKey(first);
    await sleep(20);
    await cache.unwrapDataKey(first);
    assert.equal(inner.unwrapped, 1);
    cache.clear();
  });
});

describe('a key that is forgotten is overwritten', () => {
  /** The cache's own copy: the first that is filled while the keyring runs. */
  const firstCopy = (spy: { mock: { calls: { this: unknown }[] } }): unknown => spy.mock.calls[0]?.this;

  const zero = new Uint8Array(32);
  const limits = { uses: { maxUses: 2 }, bytes: { maxBytes: 10 }, age: { maxAgeMs: 10 }, keys: { maxKeys: 1 } };
  for (const [name, limit] of Object.entries(limits)) {
    test(`when its limit of ${name} is reached`, async (t) => {
      const copies = t.mock.method(Uint8Array.prototype, 'set');
      const cache = cachingKeyring(new CountingKeyring(), { ...generous, ...limit });
      await cache.unwrapDataKey({ ...first, storedLength: 10 });
      assert.deepEqual(firstCopy(copies), keyOf(1));
      if (name === 'uses') await cache.unwrapDataKey({ ...first, storedLength: 0 });
      if (name === 'age') await sleep(30);
      else if (name === 'keys') await cache.unwrapDataKey({ ...first, bucket: 'other' });
      else await cache.unwrapDataKey({ ...first, storedLength: 5 });
      assert.deepEqual(firstCopy(copies), zero);
    });
  }

  test('when the cache is cleared', async (t) => {
    const copies = t.mock.method(Uint8Array.prototype, 'set');
    const cache = cachingKeyring(new CountingKeyring(), generous);
    await cache.unwrapDataKey(first);
    assert.deepEqual(firstCopy(copies), keyOf(1));
    cache.clear();
    assert.deepEqual(firstCopy(copies), zero);
  });
});

describe('a cleared cache', () => {
  test('asks again', async () => {
    const inner = new CountingKeyring();
    const cache = cachingKeyring(inner, generous);
    await cache.unwrapDataKey(first);
    cache.clear();
    await cache.unwrapDataKey(first);
    assert.equal(inner.unwrapped, 2);
    cache.clear();
  });

  test('does not keep a key that was on its way when it was cleared', async () => {
    const inner = new CountingKeyring();
    const cache = cachingKeyring(inner, generous);
    let open!: () => void;
    inner.gate = new Promise((resolve) => {
      open = resolve;
    });
    const running = cache.unwrapDataKey(first);
    cache.clear();
    open();
    assert.deepEqual(await running, keyOf(1));
    await cache.unwrapDataKey(first);
    assert.equal(inner.unwrapped, 2);
    cache.clear();
  });
});

test('a cache with keys in it does not keep the process alive', () => {
  const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const cache = cachingKeyring(new CountingKeyring(), generous);
  return cache.unwrapDataKey(first).then(() => {
    const after = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    assert.equal(after, before);
    cache.clear();
  });
});
