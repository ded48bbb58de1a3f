import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { suite, test } from 'node:test';
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetBucketLocationCommand,
  HeadBucketCommand,
  ListBucketsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { failure, useTarget } from './target.ts';

suite('buckets', () => {
  const target = useTarget();
  const name = (): string => `made-${randomUUID().slice(0, 18)}`;

  test('a bucket is made, seen, listed and removed', async () => {
    const s3 = target.s3();
    const Bucket = name();
    const missing = await failure(s3.send(new HeadBucketCommand({ Bucket })));
    assert.deepEqual([missing.name, missing.status], ['NotFound', 404]);
    await s3.send(new CreateBucketCommand({ Bucket }));
    const head = await s3.send(new HeadBucketCommand({ Bucket }));
    assert.equal(head.BucketRegion, target.region);
    const listed = await s3.send(new ListBucketsCommand({}));
    const entry = listed.Buckets?.find((bucket) => bucket.Name === Bucket);
    assert.ok(Math.abs(entry!.CreationDate!.getTime() - Date.now()) < 60_000);
    const deleted = await s3.send(new DeleteBucketCommand({ Bucket }));
    assert.equal(deleted.$metadata.httpStatusCode, 204);
    assert.equal((await failure(s3.send(new DeleteBucketCommand({ Bucket })))).name, 'NoSuchBucket');
  });

  test('a bucket that holds objects is BucketNotEmpty; uploads in progress go with it', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket(name());
    await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }));
    const failed = await failure(s3.send(new DeleteBucketCommand({ Bucket })));
    assert.deepEqual([failed.name, failed.status], ['BucketNotEmpty', 409]);
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'k' }));
    await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'k' }));
    await s3.send(new DeleteBucketCommand({ Bucket }));
  });

  test('a bucket of ours that is made again is there in us-east-1, and is BucketAlreadyOwnedByYou elsewhere', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket(name());
    const again = s3.send(new CreateBucketCommand({ Bucket }));
    if (target.region === 'us-east-1') await again;
    else assert.equal((await failure(again)).name, 'BucketAlreadyOwnedByYou');
  });

  test('where a bucket is, is told, with nothing for us-east-1', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket(name());
    const { LocationConstraint } = await s3.send(new GetBucketLocationCommand({ Bucket }));
    assert.equal(LocationConstraint ?? 'us-east-1', target.region);
    const abroad = name();
    await s3.send(
      new CreateBucketCommand({ Bucket: abroad, CreateBucketConfiguration: { LocationConstraint: 'eu-west-1' } }),
    );
    const far = await s3.send(new GetBucketLocationCommand({ Bucket: abroad }));
    assert.equal(far.LocationConstraint, 'eu-west-1');
  });

  test('names that S3 gives to no bucket are InvalidBucketName', async () => {
    for (const wrong of [
      'ab',
      'Upper',
      'under_score',
      'two..dots',
      '-dash',
      'dash-',
      '127.0.0.1',
      'x'.repeat(64),
      'xn--abc',
    ]) {
      const answer = await target.raw({ method: 'PUT', path: `/${wrong}` });
      assert.deepEqual([answer.status, answer.code], [400, 'InvalidBucketName'], wrong);
    }
  });

  test('buckets are also addressed by host name', async () => {
    const Bucket = await target.bucket(name());
    const port = new URL(target.endpoint).port;
    const host = `${Bucket}.localhost:${port}`;
    const put = await target.raw({ method: 'PUT', path: '/a/key', headers: { host }, body: 'by host' });
    assert.equal(put.status, 200);
    const got = await target.raw({ path: `/${Bucket}/a/key` });
    assert.equal(got.text, 'by host');
    const listed = await target.raw({ path: '/?list-type=2', headers: { host } });
    assert.match(listed.text, /<Key>a\/key<\/Key>/);
  });

  test('a bucket is found only by its owner', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket(name());
    const failed = await failure(s3.send(new HeadBucketCommand({ Bucket, ExpectedBucketOwner: '999999999999' })));
    assert.equal(failed.status, 403);
  });
});
