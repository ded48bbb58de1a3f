import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { after, before, beforeEach, suite, test } from 'node:test';
import { DecryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { type FaultRule, type LocalEndpoint, startLocalEndpoint } from '../../src/local/index.ts';
import { presign } from './conformance/signer.ts';
import { failure, MiB, pattern } from './conformance/target.ts';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

suite('fault rules', () => {
  let local: LocalEndpoint;
  let s3: S3Client;
  let kms: KMSClient;
  const agent = new Agent({ keepAlive: true });
  const body = pattern(3 * MiB);
  const Bucket = 'faults';

  before(async () => {
    local = await startLocalEndpoint();
    s3 = new S3Client({ ...local.s3Config, maxAttempts: 1 });
    kms = new KMSClient({ ...local.kmsConfig, maxAttempts: 1 });
    await s3.send(new CreateBucketCommand({ Bucket }));
    await s3.send(new PutObjectCommand({ Bucket, Key: 'there', Body: body }));
  });
  beforeEach(async () => {
    local.faults.clear();
    await local.requests.settled();
    local.requests.clear();
  });
  after(async () => {
    s3.destroy();
    kms.destroy();
    agent.destroy();
    await local.close({ graceMs: 100 });
  });

  /** A GET by hand, to see exactly what arrives and how it ends. */
  async function get(
    key = 'there',
  ): Promise<{ response: IncomingMessage; bytes: Buffer; error: NodeJS.ErrnoException | undefined }> {
    const host = new URL(local.endpoint).host;
    const path = presign(local.credentials, {
      method: 'GET',
      path: `/${Bucket}/${key}`,
      host,
      region: local.region,
      expires: 60,
    });
    const sent: ClientRequest = request(`${local.endpoint}${path}`, { agent });
    sent.end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    sent.on('error', () => {}); // told by the response as well
    const chunks: Buffer[] = [];
    let error: NodeJS.ErrnoException | undefined;
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch (problem) {
      error = problem as NodeJS.ErrnoException;
    }
    return { response, bytes: Buffer.concat(chunks), error };
  }

  test('a status is answered with the error of the service, and nothing is done', async () => {
    const cases: [FaultRule, string, number][] = [
      [{ status: 500 }, 'InternalError', 500],
      [{ status: 503 }, 'SlowDown', 503],
      [{ status: 400 }, 'RequestTimeout', 400],
      [{ status: 403 }, 'AccessDenied', 403],
      [{ status: 429 }, 'TooManyRequests', 429],
      [{ status: 503, code: 'ServiceUnavailable', message: 'not now' }, 'ServiceUnavailable', 503],
    ];
    for (const [rule, code, status] of cases) {
      local.faults.set([{ operation: 'PutObject', ...rule }]);
      const failed = await failure(s3.send(new PutObjectCommand({ Bucket, Key: 'new', Body: 'x' })));
      assert.deepEqual([failed.name, failed.status], [code, status]);
    }
    assert.equal((await failure(s3.send(new HeadObjectCommand({ Bucket, Key: 'new' })))).status, 404);
  });

  test('Retry-After is sent where a rule has one', async () => {
    local.faults.add({ operation: 'GetObject', status: 503, retryAfter: 7 });
    const { response } = await get();
    assert.equal(response.statusCode, 503);
    assert.equal(response.headers['retry-after'], '7');
  });

  test('the log has the hash of a body that a rule refused, and the same part sent again has the same', async () => {
    local.faults.add({ name: 'every part once', operation: 'UploadPart', per: 'part', status: 503 });
    const patient = new S3Client({ ...local.s3Config, maxAttempts: 3 });
    const Body = pattern(11 * MiB);
    await new Upload({ client: patient, params: { Bucket, Key: 'parts', Body } }).done();
    patient.destroy();
    await local.requests.settled();
    const parts = local.requests.all('UploadPart');
    for (const number of [1, 2, 3]) {
      const sent = parts.filter((entry) => entry.partNumber === number);
      const bytes = Body.subarray((number - 1) * 5 * MiB, number * 5 * MiB);
      assert.deepEqual(
        sent.map((entry) => entry.status),
        [503, 200],
        `part ${number}`,
      );
      for (const entry of sent) {
        assert.equal(entry.bodySha256, sha256(bytes));
        assert.equal(entry.bytesIn, bytes.length);
        assert.equal(entry.complete, true);
      }
      assert.equal(sent[0]!.fault, 'every part once');
    }
    assert.equal(local.faults.installed[0]!.hits, 3);
  });

  test('rules choose by operation, key, prefix of keys, part, and by how many came before', async () => {
    const outcome = async (rule: FaultRule, commands: readonly (() => Promise<unknown>)[]): Promise<string[]> => {
      local.faults.set([rule]);
      const results: string[] = [];
      for (const command of commands)
        results.push(
          await command().then(
            () => 'ok',
            () => 'failed',
          ),
        );
      return results;
    };
    const put = (Key: string) => () => s3.send(new PutObjectCommand({ Bucket, Key, Body: 'x' }));
    const head = (Key: string) => () => s3.send(new HeadObjectCommand({ Bucket, Key }));
    await put('a/1')();
    await put('b')();
    assert.deepEqual(await outcome({ operation: 'PutObject', status: 500 }, [head('b'), put('b'), put('b')]), [
      'ok',
      'failed',
      'ok',
    ]);
    assert.deepEqual(
      await outcome({ operation: ['PutObject', 'HeadObject'], status: 500, times: 'always' }, [head('b'), put('b')]),
      ['failed', 'failed'],
    );
    assert.deepEqual(await outcome({ key: 'b', status: 500 }, [head('a/1'), head('b')]), ['ok', 'failed']);
    assert.deepEqual(await outcome({ key: 'a/*', status: 500 }, [head('b'), head('a/1')]), ['ok', 'failed']);
    assert.deepEqual(await outcome({ bucket: 'other', status: 500 }, [head('b')]), ['ok']);
    assert.deepEqual(await outcome({ status: 500, nth: 2, times: 2 }, [head('b'), head('b'), head('b'), head('b')]), [
      'ok',
      'failed',
      'failed',
      'ok',
    ]);
    assert.deepEqual(await outcome({ status: 500, per: 'key' }, [head('b'), head('a/1'), head('b')]), [
      'failed',
      'failed',
      'ok',
    ]);
    local.faults.clear();
    const begun = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'p' }));
    const part = (PartNumber: number) => () =>
      s3.send(new UploadPartCommand({ Bucket, Key: 'p', UploadId: begun.UploadId, PartNumber, Body: 'x' }));
    assert.deepEqual(await outcome({ partNumber: [2, 3], status: 500, times: 'always' }, [part(1), part(2), part(3)]), [
      'ok',
      'failed',
      'failed',
    ]);
  });

  test('a connection is reset before a byte of the request is read, or after some of them', async () => {
    for (const [resetRequestAfter, least] of [
      [0, 0],
      [MiB, MiB],
    ] as const) {
      local.faults.set([{ operation: 'PutObject', resetRequestAfter }]);
      local.requests.clear();
      const failed = await failure(s3.send(new PutObjectCommand({ Bucket, Key: 'cut', Body: body })));
      assert.match(`${failed.code} ${failed.message}`, /ECONNRESET|EPIPE|socket hang up/);
      await local.requests.settled();
      const [entry] = local.requests.all('PutObject');
      assert.equal(entry?.status, 0);
      assert.equal(entry.complete, false);
      assert.ok(entry.bytesIn >= least && entry.bytesIn < body.length, `received ${entry.bytesIn}`);
    }
    assert.equal((await failure(s3.send(new HeadObjectCommand({ Bucket, Key: 'cut' })))).status, 404);
  });

  test('the hash of a body that was cut is of the bytes that came', async () => {
    local.faults.add({ operation: 'PutObject', resetRequestAfter: MiB });
    await failure(s3.send(new PutObjectCommand({ Bucket, Key: 'cut', Body: body })));
    await local.requests.settled();
    const [entry] = local.requests.all('PutObject');
    assert.equal(entry!.bodySha256, sha256(body.subarray(0, entry!.bytesIn)));
  });

  test('an answer is cut after a number of bytes, by a reset or in an orderly way', async () => {
    for (const rule of [{ resetResponseAfter: 100_000 }, { truncateAfter: 100_000 }] as const) {
      local.faults.set([{ operation: 'GetObject', ...rule }]);
      const { response, bytes, error } = await get();
      assert.equal(response.statusCode, 200);
      assert.equal(response.headers['content-length'], String(body.length));
      assert.equal(error?.code, 'ECONNRESET');
      // A reset may overtake bytes that were already sent; an orderly end does not.
      if ('truncateAfter' in rule) assert.equal(bytes.length, 100_000);
      else assert.ok(bytes.length <= 100_000);
      assert.ok(bytes.equals(body.subarray(0, bytes.length)));
      await local.requests.settled();
      const entry = local.requests.all('GetObject').at(-1)!;
      assert.equal(entry.answered, false);
      assert.equal(entry.bytesOut, 100_000);
    }
  });

  test('a reset before the answer leaves the client without a status', async () => {
    local.faults.add({ operation: 'GetObject', resetResponseAfter: 0 });
    await assert.rejects(get(), /ECONNRESET|socket hang up/);
    await local.requests.settled();
    assert.equal(local.requests.all('GetObject')[0]?.status, 0);
  });

  test('an answer stalls in the middle, for a while or until the client gives up', async () => {
    local.faults.add({ operation: 'GetObject', stallResponseAfter: 1000, stallMs: 150 });
    const started = performance.now();
    const { bytes } = await get();
    assert.ok(performance.now() - started >= 140);
    assert.ok(bytes.equals(body));

    local.faults.set([{ operation: 'GetObject', stallResponseAfter: 1000 }]);
    const abort = new AbortController();
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'there' }), { abortSignal: abort.signal });
    const stream = got.Body as unknown as IncomingMessage;
    const [first] = (await once(stream, 'data')) as [Buffer];
    assert.equal(first.length, 1000);
    stream.destroy();
    await local.requests.settled();
    assert.equal(local.requests.all('GetObject').at(-1)?.bytesOut, 1000);
  });

  test('reading of a request stalls until the client gives up', async () => {
    local.faults.add({ operation: 'PutObject', stallRequestAfter: 0 });
    const failed = await failure(
      s3.send(new PutObjectCommand({ Bucket, Key: 'stalled', Body: body }), { abortSignal: AbortSignal.timeout(150) }),
    );
    assert.equal(failed.name, 'AbortError');
    await local.requests.settled();
    assert.equal((await failure(s3.send(new HeadObjectCommand({ Bucket, Key: 'stalled' })))).status, 404);
  });

  test('an answer drips', async () => {
    await s3.send(new PutObjectCommand({ Bucket, Key: 'small', Body: pattern(20_000) }));
    local.faults.add({ operation: 'GetObject', dripBytesPerSecond: 100_000 });
    const started = performance.now();
    const { bytes } = await get('small');
    const took = performance.now() - started;
    assert.ok(bytes.equals(pattern(20_000)));
    assert.ok(took >= 150, `took ${took} ms, expected about 200`);
  });

  test('a wrong ETag is answered although all was done', async () => {
    local.faults.add({ operation: 'PutObject', etag: '"wrong"' });
    const put = await s3.send(new PutObjectCommand({ Bucket, Key: 'etag', Body: 'x' }));
    assert.equal(put.ETag, '"wrong"');
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key: 'etag' }));
    assert.match(head.ETag!, /^"[0-9a-f]{32}"$/);
    local.faults.set([{ operation: 'CopyObject', etag: '"wrong"' }]);
    const copy = await s3.send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/etag` }));
    assert.equal(copy.CopyObjectResult?.ETag, '"wrong"');
  });

  test('one byte of an answer is flipped, wherever it lies, and the object stays as it is', async () => {
    for (const flipByteAt of [0, 65_535, 524_288, body.length - 1]) {
      local.faults.set([{ operation: 'GetObject', flipByteAt, flipMask: 0x80 }]);
      const { bytes } = await get();
      const expected = Buffer.from(body);
      expected[flipByteAt]! ^= 0x80;
      assert.ok(bytes.equals(expected), `byte ${flipByteAt}`);
    }
    assert.ok((await get()).bytes.equals(body));
  });

  test('a lost answer is of something that was done', async () => {
    local.faults.add({ operation: 'PutObject', loseAnswer: true });
    await failure(s3.send(new PutObjectCommand({ Bucket, Key: 'lost', Body: 'done all the same' })));
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'lost' }));
    assert.equal(await got.Body!.transformToString(), 'done all the same');
  });

  test('Complete and Copy answer 200 with an error inside, and nothing is done', async () => {
    const begun = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'in200' }));
    const upload = { Bucket, Key: 'in200', UploadId: begun.UploadId };
    const part = await s3.send(new UploadPartCommand({ ...upload, PartNumber: 1, Body: 'x' }));
    const complete = new CompleteMultipartUploadCommand({
      ...upload,
      MultipartUpload: { Parts: [{ PartNumber: 1, ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32 }] },
    });
    local.faults.add({ operation: ['CompleteMultipartUpload', 'CopyObject'], errorIn200: true, times: 2 });
    const failed = await failure(s3.send(complete));
    assert.equal(failed.name, 'InternalError');
    const copy = await failure(
      s3.send(new CopyObjectCommand({ Bucket, Key: 'copied', CopySource: `${Bucket}/there` })),
    );
    assert.equal(copy.name, 'InternalError');
    await local.requests.settled();
    assert.deepEqual(
      local.requests.all('CompleteMultipartUpload').map((entry) => [entry.status, entry.error]),
      [[200, 'InternalError']],
    );
    assert.equal((await failure(s3.send(new HeadObjectCommand(upload)))).status, 404);
    assert.equal((await s3.send(complete)).Key, 'in200');
  });

  test('a delay comes before everything else', async () => {
    local.faults.add({ operation: 'HeadObject', delay: 120 });
    const started = performance.now();
    await s3.send(new HeadObjectCommand({ Bucket, Key: 'there' }));
    assert.ok(performance.now() - started >= 115);
  });

  test('KMS is throttled, denied, or out of order', async () => {
    const { CiphertextBlob } = await kms.send(
      new GenerateDataKeyCommand({ KeyId: 'alias/sealpipe', KeySpec: 'AES_256' }),
    );
    const cases: [FaultRule, string][] = [
      [{ status: 400 }, 'ThrottlingException'],
      [{ status: 400, code: 'AccessDeniedException', message: 'User: x is not authorized' }, 'AccessDeniedException'],
      [{ status: 500 }, 'KMSInternalException'],
      [{ status: 503 }, 'DependencyTimeoutException'],
    ];
    for (const [rule, name] of cases) {
      local.faults.set([{ operation: 'KMS.*', ...rule }]);
      assert.equal((await failure(kms.send(new DecryptCommand({ CiphertextBlob })))).name, name);
    }
    local.faults.set([{ operation: 'KMS.Decrypt', resetRequestAfter: 0, times: 'always' }]);
    await failure(kms.send(new DecryptCommand({ CiphertextBlob })));
    local.faults.clear();
    await kms.send(new DecryptCommand({ CiphertextBlob }));
  });

  test('an early refusal does not wait for the body', async () => {
    local.faults.add({ operation: 'PutObject', status: 503, early: true });
    const failed = await failure(s3.send(new PutObjectCommand({ Bucket, Key: 'early', Body: body })));
    assert.match(`${failed.name} ${failed.code}`, /SlowDown|ECONNRESET|EPIPE/);
    await local.requests.settled();
    const [entry] = local.requests.all('PutObject');
    assert.equal(entry?.status, 503);
    assert.equal(entry.complete, false);
  });

  test('a rule that is removed strikes no more, and what strikes how often is told', async () => {
    const rule = local.faults.add({ name: 'heads', operation: 'HeadObject', status: 500, times: 'always' });
    await failure(s3.send(new HeadObjectCommand({ Bucket, Key: 'there' })));
    assert.equal(rule.hits, 1);
    assert.equal(local.faults.installed.length, 1);
    rule.remove();
    assert.equal(local.faults.installed.length, 0);
    await s3.send(new HeadObjectCommand({ Bucket, Key: 'there' }));
    await local.requests.settled();
    assert.deepEqual(
      local.requests.all().map((entry) => entry.fault),
      ['heads', undefined],
    );
  });

  test('a rule that makes no sense is a TypeError that says why, and changes nothing', () => {
    local.faults.add({ status: 500 });
    const wrong: [unknown, RegExp][] = [
      [{}, /must have an effect/],
      [{ operation: 'GetObject' }, /must have an effect/],
      [{ code: 'X' }, /must have an effect/],
      [{ status: 200 }, /300 to 599/],
      [{ status: '503' }, /status .* cannot be "503"/],
      [{ statuss: 503 }, /no property "statuss"/],
      [{ status: 503, times: -1 }, /times/],
      [{ status: 503, nth: 0 }, /counts from 1/],
      [{ status: 503, per: 'bucket' }, /per/],
      [{ dripBytesPerSecond: 0 }, /above 0/],
      [null, /must be an object/],
      ['x', /must be an object/],
    ];
    for (const [rule, message] of wrong) {
      assert.throws(() => local.faults.add(rule as FaultRule), { name: 'TypeError', message });
      assert.throws(() => local.faults.set([{ status: 500 }, rule as FaultRule]), { name: 'TypeError', message });
    }
    assert.equal(local.faults.installed.length, 1);
  });
});
