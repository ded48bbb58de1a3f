/** Journalled uploads with a segment index: what goes on after a failure or a kill ends with the index that it would have had. */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import type { FaultRule } from '../../src/local/index.ts';
import type { UploadOptions, UploadResult } from '../../src/multipart/encrypted-upload.ts';
import type { EncryptedS3Options } from '../../src/objects/encrypted-s3.ts';
import { Bucket, TestEndpoint } from '../support/endpoint.ts';
import { failure, rejection } from '../support/failure.ts';
import { killAtRandom } from '../support/killed.ts';
import { assertOneMessageEach } from '../support/one-message.ts';
import { type RestedSource, RestedSources } from '../support/rested-sources.ts';
import { expectedIndex, indexSecrets } from '../support/segment-indexes.ts';

const MiB = 1024 * 1024;
const partSize = 5 * MiB;
const sources = new RestedSources('journal-index');
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
  sources.remove();
});

const newSource = (length = 4 * partSize + 12_345): RestedSource => sources.create(length);

const indexKey = ({ Key }: RestedSource): string => `.${Key}.segments`;
const upload = (
  source: RestedSource,
  options: UploadOptions = {},
  s3: Partial<EncryptedS3Options> = {},
): Promise<UploadResult> =>
  endpoint
    .encrypted(s3)
    .upload(
      { Bucket, Key: source.Key, Body: { path: source.path } },
      { partSize, journal: source.journal, segmentIndex: true, workers: 2, ...options },
    )
    .done();

/** Leaves an upload of which a part is missing. */
async function stopped(
  source: RestedSource,
  options: UploadOptions = {},
  s3: Partial<EncryptedS3Options> = {},
): Promise<void> {
  // Late enough for others to be stored, whichever is made first.
  endpoint.local.faults.set([{ operation: 'UploadPart', partNumber: 3, times: 'always', status: 503, delay: 300 }]);
  failure('PART_FAILED')(await rejection(upload(source, { partAttempts: 1, queueSize: 2, ...options }, s3)));
  endpoint.local.faults.clear();
  assert.ok(existsSync(source.journal));
}

/** Index and object belong together, and nothing of the upload is left. */
async function assertFinished(source: RestedSource, segmentSize = 65_536): Promise<void> {
  const { body } = await endpoint.stored(indexKey(source));
  assert.deepEqual(body, await expectedIndex(endpoint, source.Key, segmentSize));
  const s3 = endpoint.encrypted({ commitmentPolicy: 'REQUIRE_ENCRYPT_ALLOW_DECRYPT' });
  const object = await s3.open({ Bucket, Key: source.Key }, { authenticate: 'required' });
  assert.equal(object.authenticated, 'index');
  const { length } = source.content;
  for (const start of [0, partSize - 1, ...Array.from({ length: 5 }, () => Math.floor(Math.random() * length))]) {
    const end = Math.min(length, start + Math.floor(Math.random() * 200_000));
    assert.ok(
      Buffer.from(await object.read(start, end)).equals(source.content.subarray(start, end)),
      `${start}–${end}`,
    );
  }
  await object.close();
  assert.equal(existsSync(source.journal), false);
  await endpoint.assertNoUploads(source.Key);
  await assertOneIndexEach(source);
}

/** Under one data key there is one message, and one index of it, however often it was sent. */
async function assertOneIndexEach(source: RestedSource): Promise<void> {
  await endpoint.local.requests.settled();
  assertOneMessageEach(endpoint.local.requests.all());
  const sent = endpoint.local.requests
    .all('PutObject')
    .filter(({ key, complete }) => complete && key === indexKey(source))
    .map(({ bodySha256 }) => bodySha256);
  assert.equal(new Set(sent).size, 1, 'two indexes were made');
}

describe('a journalled upload with an index', () => {
  test('that is not interrupted writes the index that it would without a journal, at no further request', async () => {
    const source = newSource();
    assert.deepEqual(await endpoint.requestsOf(() => upload(source)), {
      'KMS.GenerateDataKey': 1,
      GetObject: 1,
      CreateMultipartUpload: 1,
      UploadPart: 5,
      PutObject: 1,
      CompleteMultipartUpload: 1,
    });
    await assertFinished(source);
  });

  for (const [how, options, s3] of [
    ['on two workers', { workers: 2 }, {}],
    ['on the calling thread', { workers: 0 }, {}],
    [
      'in segments of 4 KiB, whose entries fill several records',
      { segmentIndex: { segmentSize: 4096 }, partSize: 17 * MiB },
      {},
    ],
    [
      'with parts that are rounded up to whole segments',
      { segmentIndex: { segmentSize: MiB }, partSize: partSize + 16 },
      {},
    ],
    [
      'in format V2, with an instruction file',
      { storage: 'instruction-file' },
      { suite: 'gcm', commitmentPolicy: 'FORBID_ENCRYPT_ALLOW_DECRYPT' },
    ],
  ] as const satisfies readonly (readonly [string, UploadOptions, Partial<EncryptedS3Options>])[]) {
    test(`goes on with it after a failure, ${how}`, async () => {
      const size = 'partSize' in options ? options.partSize : partSize;
      const source = newSource(3 * size + 3 * MiB + 1);
      await stopped(source, options, s3);
      const before = endpoint.local.requests.all('UploadPart').filter(({ status }) => status === 200).length;
      let parts = 0;
      const counts = await endpoint.requestsOf(async () => {
        ({ parts } = await upload(source, options, s3));
      });
      // What is stored is neither sent nor read again.
      const sent = counts.UploadPart ?? 0;
      assert.ok(sent < parts && sent >= parts - before, `${sent} of ${parts} parts were sent after ${before}`);
      assert.equal(counts['KMS.Decrypt'], 1);
      assert.equal(counts['KMS.GenerateDataKey'], undefined);
      const segmentIndex: UploadOptions['segmentIndex'] = 'segmentIndex' in options ? options.segmentIndex : true;
      await assertFinished(source, segmentIndex === true ? undefined : segmentIndex.segmentSize);
    });
  }

  test('that fails twice goes on with what both have stored', async () => {
    const source = newSource(9 * partSize);
    await stopped(source);
    endpoint.local.faults.set([{ operation: 'UploadPart', partNumber: 3, times: 'always', status: 503 }]);
    await rejection(upload(source, { partAttempts: 1, queueSize: 2 }));
    endpoint.local.faults.clear();
    await upload(source);
    await assertFinished(source);
  });

  test('takes a part of the tag alone, which has no entries', async () => {
    const source = newSource(4 * partSize);
    await stopped(source);
    await upload(source);
    await assertFinished(source);
  });

  test('makes a part again whose entries were torn off the journal', async () => {
    for (const cut of [0.4, 0.7, 0.95]) {
      const source = newSource();
      await stopped(source);
      const whole = readFileSync(source.journal);
      const header = 4 + whole.readUInt32BE(0);
      truncateSync(source.journal, header + Math.floor((whole.length - header) * cut));
      await upload(source);
      await assertFinished(source);
    }
  });

  test('of a small file needs no journal, and has its index', async () => {
    const source = newSource(100_000);
    await upload(source);
    assert.equal(existsSync(source.journal), false);
    assert.deepEqual((await endpoint.stored(indexKey(source))).body, await expectedIndex(endpoint, source.Key, 65_536));
  });

  test('whose source changed is refused, and no index of it leaves the process', async () => {
    const source = newSource();
    await stopped(source);
    writeFileSync(source.path, randomBytes(1000), { flag: 'r+' });
    failure('SOURCE_CHANGED')(await rejection(upload(source)));
    assert.equal(endpoint.local.requests.count('PutObject'), 0);
  });

  test('whose index cannot be stored keeps its parts, and goes on when it can', async () => {
    const source = newSource();
    endpoint.local.faults.set([{ operation: 'PutObject', key: indexKey(source), times: 'always', status: 403 }]);
    failure('ACCESS_DENIED', /journal .* keeps what is stored/)(await rejection(upload(source)));
    endpoint.local.faults.clear();
    const counts = await endpoint.requestsOf(() => upload(source));
    assert.equal(counts.UploadPart, undefined);
    await assertFinished(source);
  });

  test('leaves neither its key nor an entry of it in the journal in the clear', async () => {
    const source = newSource();
    await stopped(source);
    const journal = readFileSync(source.journal);
    await upload(source);
    const { body } = await endpoint.stored(indexKey(source));
    for (let at = 0; at < body.length; at += 16)
      assert.equal(journal.indexOf(body.subarray(at, at + 16)), -1, `bytes from ${at} of the index`);
    for (const secret of await indexSecrets(endpoint, source.Key, 65_536)) assert.equal(journal.indexOf(secret), -1);
  });
});

describe('other options than those that a journalled upload was begun with', () => {
  test('an index that it was begun without is refused, with what to do, and nothing is sent', async () => {
    const source = newSource();
    await stopped(source, { segmentIndex: false });
    // As journals were before there were indexes in them.
    assert.ok(!readFileSync(source.journal).includes('segmentSize'));
    const counts = await endpoint.requestsOf(async () => {
      const refused = failure(
        'JOURNAL_INVALID',
        /begun without a segment index.*sealpipe index.*or remove the journal/,
      );
      refused(await rejection(upload(source)));
    });
    assert.deepEqual(counts, {});
    assert.ok(existsSync(source.journal));
    await upload(source, { segmentIndex: false });
    await endpoint.encrypted().createSegmentIndex({ Bucket, Key: source.Key });
    await assertFinished(source);
  });

  test('an index that is not asked for any more is made all the same', async () => {
    const source = newSource();
    await stopped(source);
    await upload(source, { segmentIndex: false });
    await assertFinished(source);
  });

  test('another segment size and part size give way to those that it was begun with', async () => {
    const source = newSource();
    await stopped(source, { segmentIndex: { segmentSize: 32_768 } });
    await upload(source, { segmentIndex: { segmentSize: MiB }, partSize: 6 * MiB });
    await assertFinished(source, 32_768);
  });
});

describe('an upload with an index that was completed, but did not hear of it', () => {
  /** Complete takes effect, the process can neither hear of that nor ask, and somebody takes its index away. */
  async function unheard(source: RestedSource): Promise<void> {
    endpoint.local.faults.set([
      { operation: 'CompleteMultipartUpload', loseAnswer: true, times: 'always' },
      { operation: 'HeadObject', times: 'always', status: 500 },
    ]);
    await rejection(upload(source, { partAttempts: 1 }));
    endpoint.local.faults.clear();
    assert.ok(existsSync(source.journal));
    await endpoint.client.send(new DeleteObjectCommand({ Bucket, Key: indexKey(source) }));
  }

  test('is given its index again, from the journal', async () => {
    const source = newSource();
    await unheard(source);
    const counts = await endpoint.requestsOf(() => upload(source));
    assert.deepEqual(counts, { 'KMS.Decrypt': 1, ListParts: 1, HeadObject: 2, GetObject: 1, PutObject: 1 });
    await assertFinished(source);
  });

  test('keeps an index that is there', async () => {
    const source = newSource();
    await unheard(source);
    await endpoint.encrypted().createSegmentIndex({ Bucket, Key: source.Key });
    const counts = await endpoint.requestsOf(() => upload(source));
    assert.deepEqual(counts, { 'KMS.Decrypt': 1, ListParts: 1, HeadObject: 1, GetObject: 1 });
    assert.equal(existsSync(source.journal), false);
  });

  test('whose index is missing, and not whole in the journal either, is an error that says what to do', async () => {
    const source = newSource();
    await unheard(source);
    truncateSync(source.journal, readFileSync(source.journal).length - 9);
    const refused = failure('JOURNAL_INVALID', /is in place, but its segment index is not.*sealpipe index/);
    refused(await rejection(upload(source)));
    refused(await rejection(upload(source)));
    await endpoint.encrypted().createSegmentIndex({ Bucket, Key: source.Key });
    await upload(source);
    await assertFinished(source);
  });

  test('does not overwrite what is no index', async () => {
    const source = newSource();
    await unheard(source);
    await endpoint.store(indexKey(source), 'notes');
    failure('COMMAND_REFUSED')(await rejection(upload(source)));
    await endpoint.client.send(new DeleteObjectCommand({ Bucket, Key: indexKey(source) }));
    endpoint.local.requests.clear();
    await upload(source);
    await assertFinished(source);
  });
});

describe('a process that is killed', () => {
  const start = ({ content: _, ...source }: RestedSource): ChildProcess =>
    fork(join(import.meta.dirname, '../support/journalled-upload.js'), [], {
      execArgv: ['--no-warnings'],
      env: {
        ...process.env,
        SEALPIPE_TEST_UPLOAD: JSON.stringify({
          s3: endpoint.local.s3Config,
          kms: endpoint.local.kmsConfig,
          Bucket,
          partSize,
          segmentIndex: true,
          ...source,
        }),
      },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
  const exit = (child: ChildProcess): Promise<number | null> => new Promise((resolve) => child.once('exit', resolve));

  const moments: Record<string, (source: RestedSource) => FaultRule> = {
    'before the first part is stored': () => ({ operation: 'UploadPart', stallRequestAfter: 1000, times: 'always' }),
    'before the last part is stored': () => ({ operation: 'UploadPart', partNumber: 5, stallRequestAfter: 1 }),
    'before the index is stored': (source) => ({ operation: 'PutObject', key: indexKey(source), stallRequestAfter: 1 }),
    'when the index is stored': (source) => ({ operation: 'PutObject', key: indexKey(source), stallResponseAfter: 0 }),
    'before Complete': () => ({ operation: 'CompleteMultipartUpload', stallRequestAfter: 1 }),
    'after Complete': () => ({ operation: 'CompleteMultipartUpload', stallResponseAfter: 0 }),
  };
  for (const [moment, faultOf] of Object.entries(moments)) {
    test(`${moment}: the same call ends with object and index`, async () => {
      const source = newSource();
      const fault = endpoint.local.faults.add(faultOf(source));
      const child = start(source);
      const ended = exit(child);
      for (let waited = 0; fault.hits === 0 && waited < 20_000; waited += 20) await sleep(20);
      // What stalls has taken effect by then, or never will.
      await sleep(300);
      child.kill('SIGKILL');
      assert.equal(await ended, null);
      assert.ok(existsSync(source.journal));
      endpoint.local.faults.clear();
      await endpoint.local.requests.settled();
      await upload(source);
      assert.equal(endpoint.local.requests.count('CreateMultipartUpload'), 1);
      await assertFinished(source);
    });
  }

  test('at random moments: the same call ends with object and index', async (t) => {
    const rounds = process.env.SLOW === undefined ? 2 : 20;
    for (let round = 0; round < rounds; round++) {
      const source = newSource(9 * partSize + 5);
      endpoint.local.faults.set([{ operation: 'UploadPart', delay: 60, times: 'always' }]);
      endpoint.local.requests.clear();
      let kills = 0;
      for (;;) {
        const child = start(source);
        const ended = exit(child);
        if (kills < 2) await killAtRandom(child, endpoint.local);
        const status = await ended;
        if (status === 0) break;
        assert.equal(status, null, 'the child failed by itself');
        kills += 1;
        await endpoint.local.requests.settled();
      }
      t.diagnostic(`${kills} kills`);
      const { body } = await endpoint.stored(indexKey(source));
      assert.deepEqual(body, await expectedIndex(endpoint, source.Key, 65_536));
      assertOneMessageEach(endpoint.local.requests.all());
    }
  });
});
