import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  CompleteMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { isTransient } from '../../src/retry/retry-sends.ts';
import { s3Failure } from '../../src/retry/s3-failure.ts';
import { withoutSdkRetries } from '../../src/s3-command.ts';
import { describeFailure } from '../../src/service-failure.ts';
import { failure } from '../support/failure.ts';
import { type Answer, RecordingServer, s3Error } from '../support/recording-server.ts';

let server: RecordingServer;
let client: S3Client;
let answer: Answer | 'silence' | 'reset' = {};

before(async () => {
  server = await RecordingServer.start(() => answer);
  client = server.client();
});
after(() => server.close());

const address = { Bucket: 'b', Key: 'k' };
const context = { operation: 'X', bucket: 'b', key: 'k' };

async function thrown(send: Promise<unknown>): Promise<unknown> {
  return send.then(
    () => assert.fail('succeeded'),
    (error: unknown) => error,
  );
}
const get = (): Promise<unknown> => thrown(client.send(withoutSdkRetries(new GetObjectCommand(address))));
const head = (): Promise<unknown> => thrown(client.send(withoutSdkRetries(new HeadObjectCommand(address))));
const complete = (): Promise<unknown> =>
  thrown(client.send(withoutSdkRetries(new CompleteMultipartUploadCommand({ ...address, UploadId: 'u' }))));

type Code = Parameters<typeof failure>[0];

describe('what the SDK throws is understood as what the server said', () => {
  const table: [string, Answer | 'reset', () => Promise<unknown>, Code, boolean][] = [
    ['a missing object on GET', { status: 404, ...s3Error('NoSuchKey') }, get, 'OBJECT_NOT_FOUND', false],
    ['a missing object on HEAD, which has no body', { status: 404 }, head, 'OBJECT_NOT_FOUND', false],
    ['a missing bucket', { status: 404, ...s3Error('NoSuchBucket') }, get, 'BUCKET_NOT_FOUND', false],
    ['denied on GET', { status: 403, ...s3Error('AccessDenied') }, get, 'ACCESS_DENIED', false],
    ['denied on HEAD', { status: 403 }, head, 'ACCESS_DENIED', false],
    ['an expired token', { status: 400, ...s3Error('ExpiredToken') }, get, 'CREDENTIALS', false],
    ['a failed precondition', { status: 412, ...s3Error('PreconditionFailed') }, get, 'OBJECT_CHANGED', false],
    ['a failed precondition on HEAD', { status: 412 }, head, 'OBJECT_CHANGED', false],
    ['a range outside', { status: 416, ...s3Error('InvalidRange') }, get, 'RANGE_INVALID', false],
    ['an unknown upload', { status: 404, ...s3Error('NoSuchUpload') }, complete, 'UPLOAD_UNKNOWN', false],
    ['slow down', { status: 503, ...s3Error('SlowDown') }, get, 'THROTTLED', true],
    ['an overloaded HEAD', { status: 503 }, head, 'THROTTLED', true],
    ['an internal error', { status: 500, ...s3Error('InternalError') }, get, 'S3_UNAVAILABLE', true],
    [
      'an internal error in a body with status 200',
      { status: 200, ...s3Error('InternalError') },
      complete,
      'S3_UNAVAILABLE',
      true,
    ],
    ['slow down in a body with status 200', { status: 200, ...s3Error('SlowDown') }, complete, 'THROTTLED', true],
    ['a request that came too slowly', { status: 400, ...s3Error('RequestTimeout') }, complete, 'S3_UNAVAILABLE', true],
    [
      'a gateway that answers HTML',
      { status: 502, body: '<html><body>Bad Gateway</body></html>' },
      get,
      'S3_UNAVAILABLE',
      true,
    ],
    [
      'a gateway that answers no markup at all',
      { status: 504, body: 'upstream timed out' },
      get,
      'S3_UNAVAILABLE',
      true,
    ],
    ['a connection that breaks', 'reset', get, 'NETWORK', true],
    ['something not implemented', { status: 501, ...s3Error('NotImplemented') }, get, 'REQUEST_REJECTED', false],
  ];
  for (const [what, given, send, code, retryable] of table) {
    test(`${what}: ERR_SEALPIPE_${code}${retryable ? ', sent again' : ''}`, async () => {
      answer = given;
      const cause = await send();
      const error = s3Failure(cause, context);
      failure(code)(error);
      assert.equal(error.retryable, retryable);
      assert.equal(isTransient(cause), retryable);
      assert.equal(error.cause, cause);
    });
  }

  test('a Retry-After header is found', async () => {
    const slow = s3Error('SlowDown');
    answer = { status: 503, body: slow.body as string, headers: { ...slow.headers, 'retry-after': '7' } };
    assert.equal(describeFailure(await get()).retryAfterMs, 7000);
    answer = { status: 503, headers: { 'retry-after': '2' } };
    assert.equal(describeFailure(await head()).retryAfterMs, 2000);
  });

  test('the request id comes along', async () => {
    answer = { status: 403, ...s3Error('AccessDenied') };
    const error = s3Failure(await get(), context);
    assert.deepEqual([error.requestId, error.statusCode], ['request-1', 403]);
  });

  test('an abort is an abort, with whatever reason', async () => {
    answer = 'silence';
    for (const reason of [undefined, new Error('why'), 'why']) {
      const controller = new AbortController();
      const call = thrown(client.send(new GetObjectCommand(address), { abortSignal: controller.signal }));
      setTimeout(() => controller.abort(reason), 20);
      const cause = await call;
      assert.equal(describeFailure(cause).kind, 'aborted', String(cause));
      failure('ABORTED')(s3Failure(cause, context));
    }
  });

  test('nobody listening is the network', async () => {
    const gone = await RecordingServer.start(() => ({}));
    const lost = gone.client({ maxAttempts: 1 });
    await gone.close();
    const cause = await thrown(lost.send(new GetObjectCommand(address)));
    failure('NETWORK', /ECONNREFUSED/)(s3Failure(cause, context));
    lost.destroy();
  });

  test('a host that does not exist is the network', async () => {
    const nowhere = server.client({ endpoint: 'http://no-such-host.invalid', requestHandler: {}, maxAttempts: 1 });
    const cause = await thrown(nowhere.send(new GetObjectCommand(address)));
    failure('NETWORK')(s3Failure(cause, context));
  });

  test('a header that cannot be sent is no failure of S3, and nothing to send again', async () => {
    answer = { headers: { etag: '"e"' } };
    server.takeRequests();
    const metadata = { note: 'two\nlines' };
    const cause = await thrown(client.send(new PutObjectCommand({ ...address, Body: 'x', Metadata: metadata })));
    assert.equal(isTransient(cause), false, String(cause));
    failure('REQUEST_REJECTED', /could not be sent/)(s3Failure(cause, context));
    assert.equal(server.takeRequests().length, 0);
  });

  test('an answer that is cut off in its XML is a lost answer, to be sent again', async () => {
    answer = {
      headers: { 'content-type': 'application/xml' },
      body: '<?xml version="1.0"?><CompleteMultipartUploadResult><ETag>"e"</ETa',
    };
    const cause = await complete();
    assert.equal(isTransient(cause), true, String(cause));
  });

  test('credentials that cannot be had are credentials', async () => {
    const none = server.client({
      credentials: () => Promise.reject(Object.assign(new Error('no profile'), { name: 'CredentialsProviderError' })),
    });
    failure('CREDENTIALS', /no profile/)(s3Failure(await thrown(none.send(new GetObjectCommand(address))), context));
  });
});
