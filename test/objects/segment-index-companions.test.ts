import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DeleteObjectCommand, DeleteObjectsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { SegmentIndexFilter } from '../../src/objects/segment-index-filter.ts';
import { indexedObjectKey, segmentIndexKey } from '../../src/objects/segment-index-key.ts';
import { withEncryption } from '../../src/objects/with-encryption/with-encryption.ts';
import { Bucket, TestEndpoint } from '../support/endpoint.ts';
import { runs } from '../support/properties.ts';

describe('the key of an index', () => {
  test('is the last part of the object’s with a dot before and .segments behind it', () => {
    assert.equal(segmentIndexKey('t/part-0.parquet'), 't/.part-0.parquet.segments');
    assert.equal(segmentIndexKey('a'), '.a.segments');
    assert.equal(segmentIndexKey('t//a'), 't//.a.segments');
    assert.equal(segmentIndexKey('t/'), undefined);
    assert.equal(segmentIndexKey('x'.repeat(1014))?.length, 1024);
    assert.equal(segmentIndexKey('x'.repeat(1015)), undefined);
    assert.equal(segmentIndexKey('é'.repeat(508)), undefined);
  });

  test('leads back to the object, and no other key does', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 40 }), (key) => {
        const index = segmentIndexKey(key);
        if (index !== undefined) assert.equal(indexedObjectKey(index), key);
        const object = indexedObjectKey(key);
        if (object !== undefined) assert.equal(segmentIndexKey(object), key);
      }),
      runs(200),
    );
    for (const key of ['a', '.a', 'a.segments', '.segments', 't/.segments', '.t/a.segments', '..segments'])
      assert.equal(indexedObjectKey(key), undefined, key);
  });
});

describe('the index filter', () => {
  const inOrder = (keys: readonly string[]): string[] =>
    [...new Set(keys)].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

  const shownOf = (keys: readonly string[]): string[] => {
    const filter = new SegmentIndexFilter<string>();
    return [...keys.flatMap((key) => filter.take(key, key)), ...filter.rest()];
  };

  test('hides an index beside its object, in folders and out of them, wherever it sorts', () => {
    const keys = inOrder([
      '.a.segments',
      'a',
      't/.b.segments',
      't/b',
      't/-c',
      't/.-c.segments',
      '.gone.segments',
      't/.gone.segments',
      'u',
    ]);
    assert.deepEqual(shownOf(keys), ['a', 't/-c', 't/b', 't/.gone.segments', 'u', '.gone.segments']);
  });

  test('shows exactly what a look at the whole listing would, each once', () => {
    const part = fc.constantFrom('a', 'b', '/', '.', '-', '!', '.segments', '😀', '\uffff');
    const key = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.array(key, { maxLength: 40 }), (some) => {
        const indexes = some.filter((_, i) => i % 2 === 0).flatMap((each) => segmentIndexKey(each) ?? []);
        const keys = inOrder([...some, ...indexes]);
        const all = new Set(keys);
        const expected = keys.filter((each) => {
          const object = indexedObjectKey(each);
          return object === undefined || !all.has(object);
        });
        assert.deepEqual(inOrder(shownOf(keys)), expected);
        assert.equal(shownOf(keys).length, expected.length);
      }),
      runs(200),
    );
  });
});

describe('beside an object, an index', () => {
  let endpoint: TestEndpoint;
  before(async () => {
    endpoint = await TestEndpoint.start();
  });
  after(async () => {
    await endpoint.close();
  });

  const put = (Key: string): Promise<unknown> =>
    endpoint.encrypted().upload({ Bucket, Key, Body: 'content' }, { segmentIndex: true }).done();

  async function keysUnder(Prefix: string): Promise<(string | undefined)[]> {
    const { Contents = [] } = await endpoint.client.send(new ListObjectsV2Command({ Bucket, Prefix }));
    return Contents.map(({ Key }) => Key);
  }

  async function listed(Prefix: string, companions = false): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of endpoint.encrypted().list({ Bucket, Prefix, MaxKeys: 2 }, { companions }))
      keys.push(key);
    return keys;
  }

  test('is hidden from listings, across pages', async () => {
    for (const key of ['l/a', 'l/b', 'l/c']) await put(key);
    await endpoint.store('l/.alone.segments', 'notes');
    assert.deepEqual(await listed('l/'), ['l/a', 'l/b', 'l/c', 'l/.alone.segments']);
    assert.equal((await listed('l/', true)).length, 7);
    const wrapped = withEncryption(endpoint.client, { keyring: endpoint.keyring, contents: 'gcm' });
    const { Contents = [], KeyCount } = await wrapped.send(new ListObjectsV2Command({ Bucket, Prefix: 'l/' }));
    assert.deepEqual(
      Contents.map(({ Key }) => Key),
      ['l/.alone.segments', 'l/a', 'l/b', 'l/c'],
    );
    assert.equal(KeyCount, 4);
  });

  test('is deleted with it, at one look', async () => {
    await put('d/one');
    const counts = await endpoint.requestsOf(() => endpoint.encrypted().delete({ Bucket, Key: 'd/one' }));
    assert.deepEqual(counts, { HeadObject: 1, GetObject: 1, DeleteObject: 2 });
    for (const key of ['d/a', 'd/b']) await put(key);
    const { companions } = await endpoint.encrypted().deleteMany({ Bucket, Keys: ['d/a', 'd/b'] });
    assert.deepEqual(companions, ['d/.a.segments', 'd/.b.segments']);
    assert.deepEqual(await keysUnder('d/'), []);
  });

  test('is deleted with it through withEncryption, too', async () => {
    const wrapped = withEncryption(endpoint.client, { keyring: endpoint.keyring });
    for (const key of ['w/a', 'w/b', 'w/c']) await put(key);
    await wrapped.send(new DeleteObjectCommand({ Bucket, Key: 'w/a' }));
    await wrapped.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'w/b' }, { Key: 'w/c' }] } }));
    assert.deepEqual(await keysUnder('w/'), []);
  });

  test('is left alone when it is none of ours, or was asked for by version', async () => {
    for (const body of ['', 'notes', 'x'.repeat(64)]) {
      await put('f/a');
      await endpoint.store('f/.a.segments', body);
      await endpoint.encrypted().delete({ Bucket, Key: 'f/a' });
      assert.deepEqual(await keysUnder('f/'), ['f/.a.segments']);
      await endpoint.client.send(new DeleteObjectCommand({ Bucket, Key: 'f/.a.segments' }));
    }
    await put('f/v');
    await endpoint.encrypted().delete({ Bucket, Key: 'f/v', VersionId: 'null' });
    assert.deepEqual(await keysUnder('f/'), ['f/.v.segments']);
  });
});
