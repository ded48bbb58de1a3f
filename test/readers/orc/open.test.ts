import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openOrc } from '../../../src/readers/orc/index.ts';
import { CountingSource, ownFile } from './columnar-files.ts';

const nested = ownFile('java-nested-zlib.orc');
const large = ownFile('java-prim-zstd.orc');

test('a footer within the tail costs one request', async () => {
  const source = new CountingSource(nested);
  const file = await openOrc(source);
  assert.deepEqual(source.reads, [[nested.length - 65_536, nested.length]]);
  await file.stripeStatistics();
  assert.equal(source.reads.length, 1);
});

test('of a footer beyond the tail the missing part alone is fetched, and the stripe statistics when they are asked for', async () => {
  const { footerOffset, metadataOffset } = (await openOrc(new CountingSource(large))).layout;
  const source = new CountingSource(large);
  const file = await openOrc(source, { tailBytes: 300 });
  const end = large.length;
  assert.deepEqual(source.reads, [
    [end - 300, end],
    [footerOffset, end - 300],
  ]);
  await file.stripeStatistics();
  await file.stripeStatistics();
  assert.deepEqual(source.reads.slice(2), [[metadataOffset, footerOffset]]);
});

test('stripe statistics that are wanted at once come with the missing part of the footer', async () => {
  const source = new CountingSource(large);
  const file = await openOrc(source, { tailBytes: 300, stripeStatistics: true });
  const end = large.length;
  assert.deepEqual(source.reads, [
    [end - 300, end],
    [file.layout.metadataOffset, end - 300],
  ]);
  assert.equal((await file.stripeStatistics()).length, file.footer.stripes.length);
  assert.equal(source.reads.length, 2);
});

test('a tail that the caller has, or that the source offers, saves the request', async () => {
  const given = new CountingSource(nested);
  await openOrc(given, { tail: nested.subarray(-5000) });
  assert.deepEqual(given.reads, []);
  const counting = new CountingSource(nested);
  const offering = Object.assign(counting, { tail: async (length: number) => nested.subarray(-length) });
  const file = await openOrc(offering, { tailBytes: 7000 });
  assert.deepEqual(counting.reads, []);
  assert.equal(file.footer.rowCount, 1500);
});

test('a tail of any length opens to the same file, and no byte is fetched twice', async () => {
  const bytes = ownFile('cpp-nested-snappy.orc');
  const expected = JSON.stringify((await openOrc(new CountingSource(bytes))).footer);
  for (const tailBytes of [1, 2, 25, 26, 27, 255, 256, 257, 700, 797, 798, 10_000, bytes.length, bytes.length + 1]) {
    const source = new CountingSource(bytes);
    const file = await openOrc(source, { tailBytes });
    assert.equal(JSON.stringify(file.footer), expected, `tail of ${tailBytes}`);
    assert.ok(source.bytesRead <= Math.max(tailBytes, 256, 797), `tail of ${tailBytes} cost ${source.bytesRead} bytes`);
    const touched = new Set(
      source.reads.flatMap(([start, end]) => Array.from({ length: end - start }, (_, at) => start + at)),
    );
    assert.equal(touched.size, source.bytesRead);
  }
});

test('what is wrong with the call is a RangeError, an abort ends it, and a source that answers short is an error', async () => {
  await assert.rejects(openOrc(new CountingSource(nested), { tailBytes: 0 }), RangeError);
  await assert.rejects(openOrc(new CountingSource(nested), { tail: new Uint8Array() }), RangeError);
  await assert.rejects(openOrc(new CountingSource(nested), { signal: AbortSignal.abort() }), { name: 'AbortError' });
  const short = { size: nested.length, read: async (start: number, end: number) => nested.subarray(start, end - 1) };
  await assert.rejects(openOrc(short), { code: 'ERR_SEALPIPE_TRUNCATED' });
});

test('a file cut or changed at any place of its tail opens with what it says or is refused with a code', async () => {
  const bytes = ownFile('java-1row-snappy.orc');
  for (let length = 0; length < bytes.length; length++) {
    await assert.rejects(
      openOrc(new CountingSource(bytes.subarray(0, length))),
      { name: 'SealpipeError' },
      `cut to ${length}`,
    );
  }
});
