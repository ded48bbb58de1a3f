import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import { DeleteObjectCommand, GetObjectCommand, HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { failure, useTarget } from './target.ts';

suite('conditional requests', () => {
  const target = useTarget();
  let Bucket: string;
  let etag: string;
  let modified: number;
  const second = 1000;
  const httpDate = (time: number): string => new Date(time).toUTCString();

  before(async () => {
    Bucket = await target.bucket();
    const put = await target.s3().send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'hello' }));
    etag = put.ETag!;
    modified = (await target.s3().send(new HeadObjectCommand({ Bucket, Key: 'k' }))).LastModified!.getTime();
  });

  test('reads follow RFC 9110 and its order of precedence', async () => {
    const before = httpDate(modified - 10 * second);
    const at = httpDate(modified);
    const cases: [Record<string, string>, number][] = [
      [{ 'if-match': etag }, 200],
      [{ 'if-match': '*' }, 200],
      [{ 'if-match': etag.replaceAll('"', '') }, 200],
      [{ 'if-match': `"other", ${etag}` }, 200],
      [{ 'if-match': '"other"' }, 412],
      [{ 'if-none-match': etag }, 304],
      [{ 'if-none-match': '*' }, 304],
      [{ 'if-none-match': '"other"' }, 200],
      [{ 'if-modified-since': before }, 200],
      [{ 'if-modified-since': at }, 304],
      [{ 'if-unmodified-since': at }, 200],
      [{ 'if-unmodified-since': before }, 412],
      [{ 'if-match': etag, 'if-unmodified-since': before }, 200],
      [{ 'if-match': '"other"', 'if-unmodified-since': at }, 412],
      [{ 'if-none-match': etag, 'if-modified-since': before }, 304],
      [{ 'if-none-match': '"other"', 'if-modified-since': at }, 200],
      [{ 'if-modified-since': 'no date at all' }, 200],
    ];
    for (const [headers, status] of cases) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await target.raw({ method, path: `/${Bucket}/k`, headers });
        assert.equal(answer.status, status, `${method} ${JSON.stringify(headers)}`);
        if (status === 304) {
          assert.equal(answer.headers.etag, etag);
          assert.equal(answer.body.length, 0);
        }
      }
    }
  });

  test('a range is subject to If-Match, as resumed downloads need it', async () => {
    const s3 = target.s3();
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'k', Range: 'bytes=1-2', IfMatch: etag }));
    assert.equal(await got.Body!.transformToString(), 'el');
    const failed = await failure(
      s3.send(new GetObjectCommand({ Bucket, Key: 'k', Range: 'bytes=1-2', IfMatch: '"other"' })),
    );
    assert.deepEqual([failed.name, failed.status], ['PreconditionFailed', 412]);
  });

  test('If-None-Match: * creates, and never replaces', async () => {
    const s3 = target.s3();
    const command = new PutObjectCommand({ Bucket, Key: 'once', Body: 'first', IfNoneMatch: '*' });
    await s3.send(command);
    const failed = await failure(
      s3.send(new PutObjectCommand({ Bucket, Key: 'once', Body: 'second', IfNoneMatch: '*' })),
    );
    assert.deepEqual([failed.name, failed.status], ['PreconditionFailed', 412]);
    assert.equal(
      await (await s3.send(new GetObjectCommand({ Bucket, Key: 'once' }))).Body!.transformToString(),
      'first',
    );
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'once' }));
    await s3.send(command);
  });

  test('of many who create at once one succeeds', async () => {
    const s3 = target.s3();
    const puts = Array.from({ length: 12 }, (_, index) =>
      s3.send(new PutObjectCommand({ Bucket, Key: 'race', Body: `writer ${index}`, IfNoneMatch: '*' })).then(
        () => index,
        () => undefined,
      ),
    );
    const winners = (await Promise.all(puts)).filter((index) => index !== undefined);
    assert.equal(winners.length, 1);
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'race' }));
    assert.equal(await got.Body!.transformToString(), `writer ${winners[0]}`);
  });

  test('If-None-Match takes nothing but * on a write', async () => {
    const answer = await target.raw({
      method: 'PUT',
      path: `/${Bucket}/k2`,
      headers: { 'if-none-match': '"x"' },
      body: 'x',
    });
    assert.deepEqual([answer.status, answer.code], [501, 'NotImplemented']);
  });

  test('If-Match replaces that very object, and is NoSuchKey where there is none', async () => {
    const s3 = target.s3();
    const first = await s3.send(new PutObjectCommand({ Bucket, Key: 'swap', Body: 'one' }));
    await s3.send(new PutObjectCommand({ Bucket, Key: 'swap', Body: 'two', IfMatch: first.ETag }));
    const failed = await failure(
      s3.send(new PutObjectCommand({ Bucket, Key: 'swap', Body: 'three', IfMatch: first.ETag })),
    );
    assert.deepEqual([failed.name, failed.status], ['PreconditionFailed', 412]);
    const missing = await failure(
      s3.send(new PutObjectCommand({ Bucket, Key: 'nothing', Body: 'x', IfMatch: first.ETag })),
    );
    assert.deepEqual([missing.name, missing.status], ['NoSuchKey', 404]);
  });

  test('a deletion can be bound to an ETag', async () => {
    const s3 = target.s3();
    const put = await s3.send(new PutObjectCommand({ Bucket, Key: 'gone', Body: 'x' }));
    const failed = await failure(s3.send(new DeleteObjectCommand({ Bucket, Key: 'gone', IfMatch: '"other"' })));
    assert.deepEqual([failed.name, failed.status], ['PreconditionFailed', 412]);
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'gone', IfMatch: put.ETag }));
    assert.equal((await failure(s3.send(new HeadObjectCommand({ Bucket, Key: 'gone' })))).status, 404);
  });
});
