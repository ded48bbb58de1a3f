import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Binary, Dictionary, Int32, Table, tableToIPC, vectorFromArray } from 'apache-arrow';
import { RowAllowance } from '../../../src/readers/arrow/allowance.ts';
import { BatchLoader } from '../../../src/readers/arrow/columns.ts';
import { openArrow, readArrowRows } from '../../../src/readers/arrow/index.ts';
import type { ArrowField, ArrowType } from '../../../src/readers/arrow/schema.ts';
import { CountingSource } from '../orc/columnar-files.ts';

const refusal = { code: 'ERR_SEALPIPE_FORMAT_UNSUPPORTED', message: /ask for fewer at once \(batchSize\)/ };

test('what rows take is held to what is stored, and counted anew for those that are given next', () => {
  const allowance = new RowAllowance();
  allowance.startBatch();
  allowance.takeBytes(2 ** 29);
  assert.throws(() => allowance.takeElements(1), refusal);
  allowance.startRows();
  allowance.takeElements(2 ** 25);
  assert.throws(() => allowance.takeBytes(1), refusal);
  allowance.startBatch();
  allowance.addStored(2 ** 26);
  for (let part = 0; part < 4; part++) allowance.takeBytes(2 ** 29);
  assert.throws(() => allowance.takeBytes(1), refusal);
});

test('lists whose elements are the same lists, over and over, are refused before they fill the memory', () => {
  const field = (type: ArrowType, ...children: readonly ArrowField[]): ArrowField => {
    return { name: 'x', nullable: true, type, children, metadata: {} };
  };
  const length = 1000;
  const levels = 5;
  let top = field({ kind: 'int', bits: 8, signed: true });
  for (let level = 0; level < levels; level++) top = field({ kind: 'list_view' }, top);
  // Each list has all of the lists below it.
  const body = new Uint8Array(length * 8);
  new Int32Array(body.buffer, length * 4).fill(length);
  const none: [number, number] = [0, 0];
  const buffers = Array.from({ length: levels }, (): [number, number][] => [
    none,
    [0, length * 4],
    [length * 4, length * 4],
  ]);
  const loader = new BatchLoader({
    header: {
      rowCount: length,
      nodes: Array.from({ length: levels + 1 }, (): [number, number] => [length, 0]),
      buffers: [...buffers.flat(), none, [0, length]],
      variadicCounts: [],
      version: 4,
    },
    body,
    offset: 0,
    dictionaries: new Map(),
    little: true,
  });
  const column = loader.column(top, length);
  assert.throws(() => column.get(0), refusal);
});

test('rows that name the same entry of a dictionary have one copy of its bytes', async () => {
  const [first, second] = [Uint8Array.of(1, 2), Uint8Array.of(3)];
  const vector = vectorFromArray([first, second, first, null], new Dictionary(new Binary(), new Int32()));
  const file = await openArrow(new CountingSource(tableToIPC(new Table({ a: vector }), 'file')));
  const rows = [];
  for await (const batch of readArrowRows(file)) rows.push(...batch);
  assert.deepEqual(
    rows.map(({ a }) => a),
    [first, second, first, null],
  );
  assert.equal(rows[0]!['a'], rows[2]!['a']);
});
