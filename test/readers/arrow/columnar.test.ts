import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openArrow } from '../../../src/readers/arrow/index.ts';
import { columnarFiles, malformedFiles } from '../columnar-folder.ts';
import { CountingSource } from '../orc/columnar-files.ts';
import { arrowChecks, malformedArrowCheck } from './columnar-checks.ts';

for (const file of columnarFiles('arrow')) {
  for (const { title, run } of arrowChecks(file)) test(title, () => run(new CountingSource(file.bytes)));
}

for (const file of malformedFiles(/\.arrows?$/)) {
  const { title, run } = malformedArrowCheck(file);
  test(title, () => run(new CountingSource(file.bytes)));
}

test('Feather of version 1 is refused by its name, and so is what is nothing of the kind', async () => {
  const feather = new CountingSource(Buffer.from('FEA1\0\0\0\0........\x04\0\0\0FEA1', 'latin1'));
  await assert.rejects(openArrow(feather), { code: 'ERR_SEALPIPE_FORMAT_UNSUPPORTED', message: /Feather version 1/ });
  await assert.rejects(openArrow(new CountingSource(Buffer.from('no Arrow data at all'))), {
    code: 'ERR_SEALPIPE_FORMAT_INVALID',
  });
});
