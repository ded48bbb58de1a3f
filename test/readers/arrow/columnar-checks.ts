/** What the facts and rows of a file say that a reader over any source of its bytes finds. */
import assert from 'node:assert/strict';
import {
  type ArrowFile,
  arrowToJson,
  formatArrowSchema,
  openArrow,
  openRecordBatchReader,
  readArrowRows,
} from '../../../src/readers/arrow/index.ts';
import type { ColumnarCheck, ColumnarFile, MalformedFile } from '../columnar-folder.ts';
import { sameValue } from '../expected-values.ts';

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

export function arrowChecks({ name, facts, rows }: ColumnarFile): ColumnarCheck[] {
  return [
    {
      title: `${name} has the facts that other readers state, and their rows`,
      async run(source) {
        const file = await openArrow(source);
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
      },
    },
    {
      title: `${name} is read by apache-arrow over the same source`,
      async run(source) {
        const reader = await openRecordBatchReader(await openArrow(source));
        let count = 0;
        for await (const batch of reader) count += batch.numRows;
        assert.equal(count, facts?.['rowCount']);
      },
    },
  ];
}

export function malformedArrowCheck({ file, code, meaning }: MalformedFile): ColumnarCheck {
  return {
    title: `${file} is judged ${code}: ${meaning}`,
    run: (source) => assert.rejects(openArrow(source), { code: 'ERR_SEALPIPE_FORMAT_INVALID' }),
  };
}
