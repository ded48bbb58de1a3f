import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { suite, test } from 'node:test';
import { CreateKeyCommand, DisableKeyCommand } from '@aws-sdk/client-kms';
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteBucketEncryptionCommand,
  GetBucketEncryptionCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutBucketEncryptionCommand,
  PutObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { failure, MiB, pattern, skipWithoutKms, useTarget } from './target.ts';

const customer = (fill: number) => {
  const key = Buffer.alloc(32, fill);
  return {
    SSECustomerAlgorithm: 'AES256',
    SSECustomerKey: key.toString('base64'),
    SSECustomerKeyMD5: createHash('md5').update(key).digest('base64'),
  };
};

const asSource = (headers: ReturnType<typeof customer>) => ({
  CopySourceSSECustomerAlgorithm: headers.SSECustomerAlgorithm,
  CopySourceSSECustomerKey: headers.SSECustomerKey,
  CopySourceSSECustomerKeyMD5: headers.SSECustomerKeyMD5,
});

suite('server-side encryption', () => {
  const target = useTarget({ allowInsecureLoopback: true });

  async function newKey(): Promise<{ id: string; arn: string }> {
    const { KeyMetadata } = await target.kms().send(new CreateKeyCommand({}));
    return { id: KeyMetadata!.KeyId!, arn: KeyMetadata!.Arn! };
  }

  test('what is written without asking is AES256', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const put = await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }));
    assert.equal(put.ServerSideEncryption, 'AES256');
    assert.equal((await s3.send(new HeadObjectCommand({ Bucket, Key: 'k' }))).ServerSideEncryption, 'AES256');
  });

  for (const type of ['aws:kms', 'aws:kms:dsse'] as const) {
    test(`${type} keeps and tells its key, and to the writer its context`, async (context) => {
      if (skipWithoutKms(context)) return;
      const s3 = target.s3();
      const Bucket = await target.bucket();
      const key = await newKey();
      const SSEKMSEncryptionContext = Buffer.from('{"a":"b"}').toString('base64');
      const put = await s3.send(
        new PutObjectCommand({
          Bucket,
          Key: 'k',
          Body: 'x',
          ServerSideEncryption: type,
          SSEKMSKeyId: key.id,
          SSEKMSEncryptionContext,
        }),
      );
      assert.equal(put.ServerSideEncryption, type);
      assert.equal(put.SSEKMSKeyId, key.arn);
      assert.equal(put.SSEKMSEncryptionContext, SSEKMSEncryptionContext);
      const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'k' }));
      assert.deepEqual([got.ServerSideEncryption, got.SSEKMSKeyId], [type, key.arn]);
      assert.equal(await got.Body!.transformToString(), 'x');
      // Not an MD5 of the content, as S3 documents for KMS.
      assert.notEqual(put.ETag, `"${createHash('md5').update('x').digest('hex')}"`);
    });
  }

  test('a multipart upload has the encryption it was begun with', async (context) => {
    if (skipWithoutKms(context)) return;
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const key = await newKey();
    const begun = await s3.send(
      new CreateMultipartUploadCommand({
        Bucket,
        Key: 'k',
        ServerSideEncryption: 'aws:kms',
        SSEKMSKeyId: key.arn,
        BucketKeyEnabled: true,
      }),
    );
    assert.deepEqual(
      [begun.ServerSideEncryption, begun.SSEKMSKeyId, begun.BucketKeyEnabled],
      ['aws:kms', key.arn, true],
    );
    const upload = { Bucket, Key: 'k', UploadId: begun.UploadId };
    const part = await s3.send(new UploadPartCommand({ ...upload, PartNumber: 1, Body: 'x' }));
    assert.equal(part.SSEKMSKeyId, key.arn);
    const done = await s3.send(
      new CompleteMultipartUploadCommand({
        ...upload,
        MultipartUpload: { Parts: [{ PartNumber: 1, ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32 }] },
      }),
    );
    assert.deepEqual([done.ServerSideEncryption, done.SSEKMSKeyId], ['aws:kms', key.arn]);
  });

  test('a KMS key that is missing or disabled is what KMS says of it', async (context) => {
    if (skipWithoutKms(context)) return;
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const put = (SSEKMSKeyId: string) =>
      s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', ServerSideEncryption: 'aws:kms', SSEKMSKeyId }));
    const missing = await failure(put('00000000-0000-4000-8000-000000000000'));
    assert.deepEqual([missing.name, missing.status], ['KMS.NotFoundException', 400]);
    const key = await newKey();
    await put(key.id);
    await target.kms().send(new DisableKeyCommand({ KeyId: key.id }));
    assert.equal((await failure(put(key.id))).name, 'KMS.DisabledException');
    assert.equal((await failure(s3.send(new GetObjectCommand({ Bucket, Key: 'k' })))).name, 'KMS.DisabledException');
  });

  test("a bucket's default is applied where a request says nothing, and can be read and removed", async (context) => {
    if (skipWithoutKms(context)) return;
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const key = await newKey();
    const initial = await s3.send(new GetBucketEncryptionCommand({ Bucket }));
    assert.equal(
      initial.ServerSideEncryptionConfiguration?.Rules?.[0]?.ApplyServerSideEncryptionByDefault?.SSEAlgorithm,
      'AES256',
    );
    const rule = {
      ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms' as const, KMSMasterKeyID: key.arn },
      BucketKeyEnabled: true,
    };
    await s3.send(new PutBucketEncryptionCommand({ Bucket, ServerSideEncryptionConfiguration: { Rules: [rule] } }));
    const told = await s3.send(new GetBucketEncryptionCommand({ Bucket }));
    assert.deepEqual(told.ServerSideEncryptionConfiguration?.Rules, [rule]);
    const put = await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }));
    assert.deepEqual([put.ServerSideEncryption, put.SSEKMSKeyId, put.BucketKeyEnabled], ['aws:kms', key.arn, true]);
    const explicit = await s3.send(
      new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', ServerSideEncryption: 'AES256' }),
    );
    assert.equal(explicit.ServerSideEncryption, 'AES256');
    await s3.send(new DeleteBucketEncryptionCommand({ Bucket }));
    const after = await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }));
    assert.equal(after.ServerSideEncryption, 'AES256');
  });

  test('headers that contradict each other are InvalidArgument', async () => {
    const Bucket = await target.bucket();
    const sse = 'x-amz-server-side-encryption';
    const cases: Record<string, string>[] = [
      { [sse]: 'SSE-KMS' },
      { [sse]: 'AES256', [`${sse}-aws-kms-key-id`]: 'alias/x' },
      { [`${sse}-aws-kms-key-id`]: 'alias/x' },
      { [sse]: 'aws:kms', [`${sse}-context`]: 'no json' },
    ];
    for (const headers of cases) {
      const answer = await target.raw({ method: 'PUT', path: `/${Bucket}/k`, headers, body: 'x' });
      assert.deepEqual([answer.status, answer.code], [400, 'InvalidArgument'], JSON.stringify(headers));
    }
  });

  test('SSE-C: the object is had with its key alone, also in ranges and by HEAD', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const key = customer(1);
    const put = await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'secret', ...key }));
    assert.equal(put.SSECustomerKeyMD5, key.SSECustomerKeyMD5);
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'k', ...key, Range: 'bytes=-3' }));
    assert.equal(await got.Body!.transformToString(), 'ret');
    assert.equal(got.SSECustomerAlgorithm, 'AES256');
    assert.equal((await s3.send(new HeadObjectCommand({ Bucket, Key: 'k', ...key }))).ContentLength, 6);
    for (const Range of [undefined, 'bytes=0-1']) {
      const without = await failure(s3.send(new GetObjectCommand({ Bucket, Key: 'k', Range })));
      assert.deepEqual([without.name, without.status], ['InvalidRequest', 400]);
      const other = await failure(s3.send(new GetObjectCommand({ Bucket, Key: 'k', Range, ...customer(2) })));
      assert.deepEqual([other.name, other.status], ['AccessDenied', 403]);
    }
    assert.equal((await failure(s3.send(new HeadObjectCommand({ Bucket, Key: 'k' })))).status, 400);
    assert.equal((await failure(s3.send(new HeadObjectCommand({ Bucket, Key: 'k', ...customer(2) })))).status, 403);
    await s3.send(new PutObjectCommand({ Bucket, Key: 'open', Body: 'x' }));
    const needless = await failure(s3.send(new GetObjectCommand({ Bucket, Key: 'open', ...key })));
    assert.deepEqual([needless.name, needless.status], ['InvalidRequest', 400]);
  });

  test('SSE-C: a key must be whole, of 256 bits, and have its MD5', async () => {
    const Bucket = await target.bucket();
    const key = customer(1);
    const prefix = 'x-amz-server-side-encryption-customer';
    const whole: Record<string, string> = {
      [`${prefix}-algorithm`]: 'AES256',
      [`${prefix}-key`]: key.SSECustomerKey,
      [`${prefix}-key-md5`]: key.SSECustomerKeyMD5,
    };
    const put = (headers: Record<string, string>) =>
      target.raw({ method: 'PUT', path: `/${Bucket}/k`, headers, body: 'x' });
    assert.equal((await put(whole)).status, 200);
    for (const name of Object.keys(whole)) {
      const answer = await put(Object.fromEntries(Object.entries(whole).filter(([other]) => other !== name)));
      assert.deepEqual([answer.status, answer.code], [400, 'InvalidArgument'], `without ${name}`);
    }
    assert.equal(
      (await put({ ...whole, [`${prefix}-key-md5`]: customer(2).SSECustomerKeyMD5 })).code,
      'InvalidArgument',
    );
    assert.equal(
      (await put({ ...whole, [`${prefix}-key`]: Buffer.alloc(16).toString('base64') })).code,
      'InvalidArgument',
    );
    assert.equal((await put({ ...whole, [`${prefix}-algorithm`]: 'AES128' })).status, 400);
  });

  test('SSE-C: every part needs the key that the upload was begun with', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const key = customer(1);
    const begun = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'k', ...key }));
    const upload = { Bucket, Key: 'k', UploadId: begun.UploadId };
    const send = (headers: object, PartNumber: number, Body: Buffer) =>
      s3.send(new UploadPartCommand({ ...upload, PartNumber, Body, ...headers }));
    assert.equal((await failure(send({}, 1, pattern(10)))).name, 'InvalidRequest');
    assert.equal((await failure(send(customer(2), 1, pattern(10)))).name, 'InvalidRequest');
    const parts = [pattern(5 * MiB, 1), pattern(10, 2)];
    const Parts = [];
    for (const [index, body] of parts.entries()) {
      const part = await send(key, index + 1, body);
      Parts.push({ PartNumber: index + 1, ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32 });
    }
    await s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts }, ...key }));
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'k', ...key }));
    assert.ok(Buffer.from(await got.Body!.transformToByteArray()).equals(Buffer.concat(parts)));
  });

  test('SSE-C: a copy needs the key of its source, and may have another', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const [old, fresh] = [customer(1), customer(2)];
    await s3.send(new PutObjectCommand({ Bucket, Key: 'from', Body: 'secret', ...old }));
    const copy = (extra: object) =>
      s3.send(new CopyObjectCommand({ Bucket, Key: 'to', CopySource: `${Bucket}/from`, ...extra }));
    assert.deepEqual([(await failure(copy({}))).status, (await failure(copy(asSource(fresh)))).status], [400, 403]);
    await copy({ ...asSource(old), ...fresh });
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'to', ...fresh }));
    assert.equal(await got.Body!.transformToString(), 'secret');
    const begun = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'parts', ...fresh }));
    const part = { Bucket, Key: 'parts', UploadId: begun.UploadId, PartNumber: 1, CopySource: `${Bucket}/from` };
    assert.equal((await failure(s3.send(new UploadPartCopyCommand({ ...part, ...fresh })))).status, 400);
    await s3.send(new UploadPartCopyCommand({ ...part, ...fresh, ...asSource(old) }));
  });

  test('SSE-C: a bucket that blocks it refuses it, until told otherwise', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const block = (type: 'SSE-C' | 'NONE') =>
      s3.send(
        new PutBucketEncryptionCommand({
          Bucket,
          ServerSideEncryptionConfiguration: {
            Rules: [
              {
                ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' },
                BlockedEncryptionTypes: { EncryptionType: [type] },
              },
            ],
          },
        }),
      );
    await block('SSE-C');
    const put = () => s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', ...customer(1) }));
    const failed = await failure(put());
    assert.deepEqual([failed.name, failed.status], ['AccessDenied', 403]);
    await block('NONE');
    await put();
  });
});
