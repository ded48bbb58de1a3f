/** A write whose outcome nobody knows: what belongs to the object must not be taken from it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { Readable } from 'node:stream';
import { after, before, beforeEach, describe, test } from 'node:test';
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { FaultRule } from '../../src/local/index.ts';
import type { UploadOptions, UploadResult } from '../../src/multipart/encrypted-upload.ts';
import { withEncryption } from '../../src/objects/with-encryption/with-encryption.ts';
import { Bucket, bytesOf, TestEndpoint } from '../support/endpoint.ts';
import { failure, rejection } from '../support/failure.ts';
import { RestedSources } from '../support/rested-sources.ts';

const partSize = 5 * 1024 * 1024;
const long = randomBytes(2 * partSize + 3);
const storage = 'instruction-file';
const sources = new RestedSources('write-outcome');
let endpoint: TestEndpoint;
before(async () => {
  endpoint = await TestEndpoint.start();
});
beforeEach(() => endpoint.local.faults.clear());
after(async () => {
  await endpoint.close();
  sources.remove();
});

const read = async (Key: string): Promise<Buffer> =>
  bytesOf((await endpoint.encrypted().get({ Bucket, Key }, { maxBuffered: 1 << 30 })).body);

/** The last request of an upload is carried out, and nobody hears of it, nor can anybody ask. */
const unheard = (operation: string, key: string): FaultRule[] => [
  { operation, key, loseAnswer: true, times: 'always' },
  { operation: 'HeadObject', key, status: 500, times: 'always' },
];

const steps = {
  PutObject: Buffer.from('new'),
  CompleteMultipartUpload: long,
} as const;

for (const [operation, content] of Object.entries(steps)) {
  describe(`an upload whose ${operation} is not answered`, () => {
    const upload = (Key: string, options: UploadOptions = {}): Promise<UploadResult> =>
      endpoint
        .encrypted({ storage })
        .upload({ Bucket, Key, Body: Readable.from([content]) }, { partSize, partAttempts: 2, ...options })
        .done();
    const old = (Key: string): Promise<UploadResult> =>
      endpoint.encrypted({ storage }).upload({ Bucket, Key, Body: 'old' }).done();

    test('keeps the instruction file, without which it could never be read, where S3 cannot be asked', async () => {
      const Key = `unheard-${operation}`;
      await old(Key);
      endpoint.local.faults.set(unheard(operation, Key));
      const error = await rejection(upload(Key));
      assert.ok(failure('OUTCOME_UNKNOWN', /is not known.*nothing that belongs to it was taken back/)(error));
      assert.equal((error as { retryable?: boolean }).retryable, true);
      endpoint.local.faults.clear();
      assert.ok((await read(Key)).equals(content));
      await endpoint.assertNoUploads(Key);
    });

    for (const [status, code] of [
      [403, 'AccessDenied'],
      [400, 'ExpiredToken'],
      [400, 'InvalidRequest'],
    ] as const) {
      test(`is recognised when its second send is answered by ${code}`, async () => {
        const Key = `${code}-${operation}`;
        await old(Key);
        endpoint.local.faults.set([
          { operation, key: Key, loseAnswer: true },
          { operation, key: Key, nth: 1, status, code },
        ]);
        await upload(Key);
        assert.ok((await read(Key)).equals(content));
      });
    }

    test('puts the old instruction file back, without asking, where the only send was refused', async () => {
      const Key = `refused-${operation}`;
      await old(Key);
      endpoint.local.faults.set([
        { operation, key: Key, status: 403, code: 'AccessDenied', times: 'always' },
        { operation: 'HeadObject', key: Key, status: 500, times: 'always' },
      ]);
      endpoint.local.requests.clear();
      assert.ok(failure('ACCESS_DENIED')(await rejection(upload(Key))));
      assert.equal(endpoint.local.requests.count('HeadObject'), 0);
      endpoint.local.faults.clear();
      assert.equal(String(await read(Key)), 'old');
    });
  });
}

test('an upload that failed is looked at again when S3 can no longer be at work on it', async () => {
  const Key = 'late';
  await endpoint.encrypted({ storage }).upload({ Bucket, Key, Body: 'old' }).done();
  endpoint.local.faults.set([{ operation: 'CompleteMultipartUpload', key: Key, status: 500, times: 'always' }]);
  endpoint.local.requests.clear();
  const upload = endpoint
    .encrypted({ storage })
    .upload({ Bucket, Key, Body: Readable.from([long]) }, { partSize, partAttempts: 2 });
  assert.ok(failure('RESTART_REQUIRED')(await rejection(upload.done())));
  await endpoint.local.requests.settled();
  const order = endpoint.local.requests
    .all()
    .filter(({ operation = '' }) => ['HeadObject', 'AbortMultipartUpload'].includes(operation))
    .map(({ operation }) => operation);
  assert.deepEqual(order, ['HeadObject', 'AbortMultipartUpload', 'HeadObject']);
  endpoint.local.faults.clear();
  assert.equal(String(await read(Key)), 'old');
});

describe('a journalled upload that was completed and did not hear of it', () => {
  const upload = ({ Key, path, journal }: ReturnType<RestedSources['create']>): Promise<UploadResult> =>
    endpoint
      .encrypted({ storage })
      .upload({ Bucket, Key, Body: { path } }, { partSize, journal, partAttempts: 2 })
      .done();

  test('keeps its journal and its instruction file, and is recognised by the same call', async () => {
    const source = sources.create(long.length);
    endpoint.local.faults.set(unheard('CompleteMultipartUpload', source.Key));
    const error = await rejection(upload(source));
    assert.ok(failure('OUTCOME_UNKNOWN', /run the same again/)(error));
    assert.ok(failure('S3_UNAVAILABLE')(await rejection(upload(source))), 'it was begun anew though it may be there');
    endpoint.local.faults.clear();
    const counts = await endpoint.requestsOf(() => upload(source));
    assert.deepEqual(counts, { 'KMS.Decrypt': 1, ListParts: 1, HeadObject: 1, GetObject: 1 });
    assert.equal(existsSync(source.journal), false);
    assert.ok((await read(source.Key)).equals(source.content));
  });

  test('is given the instruction file that somebody took from it, or put another in the place of', async () => {
    for (const other of [undefined, '{}']) {
      const source = sources.create(long.length);
      endpoint.local.faults.set(unheard('CompleteMultipartUpload', source.Key));
      await rejection(upload(source));
      endpoint.local.faults.clear();
      const key = `${source.Key}.instruction`;
      if (other === undefined) await endpoint.client.send(new DeleteObjectCommand({ Bucket, Key: key }));
      else await endpoint.store(key, other, { 'x-amz-crypto-instr-file': '' });
      await upload(source);
      assert.ok((await read(source.Key)).equals(source.content));
    }
  });
});

describe('withEncryption, of a write that is not answered', () => {
  const client = (): S3Client =>
    withEncryption(new S3Client({ ...endpoint.local.s3Config, maxAttempts: 1 }), {
      keyring: endpoint.keyring,
      storage,
    });
  const assertUnknown = async (write: Promise<unknown>): Promise<void> => {
    assert.ok(failure('OUTCOME_UNKNOWN')(await rejection(write)));
    endpoint.local.faults.clear();
  };

  test('keeps the instruction file of a PutObject', async () => {
    const by = client();
    await by.send(new PutObjectCommand({ Bucket, Key: 'put', Body: 'old' }));
    endpoint.local.faults.set(unheard('PutObject', 'put'));
    await assertUnknown(by.send(new PutObjectCommand({ Bucket, Key: 'put', Body: 'new' })));
    assert.equal(String(await read('put')), 'new');
  });

  test('keeps the instruction file of a copy', async () => {
    const by = client();
    await by.send(new PutObjectCommand({ Bucket, Key: 'from', Body: 'copied' }));
    await by.send(new PutObjectCommand({ Bucket, Key: 'to', Body: 'old' }));
    endpoint.local.faults.set([
      { operation: 'CopyObject', loseAnswer: true, times: 'always' },
      // The first one is for what was there before.
      { operation: 'HeadObject', key: 'to', nth: 2, status: 500, times: 'always' },
    ]);
    await assertUnknown(by.send(new CopyObjectCommand({ Bucket, Key: 'to', CopySource: `${Bucket}/from` })));
    assert.equal(String(await read('to')), 'copied');
  });

  test('keeps the instruction file of a multipart upload, and completes it when it is asked again', async () => {
    const by = client();
    const address = { Bucket, Key: 'parts' };
    const { UploadId } = await by.send(new CreateMultipartUploadCommand(address));
    const { ETag } = await by.send(new UploadPartCommand({ ...address, UploadId, PartNumber: 1, Body: 'content' }));
    const complete = new CompleteMultipartUploadCommand({
      ...address,
      UploadId,
      MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] },
    });
    endpoint.local.faults.set(unheard('CompleteMultipartUpload', 'parts'));
    await assertUnknown(by.send(complete));
    assert.equal(String(await read('parts')), 'content');
    await by.send(complete);
    assert.equal(String(await read('parts')), 'content');
  });
});
