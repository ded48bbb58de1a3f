import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  CreateBucketCommand,
  GetBucketAclCommand,
  GetObjectAclCommand,
  PutBucketCorsCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketPolicyCommand,
  PutObjectCommand,
  RestoreObjectCommand,
  SelectObjectContentCommand,
} from '@aws-sdk/client-s3';
import { failure, useTarget } from './conformance/target.ts';

suite('what is not there', () => {
  const target = useTarget();

  test('operations that are not implemented answer 501 by their name, and are logged under it', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }));
    const cases: [string, () => Promise<unknown>][] = [
      ['GetBucketAcl', () => s3.send(new GetBucketAclCommand({ Bucket }))],
      ['GetObjectAcl', () => s3.send(new GetObjectAclCommand({ Bucket, Key: 'k' }))],
      ['PutBucketCors', () => s3.send(new PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules: [] } }))],
      [
        'PutBucketLifecycleConfiguration',
        () => s3.send(new PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: { Rules: [] } })),
      ],
      ['RestoreObject', () => s3.send(new RestoreObjectCommand({ Bucket, Key: 'k', RestoreRequest: { Days: 1 } }))],
      [
        'SelectObjectContent',
        () =>
          s3.send(
            new SelectObjectContentCommand({
              Bucket,
              Key: 'k',
              Expression: 'select 1',
              ExpressionType: 'SQL',
              InputSerialization: { CSV: {} },
              OutputSerialization: { CSV: {} },
            }),
          ),
      ],
    ];
    for (const [name, call] of cases) {
      const failed = await failure(call());
      assert.deepEqual([failed.name, failed.status], ['NotImplemented', 501], name);
      assert.match(failed.message, new RegExp(`^${name} is not implemented`));
      await target.local?.requests.settled();
      assert.equal(target.local?.requests.all().at(-1)?.operation, name);
    }
  });

  test('a query parameter that an operation does not know is refused by name', async () => {
    const Bucket = await target.bucket();
    for (const query of ['acl-ish=1', 'append=true', 'x=y']) {
      const answer = await target.raw({ method: 'PUT', path: `/${Bucket}/k?${query}`, body: 'x' });
      assert.deepEqual([answer.status, answer.code], [501, 'NotImplemented'], query);
      assert.match(answer.text, new RegExp(query.split('=')[0]!));
    }
  });

  test('a header of AWS that is not known is refused by name, and those of other makers pass', async () => {
    const Bucket = await target.bucket();
    const put = (headers: Record<string, string>) =>
      target.raw({ method: 'PUT', path: `/${Bucket}/k`, headers, body: 'x' });
    const unknown = await put({ 'x-amz-write-offset-bytes': '0' });
    assert.deepEqual([unknown.status, unknown.code], [501, 'NotImplemented']);
    assert.match(unknown.text, /x-amz-write-offset-bytes/);
    assert.equal((await put({ 'x-amz-checksum-sha512': 'AAAA' })).status, 501);
    assert.equal((await put({ 'x-custom': '1', traceparent: '00-00-00-00' })).status, 200);
  });

  test('ACLs are as on buckets that have them switched off, and locks as on buckets without them', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const put = (extra: object) => s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', ...extra }));
    await put({ ACL: 'private' });
    await put({ ACL: 'bucket-owner-full-control' });
    assert.equal((await failure(put({ ACL: 'public-read' }))).name, 'AccessControlListNotSupported');
    assert.equal((await failure(put({ GrantRead: 'id=1' }))).name, 'AccessControlListNotSupported');
    assert.equal((await failure(put({ ObjectLockLegalHoldStatus: 'ON' }))).name, 'InvalidRequest');
    const locked = new CreateBucketCommand({ Bucket: `${Bucket}-lock`, ObjectLockEnabledForBucket: true });
    assert.equal((await failure(s3.send(locked))).name, 'NotImplemented');
    assert.equal((await failure(put({ StorageClass: 'GLACIER' }))).name, 'NotImplemented');
  });

  test('a policy that could not be judged is refused when it is put', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const statement = { Effect: 'Deny', Principal: '*', Action: 's3:*', Resource: '*' };
    for (const extra of [
      { Condition: { NumericLessThan: { 's3:max-keys': '1' } } },
      { Condition: { StringEquals: { 'aws:SourceVpc': 'x' } } },
      { Principal: { Service: 'x' } },
      { NotPrincipal: '*' },
    ]) {
      const Policy = JSON.stringify({ Version: '2012-10-17', Statement: [{ ...statement, ...extra }] });
      const failed = await failure(s3.send(new PutBucketPolicyCommand({ Bucket, Policy })));
      assert.deepEqual([failed.name, failed.status], ['NotImplemented', 501], JSON.stringify(extra));
    }
  });

  test('methods and services that make no sense are refused', async () => {
    const Bucket = await target.bucket();
    assert.equal((await target.raw({ method: 'PATCH', path: `/${Bucket}/k` })).status, 501);
    assert.equal((await target.raw({ method: 'POST', path: `/${Bucket}` })).status, 501);
    const dynamo = await target.raw({
      method: 'POST',
      path: '/',
      headers: { 'x-amz-target': 'DynamoDB_20120810.ListTables' },
      body: '{}',
    });
    assert.equal(dynamo.status, 501);
    assert.match(dynamo.text, /DynamoDB_20120810\.ListTables/);
  });

  test('malformed and hostile documents are MalformedXML', async () => {
    const Bucket = await target.bucket();
    const post = (body: string) => target.raw({ method: 'PUT', path: `/${Bucket}?versioning`, body });
    for (const body of [
      'no xml',
      '<VersioningConfiguration>',
      '<Other/>',
      '<!DOCTYPE x [<!ENTITY a "aaaa">]><VersioningConfiguration><Status>&a;</Status></VersioningConfiguration>',
      '<VersioningConfiguration><Status>Enabled</Status><Status>Enabled</Status></VersioningConfiguration>',
    ]) {
      const answer = await post(body);
      assert.deepEqual([answer.status, answer.code], [400, 'MalformedXML'], body);
    }
    const unknown = await post(
      '<VersioningConfiguration><Status>Enabled</Status><Extra>1</Extra></VersioningConfiguration>',
    );
    assert.deepEqual([unknown.status, unknown.code], [501, 'NotImplemented']);
  });
});
