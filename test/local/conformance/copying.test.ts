import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { failure, MiB, pattern, useTarget } from './target.ts';

suite('copies', () => {
  const target = useTarget();

  async function source(Key = 'from'): Promise<{ Bucket: string; etag: string }> {
    const Bucket = await target.bucket();
    const put = await target.s3().send(
      new PutObjectCommand({
        Bucket,
        Key,
        Body: 'content',
        Metadata: { a: '1' },
        ContentType: 'x/y',
        CacheControl: 'no-cache',
        Tagging: 't=1',
      }),
    );
    return { Bucket, etag: put.ETag! };
  }

  test('a copy has the bytes, metadata, headers and tags of its source, and lives on without it', async () => {
    const s3 = target.s3();
    const { Bucket, etag } = await source();
    const copied = await s3.send(new CopyObjectCommand({ Bucket, Key: 'to', CopySource: `${Bucket}/from` }));
    assert.equal(copied.CopyObjectResult?.ETag, etag);
    assert.ok(copied.CopyObjectResult.LastModified instanceof Date);
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'from' }));
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'to' }));
    assert.equal(await got.Body!.transformToString(), 'content');
    assert.deepEqual(got.Metadata, { a: '1' });
    assert.equal(got.ContentType, 'x/y');
    assert.equal(got.CacheControl, 'no-cache');
    const tags = await s3.send(new GetObjectTaggingCommand({ Bucket, Key: 'to' }));
    assert.deepEqual(tags.TagSet, [{ Key: 't', Value: '1' }]);
  });

  test('REPLACE takes metadata, headers and tags from the request alone', async () => {
    const s3 = target.s3();
    const { Bucket } = await source();
    await s3.send(
      new CopyObjectCommand({
        Bucket,
        Key: 'to',
        CopySource: `${Bucket}/from`,
        MetadataDirective: 'REPLACE',
        TaggingDirective: 'REPLACE',
        Metadata: { b: '2' },
        Tagging: 'u=2',
      }),
    );
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key: 'to' }));
    assert.deepEqual(head.Metadata, { b: '2' });
    assert.equal(head.CacheControl, undefined);
    const tags = await s3.send(new GetObjectTaggingCommand({ Bucket, Key: 'to' }));
    assert.deepEqual(tags.TagSet, [{ Key: 'u', Value: '2' }]);
  });

  test('keys of any Unicode can be sources, encoded or as they are', async () => {
    const s3 = target.s3();
    const Key = 'ü/日 本+%41';
    const { Bucket } = await source(Key);
    const encoded = `/${Bucket}/${Key.split('/').map(encodeURIComponent).join('/')}`;
    await s3.send(new CopyObjectCommand({ Bucket, Key: 'to', CopySource: encoded }));
    assert.equal((await s3.send(new HeadObjectCommand({ Bucket, Key: 'to' }))).ContentLength, 7);
  });

  test('a copy onto itself must change something', async () => {
    const s3 = target.s3();
    const { Bucket } = await source();
    const itself = { Bucket, Key: 'from', CopySource: `${Bucket}/from` };
    const failed = await failure(s3.send(new CopyObjectCommand(itself)));
    assert.deepEqual([failed.name, failed.status], ['InvalidRequest', 400]);
    assert.match(failed.message, /copy an object to itself without changing/);
    await s3.send(new CopyObjectCommand({ ...itself, MetadataDirective: 'REPLACE', Metadata: { c: '3' } }));
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'from' }));
    assert.deepEqual(got.Metadata, { c: '3' });
    assert.equal(await got.Body!.transformToString(), 'content');
  });

  test('conditions on the source and on the target hold, each and together', async () => {
    const s3 = target.s3();
    const { Bucket, etag } = await source();
    const copy = (conditions: Record<string, unknown>, Key = 'from') =>
      s3.send(
        new CopyObjectCommand({
          Bucket,
          Key,
          CopySource: `${Bucket}/from`,
          MetadataDirective: 'REPLACE',
          Metadata: { n: '1' },
          ...conditions,
        }),
      );
    const cases: [Record<string, unknown>, string | undefined, string?][] = [
      [{ CopySourceIfMatch: etag, IfMatch: etag }, undefined],
      [{ CopySourceIfMatch: '"other"', IfMatch: etag }, 'PreconditionFailed'],
      [{ CopySourceIfMatch: etag, IfMatch: '"other"' }, 'PreconditionFailed'],
      [{ CopySourceIfNoneMatch: etag }, 'PreconditionFailed'],
      [{ CopySourceIfModifiedSince: new Date(Date.now() + 60_000) }, 'PreconditionFailed'],
      [{ CopySourceIfUnmodifiedSince: new Date(Date.now() - 3_600_000) }, 'PreconditionFailed'],
      [{ IfNoneMatch: '*' }, 'PreconditionFailed'],
      [{ IfNoneMatch: '*' }, undefined, 'new'],
      [{ IfMatch: etag }, 'NoSuchKey', 'nothing'],
    ];
    for (const [conditions, error, key] of cases) {
      if (error === undefined) await copy(conditions, key);
      else assert.equal((await failure(copy(conditions, key))).name, error, JSON.stringify(conditions));
    }
  });

  test('a source that is missing is NoSuchKey or NoSuchBucket, and one that is none InvalidArgument', async () => {
    const s3 = target.s3();
    const { Bucket } = await source();
    const copy = (CopySource: string) => failure(s3.send(new CopyObjectCommand({ Bucket, Key: 'to', CopySource })));
    assert.equal((await copy(`${Bucket}/nothing`)).name, 'NoSuchKey');
    assert.equal((await copy(`${Bucket}-not/from`)).name, 'NoSuchBucket');
    assert.equal((await copy('no-slash')).name, 'InvalidArgument');
  });

  test('a copy of an object that came in parts is one piece, with an ETag of the whole', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const Body = pattern(6 * MiB);
    await new Upload({ client: s3, params: { Bucket, Key: 'parts', Body } }).done();
    const copied = await s3.send(new CopyObjectCommand({ Bucket, Key: 'whole', CopySource: `${Bucket}/parts` }));
    assert.match(copied.CopyObjectResult!.ETag!, /^"[0-9a-f]{32}"$/);
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'whole' }));
    assert.ok(Buffer.from(await got.Body!.transformToByteArray()).equals(Body));
  });
});
