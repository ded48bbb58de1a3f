import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { GetObjectCommand, PutObjectCommand, type PutObjectCommandInput, UploadPartCommand } from '@aws-sdk/client-s3';
import { base64Crc } from '../src/multipart/upload-requests.ts';
import { isLoopback, withLeanBody, withoutResponseChecksum, withoutSdkRetries } from '../src/s3-command.ts';
import { RecordingServer, s3Error } from './support/recording-server.ts';

const body = randomBytes(3 * 1024 * 1024);
const put = (bytes: Buffer = body): PutObjectCommandInput => ({
  Bucket: 'b',
  Key: 'k',
  Body: bytes,
  ContentLength: bytes.length,
  ChecksumCRC32: base64Crc(crc32(bytes)),
});

describe('a command without the retries of the SDK', () => {
  for (const [what, answer] of [
    ['an internal error', { status: 500, ...s3Error('InternalError') }],
    ['throttling', { status: 503, ...s3Error('SlowDown') }],
    ['a broken connection', 'reset'],
  ] as const) {
    test(`is sent exactly once on ${what}, where the client would send it three times`, async () => {
      const server = await RecordingServer.start(() => answer);
      try {
        const client = server.client();
        await assert.rejects(client.send(withoutSdkRetries(new GetObjectCommand({ Bucket: 'b', Key: 'k' }))));
        assert.equal(server.takeRequests().length, 1);
        await assert.rejects(client.send(new GetObjectCommand({ Bucket: 'b', Key: 'k' })));
        assert.equal(server.takeRequests().length, 3, 'the client itself still retries');
      } finally {
        await server.close();
      }
    });
  }

  test('works with every retry mode of the client', async () => {
    const server = await RecordingServer.start(() => ({ status: 500, ...s3Error('InternalError') }));
    try {
      for (const retryMode of ['standard', 'adaptive']) {
        const client = server.client({ retryMode, maxAttempts: 4 });
        await assert.rejects(client.send(withoutSdkRetries(new GetObjectCommand({ Bucket: 'b', Key: 'k' }))));
        assert.equal(server.takeRequests().length, 1);
      }
    } finally {
      await server.close();
    }
  });
});

describe('a command with a lean body', () => {
  let plain: RecordingServer;
  let tls: RecordingServer;
  before(async () => {
    plain = await RecordingServer.start(() => ({ headers: { etag: '"e"' } }));
    tls = await RecordingServer.start(() => ({ headers: { etag: '"e"' } }), { tls: true });
  });
  after(async () => {
    await plain.close();
    await tls.close();
  });

  test('asks for no 100-continue, which the SDK does above 2 MiB', async () => {
    const client = plain.client();
    await client.send(withLeanBody(new PutObjectCommand(put())));
    assert.equal(plain.continues, 0);
    assert.equal(plain.takeRequests()[0]?.headers.expect, undefined);
    await client.send(new PutObjectCommand(put()));
    assert.equal(plain.continues, 1, 'what is avoided does exist');
    plain.takeRequests();
  });

  test('reuses its connection, part after part', async () => {
    const client = plain.client();
    for (let part = 1; part <= 4; part++) {
      const input = { ...put(), UploadId: 'u', PartNumber: part };
      await client.send(withLeanBody(withoutSdkRetries(new UploadPartCommand(input))));
    }
    assert.equal(new Set(plain.takeRequests().map(({ connection }) => connection)).size, 1);
  });

  test('carries the bytes as they are, with their CRC-32 in a header and no trailer', async () => {
    const client = plain.client();
    await client.send(withLeanBody(new PutObjectCommand(put())));
    const [request] = plain.takeRequests();
    assert.deepEqual(request?.body, body);
    assert.equal(request?.headers['x-amz-checksum-crc32'], base64Crc(crc32(body)));
    assert.equal(request?.headers['content-length'], String(body.length));
    for (const name of ['x-amz-trailer', 'content-encoding', 'transfer-encoding', 'content-md5'])
      assert.equal(request?.headers[name], undefined, name);
  });

  const sha256 = createHash('sha256').update(body).digest('hex');
  const places: [string, boolean, string, string][] = [
    ['over plain HTTP to 127.0.0.1', false, '127.0.0.1', 'UNSIGNED-PAYLOAD'],
    ['over plain HTTP to localhost', false, 'localhost', 'UNSIGNED-PAYLOAD'],
    ['over plain HTTP to another host', false, 's3.example.com', sha256],
    ['over plain HTTP to a host that only begins like loopback', false, '127.0.0.1.example.com', sha256],
    ['over TLS to another host', true, 's3.example.com', 'UNSIGNED-PAYLOAD'],
  ];
  for (const [where, overTls, hostname, expected] of places) {
    test(`${expected === sha256 ? 'is hashed and signed' : 'is not hashed'} ${where}`, async () => {
      const server = overTls ? tls : plain;
      await server.client({ hostname }).send(withLeanBody(new PutObjectCommand(put())));
      const [request] = server.takeRequests();
      assert.equal(request?.headers['x-amz-content-sha256'], expected);
      assert.match(String(request?.headers.authorization), /SignedHeaders=[^,]*x-amz-content-sha256/);
      assert.match(String(request?.headers.authorization), /SignedHeaders=[^,]*x-amz-checksum-crc32/);
      assert.deepEqual(request?.body, body);
    });
  }
});

describe('a command without a checksum of the response', () => {
  test('asks for none, and takes a body whatever checksum stands beside it', async () => {
    const content = Buffer.from('content');
    const headers = { 'content-length': '7', etag: '"e"', 'x-amz-checksum-crc32': base64Crc(1) };
    const server = await RecordingServer.start(() => ({ headers, body: content }));
    try {
      const client = server.client();
      const get = (): GetObjectCommand => new GetObjectCommand({ Bucket: 'b', Key: 'k' });
      const answer = await client.send(withoutResponseChecksum(get()));
      assert.deepEqual(Buffer.from((await answer.Body?.transformToByteArray()) ?? []), content);
      assert.equal(server.takeRequests()[0]?.headers['x-amz-checksum-mode'], undefined);
      const checked = await client.send(get());
      await assert.rejects(checked.Body?.transformToByteArray() ?? Promise.resolve(), /[Cc]hecksum/);
      assert.equal(server.takeRequests()[0]?.headers['x-amz-checksum-mode'], 'ENABLED', 'what is avoided does exist');
    } finally {
      await server.close();
    }
  });

  test('leaves the input that it was made from as it was', async () => {
    const server = await RecordingServer.start(() => ({ body: 'x' }));
    try {
      const input = { Bucket: 'b', Key: 'k' };
      const { Body } = await server.client().send(withoutResponseChecksum(new GetObjectCommand(input)));
      await Body?.transformToByteArray();
      assert.deepEqual(input, { Bucket: 'b', Key: 'k' });
    } finally {
      await server.close();
    }
  });
});

test("the caller's client is not changed: neither its middleware nor a setting", async () => {
  const server = await RecordingServer.start(() => ({ headers: { etag: '"e"' }, body: 'x' }));
  try {
    const client = server.client();
    const address = { Bucket: 'b', Key: 'k' };
    const run = async (tune: <C extends PutObjectCommand | GetObjectCommand>(command: C) => C): Promise<void> => {
      await client.send(tune(new PutObjectCommand(put())));
      const { Body } = await client.send(tune(new GetObjectCommand(address)));
      await Body?.transformToByteArray();
    };
    // The SDK adds to its settings by itself when it is first used.
    await run((command) => command);
    const settings = (): object => ({ ...client.config, systemClockOffset: 'measured anew with every answer' });
    const before = { settings: settings(), middleware: client.middlewareStack.identify() };
    await run((command) => withoutSdkRetries(withLeanBody(withoutResponseChecksum(command))));
    assert.deepEqual(settings(), before.settings);
    assert.deepEqual(client.middlewareStack.identify(), before.middleware);
    server.takeRequests();
    await run((command) => command);
    const [asBefore] = server.takeRequests();
    assert.equal(asBefore?.headers['expect'], '100-continue');
  } finally {
    await server.close();
  }
});

test('loopback is what never leaves the machine, however it is spelled, and nothing else', () => {
  for (const host of ['localhost', 'LOCALHOST', 'bucket.localhost', '127.0.0.1', '127.255.255.254', '::1', '[::1]'])
    assert.equal(isLoopback(host), true, host);
  for (const host of [
    '',
    'localhost.example.com',
    'notlocalhost',
    '128.0.0.1',
    '10.0.0.1',
    '127.0.0.1.example.com',
    '1127.0.0.1',
    '::2',
    '[::]',
    '0.0.0.0',
    's3.amazonaws.com',
  ])
    assert.equal(isLoopback(host), false, host);
});
