import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { ReadableStream, WritableStream } from 'node:stream/web';
import { describe, test } from 'node:test';
import { SealpipeError } from '../../src/errors.ts';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import type { Keyring } from '../../src/keyrings/keyring.ts';
import { createDecryptWebStream, createEncryptWebStream } from '../../src/streams/web-streams.ts';
import { failure } from '../support/failure.ts';
import { boundaryLengths, pieces } from '../support/properties.ts';
import { settle } from '../support/stream-ends.ts';

const keyring = aesKeyring({ key: randomBytes(32) });

function sourceOf(chunks: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
}

async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function store(plaintext: Buffer): Promise<{ stored: Buffer; envelope: Record<string, string> }> {
  const encrypt = createEncryptWebStream({ keyring });
  const stored = await bytesOf(sourceOf(pieces(plaintext, 50_000)).pipeThrough(encrypt));
  return { stored, envelope: await encrypt.envelope };
}

/** Runs something and returns what surfaced outside of it. */
async function strays(t: { after: (end: () => void) => void }, run: () => Promise<void>): Promise<unknown[]> {
  const late: unknown[] = [];
  const onLate = (error: unknown): void => void late.push(error);
  process.on('unhandledRejection', onLate).on('uncaughtException', onLate);
  t.after(() => process.off('unhandledRejection', onLate).off('uncaughtException', onLate));
  await run();
  await settle();
  await new Promise((resolve) => setTimeout(resolve, 20));
  return late;
}

describe('the web streams', () => {
  test('take bytes there and back, at every boundary length', async () => {
    for (const length of boundaryLengths) {
      const plaintext = randomBytes(length);
      const { stored, envelope } = await store(plaintext);
      assert.equal(stored.length, length + 16);
      const decrypt = createDecryptWebStream({ keyring, envelope });
      assert.deepEqual(await bytesOf(sourceOf(pieces(stored, 70_000)).pipeThrough(decrypt)), plaintext);
    }
  });

  test('hand out plain Uint8Arrays', async () => {
    const reader = sourceOf([Buffer.from('abc')])
      .pipeThrough(createEncryptWebStream({ keyring }))
      .getReader();
    const { value } = await reader.read();
    assert.ok(value instanceof Uint8Array);
    await reader.cancel();
  });

  test('error with the error of the stream inside, on the reading side and in pipeTo', async () => {
    const { stored, envelope } = await store(randomBytes(1000));
    stored[0]! ^= 1;
    const decrypt = (): ReturnType<typeof createDecryptWebStream> => createDecryptWebStream({ keyring, envelope });
    await assert.rejects(bytesOf(sourceOf([stored]).pipeThrough(decrypt())), failure('AUTHENTICATION_FAILED'));
    const received: Uint8Array[] = [];
    const sink = new WritableStream<Uint8Array>({ write: (chunk) => void received.push(chunk) });
    await assert.rejects(sourceOf([stored]).pipeThrough(decrypt()).pipeTo(sink), failure('AUTHENTICATION_FAILED'));
    assert.equal(received.length, 0);
  });

  test('error when the keyring fails, and nothing is left unhandled', async (t) => {
    const denied = new SealpipeError('KEY_DENIED', 'denied');
    const failing: Keyring = { ...keyring, generateDataKey: () => Promise.reject(denied) };
    const stray = await strays(t, async () => {
      const encrypt = createEncryptWebStream({ keyring: failing });
      await assert.rejects(bytesOf(sourceOf([Buffer.alloc(10)]).pipeThrough(encrypt)), denied);
      await assert.rejects(encrypt.envelope, denied);
    });
    assert.deepEqual(stray, []);
  });

  test('end quietly when their reader cancels or their source fails', async (t) => {
    const stray = await strays(t, async () => {
      const { stored, envelope } = await store(randomBytes(300_000));
      const reader = sourceOf(pieces(stored, 1000))
        .pipeThrough(createDecryptWebStream({ keyring, envelope, release: 'delayed' }))
        .getReader();
      await reader.read();
      await reader.cancel(new Error('enough'));
      const cause = new Error('source failed');
      const broken = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(Buffer.alloc(100)),
        pull: (controller) => controller.error(cause),
      });
      await assert.rejects(bytesOf(broken.pipeThrough(createEncryptWebStream({ keyring }))), cause);
    });
    assert.deepEqual(stray, []);
  });

  test('pass on why their writer gave up', async (t) => {
    const stray = await strays(t, async () => {
      for (const reason of [new Error('changed my mind'), 'no error at all']) {
        const { readable, writable } = createEncryptWebStream({ keyring });
        const writer = writable.getWriter();
        await writer.write(Buffer.alloc(10));
        await writer.abort(reason);
        const isReason = (error: unknown): boolean =>
          error === reason || (error instanceof SealpipeError && error.cause === reason);
        await assert.rejects(bytesOf(readable), isReason);
      }
    });
    assert.deepEqual(stray, []);
  });

  test('end by their signal', async (t) => {
    const stray = await strays(t, async () => {
      const controller = new AbortController();
      const encrypt = createEncryptWebStream({ keyring, signal: controller.signal });
      const endless = new ReadableStream<Uint8Array>({
        pull: async (source) => {
          await new Promise((resolve) => setImmediate(resolve));
          source.enqueue(Buffer.alloc(1000));
        },
      });
      const running = bytesOf(endless.pipeThrough(encrypt));
      setTimeout(() => controller.abort(), 5);
      await assert.rejects(running, failure('ABORTED'));
    });
    assert.deepEqual(stray, []);
  });

  test('slow a source down to the speed of the sink', async () => {
    const total = 200 * 64 * 1024;
    let given = 0;
    let taken = 0;
    let most = 0;
    const source = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          if (given >= total) {
            controller.close();
            return;
          }
          controller.enqueue(new Uint8Array(64 * 1024));
          given += 64 * 1024;
          most = Math.max(most, given - taken);
        },
      },
      { highWaterMark: 0 },
    );
    const sink = new WritableStream<Uint8Array>({
      write: async (chunk) => {
        taken += chunk.length;
        await new Promise((resolve) => setImmediate(resolve));
      },
    });
    await source.pipeThrough(createEncryptWebStream({ keyring })).pipeTo(sink);
    assert.equal(taken, total + 16);
    assert.ok(most < 4 * 1024 * 1024, `${most} of ${total} bytes were under way`);
  });
});
