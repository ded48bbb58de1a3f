import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { getEventListeners, once } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { afterEach, describe, test } from 'node:test';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import { EncryptedS3 } from '../../src/objects/encrypted-s3.ts';
import { createEncryptStream } from '../../src/streams/encrypt-stream.ts';
import { failure, rejection } from '../support/failure.ts';
import { type Answer, RecordingServer, s3Error } from '../support/recording-server.ts';
import { collect, settle, through, until } from '../support/stream-ends.ts';

const keyring = aesKeyring({ key: randomBytes(32) });
const address = { Bucket: 'b', Key: 'k' };
let server: RecordingServer;
afterEach(() => server.close());

async function serving(answer: Answer | 'silence'): Promise<EncryptedS3> {
  server = await RecordingServer.start(() => answer);
  return new EncryptedS3({ client: server.client({ maxAttempts: 1 }), keyring });
}

async function stored(plaintext: Buffer): Promise<Answer> {
  const stream = createEncryptStream({ keyring });
  const body = await through(stream, [plaintext]);
  const envelope = Object.entries(await stream.envelope).map(([name, value]): [string, string] => [
    `x-amz-meta-${name}`,
    value,
  ]);
  const length = { 'content-length': String(body.length), etag: '"e"' };
  return { headers: { ...Object.fromEntries(envelope), ...length }, body };
}

describe('a read stream over an object', () => {
  test('asks S3 when it is first read from, not when it is made', async () => {
    const plaintext = randomBytes(300_000);
    const s3 = await serving(await stored(plaintext));
    const stream = s3.createReadStream(address);
    await settle();
    assert.equal(server.requests.length, 0);
    const out: Uint8Array[] = [];
    await pipeline(stream, collect(out));
    assert.ok(Buffer.concat(out).equals(plaintext));
    assert.equal(server.requests.length, 1);
  });

  test('that is destroyed before it is read asks nothing', async () => {
    const s3 = await serving('silence');
    const stream = s3.createReadStream(address);
    stream.destroy();
    await once(stream, 'close');
    await settle();
    assert.equal(server.requests.length, 0);
  });

  test('that is destroyed while S3 does not answer closes at once, and ends the request', async () => {
    const s3 = await serving('silence');
    const stream = s3.createReadStream(address);
    const why = new Error('no longer needed');
    const sink = new PassThrough();
    const running = pipeline(stream, sink);
    await until(() => server.requests.length === 1);
    sink.destroy(why);
    await assert.rejects(running, why);
    await until(() => stream.closed && server.openConnections === 0, 'the end of the request');
  });

  test('fails with what S3 refuses, and with an altered object', async () => {
    const missing = await serving({ status: 404, ...s3Error('NoSuchKey') });
    await assert.rejects(pipeline(missing.createReadStream(address), collect([])), failure('OBJECT_NOT_FOUND'));
    await server.close();
    const answer = await stored(randomBytes(1000));
    (answer.body as Buffer)[500]! ^= 1;
    const altered = await serving(answer);
    await assert.rejects(pipeline(altered.createReadStream(address), collect([])), failure('AUTHENTICATION_FAILED'));
  });

  test('ends by its signal, while it waits and while it flows', async () => {
    for (const answer of ['silence', await stored(randomBytes(5_000_000))] as const) {
      const s3 = await serving(answer);
      const controller = new AbortController();
      const stream = s3.createReadStream(address, { signal: controller.signal, release: 'delayed' });
      const slow = new Writable({ write: (_chunk, _encoding, callback) => void setTimeout(callback, 50) });
      const running = pipeline(stream, slow);
      await until(() => server.requests.length === 1);
      setTimeout(() => controller.abort(), 20);
      await assert.rejects(running, failure('ABORTED'));
      await server.close();
    }
  });

  test('ends by its signal also where nobody reads from it, and lets go of the signal', async () => {
    const s3 = await serving('silence');
    const controller = new AbortController();
    const { signal } = controller;
    const unread = s3.createReadStream(address, { signal });
    s3.createReadStream(address, { signal }).destroy();
    const ended = finished(unread);
    await settle();
    assert.equal(getEventListeners(signal, 'abort').length, 1);
    controller.abort(new Error('never mind'));
    const error = await rejection(ended);
    assert.ok(failure('ABORTED')(error));
    assert.equal(error.cause, signal.reason);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
    // One that is fired already ends it, too.
    assert.ok(failure('ABORTED')(await rejection(finished(s3.createReadStream(address, { signal })))));
    assert.equal(server.requests.length, 0);
  });

  test('is no faster than its reader', async () => {
    const s3 = await serving(await stored(Buffer.alloc(20 * 1024 * 1024)));
    const stream = s3.createReadStream(address, { release: 'delayed' });
    const first = (await once(stream, 'readable')) as unknown;
    assert.ok(first);
    await settle();
    assert.ok(stream.readableLength < 2 * 1024 * 1024, `${stream.readableLength} bytes are held`);
    stream.destroy();
    await until(() => server.openConnections === 0);
  });
});
