import assert from 'node:assert/strict';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { LocalFileSource } from '../../src/readers/local-file-source.ts';

test('a local file answers ranges, refuses those outside, notices that it was cut, and gives its descriptor back', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'sealpipe-'));
  context.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'bytes');
  await writeFile(
    path,
    Uint8Array.from({ length: 1000 }, (_, index) => index),
  );
  const source = await LocalFileSource.open(path);
  assert.equal(source.size, 1000);
  assert.deepEqual([...(await source.read(255, 258))], [255, 0, 1]);
  assert.equal((await source.read(7, 7)).length, 0);
  assert.equal((await source.read(0, 1000)).length, 1000);
  await assert.rejects(source.read(0, 1001), RangeError);
  await assert.rejects(source.read(-1, 1), RangeError);
  await assert.rejects(source.read(5, 4), RangeError);
  await assert.rejects(source.read(0, 10, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  await truncate(path, 500);
  await assert.rejects(source.read(400, 600), { code: 'ERR_SEALPIPE_TRUNCATED', offset: 500 });
  await source.close();
  await assert.rejects(source.read(0, 1));
  await assert.rejects(LocalFileSource.open(join(folder, 'nothing')), { code: 'ENOENT' });
});
