import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, before, beforeEach, describe, test } from 'node:test';
import { SealpipeError } from '../../src/errors.ts';
import type { RequestLogEntry } from '../../src/local/index.ts';
import type { UploadOptions } from '../../src/multipart/encrypted-upload.ts';
import type { UploadBody } from '../../src/multipart/upload-body.ts';
import { Bucket, bytesOf, rejection, TestEndpoint } from '../support/endpoint.ts';

const MiB = 1024 * 1024;
const partSize = 5 * MiB;
const content = randomBytes(3 * partSize + 12_345);
const folder = mkdtempSync(join(tmpdir(), 'sealpipe-upload-'));
const file = join(folder, 'source');
writeFileSync(file, content);

let endpoint: TestEndpoint;
before(async () => {
  endpoint = await TestEndpoint.start();
});
beforeEach(() => {
  endpoint.local.faults.clear();
  endpoint.local.requests.clear();
});
after(async () => {
  await endpoint.close();
  rmSync(folder, { recursive: true });
});

function* pieces(bytes: Buffer, step: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
}

/** The engines, each of which has to keep every promise of this file. Workers come in from 64 MiB on, or with unknown lengths. */
const engines: Record<string, UploadOptions> = {
  'the serial engine': { workers: 0, partSize },
  'the parallel engine, sending through the client': { workers: 2, partSize, transport: 'client' },
  'the parallel engine, sending from the workers': { workers: 2, partSize, transport: 'workers' },
};

for (const [name, options] of Object.entries(engines)) {
  describe(name, () => {
    const stream = (bytes = content): Readable => Readable.from(pieces(bytes, 100_000));
    const upload = (
      Key: string,
      Body: UploadBody = stream(),
      more: UploadOptions = {},
    ): ReturnType<ReturnType<TestEndpoint['encrypted']>['upload']> =>
      endpoint.encrypted().upload({ Bucket, Key, Body }, { ...options, ...more });
    const read = async (Key: string): Promise<Buffer> =>
      bytesOf((await endpoint.encrypted().get({ Bucket, Key })).body);

    test('a stream of unknown length goes up in parts, at one KMS call and no request more than needed', async () => {
      const counts = await endpoint.requestsOf(() => upload('stream').done());
      assert.deepEqual(counts, {
        'KMS.GenerateDataKey': 1,
        CreateMultipartUpload: 1,
        UploadPart: 4,
        CompleteMultipartUpload: 1,
      });
      const reading = await endpoint.requestsOf(async () => assert.ok((await read('stream')).equals(content)));
      assert.deepEqual(reading, { 'KMS.Decrypt': 1, GetObject: 1 });
    });

    test('sizes around the part size read back, a single PUT up to it', async () => {
      for (const length of [
        0,
        1,
        partSize - 16,
        partSize - 1,
        partSize,
        partSize + 1,
        2 * partSize - 8,
        2 * partSize,
      ]) {
        const bytes = content.subarray(0, length);
        const result = await upload(`size-${length}`, stream(bytes)).done();
        assert.equal(result.plaintextSize, length);
        assert.equal(result.storedSize, length + 16);
        assert.equal(result.parts, length <= partSize ? 1 : Math.ceil((length + 16) / partSize), `length ${length}`);
        assert.ok((await read(`size-${length}`)).equals(bytes), `length ${length}`);
      }
    });

    test('a rule that fails every part once makes each part go twice, with the same bytes', async () => {
      endpoint.local.faults.add({ operation: 'UploadPart', per: 'part', status: 503 });
      const retries: unknown[] = [];
      const running = upload('each-part-twice');
      running.on('partRetry', ({ part, attempt }) => retries.push([part, attempt]));
      const result = await running.done();
      assert.equal(result.retries, 4);
      assert.deepEqual(
        retries.sort(),
        [1, 2, 3, 4].map((part) => [part, 1]),
      );
      const sends = groupByPart(endpoint.local.requests.all('UploadPart'));
      for (const [part, sent] of sends) {
        assert.deepEqual(
          sent.map(({ status }) => status),
          [503, 200],
          `part ${part}`,
        );
        assert.equal(
          new Set(sent.map(({ bodySha256 }) => bodySha256)).size,
          1,
          `part ${part} had other bytes the second time`,
        );
        assert.ok(sent.every(({ complete }) => complete));
      }
      assert.ok((await read('each-part-twice')).equals(content));
    });

    for (const [fault, rule] of Object.entries({
      'a connection reset in the middle of a part': { resetRequestAfter: 1_000_000 },
      'a connection reset before a part': { resetRequestAfter: 0 },
      'a lost answer': { loseAnswer: true },
      'a 500': { status: 500 },
      'a 429': { status: 429 },
      'an error under a status of success': { errorIn200: true },
      'an S3 RequestTimeout': { status: 400, code: 'RequestTimeout' },
      'an early 503, before the body was received': { status: 503, early: true },
      'a stalled connection': { stallRequestAfter: 100_000, stallMs: 6_000 },
    })) {
      test(`${fault} is mended by sending the same bytes again`, async () => {
        endpoint.local.faults.add({ operation: 'UploadPart', partNumber: 2, ...rule });
        const result = await upload('mended', stream(), {
          partTimeout: fault.includes('stalled') ? 2500 : 60_000,
        }).done();
        assert.equal(result.retries, 1);
        assert.ok((await read('mended')).equals(content));
        await endpoint.assertNoUploads();
        // While the endpoint does not read, it does not see either that nobody sends any more.
        await endpoint.local.requests.settled();
      });
    }

    test('a part that always fails ends a stream with RESTART_REQUIRED, and nothing of the upload is left', async () => {
      endpoint.local.faults.add({ operation: 'UploadPart', partNumber: 3, times: 'always', status: 503 });
      const error = await rejection(upload('always', stream(), { partAttempts: 3 }).done());
      assert.ok(error instanceof SealpipeError);
      assert.equal(error.code, 'ERR_SEALPIPE_RESTART_REQUIRED');
      assert.equal(error.part, 3);
      assert.equal(error.attempts, 3);
      assert.equal(error.restarts, 0);
      assert.equal(error.statusCode, 503);
      assert.ok(typeof error.uploadId === 'string' && typeof error.bytesAcknowledged === 'number');
      assert.ok(error.cause instanceof SealpipeError && error.cause.code === 'ERR_SEALPIPE_PART_FAILED');
      assert.equal(endpoint.local.requests.all('UploadPart').filter(({ partNumber }) => partNumber === 3).length, 3);
      await endpoint.assertNoUploads();
      assert.equal(
        ((await rejection(endpoint.encrypted().head({ Bucket, Key: 'always' }))) as SealpipeError).code,
        'ERR_SEALPIPE_OBJECT_NOT_FOUND',
      );
    });

    for (const [what, body] of Object.entries<() => UploadBody>({
      'a file': () => ({ path: file }),
      'a function': () => () => stream(),
      bytes: () => content,
    })) {
      test(`with ${what} as its source the upload starts over once, under a new data key`, async () => {
        endpoint.local.faults.add({ operation: 'UploadPart', partNumber: 2, times: 2, status: 500 });
        const running = upload('restarted', body(), { partAttempts: 2 });
        const restarts: unknown[] = [];
        running.on('restart', ({ restart, error }) => restarts.push([restart, error.code]));
        const result = await running.done();
        assert.equal(result.restarts, 1);
        assert.deepEqual(restarts, [[1, 'ERR_SEALPIPE_PART_FAILED']]);
        assert.equal(endpoint.local.requests.count('KMS.GenerateDataKey'), 2);
        // The part that failed: of others the first attempt may have sent nothing yet when it was ended.
        const [first, again, restarted, ...more] = endpoint.local.requests
          .all('UploadPart')
          .filter(({ partNumber }) => partNumber === 2)
          .map(({ bodySha256 }) => bodySha256);
        assert.ok(first !== undefined && restarted !== undefined && more.length === 0);
        assert.equal(again, first);
        assert.notEqual(restarted, first, 'the second attempt sent the first one’s ciphertext');
        assert.ok((await read('restarted')).equals(content));
        await endpoint.assertNoUploads();
      });
    }

    test('a file whose parts always fail is started over once, and then given up', async () => {
      endpoint.local.faults.add({ operation: 'UploadPart', partNumber: 1, times: 'always', status: 500 });
      const error = await rejection(upload('given-up', { path: file }, { partAttempts: 2 }).done());
      assert.ok(error instanceof SealpipeError && error.code === 'ERR_SEALPIPE_RESTART_REQUIRED');
      assert.equal(error.restarts, 1);
      assert.equal(endpoint.local.requests.count('CreateMultipartUpload'), 2);
      await endpoint.assertNoUploads();
    });

    test('a refusal that trying again does not change ends the upload at once, under its own code', async () => {
      endpoint.local.faults.add({ operation: 'UploadPart', partNumber: 2, status: 403, code: 'AccessDenied' });
      const error = await rejection(upload('denied', { path: file }).done());
      assert.ok(error instanceof SealpipeError && error.code === 'ERR_SEALPIPE_ACCESS_DENIED');
      assert.equal(endpoint.local.requests.count('CreateMultipartUpload'), 1);
      await endpoint.assertNoUploads();
    });

    test('a lost answer to Complete is told from a failure by looking at what is there', async () => {
      endpoint.local.faults.add({ operation: 'CompleteMultipartUpload', loseAnswer: true, times: 'always' });
      const result = await upload('lost-complete', stream(), { partAttempts: 2 }).done();
      endpoint.local.faults.clear();
      assert.equal(result.restarts, 0);
      assert.match(result.etag, /-4"$/);
      assert.ok((await read('lost-complete')).equals(content));
    });

    test('a Complete that fails in the body of a 200 is sent again', async () => {
      endpoint.local.faults.add({ operation: 'CompleteMultipartUpload', errorIn200: true });
      const result = await upload('error-in-200').done();
      assert.ok(result.retries >= 1);
      assert.ok((await read('error-in-200')).equals(content));
    });

    test('an upload that S3 forgot is started over where the source allows it', async () => {
      endpoint.local.faults.add({ operation: 'UploadPart', partNumber: 3, status: 404, code: 'NoSuchUpload' });
      const result = await upload('forgotten', { path: file }).done();
      assert.equal(result.restarts, 1);
      assert.ok((await read('forgotten')).equals(content));
      await endpoint.assertNoUploads();
    });

    test('an abort at any moment leaves nothing and rejects once', async () => {
      for (const after of ['KMS.GenerateDataKey', 'CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload']) {
        const controller = new AbortController();
        endpoint.local.faults.set([{ operation: after, delay: 60 }]);
        const timer = setTimeout(
          () => controller.abort(new Error('changed my mind')),
          after === 'KMS.GenerateDataKey' ? 10 : 40,
        );
        const outcome = await upload(`aborted-${after}`, stream(), { signal: controller.signal })
          .done()
          .catch((error: unknown) => error);
        clearTimeout(timer);
        if (outcome instanceof Error) {
          assert.ok(outcome instanceof SealpipeError && outcome.code === 'ERR_SEALPIPE_ABORTED', String(outcome));
        } else {
          // It was faster, or Complete had been sent: then the object is there, whole.
          assert.ok((await read(`aborted-${after}`)).equals(content));
        }
        endpoint.local.faults.clear();
        await endpoint.assertNoUploads();
      }
    });

    test('a source that fails in the middle ends the upload with its error as the cause, and nothing is left', async () => {
      const failing = Readable.from(
        (function* () {
          yield* pieces(content.subarray(0, 2 * partSize), 1_000_000);
          throw new Error('tape torn');
        })(),
      );
      const error = await rejection(upload('torn', failing).done());
      assert.ok(error instanceof SealpipeError && error.code === 'ERR_SEALPIPE_SOURCE_FAILED');
      assert.equal((error.cause as Error).message, 'tape torn');
      await endpoint.assertNoUploads();
    });

    test('a pipeline into createWriteStream ends when the object is in place, and leaves nothing when its source fails', async () => {
      const target = endpoint.encrypted().createWriteStream({ Bucket, Key: 'piped' }, options);
      await pipeline(stream(), target);
      assert.equal((await target.result).parts, 4);
      assert.ok((await read('piped')).equals(content));

      const broken = endpoint.encrypted().createWriteStream({ Bucket, Key: 'broken' }, options);
      const source = new Readable({ read: () => undefined });
      source.push(content.subarray(0, 2 * partSize));
      setTimeout(() => source.destroy(new Error('cable cut')), 100);
      await assert.rejects(pipeline(source, broken), /cable cut/);
      await broken.result.catch(() => undefined);
      await endpoint.assertNoUploads();
      assert.equal(
        ((await rejection(endpoint.encrypted().head({ Bucket, Key: 'broken' }))) as SealpipeError).code,
        'ERR_SEALPIPE_OBJECT_NOT_FOUND',
      );
    });

    test('If-None-Match refuses to overwrite, and leaves the object that is there', async () => {
      await upload('once', stream(content.subarray(0, 2 * partSize))).done();
      const again = endpoint.encrypted().upload({ Bucket, Key: 'once', Body: stream(), IfNoneMatch: '*' }, options);
      const error = await rejection(again.done());
      assert.ok(error instanceof SealpipeError && error.code === 'ERR_SEALPIPE_PRECONDITION_FAILED');
      assert.equal((await read('once')).length, 2 * partSize);
      await endpoint.assertNoUploads();
    });

    test('progress counts plaintext bytes, part by part, up to the total', async () => {
      const running = upload('progress', content);
      const seen: { loaded: number; total: number | undefined; part: number }[] = [];
      running.on('httpUploadProgress', ({ loaded, total, part }) => seen.push({ loaded, total, part }));
      await running.done();
      assert.deepEqual(seen.map(({ part }) => part).sort(), [1, 2, 3, 4]);
      assert.ok(seen.every(({ loaded, total }, i) => total === content.length && loaded > (seen[i - 1]?.loaded ?? 0)));
      assert.equal(seen.at(-1)?.loaded, content.length);
    });

    test('the same client is not changed, and no more parts are in flight than asked for', async () => {
      const before = JSON.stringify(endpoint.client.middlewareStack.identify());
      endpoint.local.faults.add({ operation: 'UploadPart', delay: 600, times: 'always' });
      await upload('two-at-a-time', stream(), { queueSize: 2 }).done();
      await endpoint.local.requests.settled();
      const parts = endpoint.local.requests.all('UploadPart').sort((a, b) => a.startedAt - b.startedAt);
      assert.equal(parts.length, 4);
      // A third begins only when one of the two before it has been answered, 600 ms later; 400 of them are for the entry in the log.
      for (const [i, part] of parts.entries()) {
        const running = parts
          .slice(0, i)
          .filter((other) => other.startedAt + other.milliseconds - 400 > part.startedAt);
        assert.ok(running.length < 2, `part ${part.partNumber} began while ${running.length} others were under way`);
      }
      assert.equal(JSON.stringify(endpoint.client.middlewareStack.identify()), before);
    });
  });
}

function groupByPart(entries: RequestLogEntry[]): Map<number, RequestLogEntry[]> {
  const groups = new Map<number, RequestLogEntry[]>();
  for (const entry of entries) groups.set(entry.partNumber ?? 0, [...(groups.get(entry.partNumber ?? 0) ?? []), entry]);
  return groups;
}

test('an envelope that does not fit beside the user metadata is refused before anything is sent to S3', async () => {
  const Metadata = { big: 'x'.repeat(1900) };
  const counts = await endpoint.requestsOf(async () => {
    const error = await rejection(endpoint.encrypted().upload({ Bucket, Key: 'k', Body: 'x', Metadata }).done());
    assert.ok(error instanceof SealpipeError && error.code === 'ERR_SEALPIPE_ENVELOPE_TOO_LARGE');
  });
  assert.deepEqual(counts, { 'KMS.GenerateDataKey': 1 });
  await endpoint.encrypted({ storage: 'instruction-file' }).upload({ Bucket, Key: 'k', Body: 'x', Metadata }).done();
  assert.deepEqual((await endpoint.encrypted().head({ Bucket, Key: 'k' })).metadata, Metadata);
});

test('parameters that cannot be right are refused at once', () => {
  const s3 = endpoint.encrypted();
  assert.throws(() => s3.upload({ Bucket, Key: 'k', Body: 'x' }, { partSize: partSize + 1 }), {
    name: 'RangeError',
    message: /multiple of 16: the nearest is 5242880/,
  });
  assert.throws(() => s3.upload({ Bucket, Key: 'k', Body: 'x' }, { partSize: 1024 }), RangeError);
  assert.throws(() => s3.upload({ Bucket, Key: 'k', Body: 'x' }, { queueSize: 0 }), RangeError);
  assert.throws(() => s3.upload({ Bucket: '', Key: 'k', Body: 'x' }), TypeError);
  assert.throws(() => s3.upload({ Bucket, Key: 'k', Body: undefined as never }), TypeError);
  assert.throws(() => s3.upload({ Bucket, Key: 'k', Body: 'x', ChecksumCRC32: 'AAAAAA==' } as never), TypeError);
});
