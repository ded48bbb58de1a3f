import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { KMSClient } from '@aws-sdk/client-kms';
import { GetObjectCommand, type PutObjectCommandInput, S3Client } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { kmsKeyring } from '../../src/keyrings/kms.ts';
import { base64Crc } from '../../src/multipart/upload-requests.ts';
import { sendGet } from '../../src/requests/get-request.ts';
import { type PutRequest, sendPut } from '../../src/requests/put-request.ts';
import { Bucket, bytesOf, rejection, TestEndpoint } from '../support/endpoint.ts';
import { runs } from '../support/properties.ts';
import { type RecordedRequest, RecordingServer } from '../support/recording-server.ts';
import { lastOf, leftDirectly, untilDirect } from '../support/sending.ts';

const { signal } = new AbortController();

const Body = Buffer.from('content');
const putOf = (input: Partial<PutObjectCommandInput>): PutRequest => ({
  Bucket,
  Key: 'key',
  ContentLength: Body.length,
  ...input,
  ChecksumCRC32: base64Crc(crc32(Body)),
  Body,
});

const put = (client: S3Client, input: Partial<PutObjectCommandInput> = {}, transport: 'auto' | 'client' = 'auto') =>
  sendPut(client, putOf(input), { signal, transport });

async function get(client: S3Client, Key: string, transport: 'auto' | 'client' = 'auto'): Promise<string> {
  const answer = await sendGet(client, { Bucket, Key }, { signal, transport });
  return String(await bytesOf(answer.Body as never));
}

describe('requests of a plain client', () => {
  let endpoint: TestEndpoint;
  before(async () => {
    endpoint = await TestEndpoint.start();
  });
  beforeEach(() => endpoint.local.requests.clear());
  after(() => endpoint.close());

  test('leave by the SDK at first and without it from then on, writing and reading, S3 and KMS', async () => {
    const client = new S3Client(endpoint.local.s3Config);
    const keyring = kmsKeyring({ keyId: 'alias/sealpipe', client: new KMSClient(endpoint.local.kmsConfig) });
    const s3 = endpoint.encrypted({ client, keyring });
    const cycle = async (Key: string): Promise<void> => {
      await s3.upload({ Bucket, Key, Body: `content of ${Key}`, Metadata: { Own: 'x' } }).done();
      const { body, metadata } = await s3.get({ Bucket, Key });
      assert.equal(String(await bytesOf(body)), `content of ${Key}`);
      assert.deepEqual(metadata, { own: 'x' });
    };
    for (let i = 0; i < 6; i++) await cycle(`cycle-${i}`);
    await endpoint.local.requests.settled();
    for (const operation of ['PutObject', 'GetObject', 'KMS.GenerateDataKey', 'KMS.Decrypt']) {
      const ways = endpoint.local.requests.all(operation).map(leftDirectly);
      assert.equal(ways.length, 6, operation);
      assert.equal(ways[0], false, `${operation}: the first is the SDK's`);
      assert.equal(ways.at(-1), true, `${operation}: the last is not`);
      assert.deepEqual(ways, ways.toSorted(), `${operation}: never back to the SDK`);
    }
    assert.ok(endpoint.local.requests.all().every(({ status }) => status === 200));
  });

  test('come and go all the same under `transport: client`, and none leaves without the SDK', async () => {
    const client = new S3Client(endpoint.local.s3Config);
    for (let i = 0; i < 5; i++) {
      await put(client, { Key: 'by-client' }, 'client');
      assert.equal(await get(client, 'by-client', 'client'), 'content');
    }
    await endpoint.local.requests.settled();
    assert.deepEqual(endpoint.local.requests.all().map(leftDirectly), Array(10).fill(false));
  });

  test('are the client’s under `transport: client` also in ranges, side by side and of an open object', async () => {
    const s3 = endpoint.encrypted({ client: new S3Client(endpoint.local.s3Config) });
    await s3.upload({ Bucket, Key: 'ranges', Body: randomBytes(400_000) }).done();
    const ways = async (transport: 'auto' | 'client'): Promise<boolean[]> => {
      await endpoint.local.requests.settled();
      endpoint.local.requests.clear();
      const options = { concurrency: 2, partSize: 65_536, workers: 0, release: 'delayed', transport } as const;
      await bytesOf((await s3.get({ Bucket, Key: 'ranges' }, options)).body);
      const object = await s3.open(
        { Bucket, Key: 'ranges' },
        { authenticate: 'never', tail: 0, cacheSize: 0, transport },
      );
      for (const at of [0, 60_000, 120_000]) await object.read(at, at + 10);
      await object.close();
      await endpoint.local.requests.settled();
      return endpoint.local.requests.all('GetObject').map(leftDirectly);
    };
    assert.ok((await ways('auto')).includes(true));
    assert.ok((await ways('auto')).every((direct) => direct));
    const control = await ways('client');
    assert.ok(control.length > 8);
    assert.ok(control.every((direct) => !direct));
    const wrong = s3.open({ Bucket, Key: 'ranges' }, { transport: 'workers' as never });
    await assert.rejects(wrong, /^TypeError: transport is "workers"/);
  });

  test('hold to the number of connections that the client may open, and are let go while they wait for one', async () => {
    const client = new S3Client({ ...endpoint.local.s3Config, requestHandler: { httpAgent: { maxSockets: 2 } } });
    await put(client, { Key: 'few' });
    await untilDirect(
      () => get(client, 'few'),
      () => lastOf(endpoint),
    );
    endpoint.local.requests.clear();
    endpoint.local.faults.add({ operation: 'GetObject', delay: 100, times: 'always' });
    const controllers = Array.from({ length: 8 }, () => new AbortController());
    const all = controllers.map(async (controller) => {
      const { Body } = await sendGet(client, { Bucket, Key: 'few' }, { signal: controller.signal });
      return String(await bytesOf(Body as never));
    });
    for (const controller of controllers.slice(4)) setTimeout(() => controller.abort(), 20);
    const results = await Promise.allSettled(all);
    endpoint.local.faults.clear();
    for (const result of results.slice(0, 4)) assert.deepEqual(result, { status: 'fulfilled', value: 'content' });
    for (const result of results.slice(4)) assert.equal((result as { reason: Error }).reason.name, 'AbortError');
    await endpoint.local.requests.settled();
    const requests = endpoint.local.requests.all();
    assert.equal(requests.length, 4, 'what was let go was never sent');
    assert.equal(new Set(requests.map(({ connection }) => connection)).size, 2);
    assert.ok(requests.every(leftDirectly));
    client.destroy();
  });

  test('of many kinds are remembered for a bounded number of them', async () => {
    const client = new S3Client(endpoint.local.s3Config);
    const kind = (number: number) => put(client, { Key: 'kinds', ContentType: `text/${number}` });
    await untilDirect(
      () => kind(0),
      () => lastOf(endpoint),
    );
    for (let number = 1; number <= 256; number += 16)
      await Promise.all(Array.from({ length: 16 }, (_, i) => kind(number + i)));
    await kind(0);
    assert.equal(leftDirectly(await lastOf(endpoint)), false, 'the first was forgotten');
    await kind(256);
    assert.equal(leftDirectly(await lastOf(endpoint)), true);
    client.destroy();
  });

  test('carry a session token', async () => {
    const credentials = { accessKeyId: 'ASIA', secretAccessKey: 's', sessionToken: 'a/token+=' };
    const own = await TestEndpoint.start({ credentials });
    const client = new S3Client(own.local.s3Config);
    await untilDirect(
      () => put(client),
      () => lastOf(own),
    );
    await put(client, { Key: 'other', Metadata: { a: 'b  c' } });
    const last = await lastOf(own);
    assert.deepEqual([leftDirectly(last), last.status], [true, 200]);
    client.destroy();
    await own.close();
  });

  test('have the same answers either way', async () => {
    const client = new S3Client(endpoint.local.s3Config);
    const Metadata = { name: 'a, b;  "c"', 'x-y.z': '0' };
    await untilDirect(
      () => put(client, { Key: 'answers', Metadata, ContentType: 'text/plain' }),
      () => lastOf(endpoint),
    );
    const one = await put(client, { Key: 'answers', Metadata, ContentType: 'text/plain' });
    const other = await put(client, { Key: 'answers', Metadata, ContentType: 'text/plain' }, 'client');
    assert.equal(one.ETag, other.ETag);
    await untilDirect(
      () => get(client, 'answers'),
      () => lastOf(endpoint),
    );
    const answers = await Promise.all(
      (['auto', 'client'] as const).map(async (transport) => {
        const { Body, ...head } = await sendGet(
          client,
          { Bucket, Key: 'answers', Range: 'bytes=1-3' },
          { signal, transport },
        );
        return { head, bytes: await bytesOf(Body as never) };
      }),
    );
    const [direct, control] = answers.map(({ head, bytes }) => {
      const { ContentLength, ContentRange, ContentType, ETag, LastModified, Metadata: metadata, VersionId } = head;
      return {
        ContentLength,
        ContentRange,
        ContentType,
        ETag,
        LastModified,
        metadata,
        VersionId,
        bytes,
        status: head.$metadata.httpStatusCode,
      };
    });
    assert.deepEqual(direct, control);
    assert.deepEqual(direct?.metadata, Metadata);
    assert.equal(String(direct?.bytes), 'ont');
  });

  test('reach every key', async () => {
    const client = new S3Client(endpoint.local.s3Config);
    await untilDirect(
      () => put(client),
      () => lastOf(endpoint),
    );
    await untilDirect(
      () => get(client, 'key'),
      () => lastOf(endpoint),
    );
    const keys = [
      ' ',
      'a b',
      'a+b',
      '%',
      '%2F',
      '?x=1',
      '#x',
      '"',
      "'",
      '()*!',
      '~',
      'ä/€/😀',
      '/a',
      'a/',
      'a//b',
      '\u0001',
      '&<>',
      '__proto__',
    ];
    for (const Key of keys) {
      await put(client, { Key });
      assert.ok(leftDirectly(await lastOf(endpoint)), JSON.stringify(Key));
      const { Body } = await endpoint.client.send(new GetObjectCommand({ Bucket, Key }));
      assert.equal(await Body?.transformToString(), 'content', `the SDK reads what was put as ${JSON.stringify(Key)}`);
      assert.equal(await get(client, Key), 'content');
      assert.ok(leftDirectly(await lastOf(endpoint)), JSON.stringify(Key));
    }
  });

  test('do not reach for what the SDK refuses: a key of no characters, none at all, a lone surrogate', async () => {
    const client = new S3Client(endpoint.local.s3Config);
    await untilDirect(
      () => put(client),
      () => lastOf(endpoint),
    );
    for (const Key of ['', '\ud800', undefined as never, null as never]) {
      await endpoint.local.requests.settled();
      endpoint.local.requests.clear();
      const [direct, control] = (await Promise.all(
        (['auto', 'client'] as const).map((transport) => rejection(put(client, { Key }, transport))),
      )) as [Error, Error];
      assert.equal(direct.name, control.name);
      assert.equal(direct.message, control.message);
      await endpoint.local.requests.settled();
      assert.ok(endpoint.local.requests.all().every((request) => !leftDirectly(request)));
    }
  });
});

describe('on the wire', () => {
  let server: RecordingServer;
  before(async () => {
    server = await RecordingServer.start(() => ({ headers: { etag: '"e"' } }));
  });
  beforeEach(() => server.takeRequests());
  after(() => server.close());

  const client = (): S3Client =>
    new S3Client({
      endpoint: `http://127.0.0.1:${server.port}`,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    });

  /** What a server acts by: all but what each request has its own of. */
  function meaning({ method, url, headers, body }: RecordedRequest): object {
    const { authorization, 'x-amz-date': date, connection, 'keep-alive': keep, ...rest } = headers;
    for (const name of Object.keys(rest)) if (name.startsWith('amz-sdk-')) delete rest[name];
    return {
      method,
      url: url.split('?').map((part, i) => (i === 0 ? part : part.split('&').sort().join('&'))),
      headers: rest,
      body,
    };
  }

  const anyText = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.string({ unit: 'binary', maxLength: 8 }),
    fc.constantFrom(
      '',
      ' ',
      ' a',
      'a ',
      'a  b',
      'a\tb',
      'a\nb',
      'a\r\nx-injected: b',
      '\0',
      'ä',
      '€',
      '\x7f',
      '\ud800',
    ),
  );
  const metadata = fc.oneof(
    fc.dictionary(fc.constantFrom('A', 'a', 'B-c', 'x.y', 'constructor'), fc.constantFrom('a', 'a b', 'a  b', '"~"'), {
      noNullPrototype: true,
    }),
    fc.dictionary(fc.oneof(fc.constantFrom('A', 'a', 'x y', 'ä', '', 'a:b'), anyText), anyText, {
      maxKeys: 3,
      noNullPrototype: true,
    }),
  );
  const inputs = fc
    .tuple(
      fc.record({
        Key: fc.oneof(
          fc.string({ unit: 'binary', maxLength: 12 }),
          fc.constantFrom('.', '..', '/', '//', '\ud800', 'a?b#c'),
        ),
        Metadata: metadata,
      }),
      fc.oneof(
        { weight: 3, arbitrary: fc.constant({}) },
        { weight: 1, arbitrary: fc.record({ ContentType: anyText, CacheControl: anyText }, { requiredKeys: [] }) },
      ),
    )
    .map(([own, common]) => ({ ...own, ...common }));

  test('a PutObject says the same either way, or fails the same way, whatever it is given', async () => {
    const plain = client();
    await untilDirect(
      () => put(plain),
      async () => server.takeRequests().at(-1) as RecordedRequest,
    );
    let direct = 0;
    await fc.assert(
      fc.asyncProperty(inputs, fc.integer({ min: 1, max: 2 }), async (input, times) => {
        const outcome = async (transport: 'auto' | 'client'): Promise<unknown> => {
          server.takeRequests();
          try {
            await put(plain, input, transport);
          } catch (error) {
            return { failed: (error as Error).name, sent: server.takeRequests().length };
          }
          const [request, ...more] = server.takeRequests();
          assert.deepEqual(more, []);
          if (transport === 'auto' && leftDirectly(request as RecordedRequest)) direct += 1;
          return meaning(request as RecordedRequest);
        };
        const control = await outcome('client');
        // The first of a kind is the SDK's, the next one the copy.
        for (let i = 0; i < times; i++) assert.deepEqual(await outcome('auto'), control);
      }),
      // Always the same: how many of them leave without the SDK is asserted.
      { ...runs(150), seed: 1 },
    );
    assert.ok(direct > 20, `only ${direct} requests left without the SDK`);
  });

  test('a redirect to another region is followed by the SDK', async () => {
    const moved = await RecordingServer.start(({ headers }) =>
      String(headers.authorization).includes('/eu-west-1/')
        ? { headers: { etag: '"e"' }, body: 'x' }
        : {
            status: 301,
            headers: { 'content-type': 'application/xml', 'x-amz-bucket-region': 'eu-west-1' },
            body: '<Error><Code>PermanentRedirect</Code><Message>moved</Message></Error>',
          },
    );
    const plain = new S3Client({
      endpoint: `http://127.0.0.1:${moved.port}`,
      region: 'us-east-1',
      followRegionRedirects: true,
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    });
    for (let i = 0; i < 4; i++) {
      moved.takeRequests();
      const { Body } = await sendGet(plain, { Bucket, Key: 'k' }, { signal });
      assert.equal(String(await bytesOf(Body as never)), 'x');
      assert.equal(moved.requests.length, 2, 'as many as the SDK needs');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    plain.destroy();
    await moved.close();
  });

  test('values with a line break are never another kind of request, nor do they spoil one', async () => {
    const plain = client();
    const two = { CacheControl: 'no-store', ContentType: 'text/html' };
    const forged = { CacheControl: 'no-store\nContentType=text/html' };
    const send = (input: object): Promise<unknown> => put(plain, input);
    for (let i = 0; i < 3; i++) await rejection(send(forged));
    await untilDirect(
      () => send(two),
      async () => server.takeRequests().at(-1) as RecordedRequest,
    );
    await rejection(send(forged));
    assert.deepEqual(server.takeRequests(), []);
  });

  test('a customer key never leaves but by the SDK', async () => {
    const plain = client();
    const SSECustomerKey = randomBytes(32).toString('base64');
    const customer = { SSECustomerAlgorithm: 'AES256', SSECustomerKey };
    for (let i = 0; i < 4; i++) {
      await rejection(put(plain, customer)).catch(() => undefined);
      await rejection(sendGet(plain, { Bucket, Key: 'k', ...customer }, { signal })).catch(() => undefined);
    }
    assert.ok(server.takeRequests().every((request) => !leftDirectly(request)));
  });
});
