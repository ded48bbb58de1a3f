/** Signature Version 4, written for the tests alone: the endpoint's own code must not check itself. */
import { createHash, createHmac } from 'node:crypto';

export interface SignerCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

export interface ToSign {
  readonly method: string;
  /** With its query; encoded as it is to be sent. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What goes into `x-amz-content-sha256`. */
  readonly payload: string;
  readonly service?: 's3' | 'kms';
  readonly region: string;
  readonly date?: Date;
}

export interface Signed {
  readonly headers: Record<string, string>;
  /** For chunk signatures. */
  readonly signature: string;
  readonly signingKey: Buffer;
  readonly scope: string;
  readonly timestamp: string;
}

export const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex');
export const hmac = (key: string | Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest();

const strict = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

function sortedQuery(query: string): string {
  if (query === '') return '';
  const pairs = query.split('&').map((pair) => {
    const [name = '', ...value] = pair.split('=');
    return `${strict(decodeURIComponent(name))}=${strict(decodeURIComponent(value.join('=')))}`;
  });
  return pairs.sort().join('&');
}

function keyFor(secret: string, day: string, region: string, service: string): Buffer {
  return hmac(hmac(hmac(hmac(`AWS4${secret}`, day), region), service), 'aws4_request');
}

const stamp = (date: Date): string => date.toISOString().replace(/[-:]|\.\d+/g, '');

export function signRequest(credentials: SignerCredentials, request: ToSign): Signed {
  const service = request.service ?? 's3';
  const timestamp = stamp(request.date ?? new Date());
  const scope = `${timestamp.slice(0, 8)}/${request.region}/${service}/aws4_request`;
  const headers: Record<string, string> = {
    ...request.headers,
    'x-amz-date': timestamp,
    'x-amz-content-sha256': request.payload,
  };
  if (credentials.sessionToken !== undefined) headers['x-amz-security-token'] = credentials.sessionToken;
  const names = Object.keys(headers).sort();
  const [path = '', query = ''] = request.path.split('?');
  const canonical = [
    request.method,
    path,
    sortedQuery(query),
    ...names.map((name) => `${name}:${headers[name]!.trim()}`),
    '',
    names.join(';'),
    request.payload,
  ].join('\n');
  const signingKey = keyFor(credentials.secretAccessKey, timestamp.slice(0, 8), request.region, service);
  const toSign = `AWS4-HMAC-SHA256\n${timestamp}\n${scope}\n${sha256(canonical)}`;
  const signature = hmac(signingKey, toSign).toString('hex');
  headers['authorization'] =
    `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  return { headers, signature, signingKey, scope, timestamp };
}

/** The path and query of a presigned request that signs nothing but its host. */
export function presign(
  credentials: SignerCredentials,
  request: {
    readonly method: string;
    readonly path: string;
    readonly host: string;
    readonly region: string;
    readonly expires: number;
    readonly date?: Date;
    /** Further headers that are signed. */
    readonly headers?: Readonly<Record<string, string>>;
  },
): string {
  const timestamp = stamp(request.date ?? new Date());
  const scope = `${timestamp.slice(0, 8)}/${request.region}/s3/aws4_request`;
  const headers: Record<string, string> = { host: request.host, ...request.headers };
  const names = Object.keys(headers).sort();
  const [path = '', query = ''] = request.path.split('?');
  const parameters = [
    ...(query === '' ? [] : query.split('&')),
    'X-Amz-Algorithm=AWS4-HMAC-SHA256',
    `X-Amz-Credential=${strict(`${credentials.accessKeyId}/${scope}`)}`,
    `X-Amz-Date=${timestamp}`,
    `X-Amz-Expires=${request.expires}`,
    `X-Amz-SignedHeaders=${strict(names.join(';'))}`,
    ...(credentials.sessionToken === undefined ? [] : [`X-Amz-Security-Token=${strict(credentials.sessionToken)}`]),
  ].join('&');
  const canonical = [
    request.method,
    path,
    sortedQuery(parameters),
    ...names.map((name) => `${name}:${headers[name]!}`),
    '',
    names.join(';'),
    'UNSIGNED-PAYLOAD',
  ].join('\n');
  const key = keyFor(credentials.secretAccessKey, timestamp.slice(0, 8), request.region, 's3');
  const toSign = `AWS4-HMAC-SHA256\n${timestamp}\n${scope}\n${sha256(canonical)}`;
  return `${path}?${parameters}&X-Amz-Signature=${hmac(key, toSign).toString('hex')}`;
}
