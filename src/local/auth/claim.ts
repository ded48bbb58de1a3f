/** Reading the signature that a request claims, wherever it stands. */
import type { RequestHead } from '../http/request-head.ts';
import { AuthenticationProblem } from './authentication-problem.ts';
import { parseTimestamp, type SignatureClaim, splitCredential } from './sigv4.ts';

const longestPresigned = 7 * 24 * 3600; // seconds

const incompleteKms = 'IncompleteSignatureException';

/** Parses where a signature may be. Undefined for an anonymous request. @throws AuthenticationProblem */
export function readClaim(head: RequestHead): (SignatureClaim & { readonly presigned: boolean }) | undefined {
  const authorization = head.headers.get('authorization');
  const query = new Map(head.parameters);
  if (authorization !== undefined) return { ...readHeaderClaim(head, authorization), presigned: false };
  if (query.has('X-Amz-Algorithm') || query.has('X-Amz-Signature'))
    return { ...readQueryClaim(query), presigned: true };
  if (query.has('AWSAccessKeyId') && query.has('Signature')) throw unsupportedMechanism();
  return undefined;
}

function unsupportedMechanism(): AuthenticationProblem {
  return new AuthenticationProblem(
    'The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.',
    { code: 'InvalidRequest', status: 400 },
    { code: incompleteKms },
  );
}

export function malformed(what: string, region?: string): AuthenticationProblem {
  return new AuthenticationProblem(
    `The authorization header is malformed; ${what}`,
    {
      code: 'AuthorizationHeaderMalformed',
      status: 400,
      ...(region === undefined ? {} : { fields: { Region: region } }),
    },
    { code: incompleteKms },
  );
}

function readHeaderClaim(head: RequestHead, authorization: string): SignatureClaim {
  const space = authorization.indexOf(' ');
  const algorithm = space < 0 ? authorization : authorization.slice(0, space);
  if (algorithm === 'AWS4-ECDSA-P256-SHA256') {
    throw new AuthenticationProblem(
      'Signature Version 4A (AWS4-ECDSA-P256-SHA256) is not implemented by this local endpoint.',
      { code: 'NotImplemented', status: 501 },
      { code: incompleteKms },
    );
  }
  if (algorithm !== 'AWS4-HMAC-SHA256') throw unsupportedMechanism();
  const pieces = new Map(
    authorization
      .slice(space + 1)
      .split(',')
      .map((piece) => {
        const equals = piece.indexOf('=');
        return [piece.slice(0, equals).trim(), piece.slice(equals + 1).trim()] as const;
      }),
  );
  const credential = pieces.get('Credential');
  const signedHeaders = pieces.get('SignedHeaders');
  const signature = pieces.get('Signature');
  if (credential === undefined || signedHeaders === undefined || signature === undefined) {
    throw malformed('it must hold Credential, SignedHeaders and Signature.');
  }
  const scope = splitCredential(credential);
  if (scope === null)
    throw malformed('the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".');
  const timestamp = head.headers.get('x-amz-date') ?? httpDateToTimestamp(head.headers.get('date'));
  if (timestamp === undefined || Number.isNaN(parseTimestamp(timestamp))) {
    throw new AuthenticationProblem(
      'AWS authentication requires a valid Date or x-amz-date header',
      { code: 'AccessDenied', status: 403 },
      { code: incompleteKms },
    );
  }
  const token = head.headers.get('x-amz-security-token');
  return {
    ...scope,
    signedHeaders: signedHeaders.split(';'),
    signature,
    timestamp,
    ...(token === undefined ? {} : { sessionToken: token }),
  };
}

function httpDateToTimestamp(date: string | undefined): string | undefined {
  const time = date === undefined ? Number.NaN : Date.parse(date);
  if (Number.isNaN(time)) return undefined;
  return new Date(time).toISOString().replace(/[-:]|\.\d+/g, '');
}

function readQueryClaim(query: ReadonlyMap<string, string>): SignatureClaim {
  const bad = (message: string): AuthenticationProblem =>
    new AuthenticationProblem(
      message,
      { code: 'AuthorizationQueryParametersError', status: 400 },
      { code: incompleteKms },
    );
  if (query.get('X-Amz-Algorithm') !== 'AWS4-HMAC-SHA256') {
    throw bad('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"');
  }
  const scope = splitCredential(query.get('X-Amz-Credential') ?? '');
  if (scope === null) {
    throw bad(
      'Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".',
    );
  }
  const timestamp = query.get('X-Amz-Date') ?? '';
  if (Number.isNaN(parseTimestamp(timestamp))) {
    throw bad("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"");
  }
  const expires = query.get('X-Amz-Expires');
  if (expires === undefined || !/^\d+$/.test(expires)) throw bad('X-Amz-Expires should be a number');
  if (Number(expires) > longestPresigned) {
    throw bad(
      'X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds',
    );
  }
  const signedHeaders = query.get('X-Amz-SignedHeaders');
  const signature = query.get('X-Amz-Signature');
  if (signedHeaders === undefined || signature === undefined) {
    throw bad(
      'Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.',
    );
  }
  const token = query.get('X-Amz-Security-Token');
  return {
    ...scope,
    signedHeaders: signedHeaders.split(';'),
    signature,
    timestamp,
    expiresSeconds: Number(expires),
    ...(token === undefined ? {} : { sessionToken: token }),
  };
}
