import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { presign } from './signer.ts';
import { type RawAnswer, useTarget } from './target.ts';

suite('signatures', () => {
  const target = useTarget();
  let Bucket: string;
  before(async () => {
    Bucket = await target.bucket();
    await target.s3().send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'hello' }));
  });

  const presigned = (
    options: { method?: string; path?: string; expires?: number; date?: Date; headers?: Record<string, string> } = {},
  ): string =>
    presign(target.credentials, {
      method: options.method ?? 'GET',
      path: options.path ?? `/${Bucket}/k`,
      host: target.host,
      region: target.region,
      expires: options.expires ?? 60,
      ...(options.date === undefined ? {} : { date: options.date }),
      ...(options.headers === undefined ? {} : { headers: options.headers }),
    });
  const send = (
    path: string,
    options: { method?: string; headers?: Record<string, string>; body?: string } = {},
  ): Promise<RawAnswer> =>
    target.send({
      method: options.method ?? 'GET',
      path,
      headers: { host: target.host, ...options.headers },
      body: options.body ?? '',
    });

  test('a request with the wrong secret is SignatureDoesNotMatch, which shows what was to be signed', async () => {
    const answer = await target.raw({
      path: `/${Bucket}/k`,
      credentials: { ...target.credentials, secretAccessKey: 'wrong' },
    });
    assert.deepEqual([answer.status, answer.code], [403, 'SignatureDoesNotMatch']);
    assert.match(answer.text, /<StringToSign>AWS4-HMAC-SHA256/);
    assert.match(answer.text, /<CanonicalRequest>GET/);
    assert.ok(!answer.text.includes(target.credentials.secretAccessKey));
  });

  test('an unknown access key is InvalidAccessKeyId, an anonymous request AccessDenied', async () => {
    const stranger = await target.raw({
      path: `/${Bucket}/k`,
      credentials: { ...target.credentials, accessKeyId: 'NOBODY' },
    });
    assert.deepEqual([stranger.status, stranger.code], [403, 'InvalidAccessKeyId']);
    const anonymous = await target.raw({ path: `/${Bucket}/k`, credentials: 'anonymous' });
    assert.deepEqual([anonymous.status, anonymous.code], [403, 'AccessDenied']);
  });

  test('a header that was changed or added after signing is refused', async () => {
    const added = await target.raw({
      method: 'PUT',
      path: `/${Bucket}/added`,
      body: 'x',
      unsigned: { 'x-amz-meta-added': '1' },
    });
    assert.deepEqual([added.status, added.code], [403, 'AccessDenied']);
    assert.match(added.text, /<HeadersNotSigned>x-amz-meta-added<\/HeadersNotSigned>/);
    const changed = await target.raw({
      method: 'PUT',
      path: `/${Bucket}/changed`,
      body: 'x',
      headers: { 'x-amz-meta-a': '1' },
      unsigned: { 'x-amz-meta-a': '2' },
    });
    assert.deepEqual([changed.status, changed.code], [403, 'SignatureDoesNotMatch']);
  });

  test('a body that is not the one that was signed is XAmzContentSHA256Mismatch', async () => {
    const answer = await target.raw({ method: 'PUT', path: `/${Bucket}/other`, body: 'sent', payload: 'a'.repeat(64) });
    assert.deepEqual([answer.status, answer.code], [400, 'XAmzContentSHA256Mismatch']);
    assert.equal((await target.raw({ path: `/${Bucket}/other` })).status, 404);
  });

  test('UNSIGNED-PAYLOAD leaves the body open', async () => {
    const answer = await target.raw({
      method: 'PUT',
      path: `/${Bucket}/open`,
      body: 'anything',
      payload: 'UNSIGNED-PAYLOAD',
    });
    assert.equal(answer.status, 200);
  });

  test('a request signed a quarter of an hour ago, or from now, is RequestTimeTooSkewed', async () => {
    for (const minutes of [-16, 16]) {
      const answer = await target.raw({ path: `/${Bucket}/k`, date: new Date(Date.now() + minutes * 60_000) });
      assert.deepEqual([answer.status, answer.code], [403, 'RequestTimeTooSkewed']);
    }
    assert.equal((await target.raw({ path: `/${Bucket}/k`, date: new Date(Date.now() - 14 * 60_000) })).status, 200);
  });

  test('an old or broken mechanism is refused by name', async () => {
    const old = await target.raw({
      path: `/${Bucket}/k`,
      credentials: 'anonymous',
      headers: { authorization: 'AWS key:signature' },
    });
    assert.deepEqual([old.status, old.code], [400, 'InvalidRequest']);
    for (const authorization of [
      'AWS4-HMAC-SHA256 nonsense',
      'AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0',
    ]) {
      const answer = await target.raw({
        path: `/${Bucket}/k`,
        credentials: 'anonymous',
        headers: { authorization, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' },
      });
      assert.deepEqual([answer.status, answer.code], [400, 'AuthorizationHeaderMalformed']);
    }
  });

  test('a presigned URL reads, writes, deletes, with nothing else to sign', async () => {
    assert.equal((await send(presigned())).text, 'hello');
    const put = await send(presigned({ method: 'PUT', path: `/${Bucket}/by%20url` }), {
      method: 'PUT',
      body: 'by url',
    });
    assert.equal(put.status, 200);
    assert.equal((await send(presigned({ path: `/${Bucket}/by%20url` }))).text, 'by url');
    const part = await send(presigned(), { headers: { range: 'bytes=-2' } });
    assert.deepEqual([part.status, part.text], [206, 'lo']);
    assert.equal(
      (await send(presigned({ method: 'DELETE', path: `/${Bucket}/by%20url` }), { method: 'DELETE' })).status,
      204,
    );
  });

  test('a presigned URL holds for its method, path and signed headers, and for its time', async () => {
    assert.equal((await send(presigned(), { method: 'DELETE' })).code, 'SignatureDoesNotMatch');
    assert.equal((await send(presigned().replace('/k?', '/other?'))).code, 'SignatureDoesNotMatch');
    const expired = await send(presigned({ expires: 1, date: new Date(Date.now() - 5000) }));
    assert.deepEqual([expired.status, expired.code], [403, 'AccessDenied']);
    assert.match(expired.text, /Request has expired/);
    const long = await send(presigned({ expires: 604_801 }));
    assert.deepEqual([long.status, long.code], [400, 'AuthorizationQueryParametersError']);
    const headers = { 'x-amz-meta-a': '1' };
    const path = presigned({ method: 'PUT', path: `/${Bucket}/signed`, headers });
    assert.equal(
      (await send(path, { method: 'PUT', headers: { 'x-amz-meta-a': '2' }, body: 'x' })).code,
      'SignatureDoesNotMatch',
    );
    assert.equal((await send(path, { method: 'PUT', headers, body: 'x' })).status, 200);
    const unsigned = presigned({ method: 'PUT', path: `/${Bucket}/signed` });
    assert.equal((await send(unsigned, { method: 'PUT', headers, body: 'x' })).code, 'AccessDenied');
  });

  test('headers that a presigner moved into the query mean what they would as headers', async () => {
    const path = presigned({
      method: 'PUT',
      path: `/${Bucket}/hoisted?x-amz-meta-a=hoisted&x-amz-checksum-crc32=NhCmhg%3D%3D`,
    });
    const wrong = await send(path, { method: 'PUT', body: 'not hello' });
    assert.equal(wrong.code, 'BadDigest');
    assert.equal((await send(path, { method: 'PUT', body: 'hello' })).status, 200);
    const head = await target.raw({ method: 'HEAD', path: `/${Bucket}/hoisted` });
    assert.equal(head.headers['x-amz-meta-a'], 'hoisted');
  });

  test('paths and queries of every character are signed alike by both sides', async () => {
    for (const key of ["a b!*'()", 'ü/ß?&=+%', '~._-', '日本//x', '%2F%41']) {
      const path = `/${Bucket}/${key
        .split('/')
        .map((piece) =>
          encodeURIComponent(piece).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`),
        )
        .join('/')}`;
      assert.equal((await target.raw({ method: 'PUT', path, body: key })).status, 200, key);
      assert.equal((await target.raw({ path })).text, key);
      assert.equal((await send(presigned({ path }))).text, key);
      const listed = await target.raw({
        path: `/${Bucket}?list-type=2&prefix=${encodeURIComponent(key).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)}`,
      });
      assert.equal(listed.status, 200, key);
    }
  });

  test('a path that is no UTF-8 is InvalidURI', async () => {
    const answer = await target.send({ method: 'GET', path: `/${Bucket}/%FF%FE`, headers: { host: target.host } });
    assert.deepEqual([answer.status, answer.code], [400, 'InvalidURI']);
  });
});
