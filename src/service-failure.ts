/**
 * What a call to an AWS service failed with, in the few terms that the rest of the code decides by. The SDK throws
 * exceptions with a name and a status, Node's sockets errors with a code, an abort something else again.
 */

/** The kinds of failure that call for different handling. */
export type FailureKind = 'aborted' | 'throttled' | 'credentials' | 'network' | 'server' | 'rejected';

/** A failed call, described. */
export interface ServiceFailure {
  readonly kind: FailureKind;
  /** The service's name of the error (`NoSuchKey`), or the error's own. */
  readonly name: string;
  /** What the service said; empty when nothing. */
  readonly message: string;
  readonly statusCode: number | undefined;
  readonly requestId: string | undefined;
  /** Milliseconds to wait that the service asked for by Retry-After. */
  readonly retryAfterMs: number | undefined;
}

const throttling = new Set([
  'BandwidthLimitExceeded',
  'LimitExceededException',
  'ProvisionedThroughputExceededException',
  'RequestLimitExceeded',
  'RequestThrottled',
  'RequestThrottledException',
  'SlowDown',
  'ThrottledException',
  'Throttling',
  'ThrottlingException',
  'TooManyRequestsException',
]);

const credentials = new Set([
  'AuthFailure',
  'AuthorizationHeaderMalformed',
  'CredentialsProviderError',
  'ExpiredToken',
  'ExpiredTokenException',
  'IncompleteSignature',
  'InvalidAccessKeyId',
  'InvalidClientTokenId',
  'InvalidSignatureException',
  'InvalidToken',
  'MissingAuthenticationToken',
  'MissingAuthenticationTokenException',
  'NotSignedUp',
  'RequestExpired',
  'RequestTimeTooSkewed',
  'SignatureDoesNotMatch',
  'TokenRefreshRequired',
  'UnrecognizedClientException',
]);

/** S3 answers a body that came too slowly with status 400: sending it again is right. */
const transient = new Set([
  'RequestTimeout',
  'RequestTimeoutException',
  'InternalError',
  'InternalFailure',
  'ServiceUnavailable',
  'KMSInternalException',
  'DependencyTimeoutException',
]);

const socketCodes = new Set([
  'EADDRNOTAVAIL',
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETRESET',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'EPROTO',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ETIMEDOUT',
  'HPE_INVALID_CONSTANT',
  'HPE_INVALID_EOF_STATE',
]);

/** Describes whatever a call threw. */
export function describeFailure(thrown: unknown): ServiceFailure {
  const error = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as {
    name?: unknown;
    code?: unknown;
    Code?: unknown;
    message?: unknown;
    $metadata?: { httpStatusCode?: unknown; requestId?: unknown };
    $response?: { headers?: Record<string, string>; statusCode?: unknown };
    $retryable?: { throttling?: boolean };
  };
  const code = typeof error.code === 'string' ? error.code : undefined;
  const name =
    [error.Code, error.name].find(
      (value): value is string => typeof value === 'string' && value !== '' && value !== 'Error',
    ) ??
    code ??
    'Error';
  const status = error.$metadata?.httpStatusCode ?? error.$response?.statusCode;
  const statusCode = typeof status === 'number' ? status : undefined;
  const requestId = error.$metadata?.requestId;
  return {
    kind: kindOf({ name, code, statusCode, throttled: error.$retryable?.throttling === true }),
    name,
    message: typeof error.message === 'string' && error.message !== 'UnknownError' ? error.message : '',
    statusCode,
    requestId: typeof requestId === 'string' ? requestId : undefined,
    retryAfterMs: retryAfter(error.$response?.headers),
  };
}

function kindOf(failure: {
  name: string;
  code: string | undefined;
  statusCode: number | undefined;
  throttled: boolean;
}): FailureKind {
  const { name, code, statusCode, throttled } = failure;
  if (name === 'AbortError' || code === 'ABORT_ERR') return 'aborted';
  // The SDK gives an error in a body of status 200 the status 503, so the name goes first.
  if (throttled || throttling.has(name) || statusCode === 429 || (statusCode === 503 && !transient.has(name)))
    return 'throttled';
  if (credentials.has(name)) return 'credentials';
  // Done, but the answer could not be read (cut off in its XML): whoever asks again or looks will find out.
  if (statusCode !== undefined && statusCode >= 200 && statusCode < 300 && !transient.has(name)) return 'network';
  // A mistake in the call, which Node gives a code too (ERR_INVALID_CHAR in a header): nothing was sent.
  if (name === 'TypeError' || name === 'RangeError') return 'rejected';
  if (
    name === 'TimeoutError' ||
    (code !== undefined && socketCodes.has(code)) ||
    code?.startsWith('ERR_TLS') ||
    code?.startsWith('CERT_')
  )
    return 'network';
  if (transient.has(name) || (statusCode !== undefined && statusCode >= 500 && statusCode !== 501)) return 'server';
  // A code of some library and no status: there was no answer, and the connection is to blame.
  if (statusCode === undefined && code !== undefined) return 'network';
  return 'rejected';
}

/** Retry-After in its two forms: seconds, or an HTTP date. */
function retryAfter(headers: Record<string, string> | undefined): number | undefined {
  const value = headers?.['retry-after'];
  if (value === undefined) return undefined;
  if (/^\d{1,6}$/.test(value)) return Number(value) * 1000;
  const until = Date.parse(value);
  return Number.isNaN(until) ? undefined : Math.max(0, until - Date.now());
}
