import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { GetObjectCommand, type S3ClientConfig } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import {
  type CaughtRequest,
  fillTemplate,
  learnTemplate,
  type RequestParts,
  type RequestTemplate,
} from '../../src/requests/request-template.ts';
import { authorization, type Header, type SigningIdentity } from '../../src/requests/signature.ts';
import { withoutResponseChecksum, withoutSdkRetries } from '../../src/s3-command.ts';
import { caughtRequest, credentials, leanPut, partsOf, s3 } from '../support/caught-requests.ts';
import { runs } from '../support/properties.ts';

/** What is sent, from one request of the SDK and from one of a template: equal where they would be the same to a server. */
function wireOf({ protocol, hostname, port, method, path, query, headers, body }: CaughtRequest): object {
  const pairs = Object.entries(query ?? {}).map(([name, value]) => `${name}=${String(value)}`);
  return {
    origin: `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`,
    method,
    path: pairs.length === 0 ? path : `${path}?${pairs.sort().join('&')}`,
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
    body: bytesOf(body),
  };
}

function bytesOf(body: unknown): Buffer {
  return typeof body === 'string' ? Buffer.from(body) : Buffer.concat([(body ?? Buffer.alloc(0)) as Uint8Array]);
}

function filled(
  template: RequestTemplate,
  parts: RequestParts,
  identity: SigningIdentity,
  caught: CaughtRequest,
): object {
  const timestamp = caught.headers['x-amz-date'] as string;
  const { headers: flat, body, ...request } = fillTemplate(template, parts, { identity, timestamp });
  const headers: Record<string, string> = {};
  for (let i = 0; i < flat.length; i += 2) {
    assert.ok(!Object.hasOwn(headers, flat[i] as string), `${flat[i]} is there twice`);
    headers[flat[i] as string] = flat[i + 1] as string;
  }
  return { ...request, headers, body: bytesOf(body) };
}

const places: Record<string, S3ClientConfig> = {
  'virtual-hosted style': {},
  'path style': { forcePathStyle: true },
  'another region': { region: 'eu-central-1' },
  'dual stack': { useDualstackEndpoint: true },
  acceleration: { useAccelerateEndpoint: true },
  'an endpoint with a path': { endpoint: 'https://store.example.com/some/pre%20fix', forcePathStyle: true },
  'an endpoint with a port': { endpoint: 'https://store.example.com:8443', forcePathStyle: true },
  'plain HTTP elsewhere, where bodies are hashed': { endpoint: 'http://store.example.com:9000', forcePathStyle: true },
  'plain HTTP on the loopback': { endpoint: 'http://127.0.0.1:9000', forcePathStyle: true },
  'an IPv6 address': { endpoint: 'http://[::1]:9000', forcePathStyle: true },
  'a session token': { credentials: { ...credentials, sessionToken: 'token/+=' } },
};

const objectKey = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
  fc.string({
    unit: fc.constantFrom(...' ./%+?#\'"()*!~&=;:@,$[]{}\\|^`<>\t\n\r\0äß€😀ab'),
    minLength: 1,
    maxLength: 20,
  }),
  fc.constantFrom(
    '.',
    '..',
    '/',
    '//',
    '/a',
    'a/',
    'a//b',
    './a',
    '../a',
    'a/./b',
    'a/../b',
    '%2F',
    '%',
    'a+b',
    '?x',
    '#x',
    '__proto__',
  ),
);

const plainValue = fc
  .string({ unit: fc.constantFrom(...'ab Z09,;="\'{}:/+\\~!'), minLength: 1, maxLength: 16 })
  .filter((text) => text.trim() === text);
const metadata = fc.dictionary(
  fc.string({ unit: fc.constantFrom(..."abz09-_.!#$%&'*+^`|~"), minLength: 1, maxLength: 12 }),
  plainValue,
  { maxKeys: 5, noNullPrototype: true },
);

describe('what a template makes is what the SDK makes, signature and all', () => {
  const Body = randomBytes(40);
  for (const [place, config] of Object.entries(places)) {
    test(`of PutObject: ${place}`, async () => {
      const client = s3(config);
      const identity = config.credentials === undefined ? credentials : (config.credentials as SigningIdentity);
      const example = { Body: randomBytes(16), Metadata: { first: 'one' } };
      const template = learnTemplate(await caughtRequest(client, leanPut(example)), partsOf(example), identity);
      assert.ok(template !== undefined);
      await fc.assert(
        fc.asyncProperty(objectKey, metadata, async (Key, Metadata) => {
          const input = { Key, Metadata, Body };
          const caught = await caughtRequest(client, leanPut(input));
          assert.deepEqual(filled(template, partsOf(input), identity, caught), wireOf(caught));
        }),
        runs(30),
      );
    });

    test(`of GetObject: ${place}`, async () => {
      const client = s3(config);
      const identity = config.credentials === undefined ? credentials : (config.credentials as SigningIdentity);
      const get = (Key: string, Range: string, IfMatch: string): GetObjectCommand =>
        withoutSdkRetries(withoutResponseChecksum(new GetObjectCommand({ Bucket: 'bucket', Key, Range, IfMatch })));
      const parts = (key: string, range: string, etag: string): RequestParts => ({
        objectKey: key,
        headers: [
          ['range', range],
          ['if-match', etag],
        ],
      });
      const first = ['k', 'bytes=0-1', '"e"'] as const;
      const template = learnTemplate(await caughtRequest(client, get(...first)), parts(...first), identity);
      assert.ok(template !== undefined);
      await fc.assert(
        fc.asyncProperty(objectKey, plainValue, plainValue, async (...own) => {
          const caught = await caughtRequest(client, get(...own));
          assert.deepEqual(filled(template, parts(...own), identity, caught), wireOf(caught));
        }),
        runs(20),
      );
    });
  }

  test('of KMS, where the body is signed', async () => {
    const client = new KMSClient({ region: 'us-east-1', credentials });
    const call = (context: Record<string, string>): [GenerateDataKeyCommand, RequestParts] => {
      const input = { KeyId: 'alias/a', KeySpec: 'AES_256' as const, EncryptionContext: context, GrantTokens: ['g'] };
      const headers: Header[] = [
        ['content-type', 'application/x-amz-json-1.1'],
        ['x-amz-target', 'TrentService.GenerateDataKey'],
      ];
      return [withoutSdkRetries(new GenerateDataKeyCommand(input)), { headers, body: JSON.stringify(input) }];
    };
    const [first, firstParts] = call({});
    const template = learnTemplate(await caughtRequest(client, first), firstParts, credentials);
    assert.ok(template !== undefined);
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' })), async (context) => {
        const [command, parts] = call(context);
        const caught = await caughtRequest(client, command);
        const { body } = caught;
        assert.deepEqual(JSON.parse(bytesOf(body).toString()), JSON.parse(parts.body as string));
        // The order of its names is the SDK's; with its body the request is the SDK's altogether.
        const asWritten = { ...parts, body: bytesOf(body) };
        assert.deepEqual(filled(template, asWritten, credentials, caught), wireOf(caught));
      }),
      runs(50),
    );
  });
});

const input = { Key: 'some/key', Metadata: { name: 'value' }, Body: Buffer.from('content') };
const parts = partsOf(input);
const caught = await caughtRequest(s3(), leanPut(input));
const hashed = await caughtRequest(s3({ endpoint: 'http://store.example.com', forcePathStyle: true }), leanPut(input));

const kmsParts = { headers: [], body: '{"KeyId":"k","KeySpec":"AES_256"}' };
const kms = await caughtRequest(
  new KMSClient({ region: 'us-east-1', credentials }),
  withoutSdkRetries(new GenerateDataKeyCommand({ KeyId: 'k', KeySpec: 'AES_256' })),
);

describe('no template is learned', () => {
  /** The same request with other headers, its signature made anew. */
  function signedAgain(request: CaughtRequest, changes: Record<string, string>): CaughtRequest {
    const headers: Record<string, string> = { ...request.headers, ...changes };
    delete headers.authorization;
    const signed = Object.entries(headers)
      .map(([name, value]): Header => [name.toLowerCase(), value])
      .filter(([name]) => name !== 'user-agent')
      .sort(([a], [b]) => (a < b ? -1 : 1));
    const value = authorization(
      {
        method: request.method,
        path: request.path,
        query: 'x-id=PutObject',
        headers: signed,
        payloadHash: headers['x-amz-content-sha256'] as string,
        timestamp: headers['x-amz-date'] as string,
      },
      { region: 'us-east-1', service: 's3' },
      credentials,
    );
    return { ...request, headers: { ...headers, authorization: value } };
  }

  test('(while one is of the request as it was, and as it is signed here)', () => {
    assert.ok(learnTemplate(caught, parts, credentials) !== undefined);
    assert.ok(learnTemplate(signedAgain(caught, {}), parts, credentials) !== undefined);
    assert.ok(learnTemplate(hashed, parts, credentials) !== undefined);
  });

  const { authorization: given = '', ...unsigned } = caught.headers;
  const cases: Record<string, [CaughtRequest, RequestParts?, SigningIdentity?]> = {
    'with a signature of another secret': [caught, parts, { ...credentials, secretAccessKey: 'other' }],
    'with a signature of another access key': [caught, parts, { ...credentials, accessKeyId: 'other' }],
    'where the identity has a token and the request none': [caught, parts, { ...credentials, sessionToken: 't' }],
    'without a signature': [{ ...caught, headers: unsigned }],
    'with one of another scheme': [
      {
        ...caught,
        headers: { ...unsigned, authorization: given.replace('AWS4-HMAC-SHA256', 'AWS4-ECDSA-P256-SHA256') },
      },
    ],
    'with one that is not of this path': [{ ...caught, path: '/other/some/key' }],
    'with one that is not of this method': [{ ...caught, method: 'POST' }],
    'with one that is not of this query': [{ ...caught, query: { ...caught.query, acl: '' } }],
    'with a header changed after it was signed': [{ ...caught, headers: { ...caught.headers, host: 'elsewhere' } }],
    'with a header that is not known': [signedAgain(caught, { 'x-amz-object-lock-mode': 'GOVERNANCE' })],
    'with a secret in a header': [signedAgain(caught, { 'x-amz-server-side-encryption-customer-key': 'c2VjcmV0' })],
    'with metadata that is not among the parts': [signedAgain(caught, { 'x-amz-meta-other': 'x' })],
    'with a trailing checksum': [signedAgain(caught, { 'x-amz-trailer': 'x-amz-checksum-crc32' })],
    'with a session of S3 Express': [signedAgain(caught, { 'x-amz-s3session-token': 't' })],
    'with a query that has several values to a name': [{ ...caught, query: { 'x-id': ['PutObject', 'x'] } }],
    'of another key': [caught, { ...parts, objectKey: 'other/key' }],
    'where a header of the parts is missing': [
      caught,
      { ...parts, headers: [...parts.headers, ['x-amz-meta-x', 'y']] },
    ],
    'where a header of the parts is another': [
      caught,
      { ...parts, headers: parts.headers.map(([name]): Header => [name, 'other']) },
    ],
    'where the body is not the one that was hashed': [{ ...hashed, body: Buffer.from('other') }],
    'where the JSON is not that of the parts': [kms, { ...kmsParts, body: '{"KeyId":"other"}' }],
    'where the parts are JSON and the body is none': [hashed, { ...parts, body: '{}' }],
    'where the body is not that of the parts': [hashed, { ...parts, body: Buffer.from('other') }],
    'where the body has no bytes to hash': [{ ...hashed, body: (async function* () {})() }],
    'of a header value that HTTP has no room for': [signedAgain(caught, { 'cache-control': 'a\r\nx-injected: b' })],
  };
  for (const [what, [request, own = parts, identity = credentials]] of Object.entries(cases)) {
    test(what, () => assert.equal(learnTemplate(request, own, identity), undefined));
  }
});
