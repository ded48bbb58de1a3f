import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { JournalFile } from '../../src/multipart/journal/journal-file.ts';
import { RestedSources } from '../support/rested-sources.ts';

const sources = new RestedSources('journal-file');
after(() => sources.remove());

test('journals whose long names begin alike come into being side by side', async () => {
  const names = Array.from({ length: 8 }, (_, i) => `${'2025-11-28-warehouse-exports-'.repeat(3)}part-${i}.journal`);
  const files = await Promise.all(
    names.map((name, i) => JournalFile.create(join(sources.folder, name), Buffer.alloc(100, i))),
  );
  await Promise.all(files.map((file) => file.close()));
  for (const [i, name] of names.entries()) {
    const { file, bytes } = (await JournalFile.open(join(sources.folder, name))) ?? assert.fail();
    await file.close();
    assert.ok(bytes.equals(Buffer.alloc(100, i)));
  }
  assert.deepEqual(
    readdirSync(sources.folder).filter((name) => name.endsWith('.new')),
    [],
  );
});
