import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ArrowFile,
  arrowToJson,
  formatArrowSchema,
  openArrow,
  openRecordBatchReader,
  readArrowRows,
} from '../../../src/readers/arrow/index.ts';
import { columnarFiles, malformedFiles } from '../columnar-folder.ts';
import { sameValue } from '../expected-values.ts';
import { CountingSource } from '../orc/columnar-files.ts';

type Block = { start: number; metadataLength: number; bodyLength: number };

function block({ start, metadataLength, bodyLength }: Block): number[] {
  return [start, metadataLength, bodyLength];
}

async function checkFacts(file: ArrowFile, facts: Readonly<Record<string, unknown>>): Promise<void> {
  const headers = await file.batchHeaders();
  assert.equal(file.kind, facts['kind']);
  assert.equal(file.footer?.length, facts['footerLength']);
  assert.equal(file.footer?.offset, facts['footerOffset']);
  assert.equal(file.footer?.version, facts['metadataVersion']);
  assert.deepEqual(
    headers.map(({ batch }) => batch.rowCount),
    facts['batchRows'],
  );
  assert.deepEqual(file.metadata, facts['footerCustomMetadata'] ?? {});
  for (const [name, value] of Object.entries(facts['schemaMetadata'] ?? {})) {
    assert.equal(file.schema.metadata[name], value);
  }
  assert.deepEqual(
    formatArrowSchema(file.schema)
      .split('\n')
      .map((line) => line.split(/[:<]/)[0]),
    (facts['schema'] as string)
      .split('\n')
      .filter((line) => !line.startsWith(' '))
      .map((line) => line.split(/[:<]/)[0]),
  );
  if (facts['kind'] === 'file') {
    assert.deepEqual(file.recordBatches.map(block), facts['recordBatchBlocks']);
    assert.deepEqual(file.dictionaries.map(block), facts['dictionaryBlocks']);
    return;
  }
  const messages = (facts['messages'] as [string, number, number, number][]).map(([type, start, total, body]) => [
    type,
    start,
    total - body,
    body,
  ]);
  const found = [
    ...file.dictionaries.map((item) => ['dictionary', ...block(item)]),
    ...file.recordBatches.map((item) => ['record batch', ...block(item)]),
  ];
  assert.deepEqual(found, messages.slice(1));
  assert.equal(file.complete, facts['endOfStreamMarker']);
}

for (const { name, bytes, facts, rows } of columnarFiles('arrow')) {
  test(`${name} has the facts that other readers state, and their rows`, async () => {
    const file = await openArrow(new CountingSource(bytes));
    if (facts !== undefined) await checkFacts(file, facts);
    let index = 0;
    for await (const batch of readArrowRows(file, { batchSize: 77 })) {
      for (const row of batch) {
        const actual = arrowToJson(row);
        if (rows !== undefined) {
          assert.ok(
            sameValue(actual, JSON.parse(rows[index]!)),
            `row ${index} is ${JSON.stringify(actual)}, expected ${rows[index]}`,
          );
        }
        index++;
      }
    }
    assert.equal(index, facts?.['rowCount'] ?? rows?.length);
  });

  test(`${name} is read by apache-arrow over the same source`, async () => {
    const reader = await openRecordBatchReader(await openArrow(new CountingSource(bytes)));
    let count = 0;
    for await (const batch of reader) count += batch.numRows;
    assert.equal(count, facts?.['rowCount']);
  });
}

for (const { file, code, meaning, bytes } of malformedFiles(/\.arrows?$/)) {
  test(`${file} is judged ${code}: ${meaning}`, async () => {
    await assert.rejects(openArrow(new CountingSource(bytes)), { code: 'ERR_SEALPIPE_FORMAT_INVALID' });
  });
}

test('Feather of version 1 is refused by its name, and so is what is nothing of the kind', async () => {
  const feather = new CountingSource(Buffer.from('FEA1\0\0\0\0........\x04\0\0\0FEA1', 'latin1'));
  await assert.rejects(openArrow(feather), { code: 'ERR_SEALPIPE_FORMAT_UNSUPPORTED', message: /Feather version 1/ });
  await assert.rejects(openArrow(new CountingSource(Buffer.from('no Arrow data at all'))), {
    code: 'ERR_SEALPIPE_FORMAT_INVALID',
  });
});
