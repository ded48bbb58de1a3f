import assert from 'node:assert/strict';
import { createCipheriv, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { PassThrough, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, before, describe, test } from 'node:test';
import { SealpipeError } from '../../src/errors.ts';
import { parseEnvelope } from '../../src/format/parse-envelope.ts';
import type { CommitmentPolicy } from '../../src/format/read-policy.ts';
import { maxPlaintextLength } from '../../src/format/suites.ts';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import type { Keyring } from '../../src/keyrings/keyring.ts';
import { kmsKeyring } from '../../src/keyrings/kms.ts';
import {
  checkContentLength,
  createDecryptStream,
  type DecryptStreamOptions,
} from '../../src/streams/decrypt-stream.ts';
import { createEncryptStream } from '../../src/streams/encrypt-stream.ts';
import { defaultMaxBuffered } from '../../src/streams/plaintext-release.ts';
import { edited, envelopeV2Cbc, envelopeV3 } from '../support/envelopes.ts';
import { failure } from '../support/failure.ts';
import { pieces } from '../support/properties.ts';
import { StandInKms } from '../support/stand-in-kms.ts';
import { collect, settle, through, until } from '../support/stream-ends.ts';

const keyring = aesKeyring({ key: randomBytes(32) });
const commitmentPolicy = 'REQUIRE_ENCRYPT_ALLOW_DECRYPT';

interface StoredObject {
  readonly stored: Buffer;
  readonly envelope: Record<string, string>;
  readonly plaintext: Buffer;
}

async function store(plaintext: Buffer, suite: 'gcm-commit' | 'gcm' = 'gcm-commit'): Promise<StoredObject> {
  const stream = createEncryptStream({ keyring, suite });
  const stored = await through(stream, [plaintext]);
  return { stored, envelope: await stream.envelope, plaintext };
}

/** CBC content with its data key wrapped by ECB, as the first SDKs wrote it. */
function storeCbc(plaintext: Buffer): StoredObject & { keyring: Keyring } {
  const [wrapping, dataKey, iv] = [randomBytes(32), randomBytes(32), randomBytes(16)];
  const wrap = createCipheriv('aes-256-ecb', wrapping, null);
  const cipher = createCipheriv('aes-256-cbc', dataKey, iv);
  const envelope = edited(envelopeV2Cbc, {
    'x-amz-key-v2': Buffer.concat([wrap.update(dataKey), wrap.final()]).toString('base64'),
    'x-amz-iv': iv.toString('base64'),
    'x-amz-wrap-alg': 'AES',
  });
  const stored = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return { stored, envelope, plaintext, keyring: aesKeyring({ key: wrapping }) };
}

const legacy = { wrappingAlgorithms: true, unauthenticatedModes: true };

function decrypt(
  { envelope }: StoredObject,
  options: Partial<DecryptStreamOptions> = {},
): ReturnType<typeof createDecryptStream> {
  return createDecryptStream({ keyring, envelope, commitmentPolicy, ...options });
}

describe('under the rule authenticated, which is the default', () => {
  test('not a byte comes out before the tag has been verified, and all of it after', async () => {
    for (const known of [false, true]) {
      const object = await store(randomBytes(300_000));
      const stream = decrypt(object, known ? { contentLength: object.stored.length } : {});
      let out = 0;
      stream.on('data', (chunk: Buffer) => {
        out += chunk.length;
      });
      stream.write(object.stored.subarray(0, -1));
      await settle();
      assert.equal(out, 0, 'one byte of the tag is missing');
      stream.write(object.stored.subarray(-1));
      await settle();
      assert.equal(out, 0, 'the end is not known yet');
      stream.end();
      await once(stream, 'end');
      assert.equal(out, 300_000);
    }
  });

  test('of an altered object nothing ever comes out, wherever the byte was', async () => {
    for (const suite of ['gcm-commit', 'gcm'] as const) {
      const object = await store(randomBytes(20), suite);
      for (let at = 0; at < object.stored.length; at++) {
        const altered = Buffer.from(object.stored);
        altered[at]! ^= 0x80;
        for (const contentLength of [undefined, altered.length]) {
          const out: Uint8Array[] = [];
          const running = pipeline(Readable.from(pieces(altered, 7)), decrypt(object, { contentLength }), collect(out));
          await assert.rejects(running, failure('AUTHENTICATION_FAILED'));
          assert.equal(out.length, 0);
        }
      }
    }
  });

  test('what was held back is overwritten when the object turns out to be altered', async (t) => {
    const object = await store(Buffer.alloc(1000, 0x41));
    object.stored[object.stored.length - 1]! ^= 1;
    const stream = decrypt(object);
    const overwriting = t.mock.method(Buffer.prototype as Buffer, 'fill');
    await assert.rejects(through(stream, pieces(object.stored, 100)), failure('AUTHENTICATION_FAILED'));
    const overwritten = overwriting.mock.calls.map((call) => call.this as Buffer);
    assert.equal(Buffer.concat(overwritten).length, 1000 + 32, 'the content, and the data key');
    assert.ok(overwritten.every((bytes) => bytes.every((byte) => byte === 0)));
  });

  test('more than maxBuffered is refused: before a byte where the length is known, else at the byte', async () => {
    const object = await store(randomBytes(1000));
    const known = { contentLength: 1016 };
    assert.deepEqual(await through(decrypt(object, { maxBuffered: 1000 }), [object.stored]), object.plaintext);
    assert.deepEqual(
      await through(decrypt(object, { maxBuffered: 1000, ...known }), [object.stored]),
      object.plaintext,
    );
    const refused = failure('BUFFER_LIMIT', /download it to a file.*release/);
    await assert.rejects(through(decrypt(object, { maxBuffered: 999 }), pieces(object.stored, 100)), refused);
    const stream = decrypt(object, { maxBuffered: 999, ...known });
    assert.ok(refused(((await once(stream, 'error')) as unknown[])[0]));
  });

  test('refused for its length, an object costs no key', async () => {
    const object = await store(randomBytes(1000));
    let asked = 0;
    const counting: Keyring = {
      ...keyring,
      unwrapDataKey: (request) => {
        asked += 1;
        return keyring.unwrapDataKey(request);
      },
    };
    for (const [contentLength, code] of [
      [15, 'TRUNCATED'],
      [2 ** 36, 'TOO_LARGE'],
      [70 * 1024 * 1024, 'BUFFER_LIMIT'],
    ] as const) {
      const stream = decrypt(object, { keyring: counting, contentLength });
      failure(code)(((await once(stream, 'error')) as unknown[])[0]);
    }
    assert.equal(asked, 0);
  });

  test('the limit is 64 MiB unless another is given, and may be none or without end', async () => {
    assert.equal(defaultMaxBuffered, 64 * 1024 * 1024);
    const envelope = parseEnvelope(envelopeV3);
    checkContentLength(envelope, defaultMaxBuffered + 16, {});
    assert.throws(() => checkContentLength(envelope, defaultMaxBuffered + 17, {}), failure('BUFFER_LIMIT'));
    checkContentLength(envelope, maxPlaintextLength + 16, { release: 'delayed' });
    checkContentLength(envelope, maxPlaintextLength + 16, { maxBuffered: Number.POSITIVE_INFINITY });
    assert.throws(
      () => checkContentLength(envelope, maxPlaintextLength + 17, { release: 'delayed' }),
      failure('TOO_LARGE'),
    );
    const empty = await store(Buffer.alloc(0));
    assert.equal((await through(decrypt(empty, { maxBuffered: 0 }), [empty.stored])).length, 0);
    const one = await store(Buffer.alloc(1));
    await assert.rejects(through(decrypt(one, { maxBuffered: 0 }), [one.stored]), failure('BUFFER_LIMIT'));
  });
});

describe('under the rule delayed', () => {
  test('bytes come out as they are decrypted', async () => {
    const object = await store(randomBytes(300_000));
    const stream = decrypt(object, { release: 'delayed' });
    let out = 0;
    stream.on('data', (chunk: Buffer) => {
      out += chunk.length;
    });
    stream.write(object.stored.subarray(0, 200_000));
    await until(() => out === 200_000 - 16, 'all but a possible tag');
    stream.end(object.stored.subarray(200_000));
    await once(stream, 'end');
    assert.equal(out, 300_000);
  });

  test('an altered object ends in an error, never in an end', async () => {
    const object = await store(randomBytes(1000));
    for (const at of [0, 500, 999, 1000, 1015]) {
      const altered = Buffer.from(object.stored);
      altered[at]! ^= 1;
      const out: Uint8Array[] = [];
      const stream = decrypt(object, { release: 'delayed' });
      let ended = false;
      stream.on('end', () => {
        ended = true;
      });
      await assert.rejects(pipeline(Readable.from([altered]), stream, collect(out)), failure('AUTHENTICATION_FAILED'));
      assert.equal(ended, false);
    }
  });

  test('no length is too much to buffer', async () => {
    const object = await store(randomBytes(1000));
    const options = { release: 'delayed', maxBuffered: 0, contentLength: 1016 } as const;
    assert.deepEqual(await through(decrypt(object, options), pieces(object.stored, 100)), object.plaintext);
  });

  test('a slow sink slows the source: what lies in between is bounded', async () => {
    const total = 12 * 1024 * 1024;
    const object = await store(Buffer.alloc(total));
    let given = 0;
    let taken = 0;
    let most = 0;
    const source = Readable.from(
      (function* () {
        for (const piece of pieces(object.stored, 64 * 1024)) {
          given += piece.length;
          most = Math.max(most, given - taken);
          yield piece;
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
    await pipeline(source, decrypt(object, { release: 'delayed' }), sink);
    assert.equal(taken, total);
    assert.ok(most < 2 * 1024 * 1024, `${most} bytes were under way`);
  });
});

describe('a content length that is not that of the bytes', () => {
  test('is found out: fewer bytes are ERR_SEALPIPE_TRUNCATED, more do not authenticate', async () => {
    for (const release of ['authenticated', 'delayed'] as const) {
      const object = await store(randomBytes(100));
      for (const contentLength of [117, 132, 10_000])
        await assert.rejects(
          through(decrypt(object, { release, contentLength }), [object.stored]),
          failure('TRUNCATED', /ended after 116 bytes/),
        );
      for (const contentLength of [16, 100, 115])
        await assert.rejects(
          through(decrypt(object, { release, contentLength }), pieces(object.stored, 10)),
          failure('AUTHENTICATION_FAILED'),
        );
    }
  });

  test('is found out with CBC too, at block edges as well', async () => {
    const object = storeCbc(Buffer.alloc(64, 1));
    const options = { keyring: object.keyring, legacy };
    assert.deepEqual(
      await through(decrypt(object, { ...options, contentLength: 80 }), [object.stored]),
      object.plaintext,
    );
    await assert.rejects(
      through(decrypt(object, { ...options, contentLength: 80 }), [object.stored.subarray(0, 32)]),
      failure('TRUNCATED'),
    );
    await assert.rejects(through(decrypt(object, { ...options, contentLength: 79 }), []), failure('TRUNCATED'));
  });

  test('that no object has is a mistake of the caller', async () => {
    const object = await store(Buffer.alloc(1));
    for (const contentLength of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
      assert.throws(() => decrypt(object, { contentLength }), RangeError);
  });
});

describe('an object that was cut', () => {
  test('is never read as a shorter one, with whatever rule', async () => {
    const object = await store(randomBytes(60));
    for (const release of ['authenticated', 'delayed'] as const) {
      for (const length of [0, 1, 15, 16, 17, 59, 60, 75]) {
        const stream = decrypt(object, { release });
        const code = length < 16 ? 'TRUNCATED' : 'AUTHENTICATION_FAILED';
        await assert.rejects(through(stream, [object.stored.subarray(0, length)]), failure(code));
      }
    }
  });
});

describe('what is refused before a key is asked for', () => {
  let kms: StandInKms;
  before(async () => {
    kms = await StandInKms.start();
  });
  after(() => kms.close());

  test('a wrong context, policy or envelope costs no KMS call', async () => {
    const kmsOwn = kmsKeyring({ keyId: kms.createKey(), client: kms.client });
    const stream = createEncryptStream({ keyring: kmsOwn, encryptionContext: { tenant: 'a' }, suite: 'gcm' });
    const stored = await through(stream, [Buffer.from('x')]);
    const envelope = await stream.envelope;
    kms.takeRequests();
    const run = (options: Partial<DecryptStreamOptions>): Promise<Buffer> =>
      through(createDecryptStream({ keyring: kmsOwn, envelope, ...options }), [stored]);
    const open = { commitmentPolicy, encryptionContext: { tenant: 'a' } } as const;
    await assert.rejects(run({}), failure('COMMITMENT_POLICY'));
    await assert.rejects(run({ ...open, encryptionContext: { tenant: 'b' } }), failure('CONTEXT_MISMATCH'));
    await assert.rejects(run({ ...open, encryptionContext: undefined }), failure('CONTEXT_MISMATCH'));
    assert.deepEqual(kms.takeRequests(), []);
    assert.equal((await run(open)).toString(), 'x');
    assert.equal(kms.takeRequests().length, 1);
  });

  test('an unsound envelope, and options that cannot be right, are refused at once', async () => {
    const { envelope } = await store(Buffer.alloc(1));
    const options = { keyring, envelope };
    assert.throws(
      () => createDecryptStream({ ...options, envelope: edited(envelope, { 'x-amz-d': 'x' }) }),
      failure('ENVELOPE_INVALID'),
    );
    assert.throws(() => createDecryptStream({ ...options, release: 'early' as 'delayed' }), TypeError);
    assert.throws(() => createDecryptStream({ ...options, commitmentPolicy: 'NONE' as CommitmentPolicy }), TypeError);
    assert.throws(() => createDecryptStream({ ...options, keyring: undefined as unknown as Keyring }), TypeError);
    for (const maxBuffered of [-1, Number.NaN])
      assert.throws(() => createDecryptStream({ ...options, maxBuffered }), RangeError);
  });
});

describe('an object without an envelope', () => {
  test('is refused, and said where else the envelope could be', () => {
    assert.throws(() => createDecryptStream({ keyring, envelope: {} }), failure('NOT_ENCRYPTED', /instruction file/));
    const half = edited(envelopeV3, { 'x-amz-3': undefined, 'x-amz-w': undefined, 'x-amz-m': undefined });
    for (const plaintext of ['refuse', 'allow'] as const)
      assert.throws(
        () => createDecryptStream({ keyring, envelope: half, plaintext }),
        failure('ENVELOPE_INVALID', /entries of the instruction file/),
      );
  });

  test('passes as it is where that was asked for by name, and ends by its signal', async () => {
    const plain = randomBytes(100_000);
    const options = { keyring, envelope: { owner: 'me' }, plaintext: 'allow' } as const;
    assert.deepEqual(await through(createDecryptStream(options), pieces(plain, 999)), plain);
    const controller = new AbortController();
    const stream = createDecryptStream({ ...options, signal: controller.signal });
    controller.abort();
    failure('ABORTED')(((await once(stream, 'error')) as unknown[])[0]);
  });

  test('with part of an envelope is never plaintext', () => {
    for (const envelope of [
      { 'x-amz-matdesc': '{}' },
      { 'x-amz-iv': 'AAAA' },
      edited(envelopeV3, { 'x-amz-i': undefined }),
    ])
      assert.throws(() => createDecryptStream({ keyring, envelope, plaintext: 'allow' }), failure('ENVELOPE_INVALID'));
  });
});

describe('a stream that is given up', () => {
  test('while its keyring does not answer closes at once, with the error it was given alone', async () => {
    const kms = await StandInKms.start();
    const silent = kmsKeyring({ keyId: kms.createKey(), client: kms.client });
    const writer = createEncryptStream({ keyring: silent });
    const stored = await through(writer, [Buffer.alloc(10)]);
    kms.answerNext('silence');
    const stream = createDecryptStream({ keyring: silent, envelope: await writer.envelope });
    const why = new Error('source failed');
    const source = new PassThrough();
    const running = pipeline(source, stream, new PassThrough().resume());
    source.write(stored);
    await until(() => kms.requests.length === 2);
    source.destroy(why);
    await assert.rejects(running, why);
    await until(() => stream.closed);
    await until(() => kms.openConnections === 0, 'the end of the connection');
    await kms.close();
  });

  test('closes also where a keyring heeds no signal, and the late data key is overwritten', async () => {
    const object = await store(Buffer.alloc(10));
    let answer!: (key: Uint8Array) => void;
    const deaf: Keyring = {
      ...keyring,
      unwrapDataKey: () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    };
    const stream = decrypt(object, { keyring: deaf });
    await until(() => answer !== undefined);
    stream.destroy();
    await until(() => stream.closed);
    const late = new Uint8Array(32).fill(7);
    answer(late);
    await settle();
    assert.deepEqual(late, new Uint8Array(32));
  });

  test('at any byte leaves no unhandled rejection and no late error', async (t) => {
    const late: unknown[] = [];
    const onLate = (error: unknown): void => void late.push(error);
    process.on('unhandledRejection', onLate).on('uncaughtException', onLate);
    t.after(() => process.off('unhandledRejection', onLate).off('uncaughtException', onLate));
    const object = await store(randomBytes(1000));
    for (const release of ['authenticated', 'delayed'] as const) {
      for (const length of [0, 1, 16, 500, 1000, 1016]) {
        const stream = decrypt(object, { release });
        if (length > 0) stream.write(object.stored.subarray(0, length));
        if (length % 2 === 0) await settle();
        stream.destroy();
        await until(() => stream.closed);
        assert.equal(
          stream.write(Buffer.alloc(1), () => undefined),
          false,
        );
        stream.on('error', () => undefined);
      }
    }
    await settle();
    assert.deepEqual(late, []);
  });

  test('by a sink that fails closes, and releases its source', async () => {
    const object = await store(randomBytes(1_000_000));
    const stream = decrypt(object, { release: 'delayed' });
    const source = Readable.from(pieces(object.stored, 10_000));
    const full = new SealpipeError('TARGET_FAILED', 'disk full');
    const sink = new Writable({ write: (_chunk, _encoding, callback) => callback(full) });
    await assert.rejects(pipeline(source, stream, sink), full);
    assert.ok(source.destroyed && stream.destroyed);
    await until(() => stream.closed);
  });
});

describe('an abort signal', () => {
  for (const moment of ['before', 'while the key is asked for', 'between bytes', 'after the last byte'] as const) {
    test(`fired ${moment} ends the stream with ERR_SEALPIPE_ABORTED and the reason as cause`, async () => {
      const object = await store(randomBytes(1000));
      const controller = new AbortController();
      const { signal } = controller;
      if (moment === 'before') controller.abort('reason');
      const never: Keyring = { ...keyring, unwrapDataKey: () => new Promise(() => undefined) };
      const slow = moment === 'while the key is asked for';
      const stream = decrypt(object, { signal, ...(slow && { keyring: never }) });
      if (slow) setImmediate(() => controller.abort('reason'));
      const source = Readable.from(
        (async function* () {
          yield object.stored.subarray(0, 500);
          await settle();
          if (moment === 'between bytes') controller.abort('reason');
          yield object.stored.subarray(500);
          if (moment === 'after the last byte') controller.abort('reason');
        })(),
      );
      const out: Uint8Array[] = [];
      const error = await pipeline(source, stream, collect(out)).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      failure('ABORTED')(error);
      assert.equal((error as Error).cause, 'reason');
      assert.equal(out.length, 0);
    });
  }

  test('fired after the end changes nothing', async () => {
    const object = await store(randomBytes(1000));
    const controller = new AbortController();
    const stream = decrypt(object, { signal: controller.signal });
    assert.deepEqual(await through(stream, [object.stored]), object.plaintext);
    controller.abort();
    await settle();
    assert.equal(stream.errored, null);
  });
});

describe('an object under another key', () => {
  test('fails alike whether it is the wrapping key, the envelope or the content that is another', async () => {
    for (const suite of ['gcm-commit', 'gcm'] as const) {
      const [one, two] = [await store(randomBytes(50), suite), await store(randomBytes(50), suite)];
      const stranger = aesKeyring({ key: randomBytes(32) });
      await assert.rejects(
        through(decrypt(one, { keyring: stranger }), [one.stored]),
        failure('AUTHENTICATION_FAILED'),
      );
      await assert.rejects(through(decrypt(two), [one.stored]), failure('AUTHENTICATION_FAILED'));
      for (const name of suite === 'gcm' ? ['x-amz-key-v2', 'x-amz-iv'] : ['x-amz-3', 'x-amz-d', 'x-amz-i']) {
        const mixed = { ...one, envelope: edited(one.envelope, { [name]: two.envelope[name] }) };
        await assert.rejects(through(decrypt(mixed), [one.stored]), failure('AUTHENTICATION_FAILED'));
      }
    }
  });
});
