/** What an encrypting client does when something fails under it: it rejects once, and what was readable stays so. */
import assert from 'node:assert/strict';
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, beforeEach, describe, test } from 'node:test';
import * as S3 from '@aws-sdk/client-s3';
import { type WithEncryptionOptions, withEncryption } from '../../src/objects/with-encryption/with-encryption.ts';
import { Bucket, TestEndpoint } from '../support/endpoint.ts';
import { failure, rejection } from '../support/failure.ts';

const MiB = 1024 * 1024;
let endpoint: TestEndpoint;
let client: S3.S3Client;
const wrap = (options: Partial<WithEncryptionOptions> = {}): S3.S3Client =>
  withEncryption(endpoint.client, { keyring: endpoint.keyring, ...options });
const put = (
  Key: string,
  Body: unknown,
  { by = client, ...more }: { by?: S3.S3Client } & Partial<S3.PutObjectCommandInput> = {},
): Promise<S3.PutObjectCommandOutput> =>
  by.send(new S3.PutObjectCommand({ Bucket, Key, Body: Body as Buffer, ...more }));

const read = async (Key: string, by = client): Promise<string> =>
  (await by.send(new S3.GetObjectCommand({ Bucket, Key }))).Body?.transformToString() ?? '';

before(async () => {
  endpoint = await TestEndpoint.start();
  client = wrap();
});
beforeEach(() => {
  endpoint.local.faults.clear();
  endpoint.local.requests.clear();
});
after(() => endpoint.close());

// An error event that nobody hears would end the run: node:test fails a test under which one comes.
describe('a long stream that is put', { timeout: 60_000 }, () => {
  const length = 20 * MiB;
  async function* ending(count: number, error?: Error): AsyncGenerator<Buffer> {
    for (let i = 0; i < count; i++) yield Buffer.alloc(MiB);
    if (error !== undefined) throw error;
    // Not a microtask after the last chunk, either.
    await new Promise(setImmediate);
  }

  for (const [how, body] of [
    ['fails at once', () => ending(0, new Error('broke'))],
    ['fails half-way', () => ending(9, new Error('broke'))],
    ['fails before its last byte', () => ending(19, new Error('broke'))],
    ['ends early', () => ending(19)],
    ['has more than was said', () => ending(21)],
  ] as const) {
    for (const checksums of ['WHEN_SUPPORTED', 'WHEN_REQUIRED'] as const) {
      test(`and ${how} rejects with what the source failed with, checksums ${checksums}`, async () => {
        const plain = new S3.S3Client({ ...endpoint.local.s3Config, requestChecksumCalculation: checksums });
        const by = withEncryption(plain, { keyring: endpoint.keyring });
        const error = await rejection(put('broken', Readable.from(body()), { by, ContentLength: length }));
        failure('SOURCE_FAILED')(error);
        if (how.startsWith('fails')) assert.equal((error.cause as Error).message, 'broke');
        await assert.rejects(endpoint.stored('broken'), { name: 'NoSuchKey' });
        plain.destroy();
      });
    }
  }

  test('rejects when the key is denied, S3 refuses it or it is aborted, and lets go of its file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sealpipe-long-'));
    const path = join(folder, 'source');
    writeFileSync(path, Buffer.alloc(length));
    const abort = new AbortController();
    for (const [fault, signal] of [
      [{ operation: 'KMS.GenerateDataKey', status: 400, code: 'AccessDeniedException' }, undefined],
      [{ operation: 'PutObject', status: 403, code: 'AccessDenied' }, undefined],
      [{ operation: 'PutObject', delay: 2000 }, abort.signal],
    ] as const) {
      endpoint.local.faults.set([fault]);
      const Body = createReadStream(path);
      const command = new S3.PutObjectCommand({ Bucket, Key: 'denied', Body });
      const sending = client.send(command, signal && { abortSignal: signal });
      if (signal !== undefined) setTimeout(() => abort.abort(), 100);
      await assert.rejects(sending, ({ name, code }: Error & { code?: string }) =>
        /KEY_DENIED|AccessDenied|ABORTED|AbortError/.test(`${name} ${code}`),
      );
      if (!Body.closed) await new Promise<void>((resolve) => Body.once('close', () => resolve()));
    }
    rmSync(folder, { recursive: true });
  });
});

test('a stream of something else than bytes is refused: what memory held before would be taken for it', async () => {
  for (const chunks of [[{}], [5], [new Uint16Array(2)]])
    failure('SOURCE_FAILED')(await rejection(put('junk', Readable.from(chunks), { ContentLength: 4 })));
  assert.equal(endpoint.local.requests.count('PutObject'), 0);
});

test('a ContentLength that is not that of the body is refused, whatever the body', async () => {
  for (const body of ['hello', Buffer.from('hello'), new Blob(['hello']), Readable.from(['hello'])])
    for (const ContentLength of [4, 6])
      failure('SOURCE_FAILED')(await rejection(put('length', body, { ContentLength })));
  assert.equal(endpoint.local.requests.count('PutObject'), 0);
  await put('length', 'hällo', { ContentLength: 6 });
});

describe('deleting many', () => {
  test('an object that S3 keeps keeps its instruction file', async () => {
    const by = wrap({ storage: 'instruction-file' });
    await put('kept', 'content', { by });
    await put('gone', 'content', { by });
    const Objects = [{ Key: 'kept', ETag: '"another"' }, { Key: 'gone' }];
    const { Errors, Deleted } = await by.send(new S3.DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    assert.deepEqual(
      Errors?.map(({ Key, Code }) => [Key, Code]),
      [['kept', 'PreconditionFailed']],
    );
    assert.deepEqual(
      Deleted?.map(({ Key }) => Key),
      ['gone'],
    );
    assert.equal(await read('kept', by), 'content');
    await assert.rejects(endpoint.stored('gone.instruction'), { name: 'NoSuchKey' });
  });

  test('so it does under a policy that denies the object alone, by EncryptedS3, too', async () => {
    const s3 = endpoint.encrypted({ storage: 'instruction-file' });
    for (const Key of ['denied', 'allowed']) await s3.upload({ Bucket, Key, Body: 'content' }).done();
    const Statement = [
      { Effect: 'Deny', Principal: '*', Action: 's3:DeleteObject', Resource: `arn:aws:s3:::${Bucket}/denied` },
    ];
    await client.send(
      new S3.PutBucketPolicyCommand({ Bucket, Policy: JSON.stringify({ Version: '2012-10-17', Statement }) }),
    );
    const { deleted, companions, failed } = await s3.deleteMany({ Bucket, Keys: ['denied', 'allowed'] });
    await client.send(new S3.DeleteBucketPolicyCommand({ Bucket }));
    assert.deepEqual([deleted, companions], [['allowed', 'allowed.instruction'], ['allowed.instruction']]);
    assert.deepEqual(
      failed.map(({ key }) => key),
      ['denied'],
    );
    assert.equal(await read('denied'), 'content');
  });

  test('more companions than S3 deletes at once are deleted all the same', async () => {
    const by = wrap({ storage: 'instruction-file', segmentIndex: true });
    await put('many/0', 'x', { by });
    const Objects = Array.from({ length: 501 }, (_, i) => ({ Key: `many/${i}` }));
    const copyTo = async (Key: string): Promise<void> => {
      const source = { 'many/0': Key, 'many/0.instruction': `${Key}.instruction`, 'many/.0.segments': index(Key) };
      for (const [from, to] of Object.entries(source))
        await endpoint.client.send(new S3.CopyObjectCommand({ Bucket, Key: to, CopySource: `${Bucket}/${from}` }));
    };
    const index = (Key: string): string => `many/.${Key.slice(5)}.segments`;
    for (let at = 1; at < Objects.length; at += 25)
      await Promise.all(Objects.slice(at, at + 25).map(({ Key }) => copyTo(Key)));
    const { Errors } = await by.send(new S3.DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    assert.equal(Errors, undefined);
    const left = await endpoint.client.send(new S3.ListObjectsV2Command({ Bucket, Prefix: 'many/' }));
    assert.equal(left.KeyCount, 0);
  });
});
