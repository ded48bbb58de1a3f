import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { failure, pattern, useTarget } from './target.ts';

suite('ranges', () => {
  const target = useTarget();
  const body = pattern(1000);
  let Bucket: string;

  before(async () => {
    Bucket = await target.bucket();
    await target.s3().send(new PutObjectCommand({ Bucket, Key: 'k', Body: body }));
    await target.s3().send(new PutObjectCommand({ Bucket, Key: 'empty', Body: Buffer.alloc(0) }));
  });

  const satisfiable: [range: string, start: number, end: number][] = [
    ['bytes=0-0', 0, 1],
    ['bytes=0-999', 0, 1000],
    ['bytes=10-19', 10, 20],
    ['bytes=990-', 990, 1000],
    ['bytes=0-', 0, 1000],
    ['bytes=999-', 999, 1000],
    ['bytes=-1', 999, 1000],
    ['bytes=-8', 992, 1000],
    ['bytes=-1000', 0, 1000],
    ['bytes=-5000', 0, 1000],
    ['bytes=500-5000', 500, 1000],
    ['bytes=999-1000', 999, 1000],
    ['bytes=0-99999999999999', 0, 1000],
  ];
  for (const [range, start, end] of satisfiable) {
    test(`${range} of 1000 bytes is [${start}, ${end}), for GET and HEAD`, async () => {
      for (const method of ['GET', 'HEAD']) {
        const answer = await target.raw({ method, path: `/${Bucket}/k`, headers: { range } });
        assert.equal(answer.status, 206);
        assert.equal(answer.headers['content-range'], `bytes ${start}-${end - 1}/1000`);
        assert.equal(answer.headers['content-length'], String(end - start));
        if (method === 'GET') assert.ok(answer.body.equals(body.subarray(start, end)));
        else assert.equal(answer.body.length, 0);
      }
    });
  }

  for (const range of ['bytes=1000-', 'bytes=1000-1001', 'bytes=-0', 'bytes=99999-']) {
    test(`${range} of 1000 bytes is 416 InvalidRange`, async () => {
      const answer = await target.raw({ path: `/${Bucket}/k`, headers: { range } });
      assert.equal(answer.status, 416);
      assert.equal(answer.code, 'InvalidRange');
      assert.match(answer.text, /<ActualObjectSize>1000<\/ActualObjectSize>/);
      assert.equal((await target.raw({ method: 'HEAD', path: `/${Bucket}/k`, headers: { range } })).status, 416);
    });
  }

  for (const range of ['bytes=20-10', 'bytes=-', 'bytes=a-b', 'items=0-1', 'bytes 0-1', 'bytes=0-1,5-6']) {
    test(`${range} makes no sense to S3, which answers with the whole`, async () => {
      const answer = await target.raw({ path: `/${Bucket}/k`, headers: { range } });
      assert.equal(answer.status, 200);
      assert.ok(answer.body.equals(body));
    });
  }

  test('no range of an empty object can be had', async () => {
    for (const range of ['bytes=0-', 'bytes=0-0', 'bytes=-1']) {
      assert.equal((await target.raw({ path: `/${Bucket}/empty`, headers: { range } })).status, 416, range);
    }
  });

  test('a range through the SDK has its place and the length of the piece', async () => {
    const got = await target.s3().send(new GetObjectCommand({ Bucket, Key: 'k', Range: 'bytes=-16' }));
    assert.equal(got.ContentLength, 16);
    assert.equal(got.ContentRange, 'bytes 984-999/1000');
    assert.ok(Buffer.from(await got.Body!.transformToByteArray()).equals(body.subarray(984)));
    const past = await failure(target.s3().send(new GetObjectCommand({ Bucket, Key: 'k', Range: 'bytes=5000-' })));
    assert.deepEqual([past.name, past.status], ['InvalidRange', 416]);
  });
});
