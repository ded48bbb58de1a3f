/**
 * AWS Signature Version 4, the server's side: pure functions from a request to what its signature should be.
 *
 * Specification: "Authenticating Requests (AWS Signature Version 4)" in the Amazon S3 API reference, and
 * "Create a signed AWS API request" in the IAM user guide for services other than S3.
 */
import { createHash, createHmac } from 'node:crypto';
import type { Parameter, RequestHead } from '../http/request-head.ts';

/** What a request claims about its signature. */
export interface SignatureClaim {
  readonly accessKeyId: string;
  /** `YYYYMMDD`, of the scope. */
  readonly scopeDate: string;
  readonly region: string;
  readonly service: string;
  /** Lower case, in the order given. */
  readonly signedHeaders: readonly string[];
  /** Hex. */
  readonly signature: string;
  /** `YYYYMMDDTHHMMSSZ`. */
  readonly timestamp: string;
  /** Seconds from `timestamp`; only presigned URLs have it. */
  readonly expiresSeconds?: number;
  readonly sessionToken?: string;
}

/** `accessKeyId/date/region/service/aws4_request`, cut from the right, as an access key id may hold slashes. */
export function splitCredential(
  credential: string,
): Omit<SignatureClaim, 'signedHeaders' | 'signature' | 'timestamp'> | null {
  const pieces = credential.split('/');
  if (pieces.length < 5 || pieces.at(-1) !== 'aws4_request') return null;
  const [scopeDate, region, service] = pieces.slice(-4, -1) as [string, string, string];
  return { accessKeyId: pieces.slice(0, -4).join('/'), scopeDate, region, service };
}

/** RFC 3986 encoding of UTF-8, as the signature wants it: everything but `A-Z a-z 0-9 - . _ ~`. */
function uriEncode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function canonicalQuery(parameters: readonly Parameter[]): string {
  return parameters
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => [uriEncode(name), uriEncode(value)] as const)
    .sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

/** The canonical request. `path` is decoded; S3 encodes it once. Header values keep one character per byte. */
export function canonicalRequest(
  head: RequestHead,
  path: string,
  signedHeaders: readonly string[],
  payloadHash: string,
): string {
  const headers = signedHeaders.map((name) => `${name}:${(head.headers.get(name) ?? '').trim().replace(/ +/g, ' ')}\n`);
  return [
    head.method,
    path.split('/').map(uriEncode).join('/'),
    canonicalQuery(head.parameters),
    headers.join(''),
    signedHeaders.join(';'),
    payloadHash,
  ].join('\n');
}

export function scopeOf(claim: Pick<SignatureClaim, 'scopeDate' | 'region' | 'service'>): string {
  return `${claim.scopeDate}/${claim.region}/${claim.service}/aws4_request`;
}

/** The string to sign of a canonical request that was hashed already (hex). */
export function stringToSign(claim: SignatureClaim, canonicalHash: string): string {
  return ['AWS4-HMAC-SHA256', claim.timestamp, scopeOf(claim), canonicalHash].join('\n');
}

export function sha256Hex(data: string | Uint8Array, encoding: 'latin1' | 'utf8' = 'utf8'): string {
  const hash = createHash('sha256');
  return (typeof data === 'string' ? hash.update(data, encoding) : hash.update(data)).digest('hex');
}

function hmac(key: string | Uint8Array, data: string): Buffer {
  return createHmac('sha256', key).update(data, 'utf8').digest();
}

export function deriveSigningKey(
  secretAccessKey: string,
  scope: Pick<SignatureClaim, 'scopeDate' | 'region' | 'service'>,
): Buffer {
  return hmac(hmac(hmac(hmac(`AWS4${secretAccessKey}`, scope.scopeDate), scope.region), scope.service), 'aws4_request');
}

export function sign(signingKey: Uint8Array, text: string): string {
  return hmac(signingKey, text).toString('hex');
}

/** Milliseconds since 1970 of `YYYYMMDDTHHMMSSZ`, or NaN. */
export function parseTimestamp(timestamp: string): number {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(timestamp);
  if (match === null) return Number.NaN;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number);
  return Date.UTC(year!, month! - 1, day, hour, minute, second);
}
