import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import type { UploadOptions } from '../../src/multipart/encrypted-upload.ts';
import type { PlainBody, UploadBody } from '../../src/multipart/upload-body.ts';
import { EncryptedS3 } from '../../src/objects/encrypted-s3.ts';
import { failure, rejection } from '../support/failure.ts';
import { RecordingServer } from '../support/recording-server.ts';
import { settle } from '../support/stream-ends.ts';

// The end-to-end tests of uploads are in test/objects; here is what needs no store.
const folder = mkdtempSync(join(tmpdir(), 'sealpipe-upload-'));
let server: RecordingServer;
let s3: EncryptedS3;
before(async () => {
  server = await RecordingServer.start(() => ({ headers: { etag: '"e"' } }));
  s3 = new EncryptedS3({ client: server.client(), keyring: aesKeyring({ key: randomBytes(32) }) });
});
after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const upload = (Body: UploadBody, options: UploadOptions = {}): ReturnType<EncryptedS3['upload']> =>
  s3.upload({ Bucket: 'b', Key: 'k', Body }, options);

describe('options that cannot be right are refused at once', () => {
  const wrong: Record<string, unknown[]> = {
    partSize: [0, 5 * 1024 * 1024 - 16, 5 * 1024 * 1024 + 1, Number.NaN],
    queueSize: [0, -1, 1.5, 10_001, 1e9, Number.POSITIVE_INFINITY],
    workers: [-1, 0.5, 65, 1e9],
    partAttempts: [0, -1, 2.5],
    restarts: [-1, 0.5],
    partTimeout: [0, -1, Number.NaN],
  };
  for (const [name, values] of Object.entries(wrong)) {
    test(name, () => {
      for (const value of values) assert.throws(() => upload('x', { [name]: value }), RangeError, String(value));
    });
  }

  test('but a part time-out without end is one', async () => {
    assert.equal((await upload('x', { partTimeout: Number.POSITIVE_INFINITY }).done()).plaintextSize, 1);
  });
});

describe('an abort while the source is being opened', () => {
  test('ends the upload at once, though nobody ever writes to the FIFO', {
    skip: process.platform === 'win32',
  }, async () => {
    const path = join(folder, 'fifo');
    execFileSync('mkfifo', [path]);
    const controller = new AbortController();
    const running = upload({ path }, { signal: controller.signal }).done();
    setTimeout(() => controller.abort('reason'), 20);
    const error = await rejection(running);
    failure('ABORTED')(error);
    assert.equal(error.cause, 'reason');
    // Frees the thread that waits for a writer, where there is one.
    closeSync(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
  });

  test('ends the upload at once, though the function never answers; a late stream is destroyed', async () => {
    let answer!: (body: PlainBody) => void;
    const controller = new AbortController();
    const factory = (): Promise<PlainBody> =>
      new Promise((resolve) => {
        answer = resolve;
      });
    const running = upload(factory, { signal: controller.signal }).done();
    setTimeout(() => controller.abort('reason'), 20);
    failure('ABORTED')(await rejection(running));
    const late = new PassThrough();
    answer(late);
    await settle();
    assert.ok(late.destroyed);
  });

  test('that came before does not have the function called; a stream is destroyed', async () => {
    let calls = 0;
    const signal = AbortSignal.abort('reason');
    const factory = (): PlainBody => {
      calls += 1;
      return 'x';
    };
    const error = await rejection(upload(factory, { signal }).done());
    failure('ABORTED')(error);
    assert.equal(error.cause, 'reason');
    assert.equal(calls, 0);
    const stream = new PassThrough();
    failure('ABORTED')(await rejection(upload(stream, { signal }).done()));
    await settle();
    assert.ok(stream.destroyed);
  });

  test('sends nothing', () => {
    assert.ok(server.requests.every(({ method }) => method === 'PUT'));
    assert.equal(server.requests.length, 1, 'the one upload that succeeded');
  });
});
