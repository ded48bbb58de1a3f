import assert from 'node:assert/strict';
import { createDecipheriv } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { DecryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import fc from 'fast-check';
import { authenticTag } from '../../bench/authentic-tag.ts';
import { GeneratedSource } from '../../bench/cases/generated-source.ts';
import { RepeatedContent, sourceContent, storedContent } from '../../bench/repeated-content.ts';
import { rangeOf } from '../../bench/sink/answers.ts';
import { Pace } from '../../bench/sink/pace.ts';
import { ChunkedBody } from '../../bench/sink/request-body.ts';
import { SinkControl } from '../../bench/sink/sink-control.ts';
import { type RunningSink, startSink } from '../../bench/sink/sink-server.ts';
import { committingSuite } from '../../src/format/suites.ts';
import { EncryptedS3, kmsKeyring } from '../../src/index.ts';
import { createContentKey } from '../../src/keyrings/open-content-key.ts';
import { bytesOf, rejection } from '../support/endpoint.ts';

const Bucket = 'bench';
const MiB = 1024 * 1024;

describe('the sink', () => {
  let sink: RunningSink;
  let control: SinkControl;
  let client: S3Client;
  let kms: KMSClient;

  before(async () => {
    sink = await startSink();
    const endpoint = `http://127.0.0.1:${sink.port}`;
    const config = { endpoint, region: 'us-east-1', credentials: { accessKeyId: 'a', secretAccessKey: 's' } };
    control = new SinkControl(endpoint);
    client = new S3Client({ ...config, forcePathStyle: true });
    kms = new KMSClient(config);
  });

  after(async () => {
    client.destroy();
    kms.destroy();
    await sink.close();
  });

  /** A raw connection, and everything that came over it so far. */
  async function open(): Promise<{ socket: Socket; received: () => string; until: (text: string) => Promise<void> }> {
    const socket = connect(sink.port, '127.0.0.1');
    let received = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      received += text;
    });
    await once(socket, 'connect');
    const until = async (text: string): Promise<void> => {
      while (!received.includes(text)) await once(socket, 'data');
    };
    return { socket, received: () => received, until };
  }

  test('takes what lib-storage uploads, and counts requests, connections and bytes', async () => {
    await control.reset();
    const size = 12 * MiB + 7;
    const upload = new Upload({ client, params: { Bucket, Key: 'k', Body: new GeneratedSource(sourceContent(size)) } });
    await upload.done();
    const stats = await control.stats();
    // Create, three parts, Complete; each part above 2 MiB on a connection of its own, by the SDK's defaults.
    assert.equal(stats.requests, 5);
    assert.equal(stats.bytesIn - size > 0 && stats.bytesIn - size < 1000, true, 'Complete has a body, too');
    assert.ok(stats.connections >= 4, `${stats.connections} connections`);
    assert.ok(stats.maxInFlight >= 2 && stats.maxInFlight <= 4, `${stats.maxInFlight} at a time`);
    assert.deepEqual(stats.payloads, { hashed: 3, unsigned: 0, trailer: 0 });
    assert.ok(stats.serverCpuSeconds > 0);
  });

  test('takes a stream in aws-chunked framing, and says how it was signed', async () => {
    await control.reset();
    const Body = new GeneratedSource(sourceContent(MiB));
    await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body, ContentLength: MiB }));
    const { payloads, requests } = await control.stats();
    assert.deepEqual({ payloads, requests }, { payloads: { hashed: 0, unsigned: 0, trailer: 1 }, requests: 1 });
  });

  test('takes what sealpipe uploads, with the one data key that its KMS knows', async () => {
    await control.reset();
    const s3 = new EncryptedS3({ client, keyring: kmsKeyring({ keyId: 'alias/any', client: kms }) });
    const size = 70 * MiB;
    await s3.upload({ Bucket, Key: 'k', Body: new GeneratedSource(sourceContent(size)) }).done();
    const { kmsGenerate, kmsDecrypt, bytesIn, payloads } = await control.stats();
    assert.deepEqual({ kmsGenerate, kmsDecrypt }, { kmsGenerate: 1, kmsDecrypt: 0 });
    assert.ok(bytesIn >= size + 16, `${bytesIn} bytes`);
    assert.equal(payloads?.unsigned, 5);
  });

  test('gives the data key back that it gave out', async () => {
    const made = await kms.send(new GenerateDataKeyCommand({ KeyId: 'alias/any', KeySpec: 'AES_256' }));
    const opened = await kms.send(new DecryptCommand({ CiphertextBlob: made.CiphertextBlob }));
    assert.equal(opened.Plaintext?.length, 32);
    assert.deepEqual(opened.Plaintext, made.Plaintext);
  });

  test('serves an object whole and in ranges, with its metadata, under If-Match', async () => {
    const length = 2 * MiB + 5;
    await control.define('served', { contentLength: length, tail: 'AQID', metadata: { 'x-amz-c': '115' } });
    const expected = Buffer.concat([...storedContent(length).chunks(MiB), Buffer.of(1, 2, 3)]);
    const whole = await client.send(new GetObjectCommand({ Bucket, Key: 'served' }));
    assert.equal(whole.ContentLength, expected.length);
    assert.deepEqual(whole.Metadata, { 'x-amz-c': '115' });
    assert.ok(expected.equals((await whole.Body?.transformToByteArray()) ?? Buffer.alloc(0)));
    const tail = await client.send(
      new GetObjectCommand({ Bucket, Key: 'served', Range: 'bytes=-10', ...(whole.ETag && { IfMatch: whole.ETag }) }),
    );
    assert.equal(tail.ContentRange, `bytes ${expected.length - 10}-${expected.length - 1}/${expected.length}`);
    assert.ok(expected.subarray(-10).equals((await tail.Body?.transformToByteArray()) ?? Buffer.alloc(0)));
    const { ContentLength } = await client.send(new HeadObjectCommand({ Bucket, Key: 'served' }));
    assert.equal(ContentLength, expected.length);
    const { Contents } = await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'serv' }));
    assert.deepEqual(
      Contents?.map(({ Key, Size }) => ({ Key, Size })),
      [{ Key: 'served', Size: expected.length }],
    );
    for (const [params, name] of [
      [{ Key: 'served', IfMatch: '"other"' }, 'PreconditionFailed'],
      [{ Key: 'served', Range: `bytes=${expected.length}-` }, 'InvalidRange'],
      [{ Key: 'absent' }, 'NoSuchKey'],
    ] as const) {
      const error = await rejection(client.send(new GetObjectCommand({ Bucket, ...params })));
      assert.equal((error as Error).name, name);
    }
  });

  test('serves one object under any number of names', async () => {
    await control.define('many', { contentLength: 10, tail: '', metadata: {} });
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: 'many/17' }));
    assert.equal((await Body?.transformToByteArray())?.length, 10);
  });

  test('knows no upload after its abort, and deletes whatever it is told to', async () => {
    const upload = { Bucket, Key: 'k', UploadId: 'upload' };
    await client.send(new AbortMultipartUploadCommand(upload));
    assert.equal(((await rejection(client.send(new ListPartsCommand(upload)))) as Error).name, 'NoSuchUpload');
    await client.send(new DeleteObjectCommand({ Bucket, Key: 'k' }));
  });

  test('serves objects of any size that authenticate, and ones that do not', async () => {
    const keyring = kmsKeyring({ keyId: 'alias/any', client: kms });
    const { contentKey, envelope } = await createContentKey({ keyring, suite: committingSuite });
    const length = 9 * MiB + 11;
    const tag = authenticTag(contentKey, storedContent(length));
    const decipher = createDecipheriv('aes-256-gcm', contentKey.key, contentKey.iv, { authTagLength: 16 });
    decipher.setAAD(contentKey.aad).setAuthTag(tag);
    const plaintext = Buffer.concat([...storedContent(length).chunks(MiB)].map((chunk) => decipher.update(chunk)));
    decipher.final();
    await control.define('sealed', { contentLength: length, tail: tag.toString('base64'), metadata: envelope });
    tag[0]! ^= 1;
    await control.define('altered', { contentLength: length, tail: tag.toString('base64'), metadata: envelope });
    const s3 = new EncryptedS3({ client, keyring });
    const { body } = await s3.get({ Bucket, Key: 'sealed' });
    assert.ok(plaintext.equals(await bytesOf(body)));
    const altered = await s3.get({ Bucket, Key: 'altered' });
    const error = await rejection(bytesOf(altered.body));
    assert.equal((error as { code?: string }).code, 'ERR_SEALPIPE_AUTHENTICATION_FAILED');
  });

  test('asks for a body that is announced, and answers when it has arrived', async () => {
    const { socket, until, received } = await open();
    socket.write('PUT /b/k HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n');
    await until('100 Continue\r\n\r\n');
    assert.equal(received(), 'HTTP/1.1 100 Continue\r\n\r\n');
    socket.write('12345');
    await until('200 OK');
    socket.destroy();
  });

  test('answers requests that come at once one after the other, however they are cut', async () => {
    const request = (length: number): string =>
      `PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n${'x'.repeat(length)}`;
    const chunked =
      'PUT /b/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\n';
    const text = `${request(3)}${chunked}${request(0)}GET /b/absent HTTP/1.1\r\nConnection: close\r\n\r\n`;
    for (const cut of [1, 2, 7, 64, text.length]) {
      await control.reset();
      const { socket, received } = await open();
      for (let at = 0; at < text.length; at += cut) {
        socket.write(text.slice(at, at + cut));
        // Each piece arrives by itself, as far as that can be had.
        await new Promise((resolve) => setImmediate(resolve));
      }
      await once(socket, 'end');
      assert.deepEqual(
        received().match(/HTTP\/1\.1 \d+/g),
        ['200', '200', '200', '404'].map((each) => `HTTP/1.1 ${each}`),
      );
      const { requests, bytesIn, connections } = await control.stats();
      assert.deepEqual({ requests, bytesIn, connections }, { requests: 4, bytesIn: 18, connections: 1 });
    }
  });

  test('holds each connection and direction to its rate, and every answer back', async () => {
    await control.define('paced', { contentLength: 4e6, tail: '', metadata: {} });
    await control.setPace({ latency: 30, megabytesPerSecond: 20 });
    try {
      const seconds = async (run: () => Promise<unknown>): Promise<number> => {
        const began = performance.now();
        await run();
        return (performance.now() - began) / 1000;
      };
      const down = await seconds(async () => {
        const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: 'paced' }));
        await Body?.transformToByteArray();
      });
      // 4 MB at 20 MB/s; the first 20 ms are free.
      assert.ok(down > 0.2, `down in ${down} s`);
      const put = (): Promise<unknown> =>
        client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: Buffer.alloc(2e6) }));
      const up = await seconds(() => Promise.all([put(), put()]));
      assert.ok(up > 0.1, `up in ${up} s`);
    } finally {
      await control.setPace({ latency: 0, megabytesPerSecond: 0 });
    }
  });
});

test('a sink with TLS is trusted by its authority, and counts alike', async () => {
  const sink = await startSink({ tls: true });
  try {
    const control = new SinkControl(`https://localhost:${sink.port}`, sink.ca);
    assert.equal(await control.exists(), true);
    assert.equal((await control.stats()).requests, 0);
  } finally {
    await sink.close();
  }
});

test('what is no sink is not taken for one', async () => {
  assert.equal(await new SinkControl('http://127.0.0.1:9').exists(), false);
});

test('a pace never lets more through than its rate and a short credit', () => {
  const moves = fc.array(fc.tuple(fc.integer({ min: 1, max: 300_000 }), fc.double({ min: 0, max: 50, noNaN: true })));
  fc.assert(
    fc.property(moves, (each) => {
      const pace = new Pace();
      let now = 1000;
      let sent = 0;
      for (const [bytes, late] of each) {
        sent += bytes;
        now += pace.book(bytes, 40e6, now);
        assert.ok(sent <= ((now - 1000 + 20.001) / 1000) * 40e6);
        now += late;
      }
    }),
  );
});

test('a pace makes up for timers that are late', () => {
  const pace = new Pace();
  let now = 1000;
  for (let i = 0; i < 100; i++) {
    const wait = pace.book(100_000, 40e6, now);
    now += wait === 0 ? 0 : wait + 7;
  }
  // 10 MB at 40 MB/s, and what the last timer was late.
  assert.ok(now - 1000 <= 250 + 7, `${now - 1000} ms`);
});

test('a pace of nothing waits for nothing', () => {
  assert.equal(new Pace().book(1e9, 0, 0), 0);
});

test('a chunked body ends where it ends, and counts content alone, at every cut', () => {
  const pieces = ['1\r\na\r\n', '10;ext="v"\r\n0123456789abcdef\r\n', '0\r\n', 'Trailer: 1\r\n', '\r\n'];
  const bytes = Buffer.from(`${pieces.join('')}NEXT`);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 40, maxLength: 60 }), (cuts) => {
      const body = new ChunkedBody();
      let at = 0;
      let end = 0;
      for (const cut of [...cuts, bytes.length]) {
        const part = bytes.subarray(at, at + cut);
        if (body.done || part.length === 0) break;
        end = at + body.skip(part, 0);
        at += part.length;
      }
      assert.deepEqual([body.done, body.discarded, bytes.toString('latin1', end)], [true, 17, 'NEXT']);
    }),
  );
  assert.throws(() => new ChunkedBody().skip(Buffer.from('none\r\n'), 0), /a chunk begins with "none"/);
});

test('ranges are read as HTTP has them', () => {
  const of = (header: string | undefined): unknown => rangeOf(header, 100);
  assert.deepEqual(of('bytes=0-9'), { start: 0, end: 10 });
  assert.deepEqual(of('bytes=90-'), { start: 90, end: 100 });
  assert.deepEqual(of('bytes=90-1000'), { start: 90, end: 100 });
  assert.deepEqual(of('bytes=-10'), { start: 90, end: 100 });
  assert.deepEqual(of('bytes=-1000'), { start: 0, end: 100 });
  for (const header of ['bytes=100-', 'bytes=-0', 'bytes=9-8']) assert.equal(of(header), 'unsatisfiable');
  for (const header of [undefined, 'bytes=-', 'bytes=a-b', 'bytes=0-1,3-4', 'lines=0-1'])
    assert.equal(of(header), undefined);
});

test('repeated content is the same however it is cut', () => {
  const length = 2 * MiB + 77;
  const whole = Buffer.concat([...new RepeatedContent('seed', length).chunks(MiB)]);
  assert.equal(whole.length, length);
  for (const cut of [1000, 65_536, MiB - 1, 3 * MiB])
    assert.ok(Buffer.concat([...new RepeatedContent('seed', length).chunks(cut)]).equals(whole));
  assert.ok(!whole.subarray(0, 64).equals(new RepeatedContent('other', 64).slice(0, 64)));
});
