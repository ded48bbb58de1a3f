import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { counted, formatByteSize, parseByteSize } from '../../src/cli/byte-size.ts';
import { isLoopbackUrl, parseEndpointUrl } from '../../src/cli/endpoint-url.ts';
import { decodeAesKey } from '../../src/cli/key-file.ts';
import { collectPair, parseDescribedFile } from '../../src/cli/pairs.ts';
import { formatS3Url, parseBucketUrl, parseObjectUrl, parseS3Url } from '../../src/cli/s3-url.ts';
import { UsageError } from '../../src/cli/usage-error.ts';

test('a size is a number of bytes with or without a unit, binary with an i and decimal without', () => {
  const sizes: [string, number][] = [
    ['0', 0],
    ['5242880', 5242880],
    ['16MiB', 16 * 2 ** 20],
    ['16 mib', 16 * 2 ** 20],
    ['5MB', 5_000_000],
    ['1.5GiB', 1.5 * 2 ** 30],
    ['1.1kB', 1100],
    ['64KIB', 65536],
    ['2TiB', 2 * 2 ** 40],
    ['7B', 7],
  ];
  for (const [text, bytes] of sizes) assert.equal(parseByteSize(text), bytes, text);
});

test('what is no size, or could be two, is wrong usage that says how to write it', () => {
  for (const text of ['', 'MiB', '-1', '1e6', '0x10', '16Mi', '1.2.3', 'ten', '99999999999TiB', 'NaN', 'Infinity'])
    assert.throws(() => parseByteSize(text), UsageError, text);
  assert.throws(() => parseByteSize('16M'), /write 16MiB or 16MB/);
  assert.throws(() => parseByteSize('2g'), /write 2GiB or 2GB/);
});

test('sizes and counts are shown to people', () => {
  assert.equal(formatByteSize(0), '0 B');
  assert.equal(formatByteSize(1023), '1023 B');
  assert.equal(formatByteSize(1024), '1.0 KiB');
  assert.equal(formatByteSize(20_000_016), '19.1 MiB');
  assert.equal(formatByteSize(2 ** 36), '64.0 GiB');
  assert.equal(counted(1, 'part'), '1 part');
  assert.equal(counted(0, 'part'), '0 parts');
});

test('the key of an S3 URL is everything after the bucket, as it stands', () => {
  assert.deepEqual(parseS3Url('s3://bucket'), { bucket: 'bucket', key: '' });
  assert.deepEqual(parseS3Url('s3://bucket/'), { bucket: 'bucket', key: '' });
  assert.deepEqual(parseS3Url('s3://my.bucket-1/a/b c?d#e%20f'), { bucket: 'my.bucket-1', key: 'a/b c?d#e%20f' });
  assert.deepEqual(parseS3Url('s3://bucket//leading'), { bucket: 'bucket', key: '/leading' });
  assert.deepEqual(parseS3Url('s3://bucket/två\nlines'), { bucket: 'bucket', key: 'två\nlines' });
  fc.assert(
    fc.property(fc.string({ maxLength: 200, unit: 'grapheme' }), (key) => {
      assert.deepEqual(parseS3Url(formatS3Url({ bucket: 'bucket', key })), { bucket: 'bucket', key });
    }),
  );
});

test('what names no bucket, or the wrong kind of thing, is wrong usage', () => {
  for (const operand of [
    '',
    'file',
    's3:',
    's3://',
    's3:///key',
    's3:/bucket/key',
    'S3://bucket/key',
    's3://b/key',
    's3://-bucket/k',
    's3://buc ket/k',
  ])
    assert.throws(() => parseS3Url(operand), UsageError, operand);
  assert.throws(() => parseS3Url(`s3://bucket/${'ä'.repeat(513)}`), /1026 bytes, S3 takes 1024/);
  assert.throws(() => parseObjectUrl('s3://bucket/'), /expected an object/);
  assert.throws(() => parseBucketUrl('s3://bucket/key'), /expected a bucket/);
  assert.equal(parseBucketUrl('s3://bucket/'), 'bucket');
});

test('a pair is divided at its first =, and a name is given once', () => {
  const add = collectPair('--metadata');
  assert.deepEqual(add('a=b=c', undefined), { a: 'b=c' });
  assert.deepEqual(add('b=', { a: '1' }), { a: '1', b: '' });
  assert.throws(() => add('=b'), UsageError);
  assert.throws(() => add('ab'), /--metadata is given "ab": expected name=value/);
  assert.throws(() => add('a=2', { a: '1' }), /gives "a" twice/);
});

test('a described file is pairs or JSON, then a file', () => {
  const parse = (text: string): unknown => parseDescribedFile(text, '--decryption-key');
  assert.deepEqual(parse('year=2019=old.hex'), { description: { year: '2019' }, file: 'old.hex' });
  assert.deepEqual(parse('a=b=c=f'), { description: { a: 'b=c' }, file: 'f' });
  assert.deepEqual(parse('a=1,b=2=./k.pem'), { description: { a: '1', b: '2' }, file: './k.pem' });
  assert.deepEqual(parse('=k'), { description: {}, file: 'k' });
  assert.deepEqual(parse('{"a":"}=x,y"}=dir/a=b.hex'), { description: { a: '}=x,y' }, file: 'dir/a=b.hex' });
  assert.deepEqual(parse('{}=k'), { description: {}, file: 'k' });
  for (const wrong of ['', 'k', 'a=', '{"a":1}=k', '{"a":"b"}', '{"a":"b"=k', '{"a":"b"}='])
    assert.throws(() => parse(wrong), UsageError, wrong);
});

test('any description with any file comes back from its JSON form', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.string(), { noNullPrototype: true }),
      fc.string({ minLength: 1 }),
      (description, file) => {
        assert.deepEqual(parseDescribedFile(`${JSON.stringify(description)}=${file}`, '--x'), { description, file });
      },
    ),
  );
});

test('an AES key is read raw, in hex and in base64, with or without a line end', () => {
  for (const length of [16, 24, 32]) {
    for (let round = 0; round < 50; round++) {
      const key = randomBytes(length);
      assert.deepEqual(decodeAesKey(key), key);
      assert.deepEqual(decodeAesKey(Buffer.from(key.toString('hex'))), key);
      assert.deepEqual(decodeAesKey(Buffer.from(`${key.toString('hex').toUpperCase()}\r\n`)), key);
      assert.deepEqual(decodeAesKey(Buffer.from(`${key.toString('base64')}\n`)), key);
      // 32 characters of base64 alone are as likely a raw key.
      if (length !== 24) assert.deepEqual(decodeAesKey(Buffer.from(key.toString('base64'))), key);
    }
  }
  assert.equal(decodeAesKey(Buffer.from('0123456789abcdef0123456789abcdef'))?.length, 16);
  assert.equal(decodeAesKey(Buffer.from('correct horse battery staple 123'))?.length, 32);
});

test('what has the length of no AES key is none', () => {
  for (const length of [0, 1, 15, 17, 31, 33, 48, 64]) {
    const bytes = randomBytes(length);
    bytes.fill(0xff);
    assert.equal(decodeAesKey(bytes), undefined, String(length));
  }
  assert.equal(decodeAesKey(Buffer.from('abcdef')), undefined);
  assert.equal(decodeAesKey(Buffer.from(randomBytes(20).toString('base64'))), undefined);
});

test('an endpoint is a URL without credentials, and this machine is told from others', () => {
  assert.equal(parseEndpointUrl('http://127.0.0.1:9000').port, '9000');
  for (const wrong of ['', 'localhost:9000', 'ftp://host', 's3://bucket'])
    assert.throws(() => parseEndpointUrl(wrong), UsageError, wrong);
  assert.throws(
    () => parseEndpointUrl('http://key:secret@host'),
    (error: Error) => error instanceof UsageError && !error.message.includes('secret'),
  );
  for (const url of [
    'http://127.0.0.1:1',
    'http://localhost',
    'https://a.localhost',
    'http://[::1]:80',
    'http://127.1.2.3',
  ])
    assert.ok(isLoopbackUrl(new URL(url)), url);
  for (const url of [
    'http://10.0.0.1',
    'http://localhost.example.com',
    'http://127.example.com',
    'https://s3.amazonaws.com',
  ])
    assert.ok(!isLoopbackUrl(new URL(url)), url);
});
