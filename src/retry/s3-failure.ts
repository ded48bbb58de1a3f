/** What S3 answered, as an error of ours. */
import { SealpipeError, type SealpipeErrorFields } from '../errors.ts';
import { describeFailure } from '../service-failure.ts';

/** What was being done when S3 failed it. */
export interface S3FailureContext {
  /** S3's name of the operation: `GetObject`. */
  readonly operation: string;
  readonly bucket: string | undefined;
  readonly key?: string | undefined;
  /** What a failed precondition means here: the object changed under a reader, or a caller's own condition met another state. */
  readonly precondition?: 'changed' | 'conditional-read' | 'conditional-write' | undefined;
  readonly fields?: SealpipeErrorFields | undefined;
}

/** Translates what `S3Client.send` threw. The original stays as the cause; an error of ours passes as it is. */
export function s3Failure(cause: unknown, context: S3FailureContext): SealpipeError {
  if (cause instanceof SealpipeError) return cause;
  const { operation, bucket, key, precondition = 'changed' } = context;
  const failure = describeFailure(cause);
  const fields: SealpipeErrorFields = {
    cause,
    bucket,
    key,
    requestId: failure.requestId,
    statusCode: failure.statusCode,
    ...context.fields,
  };
  const place = `s3://${bucket ?? ''}${key === undefined ? '' : `/${key}`}`;
  const said =
    failure.message === '' || failure.message === failure.name ? failure.name : `${failure.name}: ${failure.message}`;
  switch (failure.name) {
    case 'NoSuchBucket':
      return new SealpipeError(
        'BUCKET_NOT_FOUND',
        `the bucket ${String(bucket)} does not exist: check its name, region and endpoint`,
        fields,
      );
    case 'NoSuchKey':
    case 'NoSuchVersion':
      return new SealpipeError('OBJECT_NOT_FOUND', `${place} does not exist`, fields);
    case 'NotFound':
      return key === undefined
        ? new SealpipeError(
            'BUCKET_NOT_FOUND',
            `the bucket ${String(bucket)} does not exist: check its name, region and endpoint`,
            fields,
          )
        : new SealpipeError('OBJECT_NOT_FOUND', `${place} does not exist`, fields);
    case 'NoSuchUpload':
      return new SealpipeError(
        'UPLOAD_UNKNOWN',
        `S3 does not know the multipart upload to ${place} any more: it was aborted or completed elsewhere`,
        fields,
      );
    case 'BucketAlreadyExists':
    case 'BucketAlreadyOwnedByYou':
      return new SealpipeError('BUCKET_EXISTS', `the bucket ${String(bucket)} exists already`, fields);
    case 'BucketNotEmpty':
      return new SealpipeError(
        'BUCKET_NOT_EMPTY',
        `the bucket ${String(bucket)} is not empty: remove its objects first`,
        fields,
      );
    case 'MetadataTooLarge':
      return new SealpipeError(
        'ENVELOPE_TOO_LARGE',
        `S3 found the user metadata of ${place} too large: store the envelope in an instruction file`,
        fields,
      );
    case 'EntityTooLarge':
      return new SealpipeError('TOO_LARGE', `S3 found the request to ${place} too large (${said})`, fields);
    case 'InvalidRange':
      return new SealpipeError('RANGE_INVALID', `the range lies outside of ${place}`, fields);
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
      return new SealpipeError(
        'REQUEST_REJECTED',
        `the bucket ${String(bucket)} is in another region than the request went to (${said}): set the region`,
        fields,
      );
    default:
  }
  if (
    failure.statusCode === 412 ||
    failure.statusCode === 304 ||
    failure.name === 'PreconditionFailed' ||
    failure.name === 'ConditionalRequestConflict'
  ) {
    if (precondition === 'changed') {
      return new SealpipeError(
        'OBJECT_CHANGED',
        `${place} was overwritten while it was being read: read it again from the start`,
        fields,
      );
    }
    const condition =
      precondition === 'conditional-write'
        ? 'the write asks for (it exists, or has another ETag)'
        : failure.statusCode === 304
          ? 'the read asks for: it has the ETag that IfNoneMatch excludes, so it is what the caller has'
          : 'the read asks for: it has not the ETag of IfMatch';
    return new SealpipeError(
      'PRECONDITION_FAILED',
      `${place} is not in the state that the condition of ${condition}`,
      fields,
    );
  }
  switch (failure.kind) {
    case 'aborted':
      return new SealpipeError('ABORTED', `${operation} of ${place} was aborted`, fields);
    case 'credentials':
      return new SealpipeError(
        'CREDENTIALS',
        `S3 did not accept the credentials (${said}): renew them or choose another profile`,
        fields,
      );
    case 'throttled':
      return new SealpipeError(
        'THROTTLED',
        `S3 throttled ${operation} of ${place} (${said}): lower the concurrency or try again later`,
        { ...fields, retryable: true },
      );
    case 'network':
      return new SealpipeError(
        'NETWORK',
        `${operation} of ${place} broke off (${said}): check network and endpoint, and try again`,
        { ...fields, retryable: true },
      );
    case 'server':
      return new SealpipeError('S3_UNAVAILABLE', `S3 failed ${operation} of ${place} (${said}): try again later`, {
        ...fields,
        retryable: true,
      });
    case 'rejected':
      break;
  }
  if (failure.statusCode === 403 || failure.statusCode === 401 || failure.name === 'AccessDenied') {
    return new SealpipeError(
      'ACCESS_DENIED',
      `S3 denied ${operation} of ${place} (${said}): check the bucket policy and the permissions of the credentials`,
      fields,
    );
  }
  const what =
    failure.statusCode === undefined
      ? `${operation} of ${place} could not be sent`
      : `S3 refused ${operation} of ${place}`;
  return new SealpipeError('REQUEST_REJECTED', `${what}: ${said}`, fields);
}
