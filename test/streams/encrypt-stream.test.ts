import assert from 'node:assert/strict';
import { createDecipheriv, randomBytes } from 'node:crypto';
import { getEventListeners, once } from 'node:events';
import { PassThrough, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { SealpipeError } from '../../src/errors.ts';
import { parseEnvelope } from '../../src/format/parse-envelope.ts';
import type { CommitmentPolicy } from '../../src/format/read-policy.ts';
import { maxPlaintextLength } from '../../src/format/suites.ts';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import type { Keyring } from '../../src/keyrings/keyring.ts';
import { createEncryptStream, type EncryptStream } from '../../src/streams/encrypt-stream.ts';
import { failure } from '../support/failure.ts';
import { boundaryLengths, cutAt, pieces, runs, unaligned } from '../support/properties.ts';
import { settle, through, until } from '../support/stream-ends.ts';

const wrappingKey = randomBytes(32);
const keyring = aesKeyring({ key: wrappingKey });

/** Opens a V2 object by hand: the oracle of what the stream stored. */
async function openByHand(stored: Buffer, metadata: Record<string, string>): Promise<Buffer> {
  const { wrappedKey, iv, suite } = parseEnvelope(metadata);
  const key = createDecipheriv('aes-256-gcm', wrappingKey, wrappedKey.subarray(0, 12), { authTagLength: 16 });
  key.setAAD(Buffer.from(suite.binding as string)).setAuthTag(wrappedKey.subarray(-16));
  const dataKey = Buffer.concat([key.update(wrappedKey.subarray(12, -16)), key.final()]);
  const content = createDecipheriv('aes-256-gcm', dataKey, iv, { authTagLength: 16 });
  content.setAuthTag(stored.subarray(-16));
  return Buffer.concat([content.update(stored.subarray(0, -16)), content.final()]);
}

/** Waits for `open` before it answers. */
function gated(): { keyring: Keyring; open: () => void; fail: (error: Error) => void } {
  let open!: () => void;
  let fail!: (error: Error) => void;
  const gate = new Promise<void>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  gate.catch(() => undefined);
  const generateDataKey: Keyring['generateDataKey'] = async (request) => {
    await gate;
    return keyring.generateDataKey(request);
  };
  return { keyring: { ...keyring, generateDataKey }, open, fail };
}

describe('an encrypting stream', () => {
  test('stores ciphertext of the same length and a tag, which open by hand, at every boundary length', async () => {
    for (const length of boundaryLengths) {
      const plaintext = unaligned(randomBytes(length));
      const stream = createEncryptStream({ keyring, suite: 'gcm' });
      const stored = await through(stream, [plaintext]);
      assert.equal(stored.length, length + 16);
      assert.deepEqual(await openByHand(stored, await stream.envelope), plaintext);
    }
  });

  test('comes out in chunks that S3 takes: none but the last has less than 8 KiB, however its input is cut', async () => {
    const cuts = [1, 100, 8191, 8192, 8193, 65_536, 262_144 + 100, 1_000_000].map((length) => [length]);
    for (const lengths of [...cuts, [10, 300_000], [65_536, 1], [8000, 200, 70_000]]) {
      const size = Math.max(20_000, ...lengths.map((length) => 2 * length)) + 7;
      const plaintext = randomBytes(size);
      const input: Buffer[] = [];
      for (let at = 0, turn = 0; at < size; turn++) {
        const length = lengths[turn % lengths.length] as number;
        input.push(plaintext.subarray(at, at + length));
        at += length;
      }
      const stream = createEncryptStream({ keyring, suite: 'gcm' });
      const chunks: Buffer[] = [];
      await pipeline(Readable.from(input), stream, async (output) => {
        for await (const chunk of output as AsyncIterable<Buffer>) chunks.push(chunk);
      });
      assert.deepEqual(await openByHand(Buffer.concat(chunks), await stream.envelope), plaintext);
      const least = Math.min(...chunks.slice(0, -1).map(({ length }) => length));
      assert.ok(least >= 8192, `chunks of ${lengths.join(', ')} came out with one of ${least}`);
    }
  });

  test('does not care how its input is cut', async () => {
    const places = fc.array(fc.nat({ max: 3000 }), { maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), places, async (content, cuts) => {
        const stream = createEncryptStream({ keyring, suite: 'gcm' });
        const stored = await through(stream, cutAt(Buffer.from(content), cuts));
        assert.deepEqual(await openByHand(stored, await stream.envelope), Buffer.from(content));
      }),
      runs(25),
    );
  });

  test('takes strings as UTF-8, as any Writable does', async () => {
    const stream = createEncryptStream({ keyring, suite: 'gcm' });
    stream.write('é');
    stream.end('名', 'utf8');
    const stored = Buffer.concat((await stream.toArray()) as Buffer[]);
    assert.equal((await openByHand(stored, await stream.envelope)).toString(), 'é名');
  });

  test('writes format V3 by default and V2 by name, with length claimed where it is known and asked for', async () => {
    const envelopeOf = async (options: object): Promise<Record<string, string>> => {
      const stream = createEncryptStream({ keyring, ...options });
      await through(stream, [Buffer.alloc(5)]);
      return stream.envelope;
    };
    assert.equal((await envelopeOf({}))['x-amz-c'], '115');
    assert.equal((await envelopeOf({ suite: 'gcm-commit', length: 5 }))['x-amz-c'], '115');
    assert.equal((await envelopeOf({ commitmentPolicy: 'FORBID_ENCRYPT_ALLOW_DECRYPT' }))['x-amz-tag-len'], '128');
    assert.equal((await envelopeOf({ suite: 'gcm', length: 5 }))['x-amz-unencrypted-content-length'], '5');
    assert.equal((await envelopeOf({ materialsDescription: { a: 'é' } }))['x-amz-m'], '{"a":"\\u00e9"}');
  });

  test('encrypts the same content differently every time, under a key of its own', async () => {
    const seen = new Set<string>();
    for (let round = 0; round < 20; round++) {
      const stream = createEncryptStream({ keyring });
      seen.add((await through(stream, [Buffer.alloc(32)])).toString('hex'));
      seen.add((await stream.envelope)['x-amz-i'] as string);
    }
    assert.equal(seen.size, 40);
  });

  test('cuts large chunks: nothing larger than 256 KiB comes out', async () => {
    const stream = createEncryptStream({ keyring });
    const lengths: number[] = [];
    stream.on('data', (chunk: Buffer) => lengths.push(chunk.length));
    stream.end(randomBytes(1024 * 1024 + 1));
    await once(stream, 'end');
    assert.ok(Math.max(...lengths) <= 256 * 1024);
  });

  test('leaves the bytes it was given as they were', async () => {
    const plaintext = randomBytes(1000);
    const copy = Buffer.from(plaintext);
    await through(createEncryptStream({ keyring }), [plaintext]);
    assert.deepEqual(plaintext, copy);
  });
});

describe('the envelope', () => {
  test('is there before the first byte', async () => {
    const gate = gated();
    const stream = createEncryptStream({ keyring: gate.keyring });
    const order: string[] = [];
    stream.on('data', () => order.push('data'));
    void stream.envelope.then(() => order.push('envelope'));
    stream.end(Buffer.alloc(10));
    await settle();
    assert.deepEqual(order, []);
    gate.open();
    await once(stream, 'end');
    assert.equal(order[0], 'envelope');
    assert.ok(order.length > 1);
  });

  test('comes even when nobody reads or writes a byte', async () => {
    const stream = createEncryptStream({ keyring });
    assert.equal((await stream.envelope)['x-amz-c'], '115');
    stream.destroy();
  });

  test('rejects with what the keyring failed with, and so does the stream', async () => {
    const cause = new SealpipeError('KEY_DENIED', 'denied');
    const gate = gated();
    gate.fail(cause);
    const stream = createEncryptStream({ keyring: gate.keyring });
    const [error] = (await once(stream, 'error')) as unknown[];
    assert.equal(error, cause);
    await assert.rejects(stream.envelope, cause);
  });

  test('rejects when the stream is destroyed before it was made, with the same error', async () => {
    const why = new Error('why');
    for (const [given, expected] of [
      [why, (error: unknown) => error === why],
      [undefined, failure('ABORTED')],
    ] as const) {
      const gate = gated();
      const stream = createEncryptStream({ keyring: gate.keyring });
      stream.on('error', () => undefined);
      stream.destroy(given);
      await settle();
      gate.open();
      await assert.rejects(stream.envelope, expected);
    }
  });

  test('that nobody asks for is no unhandled rejection', async (t) => {
    const unhandled: unknown[] = [];
    const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', onUnhandled);
    t.after(() => process.off('unhandledRejection', onUnhandled));
    const gate = gated();
    gate.fail(new Error('no'));
    const stream = createEncryptStream({ keyring: gate.keyring });
    await once(stream, 'error');
    createEncryptStream({ keyring }).destroy();
    await settle();
    assert.deepEqual(unhandled, []);
  });
});

describe('a length that was given', () => {
  test('is kept to the byte: fewer or more is ERR_SEALPIPE_SOURCE_FAILED, and no tag comes out', async () => {
    for (const length of [0, 1, 99, 100]) {
      await through(createEncryptStream({ keyring, length }), [Buffer.alloc(length)]);
      for (const other of [length - 1, length + 1].filter((n) => n >= 0)) {
        const stream = createEncryptStream({ keyring, length });
        let out = 0;
        stream.on('data', (chunk: Buffer) => {
          out += chunk.length;
        });
        await assert.rejects(through(stream, pieces(Buffer.alloc(other), 10)), failure('SOURCE_FAILED', /length says/));
        assert.ok(out <= length);
      }
    }
  });

  test('that is too short ends the stream at the byte too many, not at the end of an endless source', async () => {
    const stream = createEncryptStream({ keyring, length: 100 });
    const endless = Readable.from(
      (function* () {
        for (;;) yield Buffer.alloc(64);
      })(),
    );
    await assert.rejects(pipeline(endless, stream, new PassThrough().resume()), failure('SOURCE_FAILED'));
  });

  test('must be a whole number of bytes that fits one message', () => {
    for (const length of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '5' as unknown as number])
      assert.throws(() => createEncryptStream({ keyring, length }), RangeError);
    assert.throws(() => createEncryptStream({ keyring, length: maxPlaintextLength + 1 }), failure('TOO_LARGE'));
    createEncryptStream({ keyring, length: maxPlaintextLength }).destroy();
  });
});

describe('options that cannot be right are refused at once', () => {
  test('and nothing of the stream that never was comes later', async (t) => {
    const late: unknown[] = [];
    const onLate = (error: unknown): void => void late.push(error);
    process.on('uncaughtException', onLate).on('unhandledRejection', onLate);
    t.after(() => process.off('uncaughtException', onLate).off('unhandledRejection', onLate));
    assert.throws(() => createEncryptStream({ keyring, length: -1 }));
    assert.throws(() => createEncryptStream({ keyring, suite: 'cbc' as 'gcm' }));
    await settle();
    assert.deepEqual(late, []);
  });

  test('an unknown suite or policy is a TypeError', () => {
    assert.throws(() => createEncryptStream({ keyring, suite: 'cbc' as 'gcm' }), TypeError);
    assert.throws(() => createEncryptStream({ keyring, commitmentPolicy: 'NONE' as CommitmentPolicy }), TypeError);
  });

  test('a suite against the policy is ERR_SEALPIPE_COMMITMENT_POLICY', () => {
    const commitmentPolicy = 'REQUIRE_ENCRYPT_ALLOW_DECRYPT';
    assert.throws(() => createEncryptStream({ keyring, suite: 'gcm', commitmentPolicy }), failure('COMMITMENT_POLICY'));
  });
});

test('a slow sink slows the source: what lies in between is bounded', async () => {
  const stream = createEncryptStream({ keyring });
  let given = 0;
  let taken = 0;
  let most = 0;
  const source = Readable.from(
    (function* () {
      for (let n = 0; n < 200; n++) {
        given += 64 * 1024;
        most = Math.max(most, given - taken);
        yield Buffer.alloc(64 * 1024);
      }
    })(),
    { highWaterMark: 1 },
  );
  const sink = new Writable({
    highWaterMark: 1,
    write: (chunk: Buffer, _encoding, callback) => {
      taken += chunk.length;
      setImmediate(callback);
    },
  });
  await pipeline(source, stream, sink);
  assert.equal(taken, given + 16);
  assert.ok(most < 2 * 1024 * 1024, `${most} bytes were under way`);
});

describe('a stream that is given up', () => {
  test('by a source that fails closes, and passes the error on', async () => {
    const cause = new Error('disk on fire');
    const source = new Readable({
      read() {
        this.push(Buffer.alloc(100_000));
        this.destroy(cause);
      },
    });
    const stream = createEncryptStream({ keyring });
    await assert.rejects(pipeline(source, stream, new PassThrough().resume()), cause);
    await until(() => stream.closed);
  });

  test('by a sink that closes early closes, and releases its source', async () => {
    const stream = createEncryptStream({ keyring });
    const source = Readable.from([Buffer.alloc(1000), Buffer.alloc(1000)]);
    const sink = new PassThrough();
    const running = pipeline(source, stream, sink);
    sink.destroy();
    await assert.rejects(running, { code: 'ERR_STREAM_PREMATURE_CLOSE' });
    assert.ok(stream.closed && source.destroyed);
  });

  test('while its keyring does not answer closes all the same: its call is aborted', async () => {
    let signal: AbortSignal | undefined;
    const silent: Keyring = {
      ...keyring,
      generateDataKey: (request) => {
        signal = request.signal;
        return new Promise((_, reject) => {
          signal?.addEventListener('abort', () => reject(new Error('call aborted')));
        });
      },
    };
    const stream = createEncryptStream({ keyring: silent });
    const why = new Error('no longer needed');
    const closed = once(stream, 'close').catch((error: unknown) => [error]);
    const errors: unknown[] = [];
    stream.on('error', (error) => errors.push(error));
    await until(() => signal !== undefined);
    stream.destroy(why);
    await closed;
    await until(() => stream.closed);
    assert.equal(signal?.aborted, true);
    assert.deepEqual(errors, [why]);
    await assert.rejects(stream.envelope, why);
  });
});

describe('an abort signal', () => {
  const moments: Record<string, (controller: AbortController) => Promise<unknown>> = {
    'fired before': (controller) => {
      controller.abort('reason');
      return run(controller);
    },
    'fired while the key is asked for': (controller) => {
      const running = run(controller, gated().keyring);
      setImmediate(() => controller.abort('reason'));
      return running;
    },
    'fired between bytes': (controller) => run(controller, keyring, () => controller.abort('reason')),
  };
  function run(
    controller: AbortController,
    with_: Keyring = keyring,
    between: () => void = () => undefined,
  ): Promise<unknown> {
    const stream = createEncryptStream({ keyring: with_, signal: controller.signal });
    const source = Readable.from(
      (async function* () {
        yield Buffer.alloc(1000);
        await settle();
        between();
        await settle();
        yield Buffer.alloc(1000);
      })(),
    );
    return pipeline(source, stream, new PassThrough().resume());
  }

  for (const [moment, start] of Object.entries(moments)) {
    test(`${moment} ends the stream with ERR_SEALPIPE_ABORTED and the reason as cause`, async () => {
      const controller = new AbortController();
      const error = await start(controller).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      failure('ABORTED')(error);
      assert.equal((error as Error).cause, 'reason');
    });
  }

  test('is let go of when the stream has ended or failed', async () => {
    const { signal } = new AbortController();
    const listeners = (): number => getEventListeners(signal, 'abort').length;
    const streams = Array.from({ length: 3 }, () => createEncryptStream({ keyring, signal, length: 10 }));
    assert.equal(listeners(), 3);
    await through(streams[0] as EncryptStream, [Buffer.alloc(10)]);
    await assert.rejects(through(streams[1] as EncryptStream, [Buffer.alloc(9)]));
    streams[2]?.destroy();
    await until(() => listeners() === 0);
  });
});
