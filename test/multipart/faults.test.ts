import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { S3Client } from '@aws-sdk/client-s3';
import { SealpipeError } from '../../src/errors.ts';
import type { UploadOptions } from '../../src/multipart/encrypted-upload.ts';
import type { UploadBody } from '../../src/multipart/upload-body.ts';
import { Bucket, bytesOf, rejection, TestEndpoint } from '../support/endpoint.ts';
import { failure } from '../support/failure.ts';
import { until } from '../support/stream-ends.ts';
import { crashWorkers } from '../support/worker-crash.ts';

const MiB = 1024 * 1024;
const partSize = 5 * MiB;
/** Large enough for workers to take it from a file. */
const content = randomBytes(64 * MiB + 5);
const folder = mkdtempSync(join(tmpdir(), 'sealpipe-faults-'));
let endpoint: TestEndpoint;
/** Rejections that nobody took, while a test ran. */
const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown): void => void unhandled.push(reason);

before(async () => {
  endpoint = await TestEndpoint.start();
  process.on('unhandledRejection', onUnhandled);
});
beforeEach(() => {
  endpoint.local.faults.clear();
  endpoint.local.requests.clear();
});
after(async () => {
  process.off('unhandledRejection', onUnhandled);
  await endpoint.close();
  rmSync(folder, { recursive: true });
});

let files = 0;
function newFile(bytes: Uint8Array = content): { path: string } {
  files += 1;
  const path = join(folder, `source-${files}`);
  writeFileSync(path, bytes);
  utimesSync(path, Date.now() / 1000 - 60, Date.now() / 1000 - 60);
  return { path };
}

function* pieces(bytes: Uint8Array, step = 1_000_000): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
}
const stream = (bytes: Uint8Array = content.subarray(0, 6 * partSize)): Readable => Readable.from(pieces(bytes));

interface Trial {
  readonly body: UploadBody;
  readonly options: UploadOptions;
  readonly ContentLength?: number;
  /** Called when the first part is stored. */
  readonly during?: () => void;
}

let keys = 0;
/** Uploads to a key of its own; whatever came of it, nothing is left and nothing was rejected twice. */
async function attempt({ body, options, during, ContentLength }: Trial): Promise<unknown> {
  keys += 1;
  const Key = `object-${keys}`;
  const params = { Bucket, Key, Body: body, ...(ContentLength !== undefined && { ContentLength }) };
  const upload = endpoint.encrypted().upload(params, { partSize, restarts: 0, ...options });
  if (during !== undefined) upload.once('httpUploadProgress', during);
  const outcome = await upload.done().then(
    () => Key,
    (error: unknown) => error,
  );
  await endpoint.assertNoUploads();
  if (outcome instanceof Error) await rejection(endpoint.encrypted().head({ Bucket, Key }));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(unhandled.splice(0), []);
  return outcome;
}

/** The failure itself, or what made the upload fail as a whole. */
const cause = (error: unknown): unknown =>
  error instanceof SealpipeError && error.code === 'ERR_SEALPIPE_RESTART_REQUIRED' ? error.cause : error;

const engines: Record<string, UploadOptions> = {
  'the calling thread': { workers: 0, transport: 'client' },
  'workers, sending through the client': { workers: 2, transport: 'client' },
  'workers that send': { workers: 2, transport: 'workers' },
};

for (const transport of ['client', 'workers'] as const) {
  describe(`a worker that dies, parts going by ${transport}`, () => {
    const options: UploadOptions = { workers: 2, transport, queueSize: 2 };
    for (const [source, body] of [
      ['a file', () => newFile()],
      ['a stream', () => stream()],
    ] as const) {
      test(`in the middle of ${source} ends the upload with what killed it, and the next upload has new ones`, async () => {
        const outcome = await attempt({ body: body(), options, during: () => crashWorkers(2) });
        failure('WORKER_FAILED', /worker thread ended in the middle/)(outcome);
        assert.ok((outcome as Error).cause instanceof Error);
        assert.equal(typeof (await attempt({ body: stream(), options })), 'string');
      });
    }

    test('before it had anything to do is replaced without a word', async () => {
      const workers = crashWorkers(2);
      await until(() => workers.every(({ dead }) => dead), 'the end of the threads');
      assert.equal(typeof (await attempt({ body: stream(), options })), 'string');
    });
  });
}

for (const [engine, options] of Object.entries(engines)) {
  describe(`faults of an upload on ${engine}`, () => {
    test('aborted after any time, it rejects once or is done, and nothing is left', async () => {
      endpoint.local.faults.add({ operation: '*', times: 'always', delay: 4 });
      const small = content.subarray(0, 3 * partSize);
      const outcomes = { aborted: 0, done: 0 };
      for (let delay = 0; delay < 160; delay += 5 + Math.floor(Math.random() * 12)) {
        const controller = new AbortController();
        const timer = setTimeout(() => controller.abort(new Error('changed my mind')), delay);
        const outcome = await attempt({ body: stream(small), options: { ...options, signal: controller.signal } });
        clearTimeout(timer);
        if (outcome instanceof Error) failure('ABORTED')(outcome);
        else
          assert.ok(
            (await bytesOf((await endpoint.encrypted().get({ Bucket, Key: String(outcome) })).body)).equals(small),
          );
        outcomes[outcome instanceof Error ? 'aborted' : 'done'] += 1;
      }
      assert.ok(outcomes.aborted > 0);
    });

    for (const operation of ['KMS.*', 'CreateMultipartUpload', 'UploadPart']) {
      test(`aborted in ${operation}, its error has the reason as its cause`, async () => {
        const under = endpoint.local.faults.add({ operation, times: 'always', delay: 300 });
        const reason = new Error('never mind');
        const controller = new AbortController();
        const running = attempt({ body: stream(), options: { ...options, signal: controller.signal } });
        await until(() => under.hits > 0, operation);
        controller.abort(reason);
        const outcome = await running;
        failure('ABORTED')(outcome);
        assert.equal((outcome as Error).cause, reason);
      });
    }

    test('an error under a status of 200 counts as a part that was not stored', async () => {
      const fault = endpoint.local.faults.add({ operation: 'UploadPart', partNumber: 2, errorIn200: true });
      assert.equal(typeof (await attempt({ body: stream(), options })), 'string');
      assert.equal(fault.hits, 1);
    });

    test('aborted before it begins, it sends nothing', async () => {
      const reason = new Error('never mind');
      const outcome = await attempt({ body: stream(), options: { ...options, signal: AbortSignal.abort(reason) } });
      failure('ABORTED')(outcome);
      assert.equal((outcome as Error).cause, reason);
      assert.equal(endpoint.local.requests.count('CreateMultipartUpload'), 0);
    });

    test('a source that fails ends it with that as the cause', async () => {
      const torn = new Error('tape torn');
      const failing = Readable.from(
        (function* () {
          yield* pieces(content.subarray(0, 4 * partSize));
          throw torn;
        })(),
      );
      const outcome = await attempt({ body: failing, options });
      failure('SOURCE_FAILED')(outcome);
      assert.equal((outcome as Error).cause, torn);
    });

    test('a source that is destroyed in the middle ends it', async () => {
      const source = new Readable({ read: () => undefined });
      for (const piece of pieces(content.subarray(0, 3 * partSize))) source.push(piece);
      failure('SOURCE_FAILED')(await attempt({ body: source, options, during: () => source.destroy() }));
    });

    test('a source of fewer or more bytes than promised ends it, and no tag is sent', async () => {
      for (const ContentLength of [4 * partSize + 1, 4 * partSize - 1, 9 * partSize, partSize]) {
        const body = stream(content.subarray(0, 4 * partSize));
        failure('SOURCE_FAILED', /bytes/)(await attempt({ body, options, ContentLength }));
        assert.equal(endpoint.local.requests.count('CompleteMultipartUpload'), 0);
      }
    });

    for (const [what, change] of [
      ['is truncated', (path: string) => truncateSync(path, partSize + 3)],
      ['grows', (path: string) => appendFileSync(path, 'more')],
      ['is written over', (path: string) => writeFileSync(path, randomBytes(64 * MiB + 5), { flag: 'r+' })],
    ] as const) {
      test(`a file that ${what} while it is read ends it, and no object mixes two versions`, async () => {
        const body = newFile();
        const outcome = await attempt({ body, options: { ...options, queueSize: 1 }, during: () => change(body.path) });
        failure('SOURCE_CHANGED', /changed while it was read/)(cause(outcome));
        assert.equal(endpoint.local.requests.count('CompleteMultipartUpload'), 0);
      });
    }

    test('a sink that stalls counts as lost after the part’s time, and in the end the upload is given up', async () => {
      for (const stallRequestAfter of [0, 3_000_000]) {
        endpoint.local.faults.set([
          { operation: 'UploadPart', partNumber: 2, times: 'always', stallRequestAfter, stallMs: 12_000 },
        ]);
        const started = performance.now();
        const outcome = await attempt({ body: stream(), options: { ...options, partTimeout: 700, partAttempts: 2 } });
        failure('PART_FAILED', /part \d .* in 2 attempts/)(cause(outcome));
        assert.match(String(((cause(outcome) as Error).cause as Error).message), /was not answered within 700 ms/);
        assert.ok(performance.now() - started < 11_000, 'it waited for the sink');
      }
    });

    test('a sink that stalls for good does not hold up an abort', async () => {
      endpoint.local.faults.add({ operation: 'UploadPart', times: 'always', stallRequestAfter: 1000, stallMs: 10_000 });
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 150);
      const started = performance.now();
      failure('ABORTED')(await attempt({ body: stream(), options: { ...options, signal: controller.signal } }));
      assert.ok(performance.now() - started < 9_000);
    });

    test('aborted while a part is being signed, the part is not sent', async () => {
      const controller = new AbortController();
      const client = new S3Client(endpoint.local.s3Config);
      client.middlewareStack.add(
        (next, context) => async (args) => {
          const { commandName } = context as { commandName?: string };
          if (commandName === 'UploadPartCommand') controller.abort();
          return next(args);
        },
        { step: 'build' },
      );
      endpoint.local.faults.add({ operation: 'UploadPart', times: 'always', stallRequestAfter: 0, stallMs: 10_000 });
      const started = performance.now();
      const uploading = endpoint
        .encrypted({ client })
        .upload({ Bucket, Key: 'signing', Body: stream() }, { partSize, ...options, signal: controller.signal });
      failure('ABORTED')(await rejection(uploading.done()));
      assert.ok(performance.now() - started < 9_000, 'the part was sent, and waited for');
      await endpoint.assertNoUploads();
      client.destroy();
    });
  });
}

describe('part sizes', () => {
  test('that are no multiple of 16 are refused at once, with the nearest that is', () => {
    for (const [given, nearest] of [
      [5 * MiB + 1, 5 * MiB],
      [5 * MiB + 9, 5 * MiB + 16],
      [8_000_001, 8_000_000],
    ] as const) {
      assert.throws(
        () => endpoint.encrypted().upload({ Bucket, Key: 'k', Body: 'x' }, { partSize: given }),
        (error: unknown) => error instanceof RangeError && error.message.includes(String(nearest)),
      );
    }
  });
});

describe('two uploads with one journal', () => {
  const journalled = (path: string, journal: string, Key = 'journalled'): Promise<unknown> =>
    endpoint.encrypted().upload({ Bucket, Key, Body: { path } }, { partSize, journal }).done();
  const settledCodes = (uploads: Promise<unknown>[]): Promise<string[]> =>
    Promise.all(
      uploads.map((upload) =>
        upload.then(
          () => 'done',
          (error: unknown) => (error as SealpipeError).code,
        ),
      ),
    );

  test('begun in the same moment: one goes on, the others are refused, though none has found a journal', async () => {
    const { path } = newFile(content.subarray(0, 3 * partSize));
    const journal = join(folder, 'same-moment');
    const codes = await settledCodes([1, 2, 3].map(() => journalled(path, journal)));
    assert.deepEqual(codes.sort(), ['ERR_SEALPIPE_JOURNAL_BUSY', 'ERR_SEALPIPE_JOURNAL_BUSY', 'done']);
    assert.equal(endpoint.local.requests.count('CreateMultipartUpload'), 1);
    await endpoint.assertNoUploads();
    // Afterwards the name is free again.
    await journalled(path, journal);
  });

  test('by two names of it: the second is refused', async () => {
    const { path } = newFile(content.subarray(0, 4 * partSize));
    const journal = join(folder, 'by-two-names');
    const elsewhere = join(folder, 'elsewhere');
    mkdirSync(elsewhere);
    endpoint.local.faults.add({ operation: 'UploadPart', partNumber: 3, times: 'always', status: 503 });
    await rejection(
      endpoint
        .encrypted()
        .upload({ Bucket, Key: 'journalled', Body: { path } }, { partSize, journal, partAttempts: 1 })
        .done(),
    );
    endpoint.local.faults.set([{ operation: 'UploadPart', times: 'always', delay: 150 }]);
    symlinkSync(journal, join(elsewhere, 'link'));
    symlinkSync(folder, join(elsewhere, 'folder'));
    const codes = await settledCodes([
      journalled(path, journal),
      journalled(path, join(elsewhere, 'link')),
      journalled(path, join(elsewhere, 'folder', 'by-two-names')),
    ]);
    assert.deepEqual(codes.sort(), ['ERR_SEALPIPE_JOURNAL_BUSY', 'ERR_SEALPIPE_JOURNAL_BUSY', 'done']);
    await endpoint.assertNoUploads();
  });

  test('a journal in a folder that is not there is an error before anything is sent', async () => {
    const { path } = newFile(content.subarray(0, 1000));
    failure('JOURNAL_INVALID', /cannot be used/)(await rejection(journalled(path, join(folder, 'none', 'journal'))));
    assert.equal(endpoint.local.requests.length, 0);
  });
});

test('a process in which uploads failed in every way ends by itself, with no rejection that nobody took', async () => {
  endpoint.local.faults.set(
    ['client', 'workers'].map((transport) => ({
      operation: 'UploadPart',
      key: `stalled-${transport}`,
      times: 'always' as const,
      stallRequestAfter: 1000,
      stallMs: 3_000,
    })),
  );
  const child = promisify(execFile)(
    process.execPath,
    ['--no-warnings', join(import.meta.dirname, '../support/fault-run.js')],
    {
      timeout: 60_000,
      env: {
        ...process.env,
        SEALPIPE_TEST_FAULTS: JSON.stringify({ s3: endpoint.local.s3Config, kms: endpoint.local.kmsConfig, Bucket }),
      },
    },
  );
  let said = 0;
  child.child.stdout?.once('data', () => {
    said = performance.now();
  });
  const { stdout, stderr } = await child;
  assert.ok(performance.now() - said < 15_000, `it took ${performance.now() - said} ms to end`);
  assert.equal(stderr, '');
  const { outcomes, unhandled: missed } = JSON.parse(stdout) as { outcomes: object; unhandled: unknown[] };
  assert.deepEqual(missed, []);
  assert.deepEqual(outcomes, {
    'whole-client': 'done',
    'torn-client': 'ERR_SEALPIPE_SOURCE_FAILED',
    'aborted-client': 'ERR_SEALPIPE_ABORTED',
    'crashed-client': 'ERR_SEALPIPE_WORKER_FAILED',
    'stalled-client': 'ERR_SEALPIPE_RESTART_REQUIRED',
    'whole-workers': 'done',
    'torn-workers': 'ERR_SEALPIPE_SOURCE_FAILED',
    'aborted-workers': 'ERR_SEALPIPE_ABORTED',
    'crashed-workers': 'ERR_SEALPIPE_WORKER_FAILED',
    'stalled-workers': 'ERR_SEALPIPE_RESTART_REQUIRED',
    'after all': 'done',
  });
  await endpoint.assertNoUploads();
});

describe('an upload that failed as a whole says of its parts', () => {
  const bytes = content.subarray(0, 2 * partSize);
  const failed = async (Key: string, options: UploadOptions): Promise<Error> => {
    endpoint.local.faults.add({ operation: 'UploadPart', partNumber: 2, status: 503, times: 'always' });
    const body = { Bucket, Key, Body: bytes };
    const error = await rejection(
      endpoint
        .encrypted()
        .upload(body, { partSize, partAttempts: 1, restarts: 0, ...options })
        .done(),
    );
    failure('RESTART_REQUIRED')(error);
    return error as Error;
  };

  test('that they stay, where that was asked for', async () => {
    const { message } = await failed('left', { leavePartsOnError: true });
    assert.match(message, /its parts were left on S3 \(leavePartsOnError\)/);
  });

  test('that S3 did not confirm their removal, and else nothing', async () => {
    const denied = endpoint.local.faults.add({ operation: 'AbortMultipartUpload', status: 403, times: 'always' });
    const { message } = await failed('denied', {});
    assert.match(message, /S3 did not confirm that the multipart upload \S+ is gone/);
    assert.doesNotMatch(message, /removed/);
    denied.remove();
    assert.doesNotMatch((await failed('gone', {})).message, /removed|left|confirm/);
    await endpoint.assertNoUploads('gone');
  });
});
