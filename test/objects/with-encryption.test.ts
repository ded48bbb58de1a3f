import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, beforeEach, describe, test } from 'node:test';
import * as S3 from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { SealpipeError } from '../../src/errors.ts';
import { withEncryption } from '../../src/objects/with-encryption/with-encryption.ts';
import { Bucket, bytesOf, rejection, TestEndpoint } from '../support/endpoint.ts';

const MiB = 1024 * 1024;
let endpoint: TestEndpoint;
let client: S3.S3Client;
type PutBody = NonNullable<S3.PutObjectCommandInput['Body']>;

before(async () => {
  endpoint = await TestEndpoint.start();
  client = endpoint.encrypting();
});
beforeEach(() => {
  endpoint.local.faults.clear();
  endpoint.local.requests.clear();
});
after(() => endpoint.close());

const code = (error: unknown): string =>
  error instanceof SealpipeError ? error.code.replace('ERR_SEALPIPE_', '') : String(error);
/** As a reader who knows nothing of this client sees it: the tag of the whole object is verified. */
const read = async (Key: string): Promise<Buffer> =>
  bytesOf((await endpoint.encrypted().get({ Bucket, Key }, { maxBuffered: 200 * MiB })).body);
const put = (Key: string, Body: PutBody | undefined, more: object = {}): Promise<S3.PutObjectCommandOutput> =>
  client.send(new S3.PutObjectCommand({ Bucket, Key, ...(Body !== undefined && { Body }), ...more }));

describe('lib-storage unmodified', () => {
  const sizes = [0, 1, 5 * MiB - 1, 5 * MiB, 5 * MiB + 1, 10 * MiB + 3, 100 * MiB];
  const content = randomBytes(100 * MiB);
  for (const size of sizes) {
    const bytes = content.subarray(0, size);
    const bodies: Record<string, () => PutBody> = {
      Buffer: () => bytes,
      stream: () => Readable.from(chunksOf(bytes, 300_000)),
      Blob: () => new Blob([bytes]) as never,
      ...(size <= 5 * MiB && { string: () => bytes.toString('latin1') }),
    };
    for (const [kind, body] of Object.entries(bodies)) {
      const queueSizes = size === 10 * MiB + 3 ? [1, 2, 3, 8] : [4];
      for (const queueSize of queueSizes) {
        test(`a ${kind} of ${size} bytes, ${queueSize} at a time, is read back whole and authenticated`, async () => {
          const upload = new Upload({ client, params: { Bucket, Key: 'lib', Body: body() }, queueSize });
          const progress: number[] = [];
          upload.on('httpUploadProgress', ({ loaded = 0 }) => progress.push(loaded));
          await upload.done();
          const expected = kind === 'string' ? Buffer.from(bytes.toString('latin1'), 'utf8') : bytes;
          assert.ok((await read('lib')).equals(expected));
          const { ContentLength } = await client.send(new S3.HeadObjectCommand({ Bucket, Key: 'lib' }));
          assert.equal(ContentLength, expected.length);
          assert.ok(size === 0 || progress.at(-1) === expected.length);
          await endpoint.assertNoUploads();
        });
      }
    }
  }

  test('a part that fails is sent again by the SDK with the same bytes', async () => {
    endpoint.local.faults.add({ operation: 'UploadPart', per: 'part', status: 503 });
    await new Upload({ client, params: { Bucket, Key: 'retried', Body: content.subarray(0, 12 * MiB) } }).done();
    const sends = new Map<number | undefined, Set<string | undefined>>();
    for (const { partNumber, bodySha256 } of endpoint.local.requests.all('UploadPart')) {
      sends.set(partNumber, (sends.get(partNumber) ?? new Set()).add(bodySha256));
    }
    assert.deepEqual([...sends.keys()].sort(), [1, 2, 3]);
    assert.ok([...sends.values()].every((hashes) => hashes.size === 1));
    assert.ok((await read('retried')).equals(content.subarray(0, 12 * MiB)));
  });

  test('an upload that is given up leaves nothing', async () => {
    endpoint.local.faults.add({ operation: 'UploadPart', partNumber: 2, status: 403, code: 'AccessDenied' });
    await assert.rejects(
      new Upload({ client, params: { Bucket, Key: 'given-up', Body: content.subarray(0, 12 * MiB) } }).done(),
      { name: 'AccessDenied' },
    );
    await endpoint.assertNoUploads();
  });

  test('an instruction file is written with the object, and V2 when asked for', async () => {
    const older = endpoint.encrypting({
      storage: 'instruction-file',
      commitmentPolicy: 'FORBID_ENCRYPT_ALLOW_DECRYPT',
    });
    await new Upload({ client: older, params: { Bucket, Key: 'older', Body: content.subarray(0, 6 * MiB) } }).done();
    const { envelope, plaintextSize } = await endpoint
      .encrypted({ commitmentPolicy: 'REQUIRE_ENCRYPT_ALLOW_DECRYPT' })
      .head({ Bucket, Key: 'older' });
    assert.deepEqual([envelope?.format, envelope?.storage, plaintextSize], ['V2', 'instruction-file', 6 * MiB]);
    const { Body } = await older.send(new S3.GetObjectCommand({ Bucket, Key: 'older' }));
    assert.ok(Buffer.from((await Body?.transformToByteArray()) ?? []).equals(content.subarray(0, 6 * MiB)));
  });
});

function* chunksOf(bytes: Buffer, step: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
}

describe('multipart by hand', () => {
  const part = (n: number, length = 5 * MiB): Buffer => Buffer.alloc(length, n);
  const create = async (Key: string, by = client): Promise<{ Bucket: string; Key: string; UploadId: string }> => {
    const { UploadId = '' } = await by.send(new S3.CreateMultipartUploadCommand({ Bucket, Key }));
    return { Bucket, Key, UploadId };
  };
  const send = async (
    upload: { Bucket: string; Key: string; UploadId: string },
    PartNumber: number,
    Body: Buffer,
    by = client,
  ): Promise<{ PartNumber: number; ETag: string }> => {
    const { ETag = '' } = await by.send(new S3.UploadPartCommand({ ...upload, PartNumber, Body }));
    return { PartNumber, ETag };
  };
  const complete = (upload: object, Parts: object[], by = client): Promise<unknown> =>
    by.send(
      new S3.CompleteMultipartUploadCommand({
        ...(upload as { Bucket: string; Key: string; UploadId: string }),
        MultipartUpload: { Parts },
      }),
    );
  const sent = (): { partNumber: number | undefined; bodySha256: string | undefined }[] =>
    endpoint.local.requests.all('UploadPart').map(({ partNumber, bodySha256 }) => ({ partNumber, bodySha256 }));
  /** Under one upload id every part number has one content. */
  const assertOneMessage = (): void => {
    const seen = new Map<string, string | undefined>();
    for (const { uploadId, partNumber, bodySha256, complete: whole } of endpoint.local.requests.all('UploadPart')) {
      if (!whole) continue;
      const place = `${uploadId} ${partNumber}`;
      assert.ok(!seen.has(place) || seen.get(place) === bodySha256, `part ${partNumber} was sent with two contents`);
      seen.set(place, bodySha256);
    }
  };

  test('parts of odd sizes are one GCM message, whatever blocks they cut', async () => {
    const upload = await create('odd');
    const bodies = [randomBytes(5 * MiB + 7), randomBytes(5 * MiB + 7), randomBytes(5 * MiB + 7), randomBytes(3)];
    const parts = await Promise.all(bodies.map((body, i) => send(upload, i + 1, body)));
    await complete(upload, parts);
    assert.ok((await read('odd')).equals(Buffer.concat(bodies)));
  });

  test('a part that is begun before a lower one is refused at once, unless the part size was given', async () => {
    const upload = await create('order');
    assert.equal(code(await rejection(send(upload, 2, part(2)))), 'COMMAND_REFUSED');
    assert.deepEqual(sent(), []);
    await client.send(new S3.AbortMultipartUploadCommand(upload));

    const any = endpoint.encrypting({ partSize: 5 * MiB });
    const free = await create('any-order', any);
    const parts = [
      await send(free, 3, part(3, 100), any),
      await send(free, 1, part(1), any),
      await send(free, 2, part(2), any),
    ];
    parts.sort((a, b) => a.PartNumber - b.PartNumber);
    await complete(free, parts, any);
    assert.ok((await read('any-order')).equals(Buffer.concat([part(1), part(2), part(3, 100)])));
    const wrong = await create('wrong-size', any);
    await send(wrong, 2, part(2), any);
    assert.equal(code(await rejection(send(wrong, 1, part(1, 6 * MiB), any))), 'COMMAND_REFUSED');
    await any.send(new S3.AbortMultipartUploadCommand(wrong));
  });

  test('the same part with the same bytes is sent again; with other bytes the upload has failed and only Abort is let through', async () => {
    const upload = await create('twice');
    const first = await send(upload, 1, part(1));
    await send(upload, 1, part(1));
    assert.equal(new Set(sent().map(({ bodySha256 }) => bodySha256)).size, 1);
    for (const other of [part(9), part(1, 5 * MiB + 16)]) {
      assert.equal(code(await rejection(send(upload, 1, other))), 'PART_CHANGED');
    }
    assert.equal(code(await rejection(send(upload, 2, part(2)))), 'PART_CHANGED');
    assert.equal(code(await rejection(complete(upload, [first]))), 'PART_CHANGED');
    assertOneMessage();
    await client.send(new S3.AbortMultipartUploadCommand(upload));
    await endpoint.assertNoUploads();
  });

  test('one part number taken by two calls at the same time is one content, or an error', async () => {
    const upload = await create('race');
    const outcomes = await Promise.allSettled([
      send(upload, 1, part(1)),
      send(upload, 1, part(2)),
      send(upload, 1, part(1)),
    ]);
    assert.ok(outcomes.some(({ status }) => status === 'rejected'));
    assertOneMessage();
    await client.send(new S3.AbortMultipartUploadCommand(upload));
  });

  test('Complete takes all parts in order with the ETags that were answered, and nothing else', async () => {
    const upload = await create('lists');
    const parts = [await send(upload, 1, part(1)), await send(upload, 2, part(2)), await send(upload, 3, part(3, 10))];
    const before = sent().length;
    for (const list of [
      [],
      parts.slice(0, 2),
      [parts[0], parts[2]],
      [...parts].reverse(),
      [...parts, { PartNumber: 4, ETag: '"x"' }],
      [parts[0], parts[1], { PartNumber: 3, ETag: '"foreign"' }],
    ]) {
      assert.equal(code(await rejection(complete(upload, list as object[]))), 'COMMAND_REFUSED');
    }
    assert.equal(sent().length, before, 'a refused Complete sent a part');
    await complete(upload, parts);
    assert.ok((await read('lists')).equals(Buffer.concat([part(1), part(2), part(3, 10)])));
    // Again, as a caller does who did not hear the answer.
    await complete(upload, parts);
    assertOneMessage();
    assert.equal(code(await rejection(send(upload, 4, part(4)))), 'COMMAND_REFUSED');
  });

  test('a Complete that fails and is called again sends the same last bytes', async () => {
    const upload = await create('again');
    const parts = [await send(upload, 1, part(1)), await send(upload, 2, part(2, 77))];
    endpoint.local.faults.add({ operation: 'CompleteMultipartUpload', times: 3, status: 500 });
    await assert.rejects(complete(upload, parts));
    assert.equal(code(await rejection(send(upload, 3, part(3)))), 'COMMAND_REFUSED');
    endpoint.local.faults.clear();
    await complete(upload, parts);
    assertOneMessage();
    assert.ok((await read('again')).equals(Buffer.concat([part(1), part(2, 77)])));
  });

  test('a further part after one that has to be the last is refused', async () => {
    const upload = await create('after-last');
    await send(upload, 1, part(1));
    await send(upload, 2, part(2, 1000));
    assert.equal(code(await rejection(send(upload, 3, part(3)))), 'COMMAND_REFUSED');
    await client.send(new S3.AbortMultipartUploadCommand(upload));
  });

  test('an upload that another client, or nobody, began is refused by name', async () => {
    const upload = await create('foreign');
    const other = endpoint.encrypting();
    assert.equal(code(await rejection(send(upload, 1, part(1), other))), 'UPLOAD_UNKNOWN');
    assert.equal(code(await rejection(complete(upload, [{ PartNumber: 1, ETag: '"x"' }], other))), 'UPLOAD_UNKNOWN');
    await other.send(new S3.AbortMultipartUploadCommand(upload));
    await client.send(new S3.AbortMultipartUploadCommand(upload)).catch(() => undefined);
    assert.equal(code(await rejection(send(upload, 1, part(1)))), 'UPLOAD_UNKNOWN');
  });

  test('uploads beyond the limit are forgotten, the oldest first, and unknown then', async () => {
    const few = endpoint.encrypting({ maxUploads: 1 });
    const first = await create('first', few);
    const second = await create('second', few);
    assert.equal(code(await rejection(send(first, 1, part(1), few))), 'UPLOAD_UNKNOWN');
    const parts = [await send(second, 1, part(1), few)];
    await complete(second, parts, few);
    assert.ok((await read('second')).equals(part(1)));
    await few.send(new S3.AbortMultipartUploadCommand(first));
  });
});

describe('single objects', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sealpipe-wrapped-'));
  after(() => rmSync(folder, { recursive: true }));

  test('every kind of body is encrypted, and comes back through the same client with plaintext lengths', async () => {
    const bytes = randomBytes(100_001);
    const path = join(folder, 'source');
    writeFileSync(path, bytes);
    const bodies: Record<string, PutBody | undefined> = {
      buffer: bytes,
      array: new Uint8Array(bytes),
      blob: new Blob([bytes]) as never,
      file: createReadStream(path),
      part: createReadStream(path, { start: 10, end: 1009 }),
      web: new Blob([bytes]).stream() as never,
      none: undefined,
    };
    for (const [kind, body] of Object.entries(bodies)) {
      await put(kind, body, { Metadata: { owner: 'me' }, ...(kind === 'web' && { ContentLength: bytes.length }) });
      const expected = kind === 'none' ? Buffer.alloc(0) : kind === 'part' ? bytes.subarray(10, 1010) : bytes;
      const answer = await client.send(new S3.GetObjectCommand({ Bucket, Key: kind }));
      assert.equal(answer.ContentLength, expected.length);
      assert.deepEqual(answer.Metadata, { owner: 'me' });
      assert.equal(answer.ChecksumCRC32, undefined);
      const head = await client.send(new S3.HeadObjectCommand({ Bucket, Key: kind }));
      for (const { AcceptRanges } of [answer, head]) assert.equal(AcceptRanges, undefined, 'ranges are refused');
      assert.ok(Buffer.from((await answer.Body?.transformToByteArray()) ?? []).equals(expected), kind);
      assert.notDeepEqual(
        (await endpoint.stored(kind)).body.subarray(0, expected.length),
        expected.length > 16 ? expected : undefined,
      );
    }
    const { Body } = await client.send(new S3.GetObjectCommand({ Bucket, Key: 'buffer' }));
    assert.equal(await Body?.transformToString('hex'), bytes.toString('hex'));
    const again = await client.send(new S3.GetObjectCommand({ Bucket, Key: 'buffer' }));
    const web = again.Body?.transformToWebStream() as unknown as AsyncIterable<Uint8Array>;
    assert.ok((await bytesOf(web)).equals(bytes));
  });

  test('a long stream goes up however its length ends and it is cut, with the checksum that the SDK puts behind it', async () => {
    const content = randomBytes(17 * MiB + 8191);
    for (const extra of [1, 8191])
      for (const chunk of [65_536, 1000, MiB + 100]) {
        const bytes = content.subarray(0, 17 * MiB + extra);
        await put('cut', Readable.from(chunksOf(bytes, chunk)), { ContentLength: bytes.length });
        assert.ok((await read('cut')).equals(bytes), `${extra} bytes more, in chunks of ${chunk}`);
      }
  });

  test('a long stream of known length goes up as it is read; one of unknown length is refused with advice', async () => {
    const bytes = randomBytes(20 * MiB);
    await put('long', Readable.from(chunksOf(bytes, 100_000)), { ContentLength: bytes.length });
    assert.ok((await read('long')).equals(bytes));
    const error = await rejection(put('unknown', Readable.from(chunksOf(bytes, 100_000))));
    assert.equal(code(error), 'COMMAND_REFUSED');
    assert.match((error as Error).message, /ContentLength|Upload/);
    await assert.rejects(put('short', Readable.from(chunksOf(bytes.subarray(0, 100), 10)), { ContentLength: 200 }), {
      code: 'ERR_SEALPIPE_SOURCE_FAILED',
    });
  });

  test('checksums of the plaintext are verified here and never sent', async () => {
    const body = Buffer.from('hello');
    const digest = (name: string): string => createHash(name).update(body).digest('base64');
    endpoint.local.requests.clear();
    await put('checked', body, {
      ContentMD5: digest('md5'),
      ChecksumSHA256: digest('sha256'),
      ChecksumSHA1: digest('sha1'),
    });
    await put('checked', body, { ChecksumCRC32C: 'mnG7TA==', ChecksumAlgorithm: 'CRC32C' });
    for (const { headers } of endpoint.local.requests.all('PutObject')) {
      assert.deepEqual(
        Object.keys(headers).filter((name) => /md5|checksum/.test(name)),
        ['x-amz-checksum-crc32'],
      );
      assert.ok(!JSON.stringify(headers).includes(digest('sha256')));
    }
    for (const wrong of [
      { ContentMD5: digest('sha1') },
      { ChecksumSHA256: digest('md5') },
      { ChecksumCRC32: 'AAAAAA==' },
    ]) {
      await assert.rejects(put('wrong', body, wrong), { code: 'ERR_SEALPIPE_SOURCE_CHANGED' });
    }
  });

  test('an object that was tampered with fails when its body is read, and a missing one as the SDK says it', async () => {
    await put('tampered', randomBytes(1000));
    endpoint.local.faults.add({ operation: 'GetObject', flipByteAt: 500 });
    const { Body } = await client.send(new S3.GetObjectCommand({ Bucket, Key: 'tampered' }));
    await assert.rejects(Body?.transformToByteArray() as Promise<unknown>, {
      code: 'ERR_SEALPIPE_AUTHENTICATION_FAILED',
    });
    await assert.rejects(client.send(new S3.GetObjectCommand({ Bucket, Key: 'missing' })), { name: 'NoSuchKey' });
    await endpoint.store('plain', 'plaintext');
    await assert.rejects(client.send(new S3.GetObjectCommand({ Bucket, Key: 'plain' })), {
      code: 'ERR_SEALPIPE_NOT_ENCRYPTED',
    });
  });

  test('a download of this client resumes where it breaks', async () => {
    const bytes = randomBytes(3 * MiB);
    await put('broken', bytes);
    endpoint.local.faults.set([{ operation: 'GetObject', resetResponseAfter: MiB }]);
    const { Body } = await client.send(new S3.GetObjectCommand({ Bucket, Key: 'broken' }));
    assert.ok(Buffer.from((await Body?.transformToByteArray()) ?? []).equals(bytes));
  });

  test('copies stay readable: the envelope goes along under REPLACE, an instruction file is copied first, plaintext is refused', async () => {
    const context = { né: '日本' };
    const own = endpoint.encrypting({ encryptionContext: context });
    await own.send(new S3.PutObjectCommand({ Bucket, Key: 'source', Body: 'content', Metadata: { a: '1' } }));
    await own.send(new S3.CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/source` }));
    await own.send(
      new S3.CopyObjectCommand({
        Bucket,
        Key: 'replaced',
        CopySource: `${Bucket}/source`,
        MetadataDirective: 'REPLACE',
        Metadata: { b: '2' },
      }),
    );
    for (const [Key, metadata] of [
      ['copy', { a: '1' }],
      ['replaced', { b: '2' }],
    ] as const) {
      const { Body, Metadata } = await own.send(new S3.GetObjectCommand({ Bucket, Key }));
      assert.equal(await Body?.transformToString(), 'content');
      assert.deepEqual(Metadata, metadata);
    }
    const filed = endpoint.encrypting({ storage: 'instruction-file' });
    await filed.send(new S3.PutObjectCommand({ Bucket, Key: 'filed', Body: 'content' }));
    await filed.send(new S3.CopyObjectCommand({ Bucket, Key: 'filed-copy', CopySource: `${Bucket}/filed` }));
    assert.equal(
      await (await filed.send(new S3.GetObjectCommand({ Bucket, Key: 'filed-copy' }))).Body?.transformToString(),
      'content',
    );
    await filed.send(new S3.DeleteObjectCommand({ Bucket, Key: 'filed-copy' }));
    await assert.rejects(endpoint.stored('filed-copy.instruction'), { name: 'NoSuchKey' });
    await filed.send(new S3.DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'filed' }, { Key: 'copy' }] } }));
    await assert.rejects(endpoint.stored('filed.instruction'), { name: 'NoSuchKey' });
    await endpoint.store('plain', 'plaintext');
    await assert.rejects(client.send(new S3.CopyObjectCommand({ Bucket, Key: 'k', CopySource: `${Bucket}/plain` })), {
      code: 'ERR_SEALPIPE_NOT_ENCRYPTED',
    });
  });

  test('listings are refused by name, or give plaintext lengths under the promise of GCM and hide instruction files', async () => {
    await endpoint
      .encrypting({ storage: 'instruction-file' })
      .send(new S3.PutObjectCommand({ Bucket, Key: 'listed/a', Body: 'twelve bytes' }));
    for (const command of [new S3.ListObjectsV2Command({ Bucket }), new S3.ListObjectsCommand({ Bucket })]) {
      assert.equal(code(await rejection(client.send(command))), 'COMMAND_REFUSED');
    }
    const promising = endpoint.encrypting({ contents: 'gcm' });
    const { Contents, KeyCount } = await promising.send(new S3.ListObjectsV2Command({ Bucket, Prefix: 'listed/' }));
    assert.deepEqual(
      Contents?.map(({ Key, Size }) => [Key, Size]),
      [['listed/a', 12]],
    );
    assert.equal(KeyCount, 1);
  });
});

describe('what cannot be kept encrypted is refused by name, and nothing is sent', () => {
  const object = { Bucket, Key: 'k' };
  const commands: Record<string, () => unknown> = {
    UploadPartCopy: () => new S3.UploadPartCopyCommand({ ...object, UploadId: 'u', PartNumber: 1, CopySource: 'a/b' }),
    SelectObjectContent: () =>
      new S3.SelectObjectContentCommand({
        ...object,
        Expression: 'x',
        ExpressionType: 'SQL',
        InputSerialization: {},
        OutputSerialization: {},
      }),
    WriteGetObjectResponse: () =>
      new S3.WriteGetObjectResponseCommand({ RequestRoute: 'r', RequestToken: 't', Body: 'x' as never }),
    GetObjectAttributes: () => new S3.GetObjectAttributesCommand({ ...object, ObjectAttributes: ['ObjectSize'] }),
    ListObjectVersions: () => new S3.ListObjectVersionsCommand({ Bucket }),
    ListParts: () => new S3.ListPartsCommand({ ...object, UploadId: 'u' }),
    GetObjectTorrent: () => new S3.GetObjectTorrentCommand(object),
    'appending to an object': () => new S3.PutObjectCommand({ ...object, Body: 'x', WriteOffsetBytes: 10 }),
    'a query of what is restored': () =>
      new S3.RestoreObjectCommand({ ...object, RestoreRequest: { Type: 'SELECT' } as never }),
    'a range': () => new S3.GetObjectCommand({ ...object, Range: 'bytes=0-1' }),
    'a part number': () => new S3.GetObjectCommand({ ...object, PartNumber: 1 }),
    'the HEAD of a part': () => new S3.HeadObjectCommand({ ...object, PartNumber: 1 }),
  };
  for (const [name, command] of Object.entries(commands)) {
    test(name, async () => {
      const counts = await endpoint.requestsOf(async () => {
        const error = await rejection(client.send(command() as S3.GetObjectCommand));
        assert.ok(['COMMAND_REFUSED', 'RANGE_UNAUTHENTICATED'].includes(code(error)), String(error));
        assert.match((error as Error).message, /use |read |ask |read$|Read |copy |parts |put /i);
      });
      assert.deepEqual(counts, {});
    });
  }

  test('every command of the SDK is handled, passed because it is known, or refused', async () => {
    const { refusal, isHandled } = await import('../../src/objects/with-encryption/command-rules.ts');
    const all = Object.keys(S3)
      .filter((name) => name.endsWith('Command') && name !== '$Command')
      .map((name) => name.replace(/Command$/, ''));
    assert.ok(all.length > 90);
    const passed = all.filter((name) => refusal(name) === undefined && !isHandled(name));
    // Nothing that carries content, or tells its length, may be among those that pass.
    assert.deepEqual(
      passed.filter(
        (name) =>
          !/Bucket|Tagging|Acl|Retention|LegalHold|LockConfiguration|PublicAccessBlock|Session|RestoreObject|ListMultipartUploads/.test(
            name,
          ),
      ),
      [],
    );
    assert.match(refusal('SomethingNew') ?? '', /not known/);
  });

  test('signed URLs, for getting and for putting', async () => {
    for (const command of [new S3.GetObjectCommand(object), new S3.PutObjectCommand(object)]) {
      assert.equal(code(await rejection(getSignedUrl(client, command))), 'COMMAND_REFUSED');
    }
    assert.match(await getSignedUrl(endpoint.client, new S3.GetObjectCommand(object)), /^http/);
  });
});

test('the client that was passed in is not changed, and still sees ciphertext', async () => {
  const plain = new S3.S3Client(endpoint.local.s3Config);
  const before = JSON.stringify(plain.middlewareStack.identify());
  const own = withEncryption(plain, { keyring: endpoint.keyring });
  assert.ok(own instanceof S3.S3Client);
  assert.notEqual(own, plain);
  await own.send(new S3.PutObjectCommand({ Bucket, Key: 'seen', Body: 'secret' }));
  assert.equal(JSON.stringify(plain.middlewareStack.identify()), before);
  const { Body, ContentLength } = await plain.send(new S3.GetObjectCommand({ Bucket, Key: 'seen' }));
  assert.equal(ContentLength, 22);
  assert.notEqual((await Body?.transformToString())?.slice(0, 6), 'secret');
  assert.throws(() => withEncryption(own, { keyring: endpoint.keyring }), /encrypts already/);
  assert.throws(() => withEncryption(plain, {} as never), TypeError);
  await own.send(new S3.HeadBucketCommand({ Bucket }));
  plain.destroy();
});
