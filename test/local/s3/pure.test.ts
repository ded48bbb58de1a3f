import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isBucketName } from '../../../src/local/s3/buckets.ts';
import { etagMatches } from '../../../src/local/s3/conditions.ts';
import { parseCopySource } from '../../../src/local/s3/copying.ts';
import { encodeValue } from '../../../src/local/s3/metadata.ts';
import { readCopyRange, readRange } from '../../../src/local/s3/ranges.ts';
import { parseXml, renderXml, XmlProblem } from '../../../src/local/xml.ts';

test('ranges are half-open inside, whatever their form outside', () => {
  assert.deepEqual(readRange('bytes=0-0', 10), { start: 0, end: 1 });
  assert.deepEqual(readRange('bytes=-3', 10), { start: 7, end: 10 });
  assert.deepEqual(readRange('bytes=-30', 10), { start: 0, end: 10 });
  assert.deepEqual(readRange('bytes=9-', 10), { start: 9, end: 10 });
  assert.deepEqual(readRange(' Bytes = 1-2 ', 10), { start: 1, end: 3 });
  assert.equal(readRange('bytes=10-', 10), 'unsatisfiable');
  assert.equal(readRange('bytes=-0', 10), 'unsatisfiable');
  assert.equal(readRange('bytes=-5', 0), 'unsatisfiable');
  assert.equal(readRange('bytes=3-2', 10), 'whole');
  assert.equal(readRange(undefined, 10), 'whole');
});

test('a range of a copy must lie within its source', () => {
  assert.deepEqual(readCopyRange('bytes=0-9', 10), { start: 0, end: 10 });
  for (const range of ['bytes=0-10', 'bytes=5-4', 'bytes=-5', 'bytes=5-', 'bytes=a-b']) {
    assert.equal(readCopyRange(range, 10), undefined, range);
  }
});

test('ETags match with and without quotes, weak or not, in lists', () => {
  for (const header of ['"abc"', 'abc', 'W/"abc"', '"x", "abc"', '*', ' * '])
    assert.ok(etagMatches(header, 'abc'), header);
  for (const header of ['"abcd"', '', '"x"', 'ABC']) assert.ok(!etagMatches(header, 'abc'), header);
});

test('a copy source is bucket and key, encoded or not, with a version or without', () => {
  assert.deepEqual(parseCopySource('/b/k'), { bucket: 'b', key: 'k', versionId: undefined });
  assert.deepEqual(parseCopySource('b/a%2Fb%20c?versionId=v1'), { bucket: 'b', key: 'a/b c', versionId: 'v1' });
  assert.deepEqual(parseCopySource(Buffer.from('b/ü', 'utf8').toString('latin1')), {
    bucket: 'b',
    key: 'ü',
    versionId: undefined,
  });
  for (const header of ['b', 'b/', '/b', '', '/'])
    assert.throws(() => parseCopySource(header), { code: 'InvalidArgument' });
});

test('metadata is itself if ASCII, else a word: Q if most of it is ASCII, B if not', () => {
  assert.equal(encodeValue('plain =?x?='), 'plain =?x?=');
  // "é" in UTF-8 is C3 A9; read as Latin-1 and encoded again C3 83 C2 A9.
  assert.equal(encodeValue('caf\u00c3\u00a9 x'), '=?UTF-8?Q?caf=C3=83=C2=A9_x?=');
  assert.equal(encodeValue('\u00c3\u00a9'), `=?UTF-8?B?${Buffer.from('c383c2a9', 'hex').toString('base64')}?=`);
});

test('bucket names are those that S3 gives', () => {
  for (const name of ['abc', 'a-b.c', '0bucket', 'a'.repeat(63)]) assert.ok(isBucketName(name), name);
  for (const name of [
    'ab',
    'A-b',
    'a..b',
    '.abc',
    'abc-',
    '10.0.0.1',
    'a_b',
    'a'.repeat(64),
    '..',
    'a/b',
    'abc-s3alias',
  ]) {
    assert.ok(!isBucketName(name), name);
  }
});

test('XML is escaped on the way out and read on the way in, controls and all', () => {
  const name = ' <&>"\' \u0001\r\n\t😀 ';
  const text = renderXml([
    'Delete',
    [
      ['Key', name],
      ['Absent', undefined],
      ['Empty', []],
      ['Number', 5],
    ],
  ]);
  assert.match(text, /&lt;&amp;&gt;&quot;&#39; &#x1;/);
  assert.ok(!text.includes('Absent'));
  assert.match(text, /<Empty\/>/);
  const read = parseXml(text.replace('&#x1;', ''), 'Delete');
  assert.equal(read.required('Key'), name.replace('\u0001', ''));
  assert.equal(read.required('Number'), '5');
  assert.deepEqual(read.unread(), ['Empty']);
});

test('a namespace prefix and indentation change nothing, a document type is refused', () => {
  const read = parseXml('<?xml version="1.0"?>\n<s:Delete xmlns:s="x">\n  <s:Key> a </s:Key>\n</s:Delete>\n', 'Delete');
  assert.equal(read.required('Key'), ' a ');
  for (const text of ['', '<a', '<a/><b/>', '<!DOCTYPE a><Delete/>', '<Other/>']) {
    assert.throws(() => parseXml(text, 'Delete'), XmlProblem, text);
  }
  assert.throws(() => read.required('Missing'), XmlProblem);
});
