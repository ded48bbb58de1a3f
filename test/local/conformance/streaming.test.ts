import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, suite, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { hmac, sha256, signRequest } from './signer.ts';
import { pattern, type RawAnswer, useTarget } from './target.ts';

const base64Crc = (bytes: Buffer): string => {
  const value = Buffer.alloc(4);
  value.writeUInt32BE(crc32(bytes));
  return value.toString('base64');
};

suite('aws-chunked bodies', () => {
  const target = useTarget();
  let Bucket: string;
  before(async () => {
    Bucket = await target.bucket();
  });

  interface Streamed {
    readonly key: string;
    readonly chunks: readonly Buffer[];
    readonly signed?: boolean;
    readonly trailer?: Readonly<Record<string, string>>;
    /** Changes the framed bytes before they go out. */
    readonly edit?: (framed: Buffer) => Buffer;
    readonly length?: number | null;
    readonly encoding?: string;
  }

  function put(options: Streamed): Promise<RawAnswer> {
    const { key, chunks, signed = false, trailer, encoding = 'aws-chunked' } = options;
    const total = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const names = Object.keys(trailer ?? {});
    const payload = signed
      ? `STREAMING-AWS4-HMAC-SHA256-PAYLOAD${names.length > 0 ? '-TRAILER' : ''}`
      : 'STREAMING-UNSIGNED-PAYLOAD-TRAILER';
    const path = `/${Bucket}/${key}`;
    const { headers, signature, signingKey, scope, timestamp } = signRequest(target.credentials, {
      method: 'PUT',
      path,
      payload,
      region: target.region,
      headers: {
        host: target.host,
        'content-encoding': encoding,
        ...(options.length === null ? {} : { 'x-amz-decoded-content-length': String(options.length ?? total) }),
        ...(names.length > 0 ? { 'x-amz-trailer': names.join(',') } : {}),
      },
    });
    let previous = signature;
    const signChunk = (data: Buffer): string => {
      const text = ['AWS4-HMAC-SHA256-PAYLOAD', timestamp, scope, previous, sha256(''), sha256(data)].join('\n');
      previous = hmac(signingKey, text).toString('hex');
      return `;chunk-signature=${previous}`;
    };
    const framed: Buffer[] = [];
    for (const chunk of [...chunks, Buffer.alloc(0)]) {
      framed.push(Buffer.from(`${chunk.length.toString(16)}${signed ? signChunk(chunk) : ''}\r\n`), chunk);
      if (chunk.length > 0) framed.push(Buffer.from('\r\n'));
    }
    const lines = Object.entries(trailer ?? {}).map(([name, value]) => `${name}:${value}`);
    for (const line of lines) framed.push(Buffer.from(`${line}\r\n`));
    if (signed && lines.length > 0) {
      const text = [
        'AWS4-HMAC-SHA256-TRAILER',
        timestamp,
        scope,
        previous,
        sha256(lines.map((line) => `${line}\n`).join('')),
      ].join('\n');
      framed.push(Buffer.from(`x-amz-trailer-signature:${hmac(signingKey, text).toString('hex')}\r\n`));
    }
    framed.push(Buffer.from('\r\n'));
    const body = options.edit?.(Buffer.concat(framed)) ?? Buffer.concat(framed);
    return target.send({ method: 'PUT', path, headers, body });
  }

  async function stored(key: string): Promise<Buffer> {
    return (await target.raw({ path: `/${Bucket}/${key}` })).body;
  }

  const data = pattern(100_000);
  const chunks = [data.subarray(0, 65_536), data.subarray(65_536)];

  for (const signed of [false, true]) {
    for (const trailer of [undefined, { 'x-amz-checksum-crc32': base64Crc(data) }]) {
      if (!signed && trailer === undefined) continue;
      const name = `${signed ? 'signed' : 'unsigned'}${trailer === undefined ? '' : ' with a trailer'}`;
      test(`${name}: stored without its framing`, async () => {
        const answer = await put({ key: 'k', chunks, signed, ...(trailer === undefined ? {} : { trailer }) });
        assert.equal(answer.status, 200, answer.text);
        assert.equal(answer.headers.etag, `"${createHash('md5').update(data).digest('hex')}"`);
        if (trailer !== undefined) assert.equal(answer.headers['x-amz-checksum-crc32'], base64Crc(data));
        assert.ok((await stored('k')).equals(data));
        const head = await target.raw({ method: 'HEAD', path: `/${Bucket}/k` });
        assert.equal(head.headers['content-encoding'], undefined);
      });
    }
  }

  test('an empty body is one chunk of nothing', async () => {
    for (const signed of [false, true]) {
      const answer = await put({ key: 'empty', chunks: [], signed, trailer: { 'x-amz-checksum-crc32': 'AAAAAA==' } });
      assert.equal(answer.status, 200, answer.text);
      assert.equal((await stored('empty')).length, 0);
    }
  });

  test('the framing may be cut anywhere on its way', async () => {
    // Through the SDK's own path the pieces are large; here the bytes go out one request in pieces of a few bytes.
    const { request } = await import('node:http');
    const small = pattern(9000);
    const framed = Buffer.concat([
      Buffer.from(`${small.length.toString(16)}\r\n`),
      small,
      Buffer.from(`\r\n0\r\nx-amz-checksum-crc32:${base64Crc(small)}\r\n\r\n`),
    ]);
    const path = `/${Bucket}/cut`;
    const { headers } = signRequest(target.credentials, {
      method: 'PUT',
      path,
      payload: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
      region: target.region,
      headers: {
        host: target.host,
        'content-encoding': 'aws-chunked',
        'x-amz-decoded-content-length': '9000',
        'x-amz-trailer': 'x-amz-checksum-crc32',
      },
    });
    const { hostname, port } = new URL(target.endpoint);
    const status = await new Promise<number>((resolve, reject) => {
      const sent = request(
        { hostname, port, method: 'PUT', path, headers: { ...headers, 'content-length': framed.length } },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      );
      sent.on('error', reject);
      sent.setNoDelay(true);
      const cuts = [
        1,
        3,
        5,
        6,
        7,
        8,
        4000,
        9006,
        9007,
        9008,
        9010,
        9012,
        9030,
        framed.length - 3,
        framed.length - 1,
        framed.length,
      ];
      let at = 0;
      const next = (): void => {
        const end = cuts.shift();
        if (end === undefined) {
          sent.end();
          return;
        }
        sent.write(framed.subarray(at, end), () => setTimeout(next, 2));
        at = end;
      };
      next();
    });
    assert.equal(status, 200);
    assert.ok((await stored('cut')).equals(small));
  });

  test("another coding beside aws-chunked is the object's and is kept", async () => {
    const answer = await put({ key: 'gzip', chunks, signed: true, encoding: 'gzip,aws-chunked' });
    assert.equal(answer.status, 200);
    const head = await target.raw({ method: 'HEAD', path: `/${Bucket}/gzip` });
    assert.equal(head.headers['content-encoding'], 'gzip');
  });

  test('a byte that is changed in a signed chunk, or a chunk that is left out, is SignatureDoesNotMatch', async () => {
    const flipped = await put({
      key: 'forged',
      chunks,
      signed: true,
      edit: (framed) => {
        framed[500]! ^= 1;
        return framed;
      },
    });
    assert.deepEqual([flipped.status, flipped.code], [403, 'SignatureDoesNotMatch']);
    const swapped = await put({
      key: 'forged',
      chunks: [data.subarray(0, 10_000), data.subarray(10_000, 20_000)],
      signed: true,
      edit: (framed) => {
        const one = framed.indexOf('\r\n') + 2 + 10_000 + 2;
        return Buffer.concat([framed.subarray(one, 2 * one), framed.subarray(0, one), framed.subarray(2 * one)]);
      },
    });
    assert.deepEqual([swapped.status, swapped.code], [403, 'SignatureDoesNotMatch']);
    assert.equal((await target.raw({ path: `/${Bucket}/forged` })).status, 404);
  });

  test('a trailer that does not match the body is BadDigest, a signed one that was changed SignatureDoesNotMatch', async () => {
    const wrong = await put({ key: 'bad', chunks, trailer: { 'x-amz-checksum-crc32': base64Crc(Buffer.from('x')) } });
    assert.deepEqual([wrong.status, wrong.code], [400, 'BadDigest']);
    const forged = await put({
      key: 'bad',
      chunks,
      signed: true,
      trailer: { 'x-amz-checksum-crc32': base64Crc(data) },
      edit: (framed) =>
        Buffer.from(framed.toString('latin1').replace(base64Crc(data), base64Crc(Buffer.from('y'))), 'latin1'),
    });
    assert.equal(forged.status, 403);
    assert.equal(forged.code, 'SignatureDoesNotMatch');
  });

  test('a trailer that was announced and does not come is MalformedTrailerError', async () => {
    const answer = await put({
      key: 'no-trailer',
      chunks,
      trailer: { 'x-amz-checksum-crc32': base64Crc(data) },
      edit: (framed) => Buffer.from(framed.toString('latin1').replace(/x-amz-checksum-crc32:.*\r\n/, ''), 'latin1'),
    });
    assert.deepEqual([answer.status, answer.code], [400, 'MalformedTrailerError']);
  });

  test('a body of another length than stated, or cut short, is IncompleteBody', async () => {
    const trailer = { 'x-amz-checksum-crc32': base64Crc(data) };
    const longer = await put({ key: 'length', chunks, trailer, length: data.length + 1 });
    assert.deepEqual([longer.status, longer.code], [400, 'IncompleteBody']);
    const cut = await put({ key: 'length', chunks, trailer, edit: (framed) => framed.subarray(0, 70_000) });
    assert.deepEqual([cut.status, cut.code], [400, 'IncompleteBody']);
    const garbage = await put({ key: 'length', chunks, trailer, edit: () => Buffer.from('no framing at all\r\n\r\n') });
    assert.deepEqual([garbage.status, garbage.code], [400, 'IncompleteBody']);
  });

  test('without the length of what is framed there is MissingContentLength', async () => {
    const answer = await put({
      key: 'length',
      chunks,
      trailer: { 'x-amz-checksum-crc32': base64Crc(data) },
      length: null,
    });
    assert.deepEqual([answer.status, answer.code], [411, 'MissingContentLength']);
  });

  test('a chunk below 8 KiB that is not the last is InvalidChunkSizeError', async () => {
    const answer = await put({
      key: 'small',
      chunks: [data.subarray(0, 8191), data.subarray(8191)],
      trailer: { 'x-amz-checksum-crc32': base64Crc(data) },
    });
    assert.deepEqual([answer.status, answer.code], [403, 'InvalidChunkSizeError']);
  });

  test('a body of unknown length without aws-chunked is not implemented by S3 either', async () => {
    const path = `/${Bucket}/unknown`;
    const { headers } = signRequest(target.credentials, {
      method: 'PUT',
      path,
      payload: 'UNSIGNED-PAYLOAD',
      region: target.region,
      headers: { host: target.host },
    });
    const answer = await target.send({
      method: 'PUT',
      path,
      headers: { ...headers, 'transfer-encoding': 'chunked' },
      body: 'x',
    });
    assert.deepEqual([answer.status, answer.code], [501, 'NotImplemented']);
  });
});
