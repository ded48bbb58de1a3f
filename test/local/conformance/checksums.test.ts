import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { suite, test } from 'node:test';
import { crc32 } from 'node:zlib';
import {
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { failure, MiB, pattern, useTarget } from './target.ts';

type Algorithm = 'CRC32' | 'CRC32C' | 'CRC64NVME' | 'SHA1' | 'SHA256';

// Of "123456789", the check value that catalogues give for CRCs.
const known: Record<Algorithm, string> = {
  CRC32: Buffer.from('cbf43926', 'hex').toString('base64'),
  CRC32C: Buffer.from('e3069283', 'hex').toString('base64'),
  CRC64NVME: Buffer.from('ae8b14860a799888', 'hex').toString('base64'),
  SHA1: createHash('sha1').update('123456789').digest('base64'),
  SHA256: createHash('sha256').update('123456789').digest('base64'),
};
const algorithms = Object.keys(known) as Algorithm[];
const field = (algorithm: Algorithm): `Checksum${Algorithm}` => `Checksum${algorithm}`;
const crc32Text = (bytes: Buffer): string => {
  const value = Buffer.alloc(4);
  value.writeUInt32BE(crc32(bytes));
  return value.toString('base64');
};

suite('checksums', () => {
  const target = useTarget();

  for (const algorithm of algorithms) {
    test(`${algorithm} is checked, echoed and told to whoever asks`, async () => {
      const s3 = target.s3();
      const Bucket = await target.bucket();
      const put = await s3.send(
        new PutObjectCommand({ Bucket, Key: 'k', Body: '123456789', ChecksumAlgorithm: algorithm }),
      );
      assert.equal(put[field(algorithm)], known[algorithm]);
      const head = await s3.send(new HeadObjectCommand({ Bucket, Key: 'k', ChecksumMode: 'ENABLED' }));
      assert.equal(head[field(algorithm)], known[algorithm]);
      assert.equal(head.ChecksumType, 'FULL_OBJECT');
      const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'k', ChecksumMode: 'ENABLED' }));
      assert.equal(got[field(algorithm)], known[algorithm]);
      assert.equal(await got.Body!.transformToString(), '123456789');
      const unasked = await target.raw({ method: 'HEAD', path: `/${Bucket}/k` });
      assert.equal(unasked.headers[`x-amz-checksum-${algorithm.toLowerCase()}`], undefined);
      const range = await target.raw({
        path: `/${Bucket}/k`,
        headers: { range: 'bytes=0-1', 'x-amz-checksum-mode': 'ENABLED' },
      });
      assert.equal(range.headers[`x-amz-checksum-${algorithm.toLowerCase()}`], undefined);
    });

    test(`a wrong ${algorithm} is BadDigest, and leaves nothing`, async () => {
      const s3 = target.s3();
      const Bucket = await target.bucket();
      const wrong = Buffer.from(known[algorithm], 'base64');
      wrong[0]! ^= 1;
      const failed = await failure(
        s3.send(
          new PutObjectCommand({ Bucket, Key: 'k', Body: '123456789', [field(algorithm)]: wrong.toString('base64') }),
        ),
      );
      assert.deepEqual([failed.name, failed.status], ['BadDigest', 400]);
      assert.equal(failed.message, `The ${algorithm} you specified did not match the calculated checksum.`);
      assert.equal((await failure(s3.send(new HeadObjectCommand({ Bucket, Key: 'k' })))).status, 404);
    });
  }

  test('a checksum of the wrong length, two of them, or one that is announced and missing, is InvalidRequest', async () => {
    const Bucket = await target.bucket();
    const put = (headers: Record<string, string>) =>
      target.raw({ method: 'PUT', path: `/${Bucket}/k`, headers, body: '123456789' });
    for (const headers of [
      { 'x-amz-checksum-crc32': 'AAAA' },
      { 'x-amz-checksum-crc32': 'not base64!' },
      { 'x-amz-checksum-crc32': known.CRC32, 'x-amz-checksum-sha1': known.SHA1 },
      { 'x-amz-sdk-checksum-algorithm': 'CRC32' },
    ]) {
      const answer = await put(headers);
      assert.deepEqual([answer.status, answer.code], [400, 'InvalidRequest'], JSON.stringify(headers));
    }
  });

  test('Content-MD5 is checked', async () => {
    const Bucket = await target.bucket();
    const put = (md5: string) =>
      target.raw({ method: 'PUT', path: `/${Bucket}/k`, headers: { 'content-md5': md5 }, body: 'hello' });
    assert.equal((await put(createHash('md5').update('hello').digest('base64'))).status, 200);
    const bad = await put(createHash('md5').update('other').digest('base64'));
    assert.deepEqual([bad.status, bad.code], [400, 'BadDigest']);
    const invalid = await put('AAAA');
    assert.deepEqual([invalid.status, invalid.code], [400, 'InvalidDigest']);
  });

  async function upload(
    algorithm: Algorithm,
    type: 'COMPOSITE' | 'FULL_OBJECT',
    parts: readonly Buffer[],
    extra: Record<string, unknown> = {},
  ) {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const begun = await s3.send(
      new CreateMultipartUploadCommand({ Bucket, Key: 'k', ChecksumAlgorithm: algorithm, ChecksumType: type }),
    );
    assert.equal(begun.ChecksumType, type);
    const Parts: CompletedPart[] = [];
    for (const [index, Body] of parts.entries()) {
      const part = await s3.send(
        new UploadPartCommand({
          Bucket,
          Key: 'k',
          UploadId: begun.UploadId,
          PartNumber: index + 1,
          Body,
          ChecksumAlgorithm: algorithm,
        }),
      );
      Parts.push({ PartNumber: index + 1, ETag: part.ETag, [field(algorithm)]: part[field(algorithm)] });
    }
    const complete = (overrides: Record<string, unknown> = {}) =>
      s3.send(
        new CompleteMultipartUploadCommand({
          Bucket,
          Key: 'k',
          UploadId: begun.UploadId,
          MultipartUpload: { Parts },
          ...extra,
          ...overrides,
        }),
      );
    const head = () => s3.send(new HeadObjectCommand({ Bucket, Key: 'k', ChecksumMode: 'ENABLED' }));
    return { Bucket, Parts, complete, head, s3 };
  }

  const parts = [pattern(5 * MiB, 1), pattern(5 * MiB + 3, 2), pattern(17, 3)];

  for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME'] as const) {
    test(`FULL_OBJECT ${algorithm} of parts is that of the whole object`, async () => {
      const { complete, head, s3 } = await upload(algorithm, 'FULL_OBJECT', parts);
      const done = await complete();
      const told = await head();
      assert.equal(told.ChecksumType, 'FULL_OBJECT');
      assert.equal(done[field(algorithm)], told[field(algorithm)]);
      // The same bytes in one piece, for which it is computed at one go.
      const Bucket = await target.bucket();
      const whole = await s3.send(
        new PutObjectCommand({
          Bucket,
          Key: 'k',
          Body: Buffer.concat(parts),
          ChecksumAlgorithm: algorithm,
        }),
      );
      assert.equal(told[field(algorithm)], whole[field(algorithm)]);
    });
  }

  for (const algorithm of ['CRC32', 'CRC32C', 'SHA1', 'SHA256'] as const) {
    test(`COMPOSITE ${algorithm} is of the parts' checksums, with their number`, async () => {
      const { Parts, complete, head } = await upload(algorithm, 'COMPOSITE', parts);
      await complete();
      const told = await head();
      assert.equal(told.ChecksumType, 'COMPOSITE');
      const joined = Buffer.concat(Parts.map((part) => Buffer.from(String(part[field(algorithm)]), 'base64')));
      assert.match(told[field(algorithm)]!, /-3$/);
      if (algorithm === 'CRC32') assert.equal(told.ChecksumCRC32, `${crc32Text(joined)}-3`);
      if (algorithm.startsWith('SHA')) {
        assert.equal(
          told[field(algorithm)],
          `${createHash(algorithm.toLowerCase()).update(joined).digest('base64')}-3`,
        );
      }
    });
  }

  test('the CRC-32 of the whole, given at the completion, is checked against the combined one', async () => {
    const { complete, head } = await upload('CRC32', 'FULL_OBJECT', parts);
    const right = crc32Text(Buffer.concat(parts));
    const wrong = crc32Text(Buffer.from('something else'));
    const failed = await failure(complete({ ChecksumCRC32: wrong, ChecksumType: 'FULL_OBJECT' }));
    assert.deepEqual([failed.name, failed.status], ['BadDigest', 400]);
    const done = await complete({ ChecksumCRC32: right, ChecksumType: 'FULL_OBJECT' });
    assert.equal(done.ChecksumCRC32, right);
    assert.equal((await head()).ChecksumCRC32, right);
  });

  test('a wrong checksum of a part at the completion is InvalidPart, a missing one of a composite InvalidRequest', async () => {
    const { Parts, complete } = await upload('CRC32', 'COMPOSITE', [pattern(10)]);
    const wrong = [{ ...Parts[0], ChecksumCRC32: crc32Text(Buffer.from('x')) }];
    assert.equal((await failure(complete({ MultipartUpload: { Parts: wrong } }))).name, 'InvalidPart');
    const bare = [{ PartNumber: 1, ETag: Parts[0]!.ETag }];
    const missing = await failure(complete({ MultipartUpload: { Parts: bare } }));
    assert.equal(missing.name, 'InvalidRequest');
    assert.match(
      missing.message,
      /The complete request must include the checksum for each part\. It was missing for part 1/,
    );
  });

  test('a part with another checksum than its upload is refused', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const begun = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'k', ChecksumAlgorithm: 'SHA256' }));
    const failed = await failure(
      s3.send(
        new UploadPartCommand({
          Bucket,
          Key: 'k',
          UploadId: begun.UploadId,
          PartNumber: 1,
          Body: 'x',
          ChecksumAlgorithm: 'CRC32',
        }),
      ),
    );
    assert.equal(failed.name, 'InvalidRequest');
    assert.equal(
      failed.message,
      'Checksum Type mismatch occurred, expected checksum Type: sha256, actual checksum Type: crc32',
    );
  });

  test('the size of the whole, given at the completion, is checked', async () => {
    const { complete } = await upload('CRC32', 'FULL_OBJECT', [pattern(10)]);
    assert.equal((await failure(complete({ MpuObjectSize: 11 }))).name, 'InvalidRequest');
    await complete({ MpuObjectSize: 10 });
  });

  test('checksum types that cannot be are refused at the beginning', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    for (const [ChecksumAlgorithm, ChecksumType] of [
      ['SHA256', 'FULL_OBJECT'],
      ['CRC64NVME', 'COMPOSITE'],
    ] as const) {
      const failed = await failure(
        s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'k', ChecksumAlgorithm, ChecksumType })),
      );
      assert.equal(failed.name, 'InvalidRequest');
    }
  });

  test('the SDK checks the checksum of what it reads', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: pattern(100_000) }));
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'k' }));
    assert.equal(typeof got.ChecksumCRC32, 'string');
    await got.Body!.transformToByteArray();
  });
});
