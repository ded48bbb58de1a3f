import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SealpipeError } from '../../src/errors.ts';
import { s3Failure } from '../../src/retry/s3-failure.ts';
import { failure } from '../support/failure.ts';

function exception(name: string, status?: number, message = 'said'): Error {
  return Object.assign(new Error(message), { name, $metadata: { httpStatusCode: status, requestId: 'r' } });
}

const context = { operation: 'GetObject', bucket: 'b', key: 'k' };
type Code = Parameters<typeof failure>[0];

describe('what S3 refuses becomes an error of ours', () => {
  const table: [string, number | undefined, Code, RegExp, boolean?][] = [
    ['NoSuchBucket', 404, 'BUCKET_NOT_FOUND', /bucket b does not exist/],
    ['NoSuchKey', 404, 'OBJECT_NOT_FOUND', /s3:\/\/b\/k does not exist/],
    ['NoSuchVersion', 404, 'OBJECT_NOT_FOUND', /s3:\/\/b\/k/],
    ['NotFound', 404, 'OBJECT_NOT_FOUND', /s3:\/\/b\/k/],
    ['NoSuchUpload', 404, 'UPLOAD_UNKNOWN', /multipart upload/],
    ['BucketAlreadyExists', 409, 'BUCKET_EXISTS', /exists already/],
    ['BucketAlreadyOwnedByYou', 409, 'BUCKET_EXISTS', /exists already/],
    ['BucketNotEmpty', 409, 'BUCKET_NOT_EMPTY', /not empty/],
    ['MetadataTooLarge', 400, 'ENVELOPE_TOO_LARGE', /instruction file/],
    ['EntityTooLarge', 400, 'TOO_LARGE', /too large/],
    ['InvalidRange', 416, 'RANGE_INVALID', /outside/],
    ['PermanentRedirect', 301, 'REQUEST_REJECTED', /another region/],
    ['AuthorizationHeaderMalformed', 400, 'REQUEST_REJECTED', /another region/],
    ['PreconditionFailed', 412, 'OBJECT_CHANGED', /overwritten while it was being read/],
    ['412', 412, 'OBJECT_CHANGED', /overwritten/],
    ['ConditionalRequestConflict', 409, 'OBJECT_CHANGED', /overwritten/],
    ['ExpiredToken', 400, 'CREDENTIALS', /renew/],
    ['InvalidAccessKeyId', 403, 'CREDENTIALS', /did not accept/],
    ['SlowDown', 503, 'THROTTLED', /throttled GetObject/, true],
    ['InternalError', 500, 'S3_UNAVAILABLE', /try again later/, true],
    ['ServiceUnavailable', 503, 'S3_UNAVAILABLE', /failed GetObject/, true],
    ['TimeoutError', undefined, 'NETWORK', /broke off/, true],
    ['AbortError', undefined, 'ABORTED', /was aborted/],
    ['AccessDenied', 403, 'ACCESS_DENIED', /denied GetObject of s3:\/\/b\/k/],
    ['Forbidden', 403, 'ACCESS_DENIED', /permissions/],
    ['Unauthorized', 401, 'ACCESS_DENIED', /denied/],
    ['InvalidRequest', 400, 'REQUEST_REJECTED', /refused GetObject.*InvalidRequest: said/],
    ['NotImplemented', 501, 'REQUEST_REJECTED', /NotImplemented/],
  ];
  for (const [name, status, code, message, retryable = false] of table) {
    test(`${name} is ERR_SEALPIPE_${code}${retryable ? ', worth another try' : ''}`, () => {
      const cause = exception(name, status);
      const error = s3Failure(cause, context);
      failure(code, message)(error);
      assert.deepEqual([error.bucket, error.key, error.requestId, error.statusCode], ['b', 'k', 'r', status]);
      assert.deepEqual([error.cause, error.retryable], [cause, retryable]);
    });
  }

  test('a 404 without a key is the bucket', () => {
    const error = s3Failure(exception('NotFound', 404), { operation: 'HeadBucket', bucket: 'b' });
    failure('BUCKET_NOT_FOUND')(error);
    assert.equal('key' in error, false);
  });

  test('a failed precondition of a write is not one of a reader', () => {
    for (const name of ['PreconditionFailed', 'ConditionalRequestConflict']) {
      const error = s3Failure(exception(name, 412), { ...context, precondition: 'conditional-write' });
      failure('PRECONDITION_FAILED', /condition of the write/)(error);
    }
  });

  test('a condition of a read that is not met is no change of the object', () => {
    for (const [status, what] of [
      [412, /has not the ETag of IfMatch/],
      [304, /has the ETag that IfNoneMatch excludes/],
    ] as const) {
      const error = s3Failure(exception('Unknown', status), { ...context, precondition: 'conditional-read' });
      failure('PRECONDITION_FAILED', what)(error);
    }
  });

  test('a message that only repeats the name is not repeated', () => {
    assert.match(s3Failure(exception('Forbidden', 403, 'Forbidden'), context).message, /\(Forbidden\)/);
    assert.match(s3Failure(exception('Forbidden', 403, 'UnknownError'), context).message, /\(Forbidden\)/);
  });

  test('fields that the caller adds are kept', () => {
    const error = s3Failure(exception('SlowDown', 503), { ...context, fields: { part: 3, attempts: 5 } });
    assert.deepEqual([error.part, error.attempts, error.retryable], [3, 5, true]);
  });

  test('an error of ours passes as it is', () => {
    const own = new SealpipeError('TRUNCATED', 'cut');
    assert.equal(s3Failure(own, context), own);
  });

  test('what is no exception of S3 at all still is an error with its cause', () => {
    for (const cause of [new Error('odd'), 'text', undefined]) {
      const error = s3Failure(cause, context);
      failure('REQUEST_REJECTED', /^GetObject of s3:\/\/b\/k could not be sent/)(error);
      if (cause !== undefined) assert.equal(error.cause, cause);
    }
  });
});
