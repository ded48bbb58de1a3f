import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SealpipeError } from '../../../src/errors.ts';
import { type ArrowRow, openArrow, type ReadArrowOptions, readArrowRows } from '../../../src/readers/arrow/index.ts';
import { columnarFiles } from '../columnar-folder.ts';
import { CountingSource } from '../orc/columnar-files.ts';

const files = new Map(columnarFiles('arrow').map((file) => [file.name, file.bytes]));
const nested = files.get('ipc-file-nested-lz4.arrow')!;
const view = files.get('polars-ipc-stringview.arrow')!;

async function rowsOf(
  bytes: Uint8Array,
  options: ReadArrowOptions = {},
  tailBytes = 64 * 1024,
): Promise<{ rows: ArrowRow[]; reads: [number, number][] }> {
  const source = new CountingSource(bytes);
  const file = await openArrow(source, { tailBytes });
  const opened = source.reads.length;
  const rows: ArrowRow[] = [];
  for await (const batch of readArrowRows(file, options)) rows.push(...batch);
  return { rows, reads: source.reads.slice(opened) };
}

test('a footer within the tail takes one read, a larger one one more of the missing part alone', async () => {
  const source = new CountingSource(nested);
  await openArrow(source, { tailBytes: 100 });
  const file = await openArrow(source);
  const { offset, length } = file.footer!;
  assert.deepEqual(source.reads.slice(0, 2), [
    [nested.length - 100, nested.length],
    [offset, nested.length - 100],
  ]);
  assert.equal(offset + length + 10, nested.length);
  assert.deepEqual(source.reads.slice(2), [[0, nested.length]]);
});

test('a record batch is one read, and columns that are not wanted are left out of its rows', async () => {
  const file = await openArrow(new CountingSource(nested));
  const { start, metadataLength, bodyLength } = file.recordBatches[1]!;
  const { rows, reads } = await rowsOf(nested, { batches: [1], columns: ['ls', 'id'] }, 2000);
  assert.deepEqual(reads, [[start, start + metadataLength + bodyLength]]);
  const all = (await rowsOf(nested)).rows.filter(({ id }) => Number(id) >= 200 && Number(id) < 400);
  assert.deepEqual(
    rows,
    all.map(({ id, ls }) => ({ id, ls })),
  );
  assert.equal((await rowsOf(nested, { limit: 3 })).rows.length, 3);
  await assert.rejects(rowsOf(nested, { columns: ['nope'] }), RangeError);
  await assert.rejects(rowsOf(nested, { batches: [3] }), RangeError);
});

for (const [name, bytes] of [
  ['compressed nested', nested],
  ['view', view],
] as const) {
  test(`whatever bytes of a ${name} file are altered or cut, reading ends, in rows or in a coded error`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.constantFrom(0, 0, 0, 1, 1000),
        async (changes, cut) => {
          const altered = bytes.slice(0, bytes.length - cut);
          // Twice as many in the metadata, where lengths and offsets are.
          for (const [at, value] of changes) {
            altered[at % altered.length] = value;
            altered[altered.length - 1 - (at % 900)] = value;
          }
          altered.set(bytes.subarray(bytes.length - 10), altered.length - 10);
          try {
            const { rows } = await rowsOf(altered, { limit: 2000 });
            assert.ok(rows.length <= 2000);
          } catch (error) {
            assert.ok(error instanceof SealpipeError, String((error as Error).stack));
            assert.match(error.code, /FORMAT_(INVALID|UNSUPPORTED)$/);
          }
        },
      ),
      { numRuns: 200 },
    );
  });
}
