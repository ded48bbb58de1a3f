import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { authorization, type Header, type SigningIdentity, signingTimestamp } from '../../src/requests/signature.ts';
import { runs } from '../support/properties.ts';

/** Of the examples in "Authenticating Requests: Using the Authorization Header", Amazon S3 API reference. */
const identity: SigningIdentity = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
};
const scope = { region: 'us-east-1', service: 's3' };
const timestamp = '20130524T000000Z';
const host: Header = ['host', 'examplebucket.s3.amazonaws.com'];
const date: Header = ['x-amz-date', timestamp];

interface Example {
  readonly method?: string;
  readonly path: string;
  readonly query?: string;
  readonly body?: string;
  readonly before?: readonly Header[];
  readonly between?: readonly Header[];
  readonly after?: readonly Header[];
  readonly signature: string;
}

const examples: Record<string, Example> = {
  'GET Object with a range': {
    path: '/test.txt',
    between: [['range', 'bytes=0-9']],
    signature: 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  },
  'PUT Object': {
    method: 'PUT',
    path: '/test%24file.text',
    body: 'Welcome to Amazon S3.',
    before: [['date', 'Fri, 24 May 2013 00:00:00 GMT']],
    after: [['x-amz-storage-class', 'REDUCED_REDUNDANCY']],
    signature: '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
  },
  'GET Bucket Lifecycle': {
    path: '/',
    query: 'lifecycle=',
    signature: 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  },
  'GET Bucket (List Objects)': {
    path: '/',
    query: 'max-keys=2&prefix=J',
    signature: '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  },
};

function sign({ method = 'GET', path, query = '', body = '', before = [], between = [], after = [] }: Example): string {
  const payloadHash = hash('sha256', body);
  const headers: Header[] = [...before, host, ...between, ['x-amz-content-sha256', payloadHash], date, ...after];
  return authorization({ method, path, query, headers, payloadHash, timestamp }, scope, identity);
}

const signatureOf = (value: string): string => /Signature=([0-9a-f]{64})$/.exec(value)?.[1] ?? '';

describe('a signature', () => {
  for (const [name, example] of Object.entries(examples)) {
    test(`is the published one of the example ${name}`, () =>
      assert.equal(signatureOf(sign(example)), example.signature));
  }

  test('names key, day, region, service and the signed headers', () => {
    assert.equal(
      sign(examples['GET Object with a range'] as Example),
      'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, ' +
        'SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, ' +
        'Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    );
  });

  test('is that of its own day, region, service and secret, in whatever order they are used', () => {
    const request = {
      method: 'GET',
      path: '/k',
      query: '',
      headers: [host],
      payloadHash: hash('sha256', ''),
    };
    const secrets = Array.from({ length: 12 }, (_, i) => `secret-${i}`);
    const scopes = [scope, { region: 'eu-west-1', service: 's3' }, { region: 'us-east-1', service: 'kms' }];
    const places = secrets.flatMap((secretAccessKey) =>
      scopes.flatMap((place) =>
        ['20130524T000000Z', '20130525T000000Z'].map((time) => ({ secretAccessKey, place, time })),
      ),
    );
    const all = (): string[] =>
      places.map(({ secretAccessKey, place, time }) =>
        signatureOf(authorization({ ...request, timestamp: time }, place, { accessKeyId: 'a', secretAccessKey })),
      );
    const once = all();
    assert.equal(new Set(once).size, places.length);
    assert.deepEqual(all(), once, 'a key that was kept is the key of nothing else');
    places.reverse();
    assert.deepEqual(all(), once.reverse());
  });

  test('takes spaces in a header value as the specification has it: none around, one between', () => {
    const signed = (value: string): string => sign({ path: '/k', after: [['x-amz-meta-name', value]], signature: '' });
    assert.equal(signed('  a   b '), signed('a b'));
    assert.notEqual(signed('a b'), signed('ab'));
  });
});

describe('a timestamp', () => {
  test('has seconds and no fractions of them', () => {
    assert.equal(signingTimestamp(Date.UTC(2013, 4, 24)), '20130524T000000Z');
    assert.equal(signingTimestamp(Date.UTC(2013, 4, 24) - 1), '20130523T235959Z');
    assert.equal(signingTimestamp(Date.UTC(2013, 4, 24) + 999), '20130524T000000Z');
    assert.equal(signingTimestamp(Date.UTC(2028, 1, 29, 23, 59, 59, 999)), '20280229T235959Z');
  });

  test('is that of its time, whichever was asked for before', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 4_102_444_800_000 }), { minLength: 1 }), (times) => {
        for (const time of [...times, ...times]) {
          const [, y, mo, d, h, mi, s] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(signingTimestamp(time)) ?? [];
          assert.equal(Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`), Math.floor(time / 1000) * 1000);
        }
      }),
      runs(100),
    );
  });
});
