/** What of a read that broke off is asked for again, when, and what ends it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import { EncryptedS3 } from '../../src/objects/encrypted-s3.ts';
import { Bucket, TestEndpoint } from '../support/endpoint.ts';
import { failure, rejection } from '../support/failure.ts';
import { RecordingServer } from '../support/recording-server.ts';

const content = randomBytes(1_000_000);
const folder = mkdtempSync(join(tmpdir(), 'sealpipe-mended-'));
const target = join(folder, 'target');
let endpoint: TestEndpoint;
let s3: EncryptedS3;

before(async () => {
  endpoint = await TestEndpoint.start();
  s3 = endpoint.encrypted({ plaintext: 'allow' });
  await s3.upload({ Bucket, Key: 'object', Body: content }).done();
  await endpoint.store('plain', content);
});
beforeEach(() => {
  endpoint.local.faults.clear();
  rmSync(target, { force: true });
});
after(async () => {
  await endpoint.close();
  rmSync(folder, { recursive: true });
});

describe('the rest of a body that broke off', () => {
  test('is refused where it is of another object, also where a store passes over the condition', async () => {
    for (const Key of ['object', 'plain']) {
      endpoint.local.faults.set([
        { operation: 'GetObject', key: Key, resetResponseAfter: 300_000 },
        { operation: 'GetObject', key: Key, etag: '"other"' },
      ]);
      const error = await rejection(s3.download({ Bucket, Key }, target));
      assert.ok(failure('OBJECT_CHANGED', /was overwritten while it was being read/)(error));
      assert.ok((error.offset ?? 0) > 0);
      assert.equal(existsSync(target), false);
    }
  });

  test('is refused where there is more of it than the object has, and nothing of that comes out', async (t) => {
    const stored = Buffer.alloc(1000, 'x');
    const server = await RecordingServer.start(({ headers }) =>
      headers.range === undefined
        ? { headers: { 'content-length': '1000', etag: '"e"' }, body: stored.subarray(0, 400) }
        : { status: 206, headers: { 'content-range': 'bytes 400-999/1000', etag: '"e"' }, body: stored },
    );
    t.after(() => server.close());
    const keyring = aesKeyring({ key: randomBytes(32) });
    const reader = new EncryptedS3({ client: server.client(), keyring, plaintext: 'allow', instructionFiles: false });
    const { body } = await reader.get({ Bucket, Key: 'longer' }, { idleTimeout: 200 });
    let released = 0;
    body.on('data', (chunk: Buffer) => {
      released += chunk.length;
    });
    const error = await rejection(new Promise((_, reject) => body.once('error', reject)));
    assert.ok(failure('OBJECT_CHANGED', /more bytes than the object has/)(error));
    assert.equal(released, 400);
  });
});
