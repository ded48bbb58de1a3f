import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { asAsyncBuffer } from '../../src/readers/async-buffer.ts';
import { asBlob } from '../../src/readers/blob-view.ts';
import { asFileHandle } from '../../src/readers/file-handle.ts';
import { optionalPeer } from '../../src/readers/optional-peer.ts';
import { columnarFiles } from './columnar-folder.ts';
import { CountingSource } from './orc/columnar-files.ts';

const bytes = new Uint8Array(Buffer.from('äbcdefghijklmnopqrstuvwxyz'));
const bound = fc.option(fc.integer({ min: -40, max: 40 }), { nil: undefined });

test('an AsyncBuffer and a Blob slice as an ArrayBuffer and a Blob do, and read what they have to', async () => {
  const real = new Blob([bytes]);
  await fc.assert(
    fc.asyncProperty(bound, bound, bound, async (start, end, inner) => {
      const source = new CountingSource(bytes);
      const expected = bytes.buffer.slice(start ?? 0, end);
      assert.deepEqual(await asAsyncBuffer(source).slice(start ?? 0, end), expected);
      assert.equal(source.bytesRead, expected.byteLength);
      const [view, blob] = [asBlob(source).slice(start, end).slice(inner), real.slice(start, end).slice(inner)];
      assert.equal(view.size, blob.size);
      assert.deepEqual(await view.arrayBuffer(), await blob.arrayBuffer());
      assert.equal(await view.text(), await blob.text());
    }),
  );
});

test('a Blob view is a Blob, has a type, and streams', async () => {
  const source = new CountingSource(bytes);
  const view = asBlob(source, { type: 'Text/Plain' });
  assert.ok(view instanceof Blob);
  assert.deepEqual([view.type, view.size, source.reads.length], ['text/plain', bytes.length, 0]);
  const chunks: Uint8Array[] = [];
  for await (const chunk of view.slice(2, 9).stream() as AsyncIterable<Uint8Array>) chunks.push(chunk);
  assert.equal(Buffer.concat(chunks).toString(), 'bcdefgh');
});

test('hyparquet and parquet-wasm read a file through the views', async () => {
  const file = columnarFiles('parquet').find(({ name }) => name === 'hyparquet-writer-snappy.parquet')!;
  const { parquetReadObjects } = await import('hyparquet');
  const rows = await parquetReadObjects({ file: asAsyncBuffer(new CountingSource(file.bytes)) });
  assert.equal(rows.length, 1500);
  const wasm = await import('parquet-wasm');
  const opened = await wasm.ParquetFile.fromFile(asBlob(new CountingSource(file.bytes)));
  assert.equal(opened.metadata().fileMetadata().numRows(), 1500);
});

test('a file handle reads at places and onwards, less at the end, and nothing once it is closed', async () => {
  const handle = asFileHandle(new CountingSource(bytes));
  const buffer = new Uint8Array(10);
  assert.deepEqual([(await handle.stat()).size, typeof handle.fd], [bytes.length, 'number']);
  assert.equal((await handle.read(buffer, 2, 3, 5)).bytesRead, 3);
  assert.equal(Buffer.from(buffer.subarray(2, 5)).toString(), 'efg');
  assert.equal((await handle.read(buffer, 0, 4)).bytesRead, 4);
  assert.equal((await handle.read(buffer, 0, 10, bytes.length - 2)).bytesRead, 2);
  assert.equal((await handle.read(buffer, 0, 10, bytes.length + 5)).bytesRead, 0);
  await assert.rejects(handle.read(buffer, 5, 6, 0), RangeError);
  await handle.close();
  await assert.rejects(handle.read(buffer, 0, 1, 0), /closed/);
});

test('a package that is not installed is named, with what installs it', async () => {
  const missing = 'a-package-that-nobody-has';
  await assert.rejects(
    optionalPeer(missing, () => import(missing)),
    { code: 'ERR_SEALPIPE_CONFIG_INVALID', message: /npm install a-package-that-nobody-has$/ },
  );
});
