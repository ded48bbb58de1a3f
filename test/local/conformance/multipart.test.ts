import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { suite, test } from 'node:test';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { failure, MiB, pattern, useTarget } from './target.ts';

interface Begun {
  readonly Bucket: string;
  readonly Key: string;
  readonly UploadId: string;
}

const md5 = (bytes: Buffer): string => createHash('md5').update(bytes).digest('hex');

async function uploadParts(s3: S3Client, upload: Begun, parts: readonly Buffer[]): Promise<CompletedPart[]> {
  const completed: CompletedPart[] = [];
  for (const [index, Body] of parts.entries()) {
    const sent = await s3.send(new UploadPartCommand({ ...upload, PartNumber: index + 1, Body }));
    completed.push({ PartNumber: index + 1, ETag: sent.ETag, ChecksumCRC32: sent.ChecksumCRC32 });
  }
  return completed;
}

suite('multipart uploads', () => {
  const target = useTarget();

  async function begin(s3: S3Client, extra: Record<string, unknown> = {}): Promise<Begun> {
    const Bucket = await target.bucket();
    const begun = await s3.send(
      new CreateMultipartUploadCommand({ Bucket, Key: 'big', ChecksumAlgorithm: 'CRC32', ...extra }),
    );
    return { Bucket, Key: 'big', UploadId: begun.UploadId! };
  }

  test('parts become one object, with the metadata of its beginning and an ETag of its parts', async () => {
    const s3 = target.s3();
    const upload = await begin(s3, { Metadata: { a: '1' }, ContentType: 'x/y' });
    const parts = [pattern(5 * MiB, 1), pattern(5 * MiB + 1, 2), pattern(3, 3)];
    const Parts = await uploadParts(s3, upload, parts);
    const done = await s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }));
    const etag = `"${md5(Buffer.concat(parts.map((part) => Buffer.from(md5(part), 'hex'))))}-3"`;
    assert.equal(done.ETag, etag);
    assert.equal(done.Bucket, upload.Bucket);
    assert.equal(done.Key, 'big');
    const got = await s3.send(new GetObjectCommand(upload));
    assert.equal(got.ETag, etag);
    assert.deepEqual(got.Metadata, { a: '1' });
    assert.equal(got.ContentType, 'x/y');
    assert.ok(Buffer.from(await got.Body!.transformToByteArray()).equals(Buffer.concat(parts)));
  });

  test('parts arrive in any order, and the last of one number counts', async () => {
    const s3 = target.s3();
    const upload = await begin(s3);
    const parts = [pattern(5 * MiB, 1), pattern(5 * MiB, 2), pattern(10, 3)];
    const etags = new Map<number, CompletedPart>();
    for (const [PartNumber, Body] of [
      [3, parts[2]!],
      [1, pattern(5 * MiB, 9)],
      [2, parts[1]!],
      [1, parts[0]!],
    ] as const) {
      const sent = await s3.send(new UploadPartCommand({ ...upload, PartNumber, Body }));
      etags.set(PartNumber, { PartNumber, ETag: sent.ETag, ChecksumCRC32: sent.ChecksumCRC32 });
    }
    const Parts = [1, 2, 3].map((number) => etags.get(number)!);
    await s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }));
    const got = await s3.send(new GetObjectCommand(upload));
    assert.ok(Buffer.from(await got.Body!.transformToByteArray()).equals(Buffer.concat(parts)));
  });

  test('only the parts that are named are in the object, whatever their numbers', async () => {
    const s3 = target.s3();
    const upload = await begin(s3);
    const bodies = new Map([
      [2, pattern(5 * MiB, 2)],
      [7, pattern(5 * MiB, 7)],
      [10_000, pattern(4, 10)],
    ]);
    const Parts: CompletedPart[] = [];
    for (const [PartNumber, Body] of bodies) {
      const sent = await s3.send(new UploadPartCommand({ ...upload, PartNumber, Body }));
      if (PartNumber !== 7) Parts.push({ PartNumber, ETag: sent.ETag, ChecksumCRC32: sent.ChecksumCRC32 });
    }
    const done = await s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }));
    assert.match(done.ETag!, /-2"$/);
    const got = await s3.send(new GetObjectCommand(upload));
    assert.ok(
      Buffer.from(await got.Body!.transformToByteArray()).equals(Buffer.concat([bodies.get(2)!, bodies.get(10_000)!])),
    );
  });

  test('a Complete that is sent again is answered again, and then the upload is gone', async () => {
    const s3 = target.s3();
    const upload = await begin(s3);
    const Parts = await uploadParts(s3, upload, [pattern(100)]);
    const command = new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } });
    const first = await s3.send(command);
    const second = await s3.send(command);
    assert.equal(second.ETag, first.ETag);
    assert.equal((await failure(s3.send(new ListPartsCommand(upload)))).name, 'NoSuchUpload');
    assert.equal((await failure(s3.send(new AbortMultipartUploadCommand(upload)))).name, 'NoSuchUpload');
  });

  test('a part below 5 MiB that is not the last is EntityTooSmall', async () => {
    const s3 = target.s3();
    const upload = await begin(s3);
    const Parts = await uploadParts(s3, upload, [pattern(5 * MiB - 1), pattern(10)]);
    const failed = await failure(
      s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } })),
    );
    assert.deepEqual([failed.name, failed.status], ['EntityTooSmall', 400]);
    // And the upload is still there.
    assert.equal((await s3.send(new ListPartsCommand(upload))).Parts?.length, 2);
  });

  test('a part that is missing or has another ETag is InvalidPart', async () => {
    const s3 = target.s3();
    const upload = await begin(s3);
    const [part] = await uploadParts(s3, upload, [pattern(10)]);
    for (const Parts of [[{ ...part, PartNumber: 2 }], [{ ...part, ETag: '"00000000000000000000000000000000"' }]]) {
      const failed = await failure(
        s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } })),
      );
      assert.deepEqual([failed.name, failed.status], ['InvalidPart', 400]);
    }
  });

  test('parts that are named out of order or twice are InvalidPartOrder, and none at all is MalformedXML', async () => {
    const s3 = target.s3();
    const upload = await begin(s3);
    const [one, two] = await uploadParts(s3, upload, [pattern(5 * MiB), pattern(10)]);
    for (const Parts of [
      [two!, one!],
      [one!, one!],
    ]) {
      const failed = await failure(
        s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } })),
      );
      assert.deepEqual([failed.name, failed.status], ['InvalidPartOrder', 400]);
    }
    const none = await failure(
      s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: [] } })),
    );
    assert.equal(none.name, 'MalformedXML');
  });

  test('an upload that is aborted is gone, and so is one that never was', async () => {
    const s3 = target.s3();
    const upload = await begin(s3);
    const Parts = await uploadParts(s3, upload, [pattern(10)]);
    const aborted = await s3.send(new AbortMultipartUploadCommand(upload));
    assert.equal(aborted.$metadata.httpStatusCode, 204);
    for (const call of [
      () => s3.send(new UploadPartCommand({ ...upload, PartNumber: 1, Body: 'x' })),
      () => s3.send(new ListPartsCommand(upload)),
      () => s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } })),
      () => s3.send(new AbortMultipartUploadCommand(upload)),
      () => s3.send(new AbortMultipartUploadCommand({ ...upload, UploadId: 'never-was' })),
    ]) {
      const failed = await failure(call());
      assert.deepEqual([failed.name, failed.status], ['NoSuchUpload', 404]);
    }
    assert.equal((await failure(s3.send(new HeadObjectCommand(upload)))).status, 404);
  });

  test('an object is not there before its upload is completed', async () => {
    const s3 = target.s3();
    const upload = await begin(s3);
    await uploadParts(s3, upload, [pattern(10)]);
    assert.equal((await failure(s3.send(new HeadObjectCommand(upload)))).status, 404);
  });

  test('part numbers are 1 to 10 000', async () => {
    const Bucket = await target.bucket();
    const s3 = target.s3();
    const begun = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'k' }));
    for (const number of ['0', '10001', 'x']) {
      const failed = await target.raw({
        method: 'PUT',
        path: `/${Bucket}/k?partNumber=${number}&uploadId=${begun.UploadId}`,
        body: 'x',
      });
      assert.deepEqual([failed.status, failed.code], [400, 'InvalidArgument'], number);
    }
  });

  test('parts are listed in pages, with sizes, ETags and checksums', async () => {
    const s3 = target.s3();
    const upload = await begin(s3);
    const parts = [pattern(11, 1), pattern(22, 2), pattern(33, 3)];
    await uploadParts(s3, upload, parts);
    const first = await s3.send(new ListPartsCommand({ ...upload, MaxParts: 2 }));
    assert.deepEqual(
      first.Parts?.map((part) => [part.PartNumber, part.Size, part.ETag]),
      [
        [1, 11, `"${md5(parts[0]!)}"`],
        [2, 22, `"${md5(parts[1]!)}"`],
      ],
    );
    assert.equal(first.IsTruncated, true);
    assert.equal(first.NextPartNumberMarker, '2');
    assert.equal(first.ChecksumAlgorithm, 'CRC32');
    assert.equal(typeof first.Parts?.[0]?.ChecksumCRC32, 'string');
    const second = await s3.send(
      new ListPartsCommand({ ...upload, MaxParts: 2, PartNumberMarker: first.NextPartNumberMarker }),
    );
    assert.deepEqual(
      second.Parts?.map((part) => part.PartNumber),
      [3],
    );
    assert.equal(second.IsTruncated, false);
  });

  test('uploads in progress are listed by key, in pages, by prefix and rolled up', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const ids = new Map<string, string>();
    for (const Key of ['b', 'a/2', 'a/1', 'c d']) {
      ids.set(Key, (await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }))).UploadId!);
    }
    const all = await s3.send(new ListMultipartUploadsCommand({ Bucket }));
    assert.deepEqual(
      all.Uploads?.map((upload) => [upload.Key, upload.UploadId]),
      ['a/1', 'a/2', 'b', 'c d'].map((key) => [key, ids.get(key)]),
    );
    const page = await s3.send(new ListMultipartUploadsCommand({ Bucket, MaxUploads: 3 }));
    assert.equal(page.IsTruncated, true);
    const rest = await s3.send(
      new ListMultipartUploadsCommand({
        Bucket,
        KeyMarker: page.NextKeyMarker,
        UploadIdMarker: page.NextUploadIdMarker,
      }),
    );
    assert.deepEqual(
      rest.Uploads?.map((upload) => upload.Key),
      ['c d'],
    );
    const prefixed = await s3.send(new ListMultipartUploadsCommand({ Bucket, Prefix: 'a/' }));
    assert.deepEqual(
      prefixed.Uploads?.map((upload) => upload.Key),
      ['a/1', 'a/2'],
    );
    const rolled = await s3.send(new ListMultipartUploadsCommand({ Bucket, Delimiter: '/' }));
    assert.deepEqual(
      rolled.Uploads?.map((upload) => upload.Key),
      ['b', 'c d'],
    );
    assert.deepEqual(
      rolled.CommonPrefixes?.map((prefix) => prefix.Prefix),
      ['a/'],
    );
  });

  test('one part of an object is read by its number, and told how many there are', async () => {
    const s3 = target.s3();
    const upload = await begin(s3);
    const parts = [pattern(5 * MiB, 1), pattern(5 * MiB + 5, 2), pattern(9, 3)];
    const Parts = await uploadParts(s3, upload, parts);
    await s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }));
    const { Bucket, Key } = upload;
    const got = await s3.send(new GetObjectCommand({ Bucket, Key, PartNumber: 2 }));
    assert.equal(got.$metadata.httpStatusCode, 206);
    assert.equal(got.PartsCount, 3);
    assert.equal(got.ContentRange, `bytes ${5 * MiB}-${10 * MiB + 4}/${10 * MiB + 14}`);
    assert.ok(Buffer.from(await got.Body!.transformToByteArray()).equals(parts[1]!));
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key, PartNumber: 3 }));
    assert.equal(head.ContentLength, 9);
    assert.equal(head.PartsCount, 3);
    const beyond = await failure(s3.send(new GetObjectCommand({ Bucket, Key, PartNumber: 4 })));
    assert.equal(beyond.status, 416);
    assert.equal(beyond.name, 'InvalidPartNumber');
    const both = await failure(s3.send(new GetObjectCommand({ Bucket, Key, PartNumber: 1, Range: 'bytes=0-1' })));
    assert.equal(both.name, 'InvalidRequest');
    const attributes = await s3.send(
      new GetObjectAttributesCommand({ Bucket, Key, ObjectAttributes: ['ObjectParts'] }),
    );
    assert.equal(attributes.ObjectParts?.TotalPartsCount, 3);
  });

  test('an object that came in one piece is its own first part', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'hello' }));
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'k', PartNumber: 1 }));
    assert.equal(await got.Body!.transformToString(), 'hello');
    assert.equal((await failure(s3.send(new GetObjectCommand({ Bucket, Key: 'k', PartNumber: 2 })))).status, 416);
  });

  test('parts are copied from objects, whole or in ranges', async () => {
    const s3 = target.s3();
    const upload = await begin(s3);
    const source = pattern(7 * MiB);
    await s3.send(new PutObjectCommand({ Bucket: upload.Bucket, Key: 'source', Body: source }));
    const CopySource = `${upload.Bucket}/source`;
    const one = await s3.send(
      new UploadPartCopyCommand({ ...upload, PartNumber: 1, CopySource, CopySourceRange: `bytes=1-${5 * MiB}` }),
    );
    const two = await s3.send(new UploadPartCopyCommand({ ...upload, PartNumber: 2, CopySource }));
    assert.equal(one.CopyPartResult?.ETag, `"${md5(source.subarray(1, 5 * MiB + 1))}"`);
    const Parts = [one, two].map(({ CopyPartResult: part }, index) => ({
      PartNumber: index + 1,
      ETag: part!.ETag,
      ChecksumCRC32: part!.ChecksumCRC32,
    }));
    await s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }));
    const got = await s3.send(new GetObjectCommand(upload));
    const expected = Buffer.concat([source.subarray(1, 5 * MiB + 1), source]);
    assert.ok(Buffer.from(await got.Body!.transformToByteArray()).equals(expected));
    const past = await failure(
      s3.send(
        new UploadPartCopyCommand({
          ...upload,
          UploadId: (await s3.send(new CreateMultipartUploadCommand(upload))).UploadId,
          PartNumber: 1,
          CopySource,
          CopySourceRange: `bytes=0-${7 * MiB}`,
        }),
      ),
    );
    assert.equal(past.name, 'InvalidArgument');
  });

  test('If-None-Match and If-Match hold at the completion', async () => {
    const s3 = target.s3();
    const upload = await begin(s3);
    const existing = await s3.send(new PutObjectCommand({ ...upload, Body: 'there' }));
    const Parts = await uploadParts(s3, upload, [pattern(10)]);
    const command = { ...upload, MultipartUpload: { Parts } };
    const exists = await failure(s3.send(new CompleteMultipartUploadCommand({ ...command, IfNoneMatch: '*' })));
    assert.deepEqual([exists.name, exists.status], ['PreconditionFailed', 412]);
    const other = await failure(s3.send(new CompleteMultipartUploadCommand({ ...command, IfMatch: '"other"' })));
    assert.deepEqual([other.name, other.status], ['PreconditionFailed', 412]);
    await s3.send(new CompleteMultipartUploadCommand({ ...command, IfMatch: existing.ETag }));
    assert.equal((await s3.send(new HeadObjectCommand(upload))).ContentLength, 10);
  });

  test("lib-storage's Upload works as it comes", async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const Body = pattern(11 * MiB);
    await new Upload({ client: s3, params: { Bucket, Key: 'k', Body } }).done();
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'k' }));
    assert.ok(Buffer.from(await got.Body!.transformToByteArray()).equals(Body));
  });
});
