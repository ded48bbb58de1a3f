/** What an encrypting client does when something fails under it: it rejects once, and what was readable stays so. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createReadStream, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as S3 from '@aws-sdk/client-s3';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import { withEncryption } from '../../src/objects/with-encryption/with-encryption.ts';
import { Bucket, TestEndpoint } from '../support/endpoint.ts';
import { failure, rejection } from '../support/failure.ts';

const MiB = 1024 * 1024;
let endpoint: TestEndpoint;
let client: S3.S3Client;
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
  client = endpoint.encrypting();
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

  test('fails for its own source alone, where the SDK keeps its handlers for all calls', async () => {
    const plain = new S3.S3Client({ ...endpoint.local.s3Config, cacheMiddleware: true });
    // Without KMS in between both are on their way before either has a connection.
    const by = withEncryption(plain, { keyring: aesKeyring({ key: randomBytes(32) }) });
    const beside = new Readable({ read: () => undefined });
    beside.push(Buffer.alloc(MiB));
    const going = put('beside', beside, { by, ContentLength: length });
    failure('SOURCE_FAILED')(
      await rejection(put('broken', Readable.from(ending(9, new Error('broke'))), { by, ContentLength: length })),
    );
    for (let i = 1; i < 20; i++) beside.push(Buffer.alloc(MiB));
    beside.push(null);
    await going;
    plain.destroy();
  });

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

test('a ContentLength that is a number in a string is one, and what is no length is refused by name', async () => {
  for (const body of ['hello', Readable.from(['hello'])]) {
    await put('numeric', body, { ContentLength: '5' as never });
    assert.equal(await read('numeric'), 'hello');
  }
  const sent = endpoint.local.requests.count('PutObject');
  for (const [given, shown] of [
    [Number.NaN, '"NaN"'],
    [-1, '"-1"'],
    [1.5, '"1.5"'],
    ['', '""'],
    ['5 bytes', '"5 bytes"'],
    [Number.POSITIVE_INFINITY, '"Infinity"'],
    [{}, 'of type object'],
  ] as const)
    await assert.rejects(put('numeric', Readable.from(['hello']), { ContentLength: given as never }), {
      name: 'RangeError',
      message: new RegExp(`^ContentLength is ${shown}, expected`),
    });
  assert.equal(endpoint.local.requests.count('PutObject'), sent);
});

test('streams over files need no ContentLength, by path or descriptor, whole or from a start to an end, as parts, too', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sealpipe-files-'));
  const path = join(folder, 'source');
  writeFileSync(path, 'a file of some bytes');
  const streams: (readonly [() => Promise<Readable>, string])[] = [
    [async () => createReadStream(path), 'a file of some bytes'],
    [async () => createReadStream('', { fd: openSync(path, 'r') }), 'a file of some bytes'],
    [async () => createReadStream('elsewhere', { fd: openSync(path, 'r'), start: 2, end: 5 }), 'file'],
    [async () => (await open(path)).createReadStream(), 'a file of some bytes'],
    [async () => (await open(path)).createReadStream({ start: 2 }), 'file of some bytes'],
  ];
  for (const [make, expected] of streams) {
    await put('file', await make());
    assert.equal(await read('file'), expected);
    const address = { Bucket, Key: 'file-part' };
    const { UploadId } = await client.send(new S3.CreateMultipartUploadCommand(address));
    const part = { ...address, UploadId, PartNumber: 1 };
    const { ETag } = await client.send(new S3.UploadPartCommand({ ...part, Body: await make() }));
    const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] };
    await client.send(new S3.CompleteMultipartUploadCommand({ ...address, UploadId, MultipartUpload }));
    assert.equal(await read('file-part'), expected);
  }
  const closed = await open(path);
  const Body = closed.createReadStream();
  await closed.close();
  failure('COMMAND_REFUSED', /length is not known/)(await rejection(put('file', Body)));
  rmSync(folder, { recursive: true });
});

describe('deleting many', () => {
  test('an object that S3 keeps keeps its instruction file', async () => {
    const by = endpoint.encrypting({ storage: 'instruction-file' });
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
    const by = endpoint.encrypting({ storage: 'instruction-file', segmentIndex: true });
    await put('many/0', 'x', { by });
    const Objects = Array.from({ length: 501 }, (_, i) => ({ Key: `many/${i}` }));
    // Objects that are gone already: what counts is what lies beside them.
    const copyTo = async (Key: string): Promise<void> => {
      const source = { 'many/0.instruction': `${Key}.instruction`, 'many/.0.segments': index(Key) };
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

describe('copying', () => {
  const copy = (
    Key: string,
    CopySource: string,
    { by = client, ...more }: { by?: S3.S3Client } & Partial<S3.CopyObjectCommandInput> = {},
  ): Promise<S3.CopyObjectCommandOutput> => by.send(new S3.CopyObjectCommand({ Bucket, Key, CopySource, ...more }));
  const replaced = { MetadataDirective: 'REPLACE', Metadata: { state: 'new' } } as const;

  test('a copy that is refused is an error, though the same object was there before', async () => {
    const by = endpoint.encrypting({ storage: 'instruction-file' });
    await put('own', 'content', { by });
    await copy('earlier', `${Bucket}/own`, { by });
    for (const [fault, name] of [
      [{ status: 403, code: 'AccessDenied' }, 'AccessDenied'],
      [{ status: 500, times: 3 }, 'InternalError'],
    ] as const) {
      for (const Key of ['own', 'earlier']) {
        endpoint.local.faults.set([{ operation: 'CopyObject', ...fault }]);
        await assert.rejects(copy(Key, `${Bucket}/own`, { by, ...replaced }), { name });
        endpoint.local.faults.clear();
        assert.equal(await read(Key, by), 'content');
      }
    }
    await copy('own', `${Bucket}/own`, { by, ...replaced });
    assert.deepEqual((await by.send(new S3.HeadObjectCommand({ Bucket, Key: 'own' }))).Metadata, replaced.Metadata);
  });

  test('of format V2 with an instruction file is there when its answer is lost', async () => {
    const by = endpoint.encrypting({ storage: 'instruction-file', commitmentPolicy: 'FORBID_ENCRYPT_ALLOW_DECRYPT' });
    await put('v2', 'content', { by });
    await put('v2-copy', 'another', { by });
    endpoint.local.faults.set([{ operation: 'CopyObject', loseAnswer: true, times: 'always' }]);
    await copy('v2-copy', `${Bucket}/v2`, { by });
    assert.equal(await read('v2-copy', by), 'content');
  });

  test("with a suffix of its own leaves others' instruction files alone, and its copies readable", async () => {
    const owner = endpoint.encrypting({ storage: 'instruction-file' });
    await put('shared', 'content', { by: owner });
    const { body, metadata } = await endpoint.stored('shared.instruction');
    await endpoint.store('shared.partner', body, metadata);
    // The owner's, as it would be under another key.
    const mine = JSON.stringify({ ...(JSON.parse(String(body)) as object), owner: '1' });
    await endpoint.store('shared.instruction', mine, metadata);
    const partner = endpoint.encrypting({ instructionSuffix: '.partner' });
    await copy('shared', `${Bucket}/shared`, { by: partner, ...replaced });
    await copy('passed-on', `${Bucket}/shared`, { by: partner });
    assert.equal(String((await endpoint.stored('shared.instruction')).body), mine);
    assert.equal(await read('passed-on', partner), 'content');
  });

  test('of what is not there fails as S3 says it of a copy', async () => {
    for (const [source, name] of [
      [`${Bucket}/missing`, 'NoSuchKey'],
      ['missing-bucket/missing', 'NoSuchBucket'],
    ] as const) {
      await assert.rejects(copy('copy', source, { by: endpoint.client }), { name });
      await assert.rejects(copy('copy', source), { name });
    }
  });

  test('takes a source that is encoded whole, and refuses one that cannot be decoded', async () => {
    await put('a b/ü+?%', 'content');
    await copy('encoded', encodeURIComponent(`${Bucket}/a b/ü+?%`));
    assert.equal(await read('encoded'), 'content');
    await assert.rejects(copy('encoded', `${Bucket}/a%zz`), { code: 'ERR_SEALPIPE_COMMAND_REFUSED' });
  });

  test('names payer and owner where it looks at the source, and tells no checksums of ciphertext', async () => {
    await put('source', 'content');
    const more = { RequestPayer: 'requester', ChecksumAlgorithm: 'SHA256' } as const;
    const { CopyObjectResult } = await copy('paid', `${Bucket}/source`, more);
    assert.deepEqual(Object.keys(CopyObjectResult ?? {}).sort(), ['ETag', 'LastModified']);
    await copy('paid', `${Bucket}/source`, { ExpectedSourceBucketOwner: '999999999999' }).catch(() => undefined);
    assert.deepEqual(
      endpoint.local.requests
        .all('HeadObject')
        .map(({ headers }) => headers['x-amz-request-payer'] ?? headers['x-amz-expected-bucket-owner']),
      ['requester', '999999999999'],
    );
  });
});

test('a long stream of format V2 with an instruction file is there when its answer is lost', async () => {
  const by = endpoint.encrypting({ storage: 'instruction-file', commitmentPolicy: 'FORBID_ENCRYPT_ALLOW_DECRYPT' });
  const length = 17 * MiB;
  endpoint.local.faults.set([{ operation: 'PutObject', key: 'v2-long', loseAnswer: true, times: 'always' }]);
  await put('v2-long', Readable.from([Buffer.alloc(length)]), { by, ContentLength: length });
  assert.equal((await read('v2-long', by)).length, length);
});

describe('a multipart upload', () => {
  interface Address {
    readonly Bucket: string;
    readonly Key: string;
    readonly UploadId: string;
  }
  const create = async (Key: string, by: S3.S3Client): Promise<Address> => {
    const { UploadId = '' } = await by.send(new S3.CreateMultipartUploadCommand({ Bucket, Key }));
    return { Bucket, Key, UploadId };
  };
  const send = async (
    address: Address,
    PartNumber: number,
    Body: Buffer,
    by: S3.S3Client,
  ): Promise<S3.CompletedPart> => {
    const { ETag } = await by.send(new S3.UploadPartCommand({ ...address, PartNumber, Body }));
    return { PartNumber, ETag };
  };
  const complete = (
    address: Address,
    Parts: readonly S3.CompletedPart[],
    by: S3.S3Client,
    more: Partial<S3.CompleteMultipartUploadCommandInput> = {},
  ): Promise<unknown> =>
    by.send(new S3.CompleteMultipartUploadCommand({ ...address, MultipartUpload: { Parts: [...Parts] }, ...more }));

  test('that S3 refuses to complete leaves readable what others have put there meanwhile', async () => {
    const by = endpoint.encrypting({ storage: 'instruction-file' });
    await put('meanwhile', 'before', { by });
    const address = await create('meanwhile', by);
    const part = await send(address, 1, Buffer.alloc(100), by);
    await put('meanwhile', 'after', { by });
    endpoint.local.faults.set([{ operation: 'CompleteMultipartUpload', status: 403, code: 'AccessDenied' }]);
    await assert.rejects(complete(address, [part], by), { name: 'AccessDenied' });
    assert.equal(await read('meanwhile', by), 'after');
    await by.send(new S3.AbortMultipartUploadCommand(address));
  });

  test('as EncryptedS3 sends it does, too', async () => {
    const s3 = endpoint.encrypted({ storage: 'instruction-file' });
    await s3.upload({ Bucket, Key: 'meanwhile-too', Body: 'before' }).done();
    endpoint.local.faults.set([{ operation: 'CompleteMultipartUpload', status: 403, code: 'AccessDenied' }]);
    const body = async function* (): AsyncGenerator<Buffer> {
      for (let i = 0; i < 6; i++) yield Buffer.alloc(MiB);
      // All that was read before the upload began is read by now.
      while (endpoint.local.requests.count('UploadPart') === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      await s3.upload({ Bucket, Key: 'meanwhile-too', Body: 'after' }).done();
    };
    const upload = s3.upload({ Bucket, Key: 'meanwhile-too', Body: Readable.from(body()) }, { partSize: 5 * MiB });
    failure('ACCESS_DENIED')(await rejection(upload.done()));
    assert.equal(await read('meanwhile-too'), 'after');
  });

  test('completed twice at the same time is there, whatever the second is told', async () => {
    const by = endpoint.encrypting({ storage: 'instruction-file' });
    const address = await create('twice', by);
    const part = await send(address, 1, Buffer.alloc(6 * MiB), by);
    endpoint.local.faults.set([
      { operation: 'CompleteMultipartUpload', delay: 300 },
      { operation: 'CompleteMultipartUpload', status: 409, code: 'OperationAborted' },
    ]);
    await Promise.all([complete(address, [part], by), complete(address, [part], by)]);
    assert.equal((await read('twice', by)).length, 6 * MiB);
  });

  test('completed again later leaves alone what others have put there meanwhile', async () => {
    for (const [segmentIndex, length] of [
      [false, 100],
      [true, 100],
      [true, 0],
    ] as const) {
      const by = endpoint.encrypting({ storage: 'instruction-file', segmentIndex });
      const address = await create('later', by);
      const part = await send(address, 1, Buffer.alloc(length), by);
      await complete(address, [part], by);
      await complete(address, [part], by);
      await put('later', 'after', { by });
      await assert.rejects(complete(address, [part], by), { name: 'NoSuchUpload' });
      assert.equal(await read('later', by), 'after');
      if (segmentIndex) await endpoint.stored('.later.segments');
    }
  });

  test('that may create alone leaves the instruction file of who was first', async () => {
    const by = endpoint.encrypting({ storage: 'instruction-file' });
    const uploads = [await create('created', by), await create('created', by)] as const;
    const lists = [
      [await send(uploads[0], 1, Buffer.alloc(100, 1), by)],
      [await send(uploads[1], 1, Buffer.alloc(100, 2), by)],
    ] as const;
    const slow = endpoint.local.faults.add({ operation: 'CompleteMultipartUpload', delay: 500 });
    const first = complete(uploads[0], lists[0], by, { IfNoneMatch: '*' });
    while (slow.hits === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    failure('PRECONDITION_FAILED')(await rejection(complete(uploads[1], lists[1], by, { IfNoneMatch: '*' })));
    await first;
    assert.equal(await read('created', by), '\u0001'.repeat(100));
    await by.send(new S3.AbortMultipartUploadCommand(uploads[1]));
  });

  test('is completed with the size that it has, or not at all', async () => {
    const address = await create('sized', client);
    const part = await send(address, 1, Buffer.alloc(100), client);
    for (const MpuObjectSize of [99, 116])
      failure('COMMAND_REFUSED')(await rejection(complete(address, [part], client, { MpuObjectSize })));
    await complete(address, [part], client, { MpuObjectSize: 100 });
    assert.equal((await read('sized')).length, 100);
  });

  test('that is completed holds no content any more', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const held = async (): Promise<number> => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      collect();
      return process.memoryUsage().arrayBuffers;
    };
    // The first one has whatever is made once.
    let before = 0;
    for (let i = 0; i < 13; i++) {
      if (i === 1) before = await held();
      const address = await create('held', client);
      await complete(address, [await send(address, 1, Buffer.alloc(5 * MiB - 1), client)], client);
    }
    // Memory that is collected is freed by another thread, in its own time.
    let grown = (await held()) - before;
    for (let tries = 0; tries < 100 && grown >= 20 * MiB; tries++) grown = (await held()) - before;
    assert.ok(grown < 20 * MiB, `12 completed uploads hold ${grown} bytes`);
  });

  test('under a key of the customer is completed without naming that again, as S3 does it', async () => {
    const local = await TestEndpoint.start({ allowInsecureLoopback: true });
    const by = withEncryption(local.client, { keyring: local.keyring });
    const customerKey = { SSECustomerAlgorithm: 'AES256', SSECustomerKey: Buffer.alloc(32, 7) as never };
    const { UploadId } = await by.send(new S3.CreateMultipartUploadCommand({ Bucket, Key: 'ssec', ...customerKey }));
    const upload = { Bucket, Key: 'ssec', UploadId };
    const { ETag } = await by.send(
      new S3.UploadPartCommand({ ...upload, PartNumber: 1, Body: Buffer.alloc(5 * MiB), ...customerKey }),
    );
    local.local.faults.set([{ operation: 'CompleteMultipartUpload', loseAnswer: true, times: 'always' }]);
    const Parts = [{ PartNumber: 1, ETag }];
    await by.send(new S3.CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }));
    const { ContentLength } = await by.send(new S3.HeadObjectCommand({ Bucket, Key: 'ssec', ...customerKey }));
    assert.equal(ContentLength, 5 * MiB);
    await local.close();
  });

  test('in progress is not forgotten for those that are completed', async () => {
    const by = endpoint.encrypting({ maxUploads: 2 });
    const live = await create('live', by);
    const first = await send(live, 1, Buffer.alloc(5 * MiB), by);
    for (let i = 0; i < 3; i++) {
      const other = await create(`other-${i}`, by);
      await complete(other, [await send(other, 1, Buffer.alloc(10), by)], by);
    }
    await complete(live, [first, await send(live, 2, Buffer.alloc(10), by)], by);
    assert.equal((await read('live')).length, 5 * MiB + 10);
  });
});
