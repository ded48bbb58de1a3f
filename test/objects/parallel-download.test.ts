import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { getEventListeners } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { SealpipeError } from '../../src/errors.ts';
import { fileRangeLength, rangeOf, rangesFrom } from '../../src/objects/range-plan.ts';
import { Bucket, bytesOf, rejection, TestEndpoint } from '../support/endpoint.ts';
import { until } from '../support/stream-ends.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const partSize = 256 * KiB;
const content = randomBytes(3 * MiB + 321);
const folder = mkdtempSync(join(tmpdir(), 'sealpipe-parallel-'));
const target = join(folder, 'target');
let endpoint: TestEndpoint;

before(async () => {
  endpoint = await TestEndpoint.start();
  await endpoint.encrypted().upload({ Bucket, Key: 'object', Body: content }).done();
});
beforeEach(() => {
  endpoint.local.faults.clear();
  endpoint.local.requests.clear();
  rmSync(target, { force: true });
});
after(async () => {
  await endpoint.close();
  rmSync(folder, { recursive: true });
});

const code = (error: unknown): string =>
  error instanceof SealpipeError ? error.code.replace('ERR_SEALPIPE_', '') : String(error);
const leftovers = (): string[] => readdirSync(folder).filter((name) => name.endsWith('.sealpipe'));

const ways = [
  { name: 'fetched by workers', options: { transport: 'auto' } },
  { name: 'fetched by the client, opened by workers', options: { transport: 'client' } },
  { name: 'without workers', options: { workers: 0 } },
] as const;

for (const { name, options } of ways) {
  describe(`a parallel download, ${name}`, () => {
    const parallel = { concurrency: 4, partSize, ...options };

    test('puts the same bytes into a file, at one KMS call and a GET a range, pinned to one version', async () => {
      const done: number[] = [];
      const counts = await endpoint.requestsOf(async () => {
        const result = await endpoint.encrypted().download({ Bucket, Key: 'object' }, target, {
          ...parallel,
          onProgress: ({ loaded, total }) => {
            assert.equal(total, content.length);
            done.push(loaded);
          },
        });
        assert.deepEqual([result.plaintextSize, result.exact], [content.length, true]);
      });
      assert.ok(readFileSync(target).equals(content));
      assert.deepEqual(counts, { GetObject: 13, 'KMS.Decrypt': 1 });
      const [first, ...others] = endpoint.local.requests.all('GetObject');
      assert.equal(first?.range, `bytes=0-${partSize - 1}`);
      assert.ok(others.every(({ headers }) => headers['if-match'] !== undefined));
      assert.equal(done.at(-1), content.length);
      assert.deepEqual(leftovers(), []);
    });

    test('hands out the same bytes in order, before or after they are authenticated, as asked', async () => {
      for (const release of ['delayed', 'authenticated'] as const) {
        const { body } = await endpoint.encrypted().get({ Bucket, Key: 'object' }, { ...parallel, release });
        assert.ok((await bytesOf(body)).equals(content), release);
      }
    });

    test('reads objects of every length around the edges of the first range, the tag cut across two', async () => {
      for (const extra of [-17, -16, -15, -1, 0, 1, 15, 16, 17, partSize - 16, partSize, partSize + 1]) {
        const body = content.subarray(0, partSize + extra);
        await endpoint.encrypted().upload({ Bucket, Key: 'edge', Body: body }).done();
        await endpoint.encrypted().download({ Bucket, Key: 'edge' }, target, parallel);
        assert.ok(readFileSync(target).equals(body), `${extra} into a file`);
        const got = await endpoint.encrypted().get({ Bucket, Key: 'edge' }, { ...parallel, release: 'delayed' });
        assert.ok((await bytesOf(got.body)).equals(body), `${extra} as a stream`);
      }
    });

    test('mends each range by itself: cut, answered with 503, stalled', async () => {
      endpoint.local.faults.set([
        { operation: 'GetObject', resetResponseAfter: 100_000 },
        { operation: 'GetObject', nth: 3, resetResponseAfter: 50_001 },
        { operation: 'GetObject', nth: 4, status: 503 },
        { operation: 'GetObject', nth: 5, truncateAfter: 77_777 },
        { operation: 'GetObject', nth: 6, stallResponseAfter: 10_000, stallMs: 15_000 },
      ]);
      await endpoint.encrypted().download({ Bucket, Key: 'object' }, target, { ...parallel, idleTimeout: 2000 });
      assert.ok(readFileSync(target).equals(content));
      await endpoint.local.requests.settled();
      const ranges = endpoint.local.requests.all('GetObject').map(({ range }) => range);
      assert.equal(ranges.length, 13 + 5);
      // What had arrived is not asked for again.
      assert.ok(ranges.some((range) => range !== undefined && Number(/=(\d+)-/.exec(range)?.[1]) % partSize !== 0));
    });

    test('refuses a flipped byte anywhere, leaves what was there, and asks for nothing again', async () => {
      for (const [nth, flipByteAt] of [
        [1, 0],
        [1, partSize - 1],
        [4, 12_345],
        [13, 336],
      ] as const) {
        writeFileSync(target, 'what was there before');
        endpoint.local.faults.set([{ operation: 'GetObject', nth, flipByteAt }]);
        endpoint.local.requests.clear();
        const error = await rejection(endpoint.encrypted().download({ Bucket, Key: 'object' }, target, parallel));
        assert.equal(code(error), 'AUTHENTICATION_FAILED');
        assert.equal(endpoint.local.requests.count('GetObject'), 13);
        assert.equal(readFileSync(target, 'latin1'), 'what was there before');
        assert.deepEqual(leftovers(), []);
      }
      endpoint.local.faults.set([{ operation: 'GetObject', nth: 5, flipByteAt: 3 }]);
      const { body } = await endpoint.encrypted().get({ Bucket, Key: 'object' }, parallel);
      let released = 0;
      body.on('data', (chunk: Buffer) => {
        released += chunk.length;
      });
      assert.equal(
        code(await rejection(new Promise((_, reject) => body.once('error', reject)))),
        'AUTHENTICATION_FAILED',
      );
      assert.equal(released, 0);
    });

    test('is an error, not a mixture, when the object is overwritten in the middle', async () => {
      await endpoint.encrypted().upload({ Bucket, Key: 'changing', Body: content }).done();
      const late = endpoint.local.faults.add({ operation: 'GetObject', nth: 2, times: 'always', delay: 600 });
      const download = endpoint
        .encrypted()
        .download({ Bucket, Key: 'changing' }, target, { ...parallel, concurrency: 2 });
      const failed = rejection(download);
      await until(() => late.hits > 0, 'the second range');
      await endpoint
        .encrypted()
        .upload({ Bucket, Key: 'changing', Body: randomBytes(content.length) })
        .done();
      assert.equal(code(await failed), 'OBJECT_CHANGED');
      assert.equal(existsSync(target), false);
    });

    test('is an error that says so when a store finds the object too short before it looks at the condition', async () => {
      endpoint.local.faults.set([
        { operation: 'GetObject', nth: 2, times: 'always', status: 416, code: 'InvalidRange' },
      ]);
      const error = await rejection(endpoint.encrypted().download({ Bucket, Key: 'object' }, target, parallel));
      assert.equal(code(error), 'OBJECT_CHANGED');
      assert.match((error as Error).message, /shorter than it was/);
      assert.ok((error as Error).cause instanceof Error);
      assert.deepEqual(leftovers(), []);
    });

    test('is an error, not a mixture, also where a store passes over the condition', async () => {
      endpoint.local.faults.set([{ operation: 'GetObject', nth: 3, etag: '"other"' }]);
      const error = await rejection(endpoint.encrypted().download({ Bucket, Key: 'object' }, target, parallel));
      assert.equal(code(error), 'OBJECT_CHANGED');
      assert.match((error as Error).message, /was overwritten while it was being read/);
      assert.equal(existsSync(target), false);
    });

    test('gives up after five failures in a row without a new byte', async () => {
      endpoint.local.faults.set([{ operation: 'GetObject', nth: 2, times: 'always', status: 500 }]);
      const error = await rejection(
        endpoint.encrypted().download({ Bucket, Key: 'object' }, target, { ...parallel, concurrency: 2 }),
      );
      assert.equal(code(error), 'S3_UNAVAILABLE');
      const { retryable, statusCode, attempts, requestId } = error as SealpipeError;
      assert.deepEqual([retryable, statusCode, attempts], [true, 500, 5]);
      assert.ok(requestId);
      assert.equal(existsSync(target), false);
      assert.deepEqual(leftovers(), []);
    });

    test('ends when it is aborted at any moment, and leaves nothing', async () => {
      for (const wait of [0, 1, 5, 20, 50, 120]) {
        endpoint.local.faults.set([{ operation: 'GetObject', times: 'always', dripBytesPerSecond: 2_000_000 }]);
        const error = await rejection(
          endpoint.encrypted().download({ Bucket, Key: 'object' }, target, {
            ...parallel,
            signal: AbortSignal.timeout(wait),
          }),
        );
        assert.equal(code(error), 'ABORTED', `after ${wait} ms: ${String(error)}`);
        assert.equal(existsSync(target), false);
        assert.deepEqual(leftovers(), []);
      }
    });

    test('aborted while a key or a range is waited for, its error has the reason as its cause', async () => {
      for (const rule of [{ operation: 'GetObject' }, { operation: 'KMS.*' }, { operation: 'GetObject', nth: 3 }]) {
        const under = endpoint.local.faults.add({ ...rule, times: 'always', delay: 300 });
        const controller = new AbortController();
        const failed = rejection(
          endpoint.encrypted().download({ Bucket, Key: 'object' }, target, { ...parallel, signal: controller.signal }),
        );
        await until(() => under.hits > 0, rule.operation);
        controller.abort(new Error('never mind'));
        const error = await failed;
        assert.equal(code(error), 'ABORTED');
        assert.equal((error as Error).cause, controller.signal.reason, JSON.stringify(rule));
        under.remove();
      }
      assert.deepEqual(leftovers(), []);
    });

    test('lets go of the signal that could have ended it', async () => {
      const { signal } = new AbortController();
      const read = { ...parallel, signal };
      await endpoint.encrypted().download({ Bucket, Key: 'object' }, target, read);
      await bytesOf((await endpoint.encrypted().get({ Bucket, Key: 'object' }, read)).body);
      const unread = (await endpoint.encrypted().get({ Bucket, Key: 'object' }, read)).body;
      unread.destroy();
      await until(() => unread.closed, 'the end of the stream');
      assert.equal(getEventListeners(signal, 'abort').length, 0);
      // What Node 20 keeps of AbortSignal.any, for as long as the signal is there.
      const held = Object.getOwnPropertySymbols(signal).find((name) => String(name) === 'Symbol(kDependantSignals)');
      const dependants = held && (signal as unknown as Record<symbol, Set<unknown> | null>)[held];
      assert.equal(dependants?.size ?? 0, 0);
    });

    test('closes its connections when its reader stops early', async () => {
      const { body } = await endpoint.encrypted().get({ Bucket, Key: 'object' }, { ...parallel, release: 'delayed' });
      for await (const chunk of body) {
        assert.ok((chunk as Buffer).length > 0);
        break;
      }
      await endpoint.local.requests.settled();
      assert.ok(body.destroyed);
    });

    test('closes its connection when nobody begins to read', async () => {
      await endpoint.encrypted().upload({ Bucket, Key: 'unread', Body: content }).done();
      endpoint.local.faults.set([{ operation: 'GetObject', key: 'unread', dripBytesPerSecond: 100_000 }]);
      const { body } = await endpoint.encrypted().get({ Bucket, Key: 'unread' }, parallel);
      body.destroy();
      await endpoint.local.requests.settled();
      const gets = endpoint.local.requests.all('GetObject').filter(({ key }) => key === 'unread');
      assert.deepEqual(
        gets.map(({ answered }) => answered),
        [false],
      );
    });

    test('fails once when the file cannot be written any more', async () => {
      const error = await rejection(
        endpoint.encrypted().download({ Bucket, Key: 'object' }, target, {
          ...parallel,
          onProgress: () => {
            for (const name of leftovers()) rmSync(join(folder, name));
          },
        }),
      );
      // A file that is removed while it is written to is found out by its renaming.
      assert.equal(code(error), 'TARGET_FAILED');
      assert.equal(existsSync(target), false);
    });
  });
}

test('what a thread fails with keeps its cause, and names the file that was asked for', {
  skip: process.platform === 'win32',
}, async () => {
  const asked = endpoint.local.faults.add({ operation: 'GetObject', delay: 300 });
  const failed = rejection(
    endpoint.encrypted().download({ Bucket, Key: 'object' }, target, { concurrency: 4, partSize, workers: 1 }),
  );
  await until(() => asked.hits > 0, 'the first request');
  // By the time that the thread opens the file, its name leads to a directory.
  const [name = ''] = leftovers();
  rmSync(join(folder, name));
  mkdirSync(join(folder, name));
  const error = await failed;
  rmdirSync(join(folder, name));
  assert.equal(code(error), 'TARGET_FAILED');
  assert.equal(((error as Error).cause as NodeJS.ErrnoException).code, 'EISDIR');
  assert.ok((error as Error).message.startsWith(`${target} cannot be written`), (error as Error).message);
});

test('one connection with workers behind it is one GET, mended like any other', async () => {
  const large = randomBytes(64 * MiB + 5);
  await endpoint.encrypted().upload({ Bucket, Key: 'large', Body: large }).done();
  endpoint.local.faults.set([{ operation: 'GetObject', resetResponseAfter: 30_000_001 }]);
  const counts = await endpoint.requestsOf(async () => {
    await endpoint.encrypted().download({ Bucket, Key: 'large' }, target, { workers: 2 });
  });
  assert.ok(readFileSync(target).equals(large));
  assert.deepEqual(counts, { GetObject: 2, 'KMS.Decrypt': 1 });
  for (const flipByteAt of [0, 40_000_000, large.length - 1, large.length + 15]) {
    endpoint.local.faults.set([{ operation: 'GetObject', flipByteAt }]);
    const error = await rejection(endpoint.encrypted().download({ Bucket, Key: 'large' }, target, { workers: 2 }));
    assert.equal(code(error), 'AUTHENTICATION_FAILED');
    assert.deepEqual(leftovers(), []);
  }
});

test('an empty object, a plaintext one and a store without ranges are read as without concurrency', async () => {
  const parallel = { concurrency: 4, partSize };
  await endpoint.encrypted().upload({ Bucket, Key: 'empty', Body: '' }).done();
  await endpoint.encrypted().download({ Bucket, Key: 'empty' }, target, parallel);
  assert.equal(readFileSync(target).length, 0);
  await endpoint.store('nothing', '');
  assert.equal(
    code(await rejection(endpoint.encrypted().download({ Bucket, Key: 'nothing' }, target, parallel))),
    'NOT_ENCRYPTED',
  );
  await endpoint.client.send(new PutObjectCommand({ Bucket, Key: 'plain', Body: content }));
  const allowed = endpoint.encrypted({ plaintext: 'allow' });
  await allowed.download({ Bucket, Key: 'plain' }, target, parallel);
  assert.ok(readFileSync(target).equals(content));
  await allowed.download({ Bucket, Key: 'nothing' }, target, parallel);
  assert.equal(readFileSync(target).length, 0);
});

test('a client with a middleware of its own makes all the requests itself', async () => {
  const client = new S3Client(endpoint.local.s3Config);
  let seen = 0;
  client.middlewareStack.add(
    (next) => (args) => {
      seen += 1;
      return next(args);
    },
    { step: 'build', name: 'counter' },
  );
  await endpoint.encrypted({ client }).download({ Bucket, Key: 'object' }, target, { concurrency: 3, partSize });
  client.destroy();
  assert.ok(readFileSync(target).equals(content));
  assert.equal(seen, 13);
});

test('what makes no sense is refused at once, with the nearest that does', async () => {
  const s3 = endpoint.encrypted();
  const refusal = (options: object): Promise<unknown> =>
    rejection(s3.download({ Bucket, Key: 'object' }, target, options));
  assert.match(String(await refusal({ concurrency: 0 })), /RangeError.*from 1/);
  assert.match(String(await refusal({ concurrency: 2.5 })), /RangeError/);
  assert.match(String(await refusal({ concurrency: 2, partSize: 100_001 })), /nearest is 100000/);
  assert.match(String(await refusal({ concurrency: 2, partSize: 16 })), /RangeError/);
  assert.match(String(await refusal({ workers: -1 })), /RangeError/);
  for (const idleTimeout of [0, -1, Number.NaN, '5'])
    assert.match(String(await refusal({ idleTimeout })), /RangeError.*idleTimeout/);
  assert.match(String(await refusal({ transport: 'pigeon' })), /TypeError/);
  assert.equal(endpoint.local.requests.length, 0);
});

test('a silence may last for ever where it is asked to', async () => {
  const warnings: string[] = [];
  const onWarning = ({ name }: Error): void => void warnings.push(name);
  process.on('warning', onWarning);
  try {
    for (const options of [
      {},
      { concurrency: 2, partSize },
      { concurrency: 2, partSize, transport: 'client' },
    ] as const) {
      for (const idleTimeout of [Number.POSITIVE_INFINITY, 1e12]) {
        await endpoint.encrypted().download({ Bucket, Key: 'object' }, target, { ...options, idleTimeout });
        assert.ok(readFileSync(target).equals(content));
      }
    }
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(warnings, []);
  } finally {
    process.off('warning', onWarning);
  }
});

test('a body that broke off, of an object that has become shorter, is of a changed object', async () => {
  endpoint.local.faults.set([
    { operation: 'GetObject', nth: 2, status: 416, code: 'InvalidRange' },
    { operation: 'GetObject', truncateAfter: 300_000 },
  ]);
  const error = await rejection(endpoint.encrypted().download({ Bucket, Key: 'object' }, target, {}));
  assert.equal(code(error), 'OBJECT_CHANGED');
});

test('a plan covers every byte once, with no range of the tag alone unless the first left no other', () => {
  for (let storedSize = 17; storedSize < 400; storedSize++) {
    for (const from of [16, 32, 64]) {
      if (from >= storedSize) continue;
      const first = rangeOf(1, { start: 0, end: from, storedSize });
      const ranges = [first, ...rangesFrom(storedSize, from, 48)];
      assert.deepEqual(
        ranges.map(({ number }) => number),
        ranges.map((_, i) => i + 1),
      );
      assert.equal(ranges.at(-1)?.end, storedSize);
      assert.ok(ranges.every(({ start }, i) => i === 0 || start === ranges[i - 1]?.end));
      assert.equal(
        ranges.reduce((sum, range) => sum + range.content, 0),
        storedSize - 16,
      );
      // All content but the last is in whole blocks: segments fold.
      assert.ok(ranges.slice(0, -1).every((range, i) => range.content % 16 === 0 || ranges[i + 1]?.content === 0));
      assert.ok(ranges.slice(2).every((range) => range.content > 0));
    }
  }
  for (const size of [17, 100 * MiB, 256 * MiB + 17, 1024 * MiB, 64 * 1024 * MiB]) {
    for (const connections of [2, 4, 8, 31]) {
      const length = fileRangeLength(size, connections);
      assert.ok(length % 16 === 0 && length >= 8 * MiB && length <= 64 * MiB + 65_536);
      const count = rangesFrom(size, 8 * MiB, length).length;
      assert.ok(length === 8 * MiB || count % connections === 0 || count % connections === connections - 1, `${count}`);
    }
  }
});
