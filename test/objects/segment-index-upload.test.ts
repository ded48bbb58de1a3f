import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, before, beforeEach, describe, test } from 'node:test';
import { indexLength } from '../../src/crypto/segment-index.ts';
import { SealpipeError } from '../../src/errors.ts';
import type { UploadOptions } from '../../src/multipart/encrypted-upload.ts';
import { plaintextUpload } from '../../src/multipart/plaintext-upload.ts';
import { Bucket, bytesOf, rejection, TestEndpoint } from '../support/endpoint.ts';
import { expectedIndex } from '../support/segment-indexes.ts';

const MiB = 1024 * 1024;
const partSize = 5 * MiB;
const content = randomBytes(3 * partSize + 12_345);
const folder = mkdtempSync(join(tmpdir(), 'sealpipe-index-'));
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

/** Workers come in with unknown lengths. */
const engines: Record<string, UploadOptions> = {
  'the serial engine': { workers: 0, partSize },
  'the parallel engine': { workers: 2, partSize },
};

const stream = (bytes = content): Readable => Readable.from([bytes.subarray(0, 70_001), bytes.subarray(70_001)]);

async function assertIndexed(Key: string, segmentSize = 65_536): Promise<void> {
  const index = await endpoint.stored(Key.replace(/[^/]*$/, '.$&.segments'));
  assert.deepEqual(index.body, await expectedIndex(endpoint, Key, segmentSize));
}

async function missing(Key: string): Promise<void> {
  const error = await rejection(endpoint.stored(Key));
  assert.equal((error as Error).name, 'NoSuchKey');
}

for (const [name, options] of Object.entries(engines)) {
  describe(name, () => {
    const at = (key: string): string => `${name}/${key}`;
    const upload = (
      Key: string,
      Body: Buffer | Readable | { path: string },
      more: UploadOptions = {},
    ): Promise<unknown> =>
      endpoint
        .encrypted()
        .upload({ Bucket, Key: at(Key), Body }, { ...options, segmentIndex: true, ...more })
        .done();

    test('writes the index of a stream at one look and one PUT more, just before Complete', async () => {
      const counts = await endpoint.requestsOf(() => upload('stream', stream()));
      assert.deepEqual(counts, {
        'KMS.GenerateDataKey': 1,
        GetObject: 1,
        CreateMultipartUpload: 1,
        UploadPart: 4,
        PutObject: 1,
        CompleteMultipartUpload: 1,
      });
      const operations = endpoint.local.requests.all().map(({ operation }) => operation);
      assert.deepEqual(operations.slice(-2), ['PutObject', 'CompleteMultipartUpload']);
      await assertIndexed(at('stream'));
      assert.ok((await bytesOf((await endpoint.encrypted().get({ Bucket, Key: at('stream') })).body)).equals(content));
    });

    test('indexes buffers, files, single PUTs and empty objects alike', async () => {
      await upload('buffer', content);
      await upload('file', { path: file });
      for (const length of [0, 1, 65_535, 65_536, 65_537, 131_072]) {
        await upload(`small-${length}`, content.subarray(0, length));
        await assertIndexed(at(`small-${length}`));
        await upload(`short-${length}`, stream(content.subarray(0, length)));
        await assertIndexed(at(`short-${length}`));
      }
      await assertIndexed(at('buffer'));
      await assertIndexed(at('file'));
      const { body } = await endpoint.stored(at('.small-0.segments'));
      assert.equal(body.length, indexLength(0, 65_536));
    });

    test('rounds parts up to whole segments', async () => {
      const segmentSize = 256 * 1024;
      await upload('rounded', stream(), { partSize: partSize + 16, segmentIndex: { segmentSize } });
      const sizes = endpoint.local.requests
        .all()
        .filter(({ operation }) => operation === 'UploadPart')
        .map(({ bytesIn }) => bytesIn);
      assert.equal(Math.max(...sizes), partSize + segmentSize);
      await assertIndexed(at('rounded'), segmentSize);
    });

    test('takes an object whose last segment, and last part, is full', async () => {
      await upload('full', stream(content.subarray(0, 2 * partSize)));
      await assertIndexed(at('full'));
    });

    test('works with format V2 and an instruction file', async () => {
      const s3 = endpoint.encrypted({ suite: 'gcm', commitmentPolicy: 'FORBID_ENCRYPT_ALLOW_DECRYPT' });
      const storage = 'instruction-file';
      await s3.upload({ Bucket, Key: at('v2'), Body: stream() }, { ...options, storage, segmentIndex: true }).done();
      await assertIndexed(at('v2'));
    });

    test('writes no index, and asks for none, unless told to', async () => {
      const counts = await endpoint.requestsOf(() =>
        upload('without', content.subarray(0, 100), { segmentIndex: false }),
      );
      assert.deepEqual(counts, { 'KMS.GenerateDataKey': 1, PutObject: 1 });
      await missing(at('.without.segments'));
    });
  });
}

describe('an upload with an index', () => {
  const upload = (Key: string, options: UploadOptions = {}, more: object = {}): Promise<unknown> =>
    endpoint
      .encrypted()
      .upload({ Bucket, Key, Body: content.subarray(0, 100_000), ...more }, { segmentIndex: true, ...options })
      .done();

  test('can be a write stream', async () => {
    const target = endpoint.encrypted().createWriteStream({ Bucket, Key: 'written' }, { segmentIndex: true });
    await pipeline(stream(content.subarray(0, 300_000)), target);
    await assertIndexed('written');
  });

  test('writes it anew under the new data key when it starts over', async () => {
    endpoint.local.faults.add({ operation: 'PutObject', key: 'again', times: 2, status: 500 });
    await upload('again', { restarts: 1, partAttempts: 2 }, { Body: content.subarray(0, 200_000) });
    await assertIndexed('again');
  });

  test('sends it again when that fails, and counts the repeat', async () => {
    endpoint.local.faults.add({ operation: 'PutObject', key: '.retried.segments', times: 2, status: 500 });
    const result = (await upload('retried')) as { retries: number };
    assert.equal(result.retries, 2);
    await assertIndexed('retried');
  });

  test('that cannot store it leaves neither index nor object nor parts', async () => {
    endpoint.local.faults.add({ operation: 'PutObject', key: '.denied.segments', status: 403 });
    const body = { Body: stream() };
    const error = await rejection(upload('denied', { partSize }, body));
    assert.ok(error instanceof SealpipeError);
    assert.equal(error.code, 'ERR_SEALPIPE_ACCESS_DENIED');
    await missing('denied');
    await missing('.denied.segments');
    await endpoint.assertNoUploads();
  });

  test('that fails after it takes it away again', async () => {
    endpoint.local.faults.add({ operation: 'CompleteMultipartUpload', key: 'gone', status: 403 });
    await rejection(upload('gone', { partSize }, { Body: stream() }));
    await missing('.gone.segments');
    await endpoint.assertNoUploads();
  });

  test('overwrites an index of ours, and nothing else', async () => {
    await upload('over');
    await upload('over');
    await assertIndexed('over');
    for (const body of ['', 'somebody’s notes', Buffer.alloc(64)]) {
      await endpoint.store('.over.segments', body);
      const counts = await endpoint.requestsOf(async () => {
        const error = await rejection(upload('over'));
        assert.ok(error instanceof SealpipeError);
        assert.equal(error.code, 'ERR_SEALPIPE_COMMAND_REFUSED');
        assert.match(error.message, /\.over\.segments exists and is no segment index/);
      });
      assert.equal(counts.PutObject, undefined);
    }
  });

  test('whose object must not be there leaves the index of the one that is', async () => {
    await upload('kept');
    const before = (await endpoint.stored('.kept.segments')).body;
    const error = await rejection(upload('kept', {}, { IfNoneMatch: '*' }));
    assert.equal((error as SealpipeError).code, 'ERR_SEALPIPE_PRECONDITION_FAILED');
    const other = await rejection(upload('kept', {}, { IfMatch: '"00000000000000000000000000000000"' }));
    assert.equal((other as SealpipeError).code, 'ERR_SEALPIPE_PRECONDITION_FAILED');
    assert.deepEqual((await endpoint.stored('.kept.segments')).body, before);
    await upload('new', {}, { IfNoneMatch: '*' });
    await assertIndexed('new');
  });

  test('is refused for keys that can have none, by name and before anything is sent', async () => {
    const counts = await endpoint.requestsOf(async () => {
      await assert.rejects(async () => upload('folder/'), /its key ends in a slash/);
      await assert.rejects(async () => upload('x'.repeat(1015)), /would have more than 1024 bytes/);
      await assert.rejects(async () => upload('odd', { segmentIndex: { segmentSize: 5000 } }), RangeError);
    });
    assert.deepEqual(counts, {});
    const plain = { client: endpoint.client, params: { Bucket, Key: 'plain', Body: 'x' } };
    assert.throws(() => plaintextUpload({ ...plain, segmentIndex: true } as never), /no key to make one with/);
  });

  test('is refused where an index would lie, with or without one of its own', async () => {
    for (const segmentIndex of [true, false]) {
      const error = await rejection((async () => upload('t/.part-0.segments', { segmentIndex }))());
      assert.equal((error as SealpipeError).code, 'ERR_SEALPIPE_COMMAND_REFUSED');
      assert.match((error as Error).message, /segment index of t\/part-0 lies/);
    }
    await upload('t/.segments');
    await upload('t/part.segments');
  });
});
