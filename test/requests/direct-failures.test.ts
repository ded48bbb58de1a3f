/** What fails without the SDK fails as it does through it: the same error, after the same number of requests. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { DecryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { GetObjectCommand, type GetObjectCommandInput, S3Client } from '@aws-sdk/client-s3';
import type { FaultRule } from '../../src/local/index.ts';
import { base64Crc } from '../../src/multipart/upload-requests.ts';
import { sendGet } from '../../src/requests/get-request.ts';
import { sendDecrypt, sendGenerateDataKey } from '../../src/requests/kms-request.ts';
import { sendPut } from '../../src/requests/put-request.ts';
import { Bucket, bytesOf, rejection, TestEndpoint } from '../support/endpoint.ts';
import { type RecordedRequest, RecordingServer, s3Error } from '../support/recording-server.ts';
import { lastOf, leftDirectly, untilDirect } from '../support/sending.ts';

const unhandled: unknown[] = [];
process.on('unhandledRejection', (reason) => unhandled.push(reason));
process.on('uncaughtException', (error) => unhandled.push(error));

const never = new AbortController().signal;
let endpoint: TestEndpoint;
let client: S3Client;
let kms: KMSClient;
let _etag: string | undefined;
let wrapped: Uint8Array;

const Body = Buffer.from('content');
const put = (transport: 'auto' | 'client', signal = never): Promise<unknown> =>
  sendPut(
    client,
    { Bucket, Key: 'put', ContentLength: 7, ChecksumCRC32: base64Crc(crc32(Body)), Body },
    { signal, transport },
  );

async function get(
  transport: 'auto' | 'client',
  input: Partial<GetObjectCommandInput> = {},
  signal = never,
): Promise<Buffer> {
  const answer = await sendGet(client, { Bucket, Key: 'key', ...input }, { signal, transport });
  return bytesOf(answer.Body as never);
}

before(async () => {
  endpoint = await TestEndpoint.start();
  client = new S3Client({ ...endpoint.local.s3Config, maxAttempts: 3 });
  kms = new KMSClient({ ...endpoint.local.kmsConfig, maxAttempts: 3 });
  await endpoint.store('key', 'x'.repeat(100_000));
  ({ ETag: _etag } = await client.send(new GetObjectCommand({ Bucket, Key: 'key' })).then(async (answer) => {
    await answer.Body?.transformToByteArray();
    return answer;
  }));
  const made = await kms.send(new GenerateDataKeyCommand({ KeyId: 'alias/sealpipe', KeySpec: 'AES_256' }));
  wrapped = made.CiphertextBlob as Uint8Array;
  for (const send of [() => put('auto'), () => get('auto'), decrypt, generate])
    await untilDirect(send, () => lastOf(endpoint));
});
beforeEach(async () => {
  endpoint.local.faults.clear();
  await endpoint.local.requests.settled();
  endpoint.local.requests.clear();
});
after(async () => {
  client.destroy();
  kms.destroy();
  await endpoint.close();
  assert.deepEqual(unhandled, []);
});

function generate(): Promise<unknown> {
  return sendGenerateDataKey(kms, { KeyId: 'alias/sealpipe', KeySpec: 'AES_256' }, { signal: never });
}

function decrypt(input = {}): Promise<unknown> {
  return sendDecrypt(kms, { CiphertextBlob: wrapped, KeyId: 'alias/sealpipe', ...input }, { signal: never });
}

interface Outcome {
  readonly error?: object;
  readonly value?: unknown;
  readonly statuses: readonly number[];
}

async function outcomeOf(run: () => Promise<unknown>): Promise<Outcome & { readonly direct: boolean }> {
  await endpoint.local.requests.settled();
  endpoint.local.requests.clear();
  const result = await run().then(
    (value) => ({ value: Buffer.isBuffer(value) ? value.length : 'done' }),
    (thrown: unknown) => {
      const { name, code, message, $fault, $metadata } = thrown as Record<string, unknown> & {
        $metadata?: { httpStatusCode?: number; attempts?: number };
      };
      return {
        error: {
          name,
          code,
          message: String(message).replace(/aborted.*/, 'aborted'),
          type: (thrown as object).constructor.name,
          $fault,
          status: $metadata?.httpStatusCode,
          attempts: $metadata?.attempts,
        },
      };
    },
  );
  await endpoint.local.requests.settled();
  const requests = endpoint.local.requests.all();
  return {
    ...result,
    statuses: requests.map(({ status }) => status),
    direct: requests[0] !== undefined && leftDirectly(requests[0]),
  };
}

async function assertSame(
  direct: () => Promise<unknown>,
  control: () => Promise<unknown>,
  faults: readonly FaultRule[] = [],
): Promise<Outcome> {
  endpoint.local.faults.set(faults);
  const expected = await outcomeOf(control);
  endpoint.local.faults.set(faults);
  const found = await outcomeOf(direct);
  assert.equal(expected.direct, false);
  assert.equal(found.direct, true, 'it left without the SDK');
  assert.deepEqual({ ...found, direct: undefined }, { ...expected, direct: undefined });
  return found;
}

describe('a GET', () => {
  const answers: Record<string, [Partial<GetObjectCommandInput>, number[]]> = {
    'for a key that is not there': [{ Key: 'nothing' }, [404]],
    'on a condition that does not hold': [{ IfMatch: '"other"' }, [412]],
    'for a range that is not there': [{ Range: 'bytes=200000-' }, [416]],
    'for a range on a condition that holds': [{ Range: 'bytes=5-9' }, [206]],
  };
  for (const [what, [input, statuses]] of Object.entries(answers)) {
    test(`${what} is answered the same`, async () => {
      const found = await assertSame(
        () => get('auto', input),
        () => get('client', input),
      );
      assert.deepEqual(found.statuses, statuses);
    });
  }

  const faults: Record<string, [Omit<FaultRule, 'operation'>, number]> = {
    'is forbidden': [{ status: 403, code: 'AccessDenied' }, 1],
    'is throttled once': [{ status: 503 }, 2],
    'meets an internal error always': [{ status: 500, times: 'always' }, 3],
    'meets an internal error once': [{ status: 500 }, 2],
    'was too slow for S3': [{ status: 400, code: 'RequestTimeout' }, 2],
    'is answered with a redirect to nowhere': [{ status: 307, code: 'TemporaryRedirect' }, 1],
    'loses its connection before the answer': [{ resetResponseAfter: 0 }, 2],
    'loses its connection before the answer, always': [{ resetResponseAfter: 0, times: 'always' }, 3],
    'is told that its token has expired': [{ status: 400, code: 'ExpiredToken' }, 1],
  };
  for (const [what, [fault, count]] of Object.entries(faults)) {
    test(`that ${what} fails, or is asked for again, as by the SDK`, async () => {
      const found = await assertSame(
        () => get('auto'),
        () => get('client'),
        [{ operation: 'GetObject', ...fault }],
      );
      assert.equal(found.statuses.length, count);
    });
  }

  test('under a clock that has come to be hours off is made again by the time of the service', async () => {
    let ahead = 0;
    const server = await RecordingServer.start(({ headers }) => {
      const now = Date.now() + ahead;
      const [, y, mo, d, h, mi, s] =
        /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(String(headers['x-amz-date'])) ?? [];
      const late = Math.abs(Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`) - now) > 900_000;
      const answer = late
        ? { status: 403, ...s3Error('RequestTimeTooSkewed') }
        : { headers: { etag: '"e"' }, body: 'x' };
      return { ...answer, headers: { ...answer.headers, date: new Date(now).toUTCString() } };
    });
    const own = new S3Client({ ...endpoint.local.s3Config, endpoint: `http://127.0.0.1:${server.port}` });
    const send = async (): Promise<void> => {
      const { Body: body } = await sendGet(own, { Bucket, Key: 'key' }, { signal: never });
      await bytesOf(body as never);
    };
    await untilDirect(send, async () => server.takeRequests().at(-1) as RecordedRequest);
    ahead = 3 * 3600_000;
    await send();
    await send();
    assert.deepEqual(server.takeRequests().map(leftDirectly), [true, false, true], 'the next one knows the time');
    own.destroy();
    await server.close();
  });

  test('whose body breaks off is an error of its reader with the same code', async () => {
    for (const fault of [{ resetResponseAfter: 1000 }, { truncateAfter: 1000 }]) {
      endpoint.local.faults.set([{ operation: 'GetObject', ...fault, times: 'always' }]);
      const [direct, control] = (await Promise.all(
        (['auto', 'client'] as const).map((transport) => rejection(get(transport))),
      )) as [NodeJS.ErrnoException, NodeJS.ErrnoException];
      assert.equal(direct.code, control.code);
    }
  });

  test('is not asked for again where the SDK is told not to', async () => {
    endpoint.local.faults.set([{ operation: 'GetObject', status: 503, times: 'always' }]);
    const input = { Bucket, Key: 'key' };
    const found = await outcomeOf(() => sendGet(client, input, { signal: never, sdkRetries: false }));
    assert.deepEqual(found.statuses, [503]);
  });

  test('is ended by its signal though the error of its answer never comes', { timeout: 20_000 }, async () => {
    // The head says 500 and how long its body is, which then stays away.
    endpoint.local.faults.set([{ operation: 'GetObject', status: 500, stallResponseAfter: 10, times: 'always' }]);
    for (const transport of ['client', 'auto'] as const) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 200);
      await rejection(get(transport, {}, controller.signal));
    }
    await endpoint.local.requests.settled();
  });
});

describe('a PUT', () => {
  for (const [what, fault] of Object.entries<Omit<FaultRule, 'operation'>>({
    'that is forbidden': { status: 403, code: 'AccessDenied' },
    'that is throttled': { status: 503 },
    'that was too slow for S3': { status: 400, code: 'RequestTimeout' },
    'whose connection is reset': { resetRequestAfter: 0 },
    'whose answer is lost': { loseAnswer: true },
    'whose condition does not hold': { status: 412, code: 'PreconditionFailed' },
    'that is told of an error under a status of success': { errorIn200: true },
  })) {
    test(`${what} fails as by the SDK, and is sent once`, async () => {
      const found = await assertSame(
        () => put('auto'),
        () => put('client'),
        [{ operation: 'PutObject', ...fault }],
      );
      assert.equal(found.statuses.length, 1);
      assert.ok(found.error !== undefined);
    });
  }
});

describe('a call of KMS', () => {
  const control = {
    generate: () => kms.send(new GenerateDataKeyCommand({ KeyId: 'alias/sealpipe', KeySpec: 'AES_256' })),
    decrypt: (input = {}) =>
      kms.send(new DecryptCommand({ CiphertextBlob: wrapped, KeyId: 'alias/sealpipe', ...input })),
  };
  for (const [what, fault] of Object.entries<Omit<FaultRule, 'operation'>>({
    'that is denied': { status: 400, code: 'AccessDeniedException' },
    'that is throttled once': { status: 400, code: 'ThrottlingException' },
    'with a key that is disabled': { status: 400, code: 'DisabledException' },
    'that meets an internal error always': { status: 500, code: 'KMSInternalException', times: 'always' },
    'whose connection is reset': { resetResponseAfter: 0 },
    'whose answer is cut': { resetResponseAfter: 20 },
  })) {
    test(`${what} is the same exception, or asked for again, as by the SDK`, async () => {
      await assertSame(generate, control.generate, [{ operation: 'KMS.*', ...fault }]);
      await assertSame(decrypt, control.decrypt, [{ operation: 'KMS.*', ...fault }]);
    });
  }

  test('with another context, ciphertext or key is the same exception', async () => {
    const other = Buffer.from(wrapped);
    other[40] = (other[40] as number) ^ 1;
    for (const input of [{ EncryptionContext: { a: 'b' } }, { CiphertextBlob: other }, { KeyId: 'alias/none' }]) {
      const found = await assertSame(
        () => decrypt(input),
        () => control.decrypt(input),
      );
      assert.deepEqual(found.statuses, [400]);
    }
  });
});

describe('a server that is gone', () => {
  test('is the same error, after as many attempts', async () => {
    const settings = {
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    };
    const server = await RecordingServer.start(() => ({ headers: { etag: '"e"' }, body: 'x' }));
    const own = new S3Client({ ...settings, endpoint: `http://127.0.0.1:${server.port}`, maxAttempts: 2 });
    const send = async (transport: 'auto' | 'client'): Promise<unknown> => {
      const { Body: body } = await sendGet(own, { Bucket, Key: 'k' }, { signal: never, transport });
      return bytesOf(body as never);
    };
    await untilDirect(
      () => send('auto'),
      async () => server.takeRequests().at(-1) as RecordedRequest,
    );
    await server.close();
    const [direct, control] = (await Promise.all((['auto', 'client'] as const).map((way) => rejection(send(way))))) as {
      code: string;
      $metadata: { attempts: number };
    }[];
    assert.equal(direct?.code, 'ECONNREFUSED');
    assert.equal(control?.code, 'ECONNREFUSED');
    assert.equal(direct?.$metadata.attempts, control?.$metadata.attempts);
    own.destroy();
  });
});

describe('what the SDK allows itself in retries', () => {
  test('is filled up again by successes that it did not see', async () => {
    const own = new S3Client({ ...endpoint.local.s3Config, maxAttempts: 2 });
    const send = async (): Promise<unknown> => {
      const { Body: body } = await sendGet(own, { Bucket, Key: 'key' }, { signal: never });
      return bytesOf(body as never);
    };
    await untilDirect(send, () => lastOf(endpoint));
    const strategy = (await own.config.retryStrategy()) as unknown as { getCapacity(): number };
    const full = strategy.getCapacity();
    endpoint.local.faults.set([{ operation: 'GetObject', status: 500, times: 2 }]);
    await assert.rejects(send());
    const left = strategy.getCapacity();
    assert.ok(left < full);
    await send();
    await send();
    assert.ok(leftDirectly(await lastOf(endpoint)));
    assert.equal(strategy.getCapacity(), left + 2);
    own.destroy();
  });
});
