import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { after, before, beforeEach, describe, test } from 'node:test';
import {
  AbortMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { SealpipeError } from '../../src/errors.ts';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import { type WithEncryptionOptions, withEncryption } from '../../src/objects/with-encryption/with-encryption.ts';
import { Bucket, rejection, TestEndpoint } from '../support/endpoint.ts';
import { expectedIndex } from '../support/segment-indexes.ts';

const MiB = 1024 * 1024;
const content = randomBytes(3 * MiB + 321);

let endpoint: TestEndpoint;
before(async () => {
  endpoint = await TestEndpoint.start();
});
beforeEach(() => {
  endpoint.local.faults.clear();
});
after(async () => {
  await endpoint.close();
});

async function assertIndexed(Key: string, segmentSize = 65_536): Promise<void> {
  const index = await endpoint.stored(Key.replace(/[^/]*$/, '.$&.segments'));
  assert.deepEqual(index.body, await expectedIndex(endpoint, Key, segmentSize));
}

async function missing(Key: string): Promise<void> {
  assert.equal(((await rejection(endpoint.stored(Key))) as Error).name, 'NoSuchKey');
}

async function refusal(promise: Promise<unknown>): Promise<SealpipeError> {
  const error = await rejection(promise);
  assert.ok(error instanceof SealpipeError, String(error));
  return error;
}

describe('an index made of an object that is there', () => {
  const put = (Key: string, Body: Buffer = content): Promise<unknown> =>
    endpoint.encrypted().upload({ Bucket, Key, Body }).done();

  test('is the one that its upload would have written, at one GET of the object and one key', async () => {
    await put('there');
    const counts = await endpoint.requestsOf(async () => {
      const result = await endpoint.encrypted().createSegmentIndex({ Bucket, Key: 'there' });
      const { etag, ...rest } = result;
      assert.match(etag, /^"[0-9a-f]/);
      assert.deepEqual(rest, {
        bucket: Bucket,
        key: 'there',
        indexKey: '.there.segments',
        segmentSize: 65_536,
        plaintextSize: content.length,
        indexSize: 49 * 16 + 64,
      });
    });
    assert.deepEqual(counts, { GetObject: 2, HeadObject: 1, 'KMS.Decrypt': 1, PutObject: 1 });
    await assertIndexed('there');
  });

  test('may have another segment size, and replaces one of ours', async () => {
    for (const length of [0, 1, 4096, 100_000]) {
      await put('sized', content.subarray(0, length));
      for (const segmentSize of [4096, 8192]) {
        await endpoint.encrypted().createSegmentIndex({ Bucket, Key: 'sized' }, { segmentSize });
        await assertIndexed('sized', segmentSize);
      }
    }
  });

  test('survives a connection that breaks', async () => {
    await put('broken');
    endpoint.local.faults.add({ operation: 'GetObject', key: 'broken', resetResponseAfter: MiB });
    await endpoint.encrypted().createSegmentIndex({ Bucket, Key: 'broken' });
    await assertIndexed('broken');
  });

  test('is not made of an object that does not match its tag', async () => {
    await put('altered');
    const { body, metadata } = await endpoint.stored('altered');
    body.writeUInt8(body.readUInt8(1000) ^ 1, 1000);
    await endpoint.store('altered', body, metadata);
    const error = await refusal(endpoint.encrypted().createSegmentIndex({ Bucket, Key: 'altered' }));
    assert.equal(error.code, 'ERR_SEALPIPE_AUTHENTICATION_FAILED');
    await missing('.altered.segments');
  });

  test('is not stored when the object was overwritten in the meantime, nor over an index that appeared', async () => {
    await put('raced');
    const client = new S3Client(endpoint.local.s3Config);
    client.middlewareStack.add(
      (next, { commandName }) =>
        async (args) => {
          if (commandName === 'HeadObjectCommand') await put('raced');
          return next(args);
        },
      { step: 'initialize' },
    );
    const overwritten = endpoint.encrypted({ client }).createSegmentIndex({ Bucket, Key: 'raced' });
    assert.equal((await refusal(overwritten)).code, 'ERR_SEALPIPE_OBJECT_CHANGED');
    client.destroy();
    await missing('.raced.segments');
    endpoint.local.faults.add({
      operation: 'PutObject',
      key: '.raced.segments',
      status: 412,
      code: 'PreconditionFailed',
    });
    const error = await refusal(endpoint.encrypted().createSegmentIndex({ Bucket, Key: 'raced' }));
    assert.equal(error.code, 'ERR_SEALPIPE_OBJECT_CHANGED');
    assert.match(error.message, /\.raced\.segments was written by somebody else/);
  });

  test('counts as stored when the answer that said so was lost', async () => {
    await put('lost');
    endpoint.local.faults.add({ operation: 'PutObject', key: '.lost.segments', loseAnswer: true });
    await endpoint.encrypted().createSegmentIndex({ Bucket, Key: 'lost' });
    await assertIndexed('lost');
  });

  test('is refused for what no tag authenticates, before a key is asked for', async () => {
    const legacy = {
      commitmentPolicy: 'FORBID_ENCRYPT_ALLOW_DECRYPT',
      legacy: { unauthenticatedModes: true },
    } as const;
    const s3 = endpoint.encrypted({ ...legacy, plaintext: 'allow' });
    const envelope = {
      'x-amz-key-v2': randomBytes(48).toString('base64'),
      'x-amz-iv': randomBytes(16).toString('base64'),
      'x-amz-cek-alg': 'AES/CBC/PKCS5Padding',
      'x-amz-wrap-alg': 'kms',
      'x-amz-matdesc': '{"kms_cmk_id":"x"}',
    };
    await endpoint.store('cbc', randomBytes(64), envelope);
    await endpoint.store('plain', 'text');
    const counts = await endpoint.requestsOf(async () => {
      const cbc = await refusal(s3.createSegmentIndex({ Bucket, Key: 'cbc' }));
      assert.equal(cbc.code, 'ERR_SEALPIPE_COMMAND_REFUSED');
      assert.match(cbc.message, /AES-256-CBC content, which no tag authenticates/);
      const plain = await refusal(s3.createSegmentIndex({ Bucket, Key: 'plain' }));
      assert.match(plain.message, /is not encrypted/);
    });
    assert.equal(counts['KMS.Decrypt'], undefined);
    assert.equal(
      (await refusal(endpoint.encrypted().createSegmentIndex({ Bucket, Key: 'none' }))).code,
      'ERR_SEALPIPE_OBJECT_NOT_FOUND',
    );
    await assert.rejects(s3.createSegmentIndex({ Bucket, Key: 't/' }), /ends in a slash/);
    await assert.rejects(s3.createSegmentIndex({ Bucket, Key: 'a' }, { segmentSize: 3 }), RangeError);
  });

  test('needs the right key', async () => {
    await put('keyed');
    const s3 = endpoint.encrypted({ keyring: aesKeyring({ key: randomBytes(32) }) });
    assert.equal((await refusal(s3.createSegmentIndex({ Bucket, Key: 'keyed' }))).code, 'ERR_SEALPIPE_KEY_MISMATCH');
  });

  test('can be given up', async () => {
    await put('given-up');
    const controller = new AbortController();
    const running = endpoint
      .encrypted()
      .createSegmentIndex(
        { Bucket, Key: 'given-up' },
        { signal: controller.signal, onProgress: () => controller.abort() },
      );
    assert.equal((await refusal(running)).code, 'ERR_SEALPIPE_ABORTED');
    await missing('.given-up.segments');
  });
});

describe('a client that encrypts and indexes', () => {
  const wrap = (options: Partial<WithEncryptionOptions> = {}): S3Client =>
    withEncryption(endpoint.client, { keyring: endpoint.keyring, segmentIndex: true, ...options });

  test('writes the index of a PutObject before it', async () => {
    const counts = await endpoint.requestsOf(() =>
      wrap().send(new PutObjectCommand({ Bucket, Key: 'w/put', Body: content })),
    );
    assert.deepEqual(counts, { GetObject: 1, 'KMS.GenerateDataKey': 1, PutObject: 2 });
    assert.deepEqual(
      endpoint.local.requests.all('PutObject').map(({ key }) => key),
      ['w/.put.segments', 'w/put'],
    );
    await assertIndexed('w/put');
    await wrap({ segmentIndex: { segmentSize: 4096 } }).send(
      new PutObjectCommand({ Bucket, Key: 'w/empty', Body: '' }),
    );
    await assertIndexed('w/empty', 4096);
  });

  test('takes the index away when the object is not stored', async () => {
    endpoint.local.faults.add({ operation: 'PutObject', key: 'w/failed', status: 403 });
    await rejection(wrap().send(new PutObjectCommand({ Bucket, Key: 'w/failed', Body: 'x' })));
    await missing('w/.failed.segments');
  });

  test('indexes what Upload of lib-storage sends, in parts and in one', async () => {
    const parts = randomBytes(11 * MiB + 7);
    await new Upload({ client: wrap(), params: { Bucket, Key: 'w/parts', Body: parts } }).done();
    await assertIndexed('w/parts');
    await new Upload({ client: wrap(), params: { Bucket, Key: 'w/stream', Body: Readable.from([parts]) } }).done();
    await assertIndexed('w/stream');
    await new Upload({ client: wrap(), params: { Bucket, Key: 'w/one', Body: content } }).done();
    await assertIndexed('w/one');
  });

  test('leaves no index of an upload whose Complete fails', async () => {
    endpoint.local.faults.add({ operation: 'CompleteMultipartUpload', status: 403, times: 'always' });
    await rejection(
      new Upload({ client: wrap(), params: { Bucket, Key: 'w/incomplete', Body: randomBytes(6 * MiB) } }).done(),
    );
    await missing('w/.incomplete.segments');
  });

  test('refuses parts that begin inside a segment, and long streams in one PUT, by name', async () => {
    const client = wrap();
    const address = { Bucket, Key: 'w/ragged' };
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(address));
    const part = { ...address, UploadId };
    await client.send(new UploadPartCommand({ ...part, PartNumber: 1, Body: randomBytes(5 * MiB + 16) }));
    const error = await refusal(
      client.send(new UploadPartCommand({ ...part, PartNumber: 2, Body: randomBytes(5 * MiB + 16) })),
    );
    assert.equal(error.code, 'ERR_SEALPIPE_COMMAND_REFUSED');
    assert.match(
      error.message,
      /inside a segment of its index: let all parts but the last have a multiple of 65536 bytes/,
    );
    await client.send(new AbortMultipartUploadCommand(part));
    const Body = Readable.from([randomBytes(17 * MiB)]);
    const long = await refusal(
      client.send(new PutObjectCommand({ Bucket, Key: 'w/long', Body, ContentLength: 17 * MiB })),
    );
    assert.match(long.message, /with a segment index, which has to be stored before the object/);
    await missing('w/.ragged.segments');
  });

  test('writes no object where an index would lie', async () => {
    for (const client of [wrap(), wrap({ segmentIndex: false })]) {
      const address = { Bucket, Key: 'w/.part.segments' };
      for (const command of [
        new PutObjectCommand({ ...address, Body: 'x' }),
        new CreateMultipartUploadCommand(address),
        new CopyObjectCommand({ ...address, CopySource: `${Bucket}/w/put` }),
      ])
        assert.match(
          (await refusal(client.send(command as PutObjectCommand))).message,
          /is where the segment index of w\/part lies/,
        );
    }
  });

  test('copies the index with the object, whose copy it is good for', async () => {
    const copy = (Key: string, source = 'w/put'): Promise<unknown> =>
      wrap().send(new CopyObjectCommand({ Bucket, Key, CopySource: `${Bucket}/${source}` }));
    await copy('c/é copy');
    await assertIndexed('c/é copy');
    endpoint.local.faults.add({ operation: 'CopyObject', key: 'c/failed', status: 403 });
    await rejection(copy('c/failed'));
    await missing('c/.failed.segments');
    await endpoint.store('c/.foreign.segments', 'notes');
    await copy('c/foreign');
    assert.equal((await endpoint.stored('c/.foreign.segments')).body.toString(), 'notes');
    await endpoint.encrypted().upload({ Bucket, Key: 'bare', Body: 'bare' }).done();
    await copy('c/bare', 'bare');
    await missing('c/.bare.segments');
    const { Body } = await wrap().send(new GetObjectCommand({ Bucket, Key: 'c/é copy' }));
    assert.ok(Buffer.from((await Body?.transformToByteArray()) ?? []).equals(content));
  });
});
