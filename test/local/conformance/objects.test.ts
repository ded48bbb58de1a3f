import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { suite, test } from 'node:test';
import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { failure, MiB, pattern, useTarget } from './target.ts';

suite('objects', () => {
  const target = useTarget();

  test('an object comes back as it was put, with its length, type, ETag and metadata', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const Body = pattern(100_000);
    const put = await s3.send(
      new PutObjectCommand({
        Bucket,
        Key: 'key',
        Body,
        ContentType: 'text/plain; charset=utf-8',
        CacheControl: 'max-age=60',
        ContentDisposition: 'attachment; filename="a"',
        ContentEncoding: 'gzip',
        ContentLanguage: 'de',
        Expires: new Date('2030-01-01T00:00:00Z'),
        Metadata: { Mixed: 'Case Value', other: '1' },
      }),
    );
    const md5 = createHash('md5').update(Body).digest('hex');
    assert.equal(put.ETag, `"${md5}"`);
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'key' }));
    assert.deepEqual(Buffer.from(await got.Body!.transformToByteArray()), Body);
    for (const answer of [got, await s3.send(new HeadObjectCommand({ Bucket, Key: 'key' }))]) {
      assert.equal(answer.ContentLength, 100_000);
      assert.equal(answer.ContentType, 'text/plain; charset=utf-8');
      assert.equal(answer.CacheControl, 'max-age=60');
      assert.equal(answer.ContentDisposition, 'attachment; filename="a"');
      assert.equal(answer.ContentEncoding, 'gzip');
      assert.equal(answer.ContentLanguage, 'de');
      assert.equal(answer.ExpiresString, 'Tue, 01 Jan 2030 00:00:00 GMT');
      assert.deepEqual(answer.Metadata, { mixed: 'Case Value', other: '1' });
      assert.equal(answer.ETag, `"${md5}"`);
      assert.equal(answer.AcceptRanges, 'bytes');
      assert.ok(Math.abs(answer.LastModified!.getTime() - Date.now()) < 60_000);
      assert.equal(answer.LastModified!.getMilliseconds(), 0);
    }
  });

  test('an object without a type is binary/octet-stream, and an empty one is whole', async () => {
    const Bucket = await target.bucket();
    const put = await target.raw({ method: 'PUT', path: `/${Bucket}/empty` });
    assert.equal(put.status, 200);
    const got = await target.raw({ path: `/${Bucket}/empty` });
    assert.equal(got.status, 200);
    assert.equal(got.headers['content-type'], 'binary/octet-stream');
    assert.equal(got.headers['content-length'], '0');
    assert.equal(got.headers.etag, '"d41d8cd98f00b204e9800998ecf8427e"');
  });

  test('keys of any Unicode, with dots, slashes, blanks and signs, are kept apart and come back', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const keys = [
      'plain',
      '../up',
      '/leading',
      'a//b',
      'a/../b',
      './c',
      'trailing/',
      ' blank ',
      '100%',
      'a%2Fb',
      'a+b',
      'a?b#c&d=e',
      'ünï/cødé',
      '日本語',
      '😀',
      '\uffff-after-astral',
      'quote\'"<>',
      'x'.repeat(1024),
    ];
    for (const Key of keys) await s3.send(new PutObjectCommand({ Bucket, Key, Body: `of ${Key}` }));
    for (const Key of keys) {
      const got = await s3.send(new GetObjectCommand({ Bucket, Key }));
      assert.equal(await got.Body!.transformToString(), `of ${Key}`, Key);
    }
    const listed = await s3.send(new ListObjectsV2Command({ Bucket }));
    const expected = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    assert.deepEqual(
      listed.Contents!.map((entry) => entry.Key),
      expected,
    );
  });

  test('a key of more than 1024 bytes of UTF-8 is KeyTooLongError', async () => {
    const Bucket = await target.bucket();
    const s3 = target.s3();
    await s3.send(new PutObjectCommand({ Bucket, Key: 'é'.repeat(512), Body: 'x' }));
    const failed = await failure(s3.send(new PutObjectCommand({ Bucket, Key: `${'é'.repeat(512)}x`, Body: 'x' })));
    assert.equal(failed.name, 'KeyTooLongError');
    assert.equal(failed.status, 400);
  });

  test('what is not there is NoSuchKey, NotFound for HEAD, and NoSuchBucket where the bucket is missing', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const missing = await failure(s3.send(new GetObjectCommand({ Bucket, Key: 'no' })));
    assert.deepEqual([missing.name, missing.status], ['NoSuchKey', 404]);
    const head = await failure(s3.send(new HeadObjectCommand({ Bucket, Key: 'no' })));
    assert.deepEqual([head.name, head.status], ['NotFound', 404]);
    const bucket = await failure(s3.send(new GetObjectCommand({ Bucket: `${Bucket}-not`, Key: 'no' })));
    assert.deepEqual([bucket.name, bucket.status], ['NoSuchBucket', 404]);
    const put = await failure(s3.send(new PutObjectCommand({ Bucket: `${Bucket}-not`, Key: 'no', Body: 'x' })));
    assert.deepEqual([put.name, put.status], ['NoSuchBucket', 404]);
  });

  test('a PUT replaces the whole of what was there, metadata too', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    await s3.send(
      new PutObjectCommand({ Bucket, Key: 'k', Body: 'first and longer', Metadata: { a: '1' }, ContentType: 'a/b' }),
    );
    await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'second', Metadata: { b: '2' } }));
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'k' }));
    assert.equal(await got.Body!.transformToString(), 'second');
    assert.deepEqual(got.Metadata, { b: '2' });
  });

  test('a deletion succeeds whether the object is there or not, and again', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }));
    for (const _ of [1, 2]) {
      const deleted = await s3.send(new DeleteObjectCommand({ Bucket, Key: 'k' }));
      assert.equal(deleted.$metadata.httpStatusCode, 204);
    }
    assert.equal((await failure(s3.send(new GetObjectCommand({ Bucket, Key: 'k' })))).name, 'NoSuchKey');
  });

  test('many keys are deleted at once, told one by one or, quietly, not at all', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    for (const Key of ['a', 'b & c', ' d ', 'e']) await s3.send(new PutObjectCommand({ Bucket, Key, Body: 'x' }));
    const deleted = await s3.send(
      new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'a' }, { Key: 'b & c' }, { Key: 'missing' }] } }),
    );
    assert.deepEqual(deleted.Deleted?.map((entry) => entry.Key).sort(), ['a', 'b & c', 'missing']);
    const quiet = await s3.send(
      new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: ' d ' }], Quiet: true } }),
    );
    assert.equal(quiet.Deleted, undefined);
    const left = await s3.send(new ListObjectsV2Command({ Bucket }));
    assert.deepEqual(
      left.Contents?.map((entry) => entry.Key),
      ['e'],
    );
  });

  test('a DeleteObjects without a digest of its body, or with more than 1000 keys, is refused', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const body = '<Delete><Object><Key>a</Key></Object></Delete>';
    const bare = await target.raw({ method: 'POST', path: `/${Bucket}?delete`, body });
    assert.deepEqual([bare.status, bare.code], [400, 'InvalidRequest']);
    const Objects = Array.from({ length: 1001 }, (_, index) => ({ Key: `k${index}` }));
    const many = await failure(s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } })));
    assert.equal(many.name, 'MalformedXML');
  });

  test('user metadata up to 2048 bytes of names and values is kept, one byte more is MetadataTooLarge', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', Metadata: { name: 'v'.repeat(2044) } }));
    const got = await s3.send(new HeadObjectCommand({ Bucket, Key: 'k' }));
    assert.equal(got.Metadata?.['name']?.length, 2044);
    const failed = await failure(
      s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', Metadata: { name: 'v'.repeat(2045) } })),
    );
    assert.deepEqual([failed.name, failed.status], ['MetadataTooLarge', 400]);
  });

  test('metadata that is not ASCII comes back encoded twice, as an RFC 2047 word', async () => {
    const Bucket = await target.bucket();
    // UTF-8 bytes on the wire, which Node wants as one character each.
    const wire = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
    for (const text of ['grüße, mostly ascii', '日本語テキスト']) {
      const put = await target.raw({
        method: 'PUT',
        path: `/${Bucket}/k`,
        headers: { 'x-amz-meta-text': wire(text) },
        body: 'x',
      });
      assert.equal(put.status, 200);
      const got = await target.raw({ method: 'HEAD', path: `/${Bucket}/k` });
      const word = /^=\?UTF-8\?([QB])\?(.*)\?=$/.exec(String(got.headers['x-amz-meta-text']));
      assert.ok(word, `an encoded word, got ${String(got.headers['x-amz-meta-text'])}`);
      const bytes =
        word[1] === 'B'
          ? Buffer.from(word[2]!, 'base64')
          : Buffer.from(
              word[2]!
                .replace(/_/g, ' ')
                .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
              'latin1',
            );
      assert.equal(Buffer.from(bytes.toString('utf8'), 'latin1').toString('utf8'), text);
    }
  });

  test('answers take the headers that the query asks for', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', ContentType: 'a/b' }));
    const got = await s3.send(
      new GetObjectCommand({
        Bucket,
        Key: 'k',
        ResponseContentType: 'c/d',
        ResponseCacheControl: 'no-store',
        ResponseContentDisposition: 'attachment; filename="ü"',
      }),
    );
    assert.equal(got.ContentType, 'c/d');
    assert.equal(got.CacheControl, 'no-store');
  });

  test('a stream whose length is known is stored without its framing', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    const body = pattern(3 * MiB + 7);
    const chunks = Array.from({ length: Math.ceil(body.length / 65_536) }, (_, index) =>
      body.subarray(index * 65_536, (index + 1) * 65_536),
    );
    await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: Readable.from(chunks), ContentLength: body.length }));
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'k' }));
    assert.equal(got.ContentLength, body.length);
    assert.equal(got.ContentEncoding, undefined);
    assert.ok(Buffer.from(await got.Body!.transformToByteArray()).equals(body));
  });

  test('a body that ends before its length is no object', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'before' }));
    const { createConnection } = await import('node:net');
    const { hostname, port } = new URL(target.endpoint);
    const { signRequest } = await import('./signer.ts');
    const { headers } = signRequest(target.credentials, {
      method: 'PUT',
      path: `/${Bucket}/k`,
      headers: { host: target.host, 'content-length': '100' },
      payload: 'UNSIGNED-PAYLOAD',
      region: target.region,
    });
    const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const socket = createConnection(Number(port), hostname);
    await new Promise<void>((resolve) => {
      socket.on('close', () => resolve());
      socket.on('error', () => {});
      socket.write(`PUT /${Bucket}/k HTTP/1.1\r\n${head.join('')}\r\nonly these bytes`, () =>
        setTimeout(() => socket.destroy(), 50),
      );
    });
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'k' }));
    assert.equal(await got.Body!.transformToString(), 'before');
  });

  test('the attributes of an object are told without its body', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'hello' }));
    const attributes = await s3.send(
      new GetObjectAttributesCommand({
        Bucket,
        Key: 'k',
        ObjectAttributes: ['ETag', 'ObjectSize', 'Checksum', 'StorageClass'],
      }),
    );
    assert.equal(attributes.ETag, '5d41402abc4b2a76b9719d911017c592');
    assert.equal(attributes.ObjectSize, 5);
    assert.equal(attributes.Checksum?.ChecksumCRC32, 'NhCmhg==');
    assert.equal(attributes.StorageClass, 'STANDARD');
  });

  test('a storage class is kept and told, where it is not the standard one', async () => {
    const s3 = target.s3();
    const Bucket = await target.bucket();
    await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', StorageClass: 'STANDARD_IA' }));
    assert.equal((await s3.send(new HeadObjectCommand({ Bucket, Key: 'k' }))).StorageClass, 'STANDARD_IA');
    const failed = await failure(
      s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', StorageClass: 'FAST' as 'STANDARD' })),
    );
    assert.equal(failed.name, 'InvalidStorageClass');
  });
});
