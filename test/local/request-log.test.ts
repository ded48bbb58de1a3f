import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { get } from 'node:https';
import { after, before, beforeEach, suite, test } from 'node:test';
import { DecryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { type LocalEndpoint, startLocalEndpoint } from '../../src/local/index.ts';
import { presign, signRequest } from './conformance/signer.ts';
import { failure, pattern } from './conformance/target.ts';

suite('the request log', () => {
  let local: LocalEndpoint;
  let s3: S3Client;
  let kms: KMSClient;
  const Bucket = 'logged';

  before(async () => {
    local = await startLocalEndpoint();
    s3 = new S3Client({ ...local.s3Config, maxAttempts: 1 });
    kms = new KMSClient(local.kmsConfig);
    await s3.send(new CreateBucketCommand({ Bucket }));
    await s3.send(new PutObjectCommand({ Bucket, Key: 'a b', Body: pattern(10_000) }));
  });
  beforeEach(async () => {
    await local.requests.settled();
    local.requests.clear();
  });
  after(async () => {
    s3.destroy();
    kms.destroy();
    await local.close();
  });

  test('a request is one entry, with what was asked and what was answered', async () => {
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'a b', Range: 'bytes=-100' }));
    await got.Body!.transformToByteArray();
    await local.requests.settled();
    assert.equal(local.requests.length, 1);
    const [entry] = local.requests.all();
    assert.ok(entry);
    assert.equal(entry.service, 's3');
    assert.equal(entry.operation, 'GetObject');
    assert.equal(entry.method, 'GET');
    assert.equal(entry.path, `/${Bucket}/a%20b`);
    assert.match(entry.query, /x-id=GetObject/);
    assert.equal(entry.bucket, Bucket);
    assert.equal(entry.key, 'a b');
    assert.equal(entry.range, 'bytes=-100');
    assert.equal(entry.status, 206);
    assert.equal(entry.bytesIn, 0);
    assert.equal(entry.bytesOut, 100);
    assert.equal(entry.complete, true);
    assert.equal(entry.answered, true);
    assert.equal(entry.accessKeyId, local.credentials.accessKeyId);
    assert.equal(entry.requestId, got.$metadata.requestId);
    assert.ok(entry.milliseconds >= 0);
    assert.ok(Math.abs(entry.startedAt - Date.now()) < 10_000);
  });

  test('counts say what happened in one comparison', async () => {
    const made = await kms.send(
      new GenerateDataKeyCommand({ KeyId: 'alias/sealpipe', KeySpec: 'AES_256', EncryptionContext: { a: 'b' } }),
    );
    await kms.send(new DecryptCommand({ CiphertextBlob: made.CiphertextBlob, EncryptionContext: { a: 'b' } }));
    await s3.send(new ListObjectsV2Command({ Bucket }));
    await local.requests.settled();
    assert.deepEqual(local.requests.counts(), { 'KMS.GenerateDataKey': 1, 'KMS.Decrypt': 1, ListObjectsV2: 1 });
    assert.equal(local.requests.count('KMS.*'), 2);
    assert.equal(local.requests.count('HeadObject'), 0);
    assert.equal(local.requests.count(), 3);
    assert.deepEqual(local.requests.all('KMS.GenerateDataKey')[0]?.kms, {
      keyId: 'alias/sealpipe',
      encryptionContext: { a: 'b' },
    });
    assert.equal([...local.requests].length, 3);
  });

  test('the hash is of the body with its framing undone', async () => {
    const body = pattern(200_000);
    const { Readable } = await import('node:stream');
    const chunks = [body.subarray(0, 100_000), body.subarray(100_000)];
    await s3.send(
      new PutObjectCommand({ Bucket, Key: 'framed', Body: Readable.from(chunks), ContentLength: body.length }),
    );
    await local.requests.settled();
    const [entry] = local.requests.all('PutObject');
    assert.match(entry!.headers['content-encoding'] ?? '', /aws-chunked/);
    assert.equal(entry!.bytesIn, body.length);
    assert.equal(entry!.bodySha256, createHash('sha256').update(body).digest('hex'));
  });

  test('requests that fail are there, with their error', async () => {
    await failure(s3.send(new GetObjectCommand({ Bucket, Key: 'missing' })));
    const stranger = new S3Client({
      ...local.s3Config,
      credentials: { ...local.credentials, secretAccessKey: 'other' },
      maxAttempts: 1,
    });
    await failure(stranger.send(new PutObjectCommand({ Bucket, Key: 'x', Body: 'refused' })));
    stranger.destroy();
    await local.requests.settled();
    assert.deepEqual(
      local.requests.all().map((entry) => [entry.operation, entry.status, entry.error, entry.bytesIn]),
      [
        ['GetObject', 404, 'NoSuchKey', 0],
        ['PutObject', 403, 'SignatureDoesNotMatch', 7],
      ],
    );
  });

  test('no secret is in it', async () => {
    const secure = await startLocalEndpoint({
      tls: true,
      credentials: { accessKeyId: 'AK', secretAccessKey: 'SK', sessionToken: 'TOKEN-SECRET' },
    });
    const client = new S3Client(secure.s3Config);
    const key = Buffer.alloc(32, 7);
    await client.send(new CreateBucketCommand({ Bucket }));
    await client.send(
      new PutObjectCommand({
        Bucket,
        Key: 'k',
        Body: 'x',
        SSECustomerAlgorithm: 'AES256',
        SSECustomerKey: key.toString('base64'),
        SSECustomerKeyMD5: createHash('md5').update(key).digest('base64'),
      }),
    );
    const keys = new KMSClient(secure.kmsConfig);
    const made = await keys.send(new GenerateDataKeyCommand({ KeyId: 'alias/sealpipe', KeySpec: 'AES_256' }));
    const host = new URL(secure.endpoint).host;
    const credentials = { accessKeyId: 'AK', secretAccessKey: 'SK', sessionToken: 'TOKEN-SECRET' };
    const path = presign(credentials, { method: 'GET', path: `/${Bucket}/k`, host, region: 'us-east-1', expires: 60 });
    await new Promise<void>((resolve, reject) => {
      get(`${secure.endpoint}${path}`, { ca: secure.ca }, (response) => {
        response.resume().on('end', resolve);
      }).on('error', reject);
    });
    await secure.requests.settled();
    assert.match(secure.requests.all('GetObject')[0]!.query, /X-Amz-Security-Token=masked/);
    const text = JSON.stringify(secure.requests.all());
    for (const secret of ['TOKEN-SECRET', key.toString('base64'), Buffer.from(made.Plaintext!).toString('base64')]) {
      assert.ok(!text.includes(secret), `the log holds ${secret}`);
    }
    client.destroy();
    keys.destroy();
    await secure.close();
  });

  test('connections are told apart, and one that is kept has one number', async () => {
    await s3.send(new ListObjectsV2Command({ Bucket }));
    await s3.send(new ListObjectsV2Command({ Bucket }));
    const other = new S3Client(local.s3Config);
    await other.send(new ListObjectsV2Command({ Bucket }));
    other.destroy();
    await local.requests.settled();
    const [first, second, third] = local.requests.all();
    assert.equal(first!.connection, second!.connection);
    assert.notEqual(first!.connection, third!.connection);
  });

  test('bodies are not hashed where that is switched off, and signed ones are checked all the same', async () => {
    const bare = await startLocalEndpoint({ hashBodies: false });
    const client = new S3Client(bare.s3Config);
    await client.send(new CreateBucketCommand({ Bucket }));
    await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }));
    await bare.requests.settled();
    assert.ok(bare.requests.all().every((entry) => entry.bodySha256 === undefined));
    const { host } = new URL(bare.endpoint);
    const path = `/${Bucket}/forged`;
    const { headers } = signRequest(local.credentials, {
      method: 'PUT',
      path,
      headers: { host },
      payload: 'a'.repeat(64),
      region: 'us-east-1',
    });
    const status = await new Promise<number>((resolve, reject) => {
      const sent = request(`${bare.endpoint}${path}`, { method: 'PUT', headers }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode ?? 0));
      });
      sent.on('error', reject);
      sent.end('not what was signed');
    });
    assert.equal(status, 400);
    client.destroy();
    await bare.close();
  });

  test('what is still under way is counted as active and entered when it ends', async () => {
    local.faults.add({ operation: 'ListObjectsV2', delay: 100 });
    const listing = s3.send(new ListObjectsV2Command({ Bucket }));
    while (local.requests.active === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(local.requests.length, 0);
    await listing;
    await local.requests.settled();
    assert.equal(local.requests.active, 0);
    assert.equal(local.requests.length, 1);
  });
});
