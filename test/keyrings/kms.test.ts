import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { cbcSuite, committingSuite, gcmSuite } from '../../src/format/suites.ts';
import { kmsKeyring } from '../../src/keyrings/kms.ts';
import { kmsDiscoveryKeyring } from '../../src/keyrings/kms-discovery.ts';
import { failure, rejection } from '../support/failure.ts';
import { generateRequest, unwrapRequest } from '../support/key-requests.ts';
import { runs, stringMap } from '../support/properties.ts';
import { type KmsAnswer, StandInKms } from '../support/stand-in-kms.ts';

let kms: StandInKms;
let keyId: string;

before(async () => {
  kms = await StandInKms.start();
  keyId = kms.createKey();
});
after(() => kms.close());
afterEach(() => void kms.takeRequests());

const reserved = 'aws:x-amz-cek-alg';

/** A wrapped key of `keyId` as a request to open it, for changes to be made to. */
async function wrapped(encryptionContext: Record<string, string> = {}): Promise<ReturnType<typeof unwrapRequest>> {
  const { dataKey, wrappedKey, wrappingAlgorithm, description } = await kmsKeyring({
    keyId,
    client: kms.client,
  }).generateDataKey(generateRequest({ encryptionContext }));
  dataKey.fill(0);
  kms.takeRequests();
  return unwrapRequest({ wrappedKey, wrappingAlgorithm, encryptionContext: description });
}

describe('a KMS keyring', () => {
  test('opens what it wrapped, with one call each, for any context', async () => {
    const keyring = kmsKeyring({ keyId, client: kms.client });
    const proto = JSON.parse('{"__proto__":"x","":""}') as Record<string, string>;
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(stringMap, fc.constant(proto)),
        fc.constantFrom(committingSuite, gcmSuite),
        async (encryptionContext, suite) => {
          kms.takeRequests();
          const { dataKey, ...materials } = await keyring.generateDataKey(
            generateRequest({ suite, encryptionContext }),
          );
          assert.deepEqual(materials.description, { ...encryptionContext, [reserved]: suite.binding });
          const request = unwrapRequest({ ...materials, suite, encryptionContext: materials.description });
          assert.deepEqual(await keyring.unwrapDataKey(request), dataKey);
          assert.deepEqual(
            kms.takeRequests().map(({ operation, body }) => [operation, body.KeyId, body.EncryptionContext]),
            [
              ['GenerateDataKey', keyId, materials.description],
              ['Decrypt', keyId, materials.description],
            ],
          );
        },
      ),
      runs(15),
    );
  });

  test('asks for AES_256 and passes grant tokens on, with both operations', async () => {
    const keyring = kmsKeyring({ keyId, client: kms.client, grantTokens: ['grant'] });
    const { wrappedKey, wrappingAlgorithm, description } = await keyring.generateDataKey(generateRequest());
    await keyring.unwrapDataKey(unwrapRequest({ wrappedKey, wrappingAlgorithm, encryptionContext: description }));
    const [generate, decrypt] = kms.takeRequests();
    assert.equal(generate?.body.KeySpec, 'AES_256');
    assert.deepEqual([generate?.body.GrantTokens, decrypt?.body.GrantTokens], [['grant'], ['grant']]);
  });

  test('hands data keys over in memory of their own', async () => {
    const keyring = kmsKeyring({ keyId, client: kms.client });
    const { dataKey, ...materials } = await keyring.generateDataKey(generateRequest());
    const request = unwrapRequest({ ...materials, encryptionContext: materials.description });
    for (const key of [dataKey, await keyring.unwrapDataKey(request)]) assert.equal(key.buffer.byteLength, 32);
  });

  test('opens kms too, with the stored context as it is', async () => {
    const request = await wrapped({ a: '1' });
    await kmsKeyring({ keyId, client: kms.client }).unwrapDataKey({ ...request, wrappingAlgorithm: 'kms' });
    assert.deepEqual(kms.takeRequests()[0]?.body.EncryptionContext, { a: '1', [reserved]: '115' });
  });

  test('refuses another context, another key, and altered bytes, by what KMS says of them', async () => {
    const request = await wrapped({ a: '1' });
    const keyring = kmsKeyring({ keyId, client: kms.client });
    const altered = Uint8Array.from(request.wrappedKey).fill(9, -1);
    const denied = failure('AUTHENTICATION_FAILED', /KMS cannot open/);
    await assert.rejects(keyring.unwrapDataKey({ ...request, wrappedKey: altered }), denied);
    await assert.rejects(
      keyring.unwrapDataKey({ ...request, encryptionContext: { a: '2', [reserved]: '115' } }),
      denied,
    );
    const otherKey = kmsKeyring({ keyId: kms.createKey(), client: kms.client });
    await assert.rejects(otherKey.unwrapDataKey(request), failure('KEY_MISMATCH', /another KMS key/));
  });

  test('never lets a raw wrapping near KMS', async () => {
    for (const keyring of [
      kmsKeyring({ keyId, client: kms.client }),
      kmsDiscoveryKeyring({ client: kms.client, accounts: ['111122223333'] }),
    ]) {
      for (const [wrappingAlgorithm, hint] of [
        ['AES/GCM', /AES key/],
        ['AES', /AES key/],
        ['RSA', /RSA key/],
        ['RSA-OAEP-SHA1', /RSA key/],
      ] as const)
        await assert.rejects(
          keyring.unwrapDataKey(unwrapRequest({ wrappingAlgorithm })),
          failure('KEY_MISMATCH', hint),
        );
    }
    assert.deepEqual(kms.takeRequests(), []);
  });
});

describe("a caller's mistake with a KMS keyring is a TypeError, before KMS is asked", () => {
  test('for a key id that is none', () => {
    for (const id of ['', undefined, null, 5, {}])
      assert.throws(() => kmsKeyring({ keyId: id as string, client: kms.client }), TypeError);
  });

  test('for a reserved context key, a context that is no map of strings, and a materials description', async () => {
    const keyring = kmsKeyring({ keyId, client: kms.client });
    for (const encryptionContext of [
      { [reserved]: '115' },
      { kms_cmk_id: 'x' },
      { a: 1 },
      { a: '\ud800' },
      new Map([['a', '1']]),
    ])
      await assert.rejects(
        keyring.generateDataKey(generateRequest({ encryptionContext: encryptionContext as Record<string, string> })),
        TypeError,
      );
    await assert.rejects(keyring.generateDataKey(generateRequest({ materialsDescription: { a: '1' } })), TypeError);
    await assert.rejects(keyring.generateDataKey(generateRequest({ suite: cbcSuite })), /internal error/);
    assert.deepEqual(kms.takeRequests(), []);
  });
});

describe('what KMS refuses', () => {
  const expected: Record<string, { status?: number; code: Parameters<typeof failure>[0]; retryable: boolean }> = {
    NotFoundException: { code: 'KEY_NOT_FOUND', retryable: false },
    InvalidArnException: { code: 'REQUEST_REJECTED', retryable: false },
    AccessDeniedException: { code: 'KEY_DENIED', retryable: false },
    IncorrectKeyException: { code: 'KEY_MISMATCH', retryable: false },
    InvalidCiphertextException: { code: 'AUTHENTICATION_FAILED', retryable: false },
    DisabledException: { code: 'KEY_UNUSABLE', retryable: false },
    KMSInvalidStateException: { code: 'KEY_UNUSABLE', retryable: false },
    InvalidKeyUsageException: { code: 'KEY_UNUSABLE', retryable: false },
    KeyUnavailableException: { status: 500, code: 'KMS_UNAVAILABLE', retryable: true },
    DependencyTimeoutException: { status: 500, code: 'KMS_UNAVAILABLE', retryable: true },
    KMSInternalException: { status: 500, code: 'KMS_UNAVAILABLE', retryable: true },
    ServiceUnavailable: { status: 503, code: 'KMS_UNAVAILABLE', retryable: true },
    InternalFailure: { status: 500, code: 'KMS_UNAVAILABLE', retryable: true },
    ThrottlingException: { code: 'THROTTLED', retryable: true },
    LimitExceededException: { code: 'THROTTLED', retryable: true },
    TooManyRequestsException: { status: 429, code: 'THROTTLED', retryable: true },
    InvalidGrantTokenException: { code: 'REQUEST_REJECTED', retryable: false },
    DryRunOperationException: { code: 'REQUEST_REJECTED', retryable: false },
    UnsupportedOperationException: { code: 'REQUEST_REJECTED', retryable: false },
    ExpiredTokenException: { code: 'CREDENTIALS', retryable: false },
    UnrecognizedClientException: { code: 'CREDENTIALS', retryable: false },
    InvalidSignatureException: { code: 'CREDENTIALS', retryable: false },
    MissingAuthenticationTokenException: { code: 'CREDENTIALS', retryable: false },
    IncompleteSignature: { code: 'CREDENTIALS', retryable: false },
  };

  for (const [name, { status = 400, code, retryable }] of Object.entries(expected)) {
    test(`as ${name} is ERR_SEALPIPE_${code}${retryable ? ', worth another try' : ''}, with every operation and keyring`, async () => {
      const request = await wrapped();
      const keyring = kmsKeyring({ keyId, client: kms.client });
      const discovery = kmsDiscoveryKeyring({ client: kms.client, accounts: ['111122223333'] });
      const answer: KmsAnswer = { name, status, message: 'said by KMS' };
      for (const call of [
        () => keyring.generateDataKey(generateRequest()),
        () => keyring.unwrapDataKey(request),
        () => discovery.unwrapDataKey(request),
      ]) {
        kms.answerNext(answer);
        const error = await rejection(call());
        failure(code)(error);
        assert.equal(error.retryable, retryable);
        assert.equal((error.cause as Error).name, name);
        assert.equal(error.statusCode, status);
        assert.equal(error.requestId, 'request-1');
        assert.doesNotMatch(error.message, /undefined/);
      }
    });
  }

  test('as ValidationException is a key id that it cannot read, or, where none was sent, a refusal', async () => {
    const request = await wrapped();
    const keyring = kmsKeyring({ keyId: 'no key', client: kms.client });
    const discovery = kmsDiscoveryKeyring({ client: kms.client, accounts: ['111122223333'] });
    kms.answerNext({ name: 'ValidationException' }, { name: 'ValidationException', message: 'too long' });
    await assert.rejects(keyring.unwrapDataKey(request), failure('KEY_NOT_FOUND', /key id no key:/));
    await assert.rejects(
      discovery.unwrapDataKey(request),
      failure('REQUEST_REJECTED', /^KMS refused Decrypt: ValidationException \(too long\)$/),
    );
  });

  test('is worth another try when it is no answer: the connection broke', async () => {
    const keyring = kmsKeyring({ keyId, client: kms.client });
    kms.answerNext('reset');
    const error = await rejection(keyring.generateDataKey(generateRequest()));
    failure('KMS_UNAVAILABLE', /could not be reached/)(error);
    assert.equal(error.retryable, true);
  });

  test('as an answer that is no key of 32 bytes is never used', async () => {
    const request = await wrapped();
    const keyring = kmsKeyring({ keyId, client: kms.client });
    for (const length of [0, 16, 31, 33, 64]) {
      const Plaintext = Buffer.alloc(length, 7).toString('base64');
      kms.answerNext({ body: { KeyId: keyId, Plaintext, CiphertextBlob: 'AAAA' } });
      await assert.rejects(keyring.generateDataKey(generateRequest()), failure('KEY_MISMATCH', /expected 32/));
      kms.answerNext({ body: { KeyId: keyId, Plaintext } });
      await assert.rejects(keyring.unwrapDataKey(request), failure('KEY_MISMATCH', /expected 32/));
    }
    kms.answerNext({ body: {} });
    await assert.rejects(keyring.unwrapDataKey(request), failure('KEY_MISMATCH', /0 bytes/));
    kms.answerNext({ body: { Plaintext: Buffer.alloc(32, 7).toString('base64') } });
    await assert.rejects(
      keyring.generateDataKey(generateRequest()),
      failure('KMS_UNAVAILABLE', /without a wrapped key/),
    );
  });

  test('never shows a data key in its error', async () => {
    const Plaintext = Buffer.from('0123456789abcdef0123456789abcde').toString('base64');
    kms.answerNext({ body: { Plaintext } });
    const error = await rejection(kmsKeyring({ keyId, client: kms.client }).generateDataKey(generateRequest()));
    const shown = [error.message, error.stack, JSON.stringify(error), String(error.cause)].join();
    assert.ok(!shown.includes('0123456') && !shown.includes(Plaintext));
  });
});

describe('an aborted call', () => {
  test('ends at once with ERR_SEALPIPE_ABORTED, whether it had been sent or not', async () => {
    const request = await wrapped();
    const keyring = kmsKeyring({ keyId, client: kms.client });
    const discovery = kmsDiscoveryKeyring({ client: kms.client, accounts: ['111122223333'] });
    for (const call of [
      (signal: AbortSignal) => keyring.generateDataKey(generateRequest({ signal })),
      (signal: AbortSignal) => keyring.unwrapDataKey({ ...request, signal }),
      (signal: AbortSignal) => discovery.unwrapDataKey({ ...request, signal }),
    ]) {
      await assert.rejects(call(AbortSignal.abort()), failure('ABORTED'));
      kms.answerNext('silence');
      const controller = new AbortController();
      const waiting = assert.rejects(call(controller.signal), failure('ABORTED'));
      while (kms.takeRequests().length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      controller.abort();
      await waiting;
    }
  });
});

describe('a discovery keyring', () => {
  const discovery = (options: object): ReturnType<typeof kmsDiscoveryKeyring> =>
    kmsDiscoveryKeyring({ client: kms.client, accounts: ['111122223333'], ...options });

  test('opens with whatever key of the trusted accounts it was, and sends no key id', async () => {
    const request = await wrapped({ a: '1' });
    for (const options of [
      {},
      { regions: ['us-east-1'] },
      { accounts: ['444455556666', '111122223333'], regions: ['eu-west-1', 'us-east-1'] },
      { partition: 'aws' },
    ])
      assert.equal((await discovery(options).unwrapDataKey(request)).length, 32);
    assert.ok(kms.takeRequests().every(({ body }) => body.KeyId === undefined));
  });

  test('refuses a key of another account, region or partition, though KMS opened it', async () => {
    const request = await wrapped();
    for (const options of [
      { accounts: ['444455556666'] },
      { regions: ['eu-west-1'] },
      { regions: [] },
      { partition: 'aws-cn' },
    ])
      await assert.rejects(discovery(options).unwrapDataKey(request), failure('KEY_DENIED', /outside of the accounts/));
  });

  test('refuses an answer whose key ARN is missing or no ARN of a key', async () => {
    const request = await wrapped();
    const Plaintext = Buffer.alloc(32, 7).toString('base64');
    for (const KeyId of [
      undefined,
      '',
      'mrk-1',
      'arn:aws:kms:us-east-1:111122223333:alias/x',
      'arn:aws:kms:us-east-1:111122223333:key/',
      'arn:aws:s3:us-east-1:111122223333:key/x',
      'arn:aws:kms:us-east-1:1111222233334:key/x',
      ' arn:aws:kms:us-east-1:111122223333:key/x',
      'arn:aws:kms:us-east-1:444455556666:key/x:111122223333:key/x',
    ]) {
      kms.answerNext({ body: { KeyId, Plaintext } });
      await assert.rejects(discovery({}).unwrapDataKey(request), failure('KEY_DENIED'), KeyId);
    }
  });

  test('needs at least one account, each of 12 digits', () => {
    for (const accounts of [
      undefined,
      [],
      [''],
      ['11112222333'],
      ['1111222233334'],
      ['aaaabbbbcccc'],
      ['111122223333', '*'],
    ])
      assert.throws(() => discovery({ accounts }), TypeError);
  });

  test('cannot write', async () => {
    await assert.rejects(discovery({}).generateDataKey(generateRequest()), TypeError);
    assert.deepEqual(kms.takeRequests(), []);
  });
});
