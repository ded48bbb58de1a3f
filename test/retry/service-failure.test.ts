import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describeFailure, type FailureKind } from '../../src/service-failure.ts';

/** An exception as the SDK throws it. */
function exception(name: string, status?: number, headers?: Record<string, string>): Error {
  return Object.assign(new Error('said'), {
    name,
    ...(status !== undefined && { $metadata: { httpStatusCode: status, requestId: 'r' } }),
    ...(headers && { $response: { headers, statusCode: status } }),
  });
}

/** An error as Node's sockets throw it. */
const socketError = (code: string): Error => Object.assign(new Error(`connect ${code}`), { code });

describe('a failure of a service is', () => {
  const table: [FailureKind, Error[]][] = [
    [
      'throttled',
      [
        exception('SlowDown', 503),
        exception('Throttling', 400),
        exception('ThrottlingException', 400),
        exception('TooManyRequestsException', 400),
        exception('RequestLimitExceeded', 503),
        exception('LimitExceededException', 400),
        exception('Whatever', 429),
        exception('UnknownError', 503),
        Object.assign(exception('Odd', 400), { $retryable: { throttling: true } }),
      ],
    ],
    [
      'server',
      [
        exception('InternalError', 500),
        exception('InternalError', 200),
        exception('ServiceUnavailable', 503),
        exception('BadGateway', 502),
        exception('GatewayTimeout', 504),
        exception('RequestTimeout', 400),
        exception('KMSInternalException', 500),
        exception('DependencyTimeoutException', 500),
      ],
    ],
    [
      'credentials',
      [
        exception('ExpiredToken', 400),
        exception('ExpiredTokenException', 400),
        exception('InvalidAccessKeyId', 403),
        exception('SignatureDoesNotMatch', 403),
        exception('RequestTimeTooSkewed', 403),
        exception('UnrecognizedClientException', 400),
        exception('CredentialsProviderError'),
      ],
    ],
    [
      'network',
      [
        ...['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH'].map(
          socketError,
        ),
        ...['HPE_INVALID_CONSTANT', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_TLS_CERT_ALTNAME_INVALID'].map(socketError),
        ...['CERT_HAS_EXPIRED', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'UND_ERR_SOCKET'].map(socketError),
        exception('TimeoutError'),
        Object.assign(exception('TimeoutError'), { code: 'ETIMEDOUT' }),
      ],
    ],
    [
      'aborted',
      [
        exception('AbortError'),
        socketError('ABORT_ERR'),
        Object.assign(new Error('x'), { name: 'AbortError', code: 'X' }),
      ],
    ],
    [
      'rejected',
      [
        exception('AccessDenied', 403),
        exception('NoSuchKey', 404),
        exception('NotFound', 404),
        exception('PreconditionFailed', 412),
        exception('InvalidRequest', 400),
        exception('NotImplemented', 501),
        exception('BadDigest', 400),
        new Error('who knows'),
      ],
    ],
  ];
  for (const [kind, errors] of table) {
    test(`${kind}: ${errors.map(({ name, message }) => (name === 'Error' ? message : name)).join(', ')}`, () => {
      for (const error of errors) assert.equal(describeFailure(error).kind, kind, String(error));
    });
  }

  test('never the network when it is a mistake in a call: nothing was sent, and sending again changes nothing', () => {
    const invalid = Object.assign(new TypeError('Invalid character in header'), { code: 'ERR_INVALID_CHAR' });
    const range = Object.assign(new RangeError('out of range'), { code: 'ERR_OUT_OF_RANGE' });
    for (const error of [invalid, range]) assert.equal(describeFailure(error).kind, 'rejected');
  });
});

describe('what a failure says', () => {
  test("is the service's name of it, its message, status and request id", () => {
    const described = describeFailure(exception('NoSuchKey', 404));
    assert.deepEqual(described, {
      kind: 'rejected',
      name: 'NoSuchKey',
      message: 'said',
      statusCode: 404,
      requestId: 'r',
      retryAfterMs: undefined,
    });
  });

  test('is named by Code before name, and by the code of a socket where there is no name', () => {
    assert.equal(describeFailure(Object.assign(exception('Error', 400), { Code: 'InvalidPart' })).name, 'InvalidPart');
    assert.equal(describeFailure(socketError('ECONNRESET')).name, 'ECONNRESET');
    assert.equal(describeFailure(new Error('x')).name, 'Error');
  });

  test('has the status of the response where the SDK could not read the answer', () => {
    const unread = Object.assign(new SyntaxError('bad XML'), { $response: { statusCode: 502, headers: {} } });
    assert.deepEqual([describeFailure(unread).statusCode, describeFailure(unread).kind], [502, 'server']);
  });

  test('is something for whatever may be thrown', () => {
    for (const thrown of [
      undefined,
      null,
      'text',
      42,
      Symbol('s'),
      {},
      [],
      () => undefined,
      { name: 5, code: {}, message: [] },
    ]) {
      const { kind, name, message } = describeFailure(thrown);
      assert.deepEqual([kind, name, message], ['rejected', 'Error', '']);
    }
  });
});

describe('Retry-After', () => {
  const after = (value: string): number | undefined =>
    describeFailure(exception('SlowDown', 503, { 'retry-after': value })).retryAfterMs;

  test('is read in seconds', () => {
    assert.deepEqual(['0', '1', '120'].map(after), [0, 1000, 120_000]);
  });

  test('is read as a date, and one that has passed is no wait', () => {
    const soon = after(new Date(Date.now() + 10_000).toUTCString());
    assert.ok(soon !== undefined && soon > 8000 && soon <= 10_000);
    assert.equal(after('Wed, 21 Oct 2015 07:28:00 GMT'), 0);
  });

  test('is ignored when it is neither', () => {
    for (const value of ['', 'soon', 'NaN']) assert.equal(after(value), undefined);
    assert.equal(describeFailure(exception('SlowDown', 503)).retryAfterMs, undefined);
  });
});
