import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AwsChunkedDecoder, FramingProblem } from '../../../src/local/http/aws-chunked.ts';

function frame(chunks: readonly Buffer[], trailers: Readonly<Record<string, string>> = {}): Buffer {
  const pieces = chunks.flatMap((chunk) => [
    Buffer.from(`${chunk.length.toString(16)}\r\n`),
    chunk,
    Buffer.from('\r\n'),
  ]);
  const lines = Object.entries(trailers).map(([name, value]) => `${name}:${value}\r\n`);
  return Buffer.concat([...pieces, Buffer.from(`0\r\n${lines.join('')}\r\n`)]);
}

function decode(framed: Buffer, cuts: readonly number[]): { data: Buffer; decoder: AwsChunkedDecoder } {
  const decoder = new AwsChunkedDecoder();
  const data: Buffer[] = [];
  const edges = [0, ...cuts.map((cut) => cut % (framed.length + 1)).sort((a, b) => a - b), framed.length];
  for (let at = 1; at < edges.length; at++) {
    for (const piece of decoder.decode(framed.subarray(edges[at - 1], edges[at]))) data.push(Buffer.from(piece));
  }
  decoder.finish();
  return { data: Buffer.concat(data), decoder };
}

test('what was framed comes out, whatever the pieces it arrives in', () => {
  const chunk = fc.uint8Array({ minLength: 8192, maxLength: 9000 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(
      fc.array(chunk, { maxLength: 3 }),
      fc.uint8Array({ maxLength: 50 }),
      fc.array(fc.nat(), { maxLength: 12 }),
      (full, last, cuts) => {
        const chunks = last.length > 0 ? [...full, Buffer.from(last)] : full;
        const { data, decoder } = decode(frame(chunks, { 'x-amz-checksum-crc32': 'AAAAAA==' }), cuts);
        assert.ok(data.equals(Buffer.concat(chunks)));
        assert.equal(decoder.trailers.get('x-amz-checksum-crc32'), 'AAAAAA==');
        assert.ok(decoder.done);
      },
    ),
    { numRuns: 60 },
  );
});

test('byte by byte gives the same', () => {
  const framed = frame([Buffer.alloc(8192, 1), Buffer.from('end')], { a: 'b' });
  const { data, decoder } = decode(
    framed,
    Array.from({ length: framed.length }, (_, index) => index),
  );
  assert.equal(data.length, 8195);
  assert.deepEqual([...decoder.trailers], [['a', 'b']]);
});

test('bare line feeds, upper-case sizes and blanks around trailers are taken', () => {
  const decoder = new AwsChunkedDecoder();
  const data = [...decoder.decode(Buffer.from('A\n0123456789\n0\nX-Name : value \n\n'))];
  decoder.finish();
  assert.equal(Buffer.concat(data).toString(), '0123456789');
  assert.equal(decoder.trailers.get('x-name'), 'value');
});

test('whatever is cut off of a body, it is not taken for a whole one', () => {
  const framed = frame([Buffer.alloc(8192, 1), Buffer.from('end')]);
  // The last line end may be missing: some clients leave it out when there are no trailers.
  for (let length = 0; length < framed.length - 2; length++) {
    assert.throws(() => decode(framed.subarray(0, length), []), FramingProblem, `of ${length} bytes`);
  }
});

test('what is no framing is refused, and no allocation is made from a claimed size', () => {
  for (const text of [
    'xyz\r\n',
    '-1\r\n',
    '10 bytes\r\n',
    'fffffffffffffff\r\n',
    '5\r\nabcdefgh\r\n0\r\n\r\n',
    `${'a'.repeat(20_000)}`,
  ]) {
    assert.throws(() => decode(Buffer.from(text), []), FramingProblem, text.slice(0, 30));
  }
  const decoder = new AwsChunkedDecoder();
  assert.equal([...decoder.decode(Buffer.from('fffffffff\r\nabc'))].length, 1);
});
