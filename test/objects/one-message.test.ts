/** Attempts to make two messages under one data key, judged by what the endpoint received. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFileSync, copyFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { after, before, beforeEach, describe, test } from 'node:test';
import * as S3 from '@aws-sdk/client-s3';
import { SealpipeError } from '../../src/errors.ts';
import type { UploadOptions } from '../../src/multipart/encrypted-upload.ts';
import { withEncryption } from '../../src/objects/with-encryption/with-encryption.ts';
import { Bucket, bytesOf, rejection, TestEndpoint } from '../support/endpoint.ts';
import { failure } from '../support/failure.ts';
import { assertOneMessageEach } from '../support/one-message.ts';
import { type RestedSource, RestedSources } from '../support/rested-sources.ts';

const MiB = 1024 * 1024;
const partSize = 5 * MiB;
const sources = new RestedSources('one-message');
let endpoint: TestEndpoint;
let count = 0;

before(async () => {
  endpoint = await TestEndpoint.start();
});
beforeEach(() => {
  endpoint.local.faults.clear();
  endpoint.local.requests.clear();
});
after(async () => {
  await endpoint.close();
  sources.remove();
});

const read = async (Key: string): Promise<Buffer> =>
  bytesOf((await endpoint.encrypted().get({ Bucket, Key }, { maxBuffered: 200 * MiB })).body);
async function assertOneMessage(): Promise<void> {
  await endpoint.local.requests.settled();
  assertOneMessageEach(endpoint.local.requests.all());
}

const newSource = (length: number): RestedSource => sources.create(length);

describe('parts that the caller sends, over withEncryption', () => {
  const client = (): S3.S3Client => withEncryption(endpoint.client, { keyring: endpoint.keyring });
  const create = async (by: S3.S3Client): Promise<{ Bucket: string; Key: string; UploadId: string }> => {
    count += 1;
    const address = { Bucket, Key: `driven-${count}` };
    return { ...address, UploadId: (await by.send(new S3.CreateMultipartUploadCommand(address))).UploadId ?? '' };
  };
  type Address = Awaited<ReturnType<typeof create>>;
  const send = async (by: S3.S3Client, address: Address, PartNumber: number, Body: Buffer) => {
    const { ETag = '' } = await by.send(new S3.UploadPartCommand({ ...address, PartNumber, Body }));
    return { PartNumber, ETag };
  };
  const complete = (by: S3.S3Client, address: Address, Parts: S3.CompletedPart[]) =>
    by.send(new S3.CompleteMultipartUploadCommand({ ...address, MultipartUpload: { Parts } }));

  test('a part sent again with other bytes, of any length, never leaves the process', async () => {
    const bytes = randomBytes(partSize);
    const flipped = Buffer.from(bytes);
    flipped[partSize - 1]! ^= 1;
    for (const [again, inFlight] of [
      [flipped, false],
      [flipped, true],
      [bytes.subarray(1), false],
      [Buffer.concat([bytes, Buffer.of(0)]), false],
    ] as const) {
      const by = client();
      const address = await create(by);
      if (inFlight) endpoint.local.faults.set([{ operation: 'UploadPart', delay: 200, status: 503 }]);
      const first = send(by, address, 1, bytes);
      if (!inFlight) await first;
      failure('PART_CHANGED')(await rejection(send(by, address, 1, again)));
      await first.catch(() => undefined);
      // What is known to have failed is not completed, either.
      failure('PART_CHANGED')(await rejection(complete(by, address, [{ PartNumber: 1, ETag: '"any"' }])));
      await by.send(new S3.AbortMultipartUploadCommand(address));
    }
    await assertOneMessage();
    assert.equal(endpoint.local.requests.count('CompleteMultipartUpload'), 0);
    await endpoint.assertNoUploads();
  });

  test('a body that changes between two sends of the SDK goes out as it first was', async () => {
    const by = client();
    const address = await create(by);
    const body = randomBytes(partSize);
    const original = Buffer.from(body);
    endpoint.local.faults.set([{ operation: 'UploadPart', delay: 50, status: 503, times: 2 }]);
    const sending = send(by, address, 1, body);
    const timer = setInterval(() => body.fill(randomBytes(1)), 5);
    const part = await sending;
    clearInterval(timer);
    await complete(by, address, [part]);
    assert.equal(endpoint.local.requests.count('UploadPart'), 4, 'three sends of the part and one of the tag');
    // Read into private memory once; what was written over it meanwhile is not in it, or the call had been too early to tell.
    const stored = await read(address.Key);
    assert.ok(stored.equals(original) || stored.every((byte) => byte === stored[0]));
    await assertOneMessage();
  });

  test('a part whose body failed comes again with what it was to have, of another length, too, or is left out', async () => {
    const by = client();
    const stream = (bytes: Buffer): Readable => Readable.from([bytes]);
    const first = randomBytes(partSize);
    const failing = (address: Address, PartNumber: number, ContentLength: number, more: object = {}) =>
      rejection(
        by.send(
          new S3.UploadPartCommand({ ...address, PartNumber, Body: stream(randomBytes(100)), ContentLength, ...more }),
        ),
      );
    for (const last of [100, 0]) {
      const address = await create(by);
      const parts = [await send(by, address, 1, first)];
      failure('SOURCE_FAILED')(await failing(address, 2, 101));
      failure('SOURCE_FAILED')(await failing(address, 2, 99));
      failure('SOURCE_CHANGED')(await failing(address, 2, 100, { ContentMD5: 'AAAAAAAAAAAAAAAAAAAAAA==' }));
      const body = randomBytes(last);
      if (last > 0) parts.push(await send(by, address, 2, body));
      await complete(by, address, parts);
      assert.ok((await read(address.Key)).equals(Buffer.concat([first, body])));
    }
    await assertOneMessage();
  });

  test('one that higher parts were begun after keeps its place and its length, and the upload goes on', async () => {
    const by = client();
    const address = await create(by);
    const bodies = [1, 2, 3].map((n) => Buffer.alloc(partSize, n)) as [Buffer, Buffer, Buffer];
    const first = await send(by, address, 1, bodies[0]);
    const Body = new Readable({ read: () => undefined });
    const failing = by.send(new S3.UploadPartCommand({ ...address, PartNumber: 2, Body, ContentLength: partSize }));
    const third = await send(by, address, 3, bodies[2]);
    Body.destroy(new Error('broke'));
    failure('SOURCE_FAILED')(await rejection(failing));
    failure('COMMAND_REFUSED', /begun with 5242880 bytes/)(await rejection(send(by, address, 2, Buffer.alloc(100))));
    failure('COMMAND_REFUSED')(await rejection(complete(by, address, [first, third])));
    const second = await send(by, address, 2, bodies[1]);
    await complete(by, address, [first, second, third]);
    assert.ok((await read(address.Key)).equals(Buffer.concat(bodies)));
    await assertOneMessage();
  });

  test('one that another call is reading still is not free for another length', async () => {
    const by = client();
    const address = await create(by);
    const [failing, going] = [0, 1].map(() => new Readable({ read: () => undefined })) as [Readable, Readable];
    const part = { ...address, PartNumber: 1, ContentLength: 100 };
    const [broken, whole] = [failing, going].map((Body) => by.send(new S3.UploadPartCommand({ ...part, Body })));
    failing.destroy(new Error('broke'));
    failure('SOURCE_FAILED')(await rejection(broken as Promise<unknown>));
    going.push(Buffer.alloc(100, 1));
    going.push(null);
    const { ETag = '' } = await (whole as Promise<S3.UploadPartCommandOutput>);
    failure('PART_CHANGED')(await rejection(send(by, address, 1, Buffer.alloc(99))));
    failure('PART_CHANGED')(await rejection(complete(by, address, [{ PartNumber: 1, ETag }])));
    await by.send(new S3.AbortMultipartUploadCommand(address));
    await assertOneMessage();
  });

  test('with a part size given parts that failed leave nothing, whatever was begun before or after', async () => {
    const by = withEncryption(endpoint.client, { keyring: endpoint.keyring, partSize });
    const address = await create(by);
    const bodies = [1, 2, 3].map((n) => Buffer.alloc(partSize, n)) as [Buffer, Buffer, Buffer];
    const failing = (PartNumber: number, ContentLength: number) =>
      rejection(
        by.send(new S3.UploadPartCommand({ ...address, PartNumber, Body: Readable.from(['short']), ContentLength })),
      );
    failure('SOURCE_FAILED')(await failing(5, 2 * partSize));
    const third = await send(by, address, 3, bodies[2]);
    failure('SOURCE_FAILED')(await failing(2, partSize));
    failure('COMMAND_REFUSED')(await failing(2, partSize + 1));
    const [first, second] = [await send(by, address, 1, bodies[0]), await send(by, address, 2, bodies[1])];
    await complete(by, address, [first, second, third]);
    assert.ok((await read(address.Key)).equals(Buffer.concat(bodies)));
    await assertOneMessage();
  });

  test('a second Complete with another list, and parts after the first, are refused: one tag is let out', async () => {
    const by = client();
    const address = await create(by);
    const parts = [await send(by, address, 1, randomBytes(partSize)), await send(by, address, 2, randomBytes(100))];
    endpoint.local.faults.set([{ operation: 'CompleteMultipartUpload', status: 403, code: 'AccessDenied' }]);
    await rejection(complete(by, address, parts));
    for (const other of [
      parts.slice(0, 1),
      parts.slice(1),
      [...parts].reverse(),
      [...parts, { PartNumber: 3, ETag: '"x"' }],
      [parts[0] as S3.CompletedPart, { PartNumber: 2, ETag: '"another"' }],
      [],
    ])
      failure('COMMAND_REFUSED')(await rejection(complete(by, address, other)));
    failure('COMMAND_REFUSED')(await rejection(send(by, address, 3, randomBytes(10))));
    failure('COMMAND_REFUSED')(await rejection(send(by, address, 2, randomBytes(100))));
    await complete(by, address, parts);
    await assertOneMessage();
    assert.equal((await read(address.Key)).length, partSize + 100);
  });
});

for (const [engine, options] of Object.entries<UploadOptions>({
  'the calling thread': { workers: 0 },
  'workers, by the client': { workers: 2, transport: 'client' },
  'workers that send': { workers: 2, transport: 'workers' },
})) {
  describe(`a source that changes under a retry, on ${engine}`, () => {
    for (const [how, change] of [
      ['grows', ({ path }: RestedSource) => appendFileSync(path, randomBytes(1000))],
      ['shrinks', ({ path }: RestedSource) => truncateSync(path, 3 * partSize)],
      [
        'is written over',
        ({ path, content }: RestedSource) => writeFileSync(path, randomBytes(content.length), { flag: 'r+' }),
      ],
    ] as const) {
      test(`a file that ${how}: its part goes out as it was, and what it is now under another key`, async () => {
        const source = newSource(64 * MiB + 7);
        endpoint.local.faults.set([{ operation: 'UploadPart', partNumber: 2, status: 503, times: 2 }]);
        const upload = endpoint
          .encrypted()
          .upload({ Bucket, Key: source.Key, Body: { path: source.path } }, { partSize, queueSize: 2, ...options });
        upload.once('partRetry', () => change(source));
        let restarts = 0;
        upload.on('restart', () => {
          restarts += 1;
        });
        await upload.done();
        assert.equal(restarts, 1);
        assert.ok((await read(source.Key)).equals(readFileSync(source.path)));
        await assertOneMessage();
        await endpoint.assertNoUploads();
      });
    }

    test('bytes in memory that are written over: what is stored is one content, and each part was one', async () => {
      const body = randomBytes(4 * partSize + 3);
      endpoint.local.faults.set([{ operation: 'UploadPart', per: 'part', status: 503 }]);
      const upload = endpoint.encrypted().upload({ Bucket, Key: 'memory', Body: body }, { partSize, ...options });
      upload.on('partRetry', () => body.fill(randomBytes(1)));
      await upload.done();
      assert.equal((await read('memory')).length, body.length);
      await assertOneMessage();
    });
  });
}

describe('journals', () => {
  const upload = (source: RestedSource, options: UploadOptions = {}): Promise<unknown> =>
    endpoint
      .encrypted()
      .upload(
        { Bucket, Key: source.Key, Body: { path: source.path } },
        { partSize, journal: source.journal, workers: 2, ...options },
      )
      .done();
  /** Leaves an upload of which part 6 is missing. */
  async function stopped(length = 7 * partSize + 100): Promise<RestedSource> {
    const source = newSource(length);
    endpoint.local.faults.set([{ operation: 'UploadPart', partNumber: 6, times: 'always', status: 503 }]);
    failure('PART_FAILED')(await rejection(upload(source, { partAttempts: 1, queueSize: 2 })));
    endpoint.local.faults.clear();
    return source;
  }

  test('one that was copied and is resumed twice at the same time: parts have one content each, or a key each', async () => {
    const source = await stopped();
    const copy = `${source.journal}-copy`;
    copyFileSync(source.journal, copy);
    endpoint.local.faults.set([{ operation: 'UploadPart', times: 'always', delay: 30 }]);
    const outcomes = await Promise.allSettled([upload(source), upload({ ...source, journal: copy })]);
    endpoint.local.faults.clear();
    assert.ok(outcomes.some(({ status }) => status === 'fulfilled'));
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') assert.ok(outcome.reason instanceof SealpipeError, String(outcome.reason));
    await assertOneMessage();
    assert.ok((await read(source.Key)).equals(source.content));
  });

  test('one that was copied, the source changed, and resumed again: nothing of the changed source goes out under the old key', async () => {
    const source = await stopped();
    const copy = `${source.journal}-copy`;
    copyFileSync(source.journal, copy);
    await upload(source);
    const sent = endpoint.local.requests.count('UploadPart');
    writeFileSync(source.path, randomBytes(source.content.length), { flag: 'r+' });
    failure('SOURCE_CHANGED')(await rejection(upload({ ...source, journal: copy })));
    assert.equal(endpoint.local.requests.count('UploadPart'), sent);
    await assertOneMessage();
    assert.ok((await read(source.Key)).equals(source.content));
  });

  test('one that was torn anywhere is taken up, begun afresh or refused, never under used counters', async () => {
    for (const cut of [0, 0.1, 0.35, 0.6, 0.8, 0.97]) {
      const source = await stopped();
      const whole = readFileSync(source.journal);
      truncateSync(source.journal, Math.floor(whole.length * cut));
      const outcome = await upload(source).catch((error: unknown) => error);
      if (outcome instanceof Error) failure('JOURNAL_INVALID')(outcome);
      else assert.ok((await read(source.Key)).equals(source.content));
      await assertOneMessage();
    }
  });
});
