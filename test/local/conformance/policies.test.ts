import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  DeleteBucketPolicyCommand,
  DeleteObjectsCommand,
  GetBucketPolicyCommand,
  GetObjectCommand,
  PutBucketPolicyCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { failure, useTarget } from './target.ts';

suite('bucket policies', () => {
  const target = useTarget();

  async function withStatements(...statements: object[]): Promise<string> {
    const Bucket = await target.bucket();
    const Statement = statements.map((statement) => ({
      Effect: 'Deny',
      Principal: '*',
      Action: 's3:PutObject',
      Resource: `arn:aws:s3:::${Bucket}/*`,
      ...statement,
    }));
    await target
      .s3()
      .send(new PutBucketPolicyCommand({ Bucket, Policy: JSON.stringify({ Version: '2012-10-17', Statement }) }));
    return Bucket;
  }

  const put = (Bucket: string, extra: object = {}) =>
    target.s3().send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', ...extra }));

  test('a Deny unless the encryption is as wanted strikes what differs and what says nothing', async () => {
    const Bucket = await withStatements({
      Condition: { StringNotEquals: { 's3:x-amz-server-side-encryption': 'aws:kms' } },
    });
    const silent = await failure(put(Bucket));
    assert.deepEqual([silent.name, silent.status], ['AccessDenied', 403]);
    assert.equal((await failure(put(Bucket, { ServerSideEncryption: 'AES256' }))).name, 'AccessDenied');
    await put(Bucket, { ServerSideEncryption: 'aws:kms' });
  });

  test('Null asks whether a header is there', async () => {
    const Bucket = await withStatements({ Condition: { Null: { 's3:x-amz-server-side-encryption': 'true' } } });
    assert.equal((await failure(put(Bucket))).name, 'AccessDenied');
    await put(Bucket, { ServerSideEncryption: 'AES256' });
  });

  test('several conditions must all hold, and several values are alternatives', async () => {
    const Bucket = await withStatements({
      Condition: {
        Null: { 's3:x-amz-server-side-encryption': 'false' },
        StringNotEquals: { 's3:x-amz-server-side-encryption': ['AES256', 'aws:kms'] },
      },
    });
    await put(Bucket);
    await put(Bucket, { ServerSideEncryption: 'AES256' });
    await put(Bucket, { ServerSideEncryption: 'aws:kms' });
    assert.equal((await failure(put(Bucket, { ServerSideEncryption: 'aws:kms:dsse' }))).name, 'AccessDenied');
  });

  test('a Deny of what comes without TLS strikes plain HTTP, also for reads', async () => {
    const Bucket = await withStatements({ Action: 's3:*', Condition: { Bool: { 'aws:SecureTransport': 'false' } } });
    if (target.endpoint.startsWith('https:')) await put(Bucket);
    else assert.equal((await failure(put(Bucket))).name, 'AccessDenied');
  });

  test('a statement is about its actions and resources alone, and each key of a bulk deletion is judged by itself', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    await s3.send(new PutObjectCommand({ Bucket, Key: 'keep/1', Body: 'x' }));
    await s3.send(new PutObjectCommand({ Bucket, Key: 'other', Body: 'x' }));
    const Statement = [
      { Effect: 'Deny', Principal: '*', Action: 's3:DeleteObject', Resource: `arn:aws:s3:::${Bucket}/keep/*` },
    ];
    await s3.send(new PutBucketPolicyCommand({ Bucket, Policy: JSON.stringify({ Version: '2012-10-17', Statement }) }));
    await s3.send(new GetObjectCommand({ Bucket, Key: 'keep/1' }));
    const result = await s3.send(
      new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'keep/1' }, { Key: 'other' }] } }),
    );
    assert.deepEqual(
      result.Deleted?.map((entry) => entry.Key),
      ['other'],
    );
    assert.deepEqual(
      result.Errors?.map((entry) => [entry.Key, entry.Code]),
      [['keep/1', 'AccessDenied']],
    );
  });

  test('a policy is given back as it came, and taken away again', async () => {
    const s3 = target.s3();
    const Bucket = await withStatements({});
    const { Policy } = await s3.send(new GetBucketPolicyCommand({ Bucket }));
    assert.equal((JSON.parse(Policy!) as { Statement: unknown[] }).Statement.length, 1);
    assert.equal((await failure(put(Bucket))).name, 'AccessDenied');
    await s3.send(new DeleteBucketPolicyCommand({ Bucket }));
    await put(Bucket);
    const none = await failure(s3.send(new GetBucketPolicyCommand({ Bucket })));
    assert.deepEqual([none.name, none.status], ['NoSuchBucketPolicy', 404]);
  });

  test('what is no policy is MalformedPolicy', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    for (const Policy of [
      'no json',
      '{}',
      '{"Statement":[{"Effect":"Maybe","Action":"s3:*","Resource":"*","Principal":"*"}]}',
    ]) {
      assert.equal((await failure(s3.send(new PutBucketPolicyCommand({ Bucket, Policy })))).name, 'MalformedPolicy');
    }
  });
});
