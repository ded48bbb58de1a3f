import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  DeleteObjectTaggingCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
} from '@aws-sdk/client-s3';
import { failure, useTarget } from './target.ts';

suite('versions and tags', () => {
  const target = useTarget();

  async function versioned(Status: 'Enabled' | 'Suspended' = 'Enabled', Bucket?: string): Promise<string> {
    const name = Bucket ?? (await target.bucket());
    await target.s3().send(new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration: { Status } }));
    return name;
  }

  test('a bucket tells whether it keeps versions', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    assert.equal((await s3.send(new GetBucketVersioningCommand({ Bucket }))).Status, undefined);
    await versioned('Enabled', Bucket);
    assert.equal((await s3.send(new GetBucketVersioningCommand({ Bucket }))).Status, 'Enabled');
    await versioned('Suspended', Bucket);
    assert.equal((await s3.send(new GetBucketVersioningCommand({ Bucket }))).Status, 'Suspended');
  });

  test('every version of an object can be read, and the last one is the object', async () => {
    const s3 = target.s3();
    const Bucket = await versioned();
    const ids: string[] = [];
    for (const Body of ['one', 'two', 'three']) {
      ids.push((await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body }))).VersionId!);
    }
    assert.equal(new Set(ids).size, 3);
    for (const [index, text] of ['one', 'two', 'three'].entries()) {
      const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'k', VersionId: ids[index] }));
      assert.equal(await got.Body!.transformToString(), text);
      assert.equal(got.VersionId, ids[index]);
    }
    assert.equal((await s3.send(new HeadObjectCommand({ Bucket, Key: 'k' }))).VersionId, ids[2]);
    const unknown = await failure(s3.send(new GetObjectCommand({ Bucket, Key: 'k', VersionId: `${ids[0]}x` })));
    assert.equal(unknown.status === 404 || unknown.status === 400, true);
  });

  test('a deletion hides the object behind a marker, and removing that brings it back', async () => {
    const s3 = target.s3();
    const Bucket = await versioned();
    const put = await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }));
    const deleted = await s3.send(new DeleteObjectCommand({ Bucket, Key: 'k' }));
    assert.equal(deleted.DeleteMarker, true);
    const gone = await failure(s3.send(new GetObjectCommand({ Bucket, Key: 'k' })));
    assert.deepEqual([gone.name, gone.status], ['NoSuchKey', 404]);
    assert.equal((await s3.send(new ListObjectsV2Command({ Bucket }))).KeyCount, 0);
    const marker = await failure(s3.send(new GetObjectCommand({ Bucket, Key: 'k', VersionId: deleted.VersionId })));
    assert.deepEqual([marker.name, marker.status], ['MethodNotAllowed', 405]);
    assert.equal((await failure(s3.send(new DeleteBucketCommand({ Bucket })))).name, 'BucketNotEmpty');
    const undone = await s3.send(new DeleteObjectCommand({ Bucket, Key: 'k', VersionId: deleted.VersionId }));
    assert.equal(undone.DeleteMarker, true);
    assert.equal((await s3.send(new HeadObjectCommand({ Bucket, Key: 'k' }))).VersionId, put.VersionId);
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'k', VersionId: put.VersionId }));
    await s3.send(new DeleteBucketCommand({ Bucket }));
  });

  test('what was there before, and what comes while suspended, is the null version', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'before' }));
    await versioned('Enabled', Bucket);
    const kept = await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'kept' }));
    const before = await s3.send(new GetObjectCommand({ Bucket, Key: 'k', VersionId: 'null' }));
    assert.equal(await before.Body!.transformToString(), 'before');
    await versioned('Suspended', Bucket);
    await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'while suspended' }));
    const now = await s3.send(new GetObjectCommand({ Bucket, Key: 'k', VersionId: 'null' }));
    assert.equal(await now.Body!.transformToString(), 'while suspended');
    const listed = await s3.send(new ListObjectVersionsCommand({ Bucket }));
    assert.deepEqual(
      listed.Versions?.map((version) => [version.VersionId, version.IsLatest]),
      [
        ['null', true],
        [kept.VersionId, false],
      ],
    );
  });

  test('versions and markers are listed newest first, in pages of any size', async () => {
    const s3 = target.s3();
    const Bucket = await versioned();
    const made: [string, string][] = [];
    for (const Key of ['a', 'b/1', 'b/2', 'c']) {
      for (const Body of ['1', '2'])
        made.push([Key, (await s3.send(new PutObjectCommand({ Bucket, Key, Body }))).VersionId!]);
    }
    made.push(['b/1', (await s3.send(new DeleteObjectCommand({ Bucket, Key: 'b/1' }))).VersionId!]);
    const expected = ['a', 'b/1', 'b/2', 'c'].flatMap((key) =>
      made
        .filter(([other]) => other === key)
        .reverse()
        .map(([, id]) => `${key} ${id}`),
    );
    for (const MaxKeys of [1000, 2, 1]) {
      const seen: string[] = [];
      let KeyMarker: string | undefined;
      let VersionIdMarker: string | undefined;
      for (let page = 0; page < 30; page++) {
        const listed = await s3.send(new ListObjectVersionsCommand({ Bucket, MaxKeys, KeyMarker, VersionIdMarker }));
        const entries = [...(listed.Versions ?? []), ...(listed.DeleteMarkers ?? [])];
        seen.push(...entries.map((entry) => `${entry.Key} ${entry.VersionId}`));
        if (listed.IsTruncated !== true) break;
        KeyMarker = listed.NextKeyMarker;
        VersionIdMarker = listed.NextVersionIdMarker;
      }
      assert.deepEqual([...seen].sort(), [...expected].sort());
      if (MaxKeys === 1) assert.deepEqual(seen, expected);
    }
    const rolled = await s3.send(new ListObjectVersionsCommand({ Bucket, Delimiter: '/' }));
    assert.deepEqual(rolled.CommonPrefixes, [{ Prefix: 'b/' }]);
    assert.equal(rolled.Versions?.length, 4);
  });

  test('DeleteObjects removes versions and tells of markers', async () => {
    const s3 = target.s3();
    const Bucket = await versioned();
    const put = await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }));
    const marked = await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'k' }] } }));
    assert.equal(marked.Deleted?.[0]?.DeleteMarker, true);
    assert.equal(typeof marked.Deleted[0].DeleteMarkerVersionId, 'string');
    const removed = await s3.send(
      new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'k', VersionId: put.VersionId }] } }),
    );
    assert.equal(removed.Deleted?.[0]?.VersionId, put.VersionId);
    assert.equal((await s3.send(new ListObjectVersionsCommand({ Bucket }))).Versions, undefined);
  });

  test('tags are put, read, counted and removed without touching the object', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const put = await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', Tagging: 'a=1&b=%C3%BC%20x' }));
    assert.deepEqual((await s3.send(new GetObjectTaggingCommand({ Bucket, Key: 'k' }))).TagSet, [
      { Key: 'a', Value: '1' },
      { Key: 'b', Value: 'ü x' },
    ]);
    assert.equal((await s3.send(new GetObjectCommand({ Bucket, Key: 'k' }))).TagCount, 2);
    await s3.send(new PutObjectTaggingCommand({ Bucket, Key: 'k', Tagging: { TagSet: [{ Key: 'c', Value: '3' }] } }));
    assert.deepEqual((await s3.send(new GetObjectTaggingCommand({ Bucket, Key: 'k' }))).TagSet, [
      { Key: 'c', Value: '3' },
    ]);
    await s3.send(new DeleteObjectTaggingCommand({ Bucket, Key: 'k' }));
    assert.deepEqual((await s3.send(new GetObjectTaggingCommand({ Bucket, Key: 'k' }))).TagSet, []);
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key: 'k' }));
    assert.equal(head.ETag, put.ETag);
  });

  test('more than ten tags, a long one, or one twice is InvalidTag', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }));
    const eleven = Array.from({ length: 11 }, (_, index) => ({ Key: `t${index}`, Value: 'v' }));
    for (const TagSet of [
      eleven,
      [{ Key: 'x'.repeat(129), Value: '' }],
      [{ Key: 'x', Value: 'v'.repeat(257) }],
      [
        { Key: 'x', Value: '1' },
        { Key: 'x', Value: '2' },
      ],
    ]) {
      const failed = await failure(s3.send(new PutObjectTaggingCommand({ Bucket, Key: 'k', Tagging: { TagSet } })));
      assert.equal(failed.status, 400);
    }
  });
});
