/**
 * What requests of one kind have in common, learned from one that the SDK has made: endpoint, path, headers, signing scope.
 * No rule of the SDK is written twice, and nothing is taken over that could not be made again exactly: {@link learnTemplate} proves
 * it on the request it learns from, signature included.
 */
import { hash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { HttpRequest } from './http-exchange.ts';
import { authorization, type Header, type SigningIdentity, type SigningScope } from './signature.ts';

/** A request of the SDK on its way out, as its middleware sees it. */
export interface CaughtRequest {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number | undefined;
  readonly method: string;
  readonly path: string;
  readonly query?: Record<string, string | string[] | null> | undefined;
  readonly headers: Record<string, string>;
  readonly body?: unknown;
}

/** What is different in each request of a kind. */
export interface RequestParts {
  /** S3's name of the object. Absent, which is not undefined: the path is the same for all. */
  readonly objectKey?: string | undefined;
  /** Names in lower case. */
  readonly headers: readonly Header[];
  readonly body?: Uint8Array | string | undefined;
}

export interface RequestTemplate {
  readonly origin: string;
  readonly method: string;
  /** What comes before the key, or the whole path. */
  readonly path: string;
  /** Without the question mark. */
  readonly query: string;
  readonly headers: readonly Header[];
  readonly scope: SigningScope;
  /** Whether the signature covers the body. */
  readonly hashed: boolean;
}

/** How often it is tried to learn a template: credentials can change just then. */
export const maxLessons = 3;

const unsignedPayload = 'UNSIGNED-PAYLOAD';
const emptyHash = hash('sha256', '');

/** Those that each request has its own of, and those that count the SDK's attempts. */
const ownHeaders = new Set([
  'amz-sdk-invocation-id',
  'amz-sdk-request',
  'authorization',
  'content-length',
  'x-amz-content-sha256',
  'x-amz-date',
  'x-amz-security-token',
]);

/** Headers that depend on the kind of request alone. A request with any other is left to the SDK. */
const commonHeaders =
  /^(?:host|content-(?:type|language|disposition|encoding)|cache-control|user-agent|x-amz-user-agent|if-none-match|x-amz-(?:acl|storage-class|tagging|target|request-payer|expected-bucket-owner|server-side-encryption(?:-aws-kms-key-id|-bucket-key-enabled)?))$/;

/** What proxies may change, and the signature leaves out. */
const unsignedHeaders = new Set(['cache-control', 'user-agent']);

/** The request that a template stands for, with everything of its own, signed. */
export function fillTemplate(
  template: RequestTemplate,
  { objectKey, headers: own, body }: RequestParts,
  { identity, timestamp }: { readonly identity: SigningIdentity; readonly timestamp: string },
): HttpRequest {
  const { origin, method, query, scope, hashed } = template;
  const path = objectKey === undefined ? template.path : template.path + escapeKey(objectKey);
  const payloadHash = hashed ? hashOf(body) : unsignedPayload;
  const headers: Header[] = [
    ...template.headers,
    ...own,
    ['x-amz-content-sha256', payloadHash],
    ['x-amz-date', timestamp],
  ];
  if (body !== undefined) headers.push(['content-length', String(Buffer.byteLength(body))]);
  if (identity.sessionToken !== undefined) headers.push(['x-amz-security-token', identity.sessionToken]);
  headers.sort(([a], [b]) => (a < b ? -1 : 1));
  const signed = headers.filter(([name]) => !unsignedHeaders.has(name));
  const signature = authorization({ method, path, query, headers: signed, payloadHash, timestamp }, scope, identity);
  const flat: string[] = ['authorization', signature];
  for (const [name, value] of headers) flat.push(name, value);
  return { origin, method, path: query === '' ? path : `${path}?${query}`, headers: flat, body };
}

/**
 * The template of a request that the SDK has signed.
 * @param parts what is the request's own
 * @returns undefined where a request made by the template would not be the same
 */
export function learnTemplate(
  caught: CaughtRequest,
  parts: RequestParts,
  identity: SigningIdentity,
): RequestTemplate | undefined {
  const headers = new Map(Object.entries(caught.headers).map(([name, value]) => [name.toLowerCase(), value]));
  const scope = provenScope(caught, headers, identity);
  const query = queryString(caught.query);
  const payloadHash = headers.get('x-amz-content-sha256') ?? '';
  const hashed = payloadHash !== unsignedPayload;
  const key = parts.objectKey === undefined ? '' : escapeKey(parts.objectKey);
  if (scope === undefined || query === undefined || !caught.path.endsWith(key)) return undefined;
  if (hashed && !(isHashOf(payloadHash, caught.body) && isSameBody(caught.body, parts.body))) return undefined;
  if (parts.headers.some(([name, value]) => headers.get(name) !== value)) return undefined;
  const own = new Set(parts.headers.map(([name]) => name));
  const common = [...headers].filter(([name]) => !ownHeaders.has(name) && !own.has(name));
  if (!common.every(([name, value]) => commonHeaders.test(name) && isPlainValue(value))) return undefined;
  return {
    origin: originOf(caught),
    method: caught.method,
    path: caught.path.slice(0, caught.path.length - key.length),
    query,
    headers: common,
    scope,
    hashed,
  };
}

/** Whether HTTP takes it as it is: the SDK has its own ways with the rest. */
export function isPlainValue(value: unknown): value is string {
  return typeof value === 'string' && /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(value);
}

/** Where the request was signed for, if what signed it is what signs here: other schemes and signers are told by their signature. */
function provenScope(
  { method, path, query }: CaughtRequest,
  headers: ReadonlyMap<string, string>,
  identity: SigningIdentity,
): SigningScope | undefined {
  const given = headers.get('authorization') ?? '';
  const [, region, service, names] =
    /^AWS4-HMAC-SHA256 Credential=[^,]+\/\d{8}\/([^/,]+)\/([^/,]+)\/aws4_request, SignedHeaders=([^,]+), /.exec(
      given,
    ) ?? [];
  const sorted = queryString(query);
  if (region === undefined || service === undefined || names === undefined || sorted === undefined) return undefined;
  const again = authorization(
    {
      method,
      path,
      query: sorted,
      headers: names.split(';').map((name) => [name, headers.get(name) ?? '']),
      payloadHash: headers.get('x-amz-content-sha256') ?? '',
      timestamp: headers.get('x-amz-date') ?? '',
    },
    { region, service },
    identity,
  );
  return again === given && headers.get('x-amz-security-token') === identity.sessionToken
    ? { region, service }
    : undefined;
}

function isHashOf(payloadHash: string, body: unknown): boolean {
  return (body === undefined || typeof body === 'string' || body instanceof Uint8Array) && payloadHash === hashOf(body);
}

/** Whether a body says what the SDK's says: of JSON the order is the SDK's, and depends on its version. */
function isSameBody(theirs: unknown, ours: RequestParts['body']): boolean {
  if (typeof ours !== 'string' || typeof theirs === 'string')
    return hashOf(theirs as Uint8Array | string | undefined) === hashOf(ours);
  try {
    // No method of a Buffer or string: the SDK's own bytes of JSON warn of that.
    return isDeepStrictEqual(JSON.parse(new TextDecoder().decode(theirs as Uint8Array)), JSON.parse(ours));
  } catch {
    return false;
  }
}

function hashOf(body: Uint8Array | string | undefined): string {
  return body === undefined ? emptyHash : hash('sha256', body);
}

function originOf({ protocol, hostname, port }: CaughtRequest): string {
  return `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`;
}

/** A key as it stands in a path: all bytes escaped but the unreserved ones of RFC 3986, and the slashes. */
function escapeKey(key: string): string {
  // Most keys need nothing, and five replacements of nothing cost more than one look.
  return /^[\w.~/-]*$/.test(key) ? key : key.split('/').map(escapeComponent).join('/');
}

/** A name or value of a query, or a piece of a path, escaped as signatures have it. */
export function escapeComponent(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** Undefined for one that has more than a value to each name. */
function queryString(query: CaughtRequest['query']): string | undefined {
  const pairs: string[] = [];
  for (const name of Object.keys(query ?? {}).sort()) {
    const value = query?.[name];
    if (typeof value !== 'string') return undefined;
    pairs.push(`${escapeComponent(name)}=${escapeComponent(value)}`);
  }
  return pairs.join('&');
}
