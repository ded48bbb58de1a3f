import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { type Duplex, Readable } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { readJsonArray, readNdjson, readNdjsonInParallel, splitAtLines } from '../../../src/readers/ndjson/index.ts';
import { CountingSource } from '../orc/columnar-files.ts';

const require = createRequire(import.meta.url);
const parser1 = (): Duplex => (require('stream-json-1/jsonl/Parser') as { parser: () => Duplex }).parser();
const array1 = (): Duplex =>
  (require('stream-json-1/streamers/StreamArray') as { withParser: () => Duplex }).withParser();

function sourceOf(text: string): CountingSource {
  return new CountingSource(new Uint8Array(Buffer.from(text)));
}

async function collect(values: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const value of values) all.push(value);
  return all;
}

const lineText = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }).map((text) => JSON.stringify({ text })),
  fc.constant(JSON.stringify('🙂'.repeat(40))),
  fc.constant(''),
);

test('the ranges are the whole, and every line lies in exactly one, whatever the lines and the size of a range', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(lineText, fc.constantFrom('\n', '\r\n')), { maxLength: 30 }),
      fc.boolean(),
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 1, max: 9 }),
      async (lines, ended, rangeBytes, probeBytes) => {
        let text = lines.map((line) => line.join('')).join('');
        if (!ended) text = text.replace(/\r?\n$/, '');
        const bytes = Buffer.from(text);
        const ranges = await splitAtLines(sourceOf(text), { rangeBytes, probeBytes });
        assert.equal(Buffer.concat(ranges.map(({ start, end }) => bytes.subarray(start, end))).toString(), text);
        for (const { start, end } of ranges) {
          assert.ok(end > start);
          assert.ok(start === 0 || bytes[start - 1] === 0x0a, 'a range begins where a line begins');
        }
        // A line that begins in a range of its own is not left in the one before.
        const starts = new Set(ranges.map(({ start }) => start));
        for (let cut = rangeBytes; cut < bytes.length; cut += rangeBytes) {
          const at = bytes.indexOf(0x0a, cut - 1) + 1;
          if (at > 0 && at < bytes.length && at < cut + rangeBytes) assert.ok(starts.has(at));
        }
      },
    ),
    { numRuns: 300 },
  );
});

test('a cut costs one short read; as many ranges as are asked for, where there are lines for them', async () => {
  const source = sourceOf('{"a":1}\n'.repeat(10_000));
  const ranges = await splitAtLines(source, { ranges: 8, probeBytes: 64 });
  assert.equal(ranges.length, 8);
  assert.equal(source.reads.length, 7);
  assert.ok(source.bytesRead <= 7 * 64);
  assert.deepEqual(await splitAtLines(sourceOf(''), { ranges: 4 }), []);
  assert.deepEqual(await splitAtLines(sourceOf('x'.repeat(100)), { ranges: 4 }), [{ start: 0, end: 100 }]);
  await assert.rejects(splitAtLines(source, { ranges: 0 }), RangeError);
});

for (const [version, parser, array] of [
  ['3', undefined, undefined],
  ['1', parser1, array1],
] as const) {
  test(`lines are read with stream-json ${version}: blank ones, CRLF, a byte order mark and no final line end`, async () => {
    const options = parser === undefined ? {} : { parser };
    const text = '\ufeff{"a":1}\r\n\r\n  \n {"b":"🙂"}\n[2]\r\n\n"last"';
    const expected = [{ a: 1 }, { b: '🙂' }, [2], 'last'];
    assert.deepEqual(await collect(readNdjson(sourceOf(text), options)), expected);
    const bytes = [...Buffer.from(text)].map((byte) => Buffer.from([byte]));
    assert.deepEqual(await collect(readNdjson(Readable.from(bytes), options)), expected);
    assert.deepEqual(await collect(readNdjson(sourceOf(''), options)), []);
  });

  test(`the elements of an array are read with stream-json ${version}`, async () => {
    const options = array === undefined ? {} : { parser: array };
    assert.deepEqual(await collect(readJsonArray(sourceOf('[1, {"a": [2]}, "🙂"]'), options)), [1, { a: [2] }, '🙂']);
    await assert.rejects(collect(readJsonArray(sourceOf('[1, oops]'), options)), {
      code: 'ERR_SEALPIPE_FORMAT_INVALID',
    });
  });

  test(`parallel readers with stream-json ${version} see every line once, and give their results in order`, async () => {
    const rows = Array.from({ length: 3000 }, (_, n) => ({ n, text: 'två 🙂'.repeat(n % 5) }));
    const source = sourceOf(rows.map((row) => `${JSON.stringify(row)}\r\n`).join(''));
    const options = { ranges: 7, ...(parser === undefined ? {} : { parser }) };
    const parts = await readNdjsonInParallel(source, (values) => collect(values), options);
    assert.equal(parts.length, 7);
    assert.deepEqual(parts.flat(), rows);
  });
}

test('a line that is no JSON, and one that is too long, are coded errors', async () => {
  await assert.rejects(collect(readNdjson(sourceOf('{"a":1}\n{oops}\n'))), { code: 'ERR_SEALPIPE_FORMAT_INVALID' });
  const long = sourceOf(`1\n"${'x'.repeat(5000)}"\n`);
  await assert.rejects(collect(readNdjson(long, { longestLine: 4096 })), {
    code: 'ERR_SEALPIPE_BUFFER_LIMIT',
    offset: 2,
  });
  assert.equal((await collect(readNdjson(long, { longestLine: 5002 }))).length, 2);
});

test('what fails in the source, in the work or by an abort comes out as it is', async () => {
  const failure = new Error('the disk is gone');
  const source = sourceOf('1\n2\n3\n');
  source.read = async () => Promise.reject(failure);
  await assert.rejects(collect(readNdjson(source)), (error) => error === failure);
  const reason = new Error('enough');
  await assert.rejects(
    readNdjsonInParallel(sourceOf('1\n2\n3\n'), () => Promise.reject(reason), { ranges: 3 }),
    (error) => error === reason,
  );
  await assert.rejects(
    collect(readNdjson(sourceOf('1\n'), { signal: AbortSignal.abort(reason) })),
    (error) => error === reason,
  );
});

test('a range is read alone, and one that is none is a mistake of the caller', async () => {
  const source = sourceOf('1\n22\n333\n');
  assert.deepEqual(await collect(readNdjson(source, { start: 2, end: 5 })), [22]);
  await assert.rejects(collect(readNdjson(source, { start: 2, end: 50 })), RangeError);
});
