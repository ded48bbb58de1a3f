import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SealpipeError } from '../../../src/errors.ts';
import {
  openParquet,
  type ParquetFilter,
  type ParquetRow,
  parquetToJson,
  type ReadParquetOptions,
  readParquetRows,
} from '../../../src/readers/parquet/index.ts';
import { columnarFiles } from '../columnar-folder.ts';
import { CountingSource } from '../orc/columnar-files.ts';

const files = new Map(columnarFiles('parquet').map((file) => [file.name, file.bytes]));
const nested = files.get('pa-nested-v1-snappy.parquet')!;
const flat = files.get('hyparquet-writer-snappy.parquet')!;
const primitive = files.get('pa-kv-metadata.parquet')!;

/** A source whose tail holds little more than the footer, so that rows take requests. */
async function rowsOf(
  bytes: Uint8Array,
  options: ReadParquetOptions = {},
  tailBytes = 64 * 1024,
): Promise<{ rows: ParquetRow[]; source: CountingSource; opened: number }> {
  const source = new CountingSource(bytes);
  const file = await openParquet(source, { tailBytes });
  const opened = source.reads.length;
  const rows: ParquetRow[] = [];
  for await (const batch of readParquetRows(file, options)) rows.push(...batch);
  return { rows, source, opened };
}

test('a footer within the tail takes one read, and rows that lie in it none', async () => {
  const { rows, source } = await rowsOf(nested);
  assert.deepEqual(source.reads, [[0, nested.length]]);
  assert.equal(rows.length, 1200);
});

test('a footer larger than the tail takes one more read, of the missing part alone', async () => {
  for (const tailBytes of [8, 9, 1000, 5019, 5026]) {
    const source = new CountingSource(nested);
    await openParquet(source, { tailBytes });
    const start = nested.length - tailBytes;
    assert.deepEqual(source.reads, [
      [start, nested.length],
      [nested.length - 5027, start],
    ]);
  }
  const exact = new CountingSource(nested);
  await openParquet(exact, { tailBytes: 5027 });
  assert.equal(exact.reads.length, 1);
});

test('one column of one row group takes one more read, of that column alone', async () => {
  const options = { columns: ['st.x'], rowGroups: [1] };
  const { rows, source, opened } = await rowsOf(nested, options, 5027);
  const file = await openParquet(new CountingSource(nested));
  const chunk = file.metadata.rowGroups[1]!.columns[1]!;
  assert.deepEqual(source.reads.slice(opened), [[chunk.start, chunk.start + chunk.length]]);
  assert.equal(rows.length, 400);
  assert.deepEqual(Object.keys(rows[0]!), ['st']);
  assert.deepEqual(Object.keys(rows[0]!['st'] as object), ['x']);
});

test('all columns of small row groups come in one read, those far apart in one each', async () => {
  const together = await rowsOf(nested, {}, 5027);
  assert.equal(together.source.reads.length - together.opened, 1);
  const apart = await rowsOf(nested, { columns: ['id'], gapBytes: 0 }, 5027);
  assert.equal(apart.source.reads.length - apart.opened, 3);
  assert.deepEqual(
    apart.rows.map(({ id }) => id),
    together.rows.map(({ id }) => id),
  );
});

test('any slice of rows is the slice of all rows, whatever the columns and the size of a batch', async () => {
  const all = (await rowsOf(nested)).rows;
  await fc.assert(
    fc.asyncProperty(
      fc.nat(1300),
      fc.nat(1300),
      fc.integer({ min: 1, max: 500 }),
      fc.subarray(['id', 'st', 'l', 'll', 'm', 'ls'], { minLength: 1 }),
      async (a, b, batchSize, columns) => {
        const [rowStart, rowEnd] = [Math.min(a, b), Math.max(a, b)];
        const { rows } = await rowsOf(nested, { rowStart, rowEnd, batchSize, columns });
        const expected = all
          .slice(rowStart, rowEnd)
          .map((row) => Object.fromEntries(columns.map((name) => [name, row[name]])));
        assert.deepEqual(rows, expected);
      },
    ),
    { numRuns: 25 },
  );
});

const filters: [ParquetFilter, (row: ParquetRow) => boolean][] = [
  [{ id: 700 }, ({ id }) => id === 700],
  [{ id: { $gte: 1190.5, $lt: 1195n } }, ({ id }) => Number(id) >= 1191 && Number(id) < 1195],
  [{ id: { $in: [1, 1199, 5000] } }, ({ id }) => id === 1 || id === 1199],
  [{ $or: [{ id: { $lt: 2 } }, { id: { $gt: 1197 } }] }, ({ id }) => Number(id) < 2 || Number(id) > 1197],
  [{ id: { $lt: 30 }, $nor: [{ id: { $nin: [3, 4] } }] }, ({ id }) => id === 3 || id === 4],
  [
    { 'st.y': null, id: { $lt: 100 } },
    ({ st, id }) => Number(id) < 100 && ((st as ParquetRow | null)?.['y'] ?? null) === null,
  ],
  [
    { 'st.in.z': 'p', id: { $lt: 100 } },
    ({ st, id }) => Number(id) < 100 && ((st as { in?: ParquetRow } | null)?.in?.['z'] ?? null) === 'p',
  ],
  [{ id: { $not: { $lt: 1190 } } }, ({ id }) => Number(id) >= 1190],
];
for (const [filter, matches] of filters) {
  test(`the rows of filter ${JSON.stringify(filter, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))} are those of all rows that fulfil it`, async () => {
    const all = (await rowsOf(nested)).rows.filter(matches);
    assert.ok(all.length > 0);
    assert.deepEqual((await rowsOf(nested, { filter })).rows, all);
    const columns = ['l', 'id'];
    assert.deepEqual(
      (await rowsOf(nested, { filter, columns, pageIndex: true, bloomFilters: true })).rows,
      all.map(({ id, l }) => ({ id, l })),
    );
  });
}

test('every type compares with values as its rows have them, and only rows that are not null are above or below', async () => {
  const { rows } = await rowsOf(primitive);
  for (const name of Object.keys(rows[0]!)) {
    const values = rows.map((row) => row[name]!).filter((value) => value !== null);
    const some = values[Math.floor(values.length / 2)]!;
    const operand = (typeof some === 'object' ? some : some) as never;
    const equal = await rowsOf(primitive, { filter: { [name]: operand } });
    const same = rows.filter((row) => JSON.stringify(parquetToJson(row[name])) === JSON.stringify(parquetToJson(some)));
    assert.deepEqual(equal.rows, same, name);
    const asText = parquetToJson(some);
    if (typeof asText === 'string' && !(some instanceof Uint8Array)) {
      assert.deepEqual((await rowsOf(primitive, { filter: { [name]: asText } })).rows, same, name);
    }
    if (some instanceof Uint8Array) continue;
    const below = await rowsOf(primitive, { filter: { [name]: { $lt: operand } } });
    const above = await rowsOf(primitive, { filter: { [name]: { $gte: operand } } });
    assert.equal(below.rows.length + above.rows.length, values.length, name);
    assert.ok(above.rows.length >= same.length);
  }
});

test('decimals and timestamps between two stored values are compared without loss', async () => {
  const { rows } = await rowsOf(primitive);
  const decimal = rows.map(({ dec }) => dec).find((value) => value !== null) as string;
  const count = async (filter: ParquetFilter): Promise<number> => (await rowsOf(primitive, { filter })).rows.length;
  const [at, above] = [await count({ dec: { $lte: decimal } }), await count({ dec: { $lt: `${decimal}001` } })];
  assert.equal(above, decimal.startsWith('-') ? at - 1 : at);
  assert.equal(await count({ dec: `${decimal}001` }), 0);
  const stamp = parquetToJson(rows.map(({ ts_us }) => ts_us).find((value) => value !== null)) as string;
  const later = stamp.replace(/000$/, '001');
  assert.notEqual(later, stamp);
  assert.equal(await count({ ts_us: { $gte: later } }), (await count({ ts_us: { $gte: stamp } })) - 1);
  assert.equal(await count({ ts_us: { $lte: later } }), await count({ ts_us: { $lte: stamp } }));
});

test('row groups that statistics rule out are not fetched', async () => {
  const { source, opened, rows } = await rowsOf(nested, { filter: { id: { $gt: 900 } }, columns: ['id'] }, 5027);
  const file = await openParquet(new CountingSource(nested));
  const chunk = file.metadata.rowGroups[2]!.columns[0]!;
  assert.deepEqual(source.reads.slice(opened), [[chunk.start, chunk.start + chunk.length]]);
  assert.equal(rows.length, 299);
  const none = await rowsOf(nested, { filter: { id: 5000 } }, 5027);
  assert.deepEqual([none.rows, none.source.reads.length], [[], none.opened]);
});

test('what the file cannot have is a mistake of the caller', async () => {
  await assert.rejects(rowsOf(nested, { columns: ['nope'] }), RangeError);
  await assert.rejects(rowsOf(nested, { rowGroups: [3] }), RangeError);
  await assert.rejects(rowsOf(nested, { filter: { nope: 1 } }), RangeError);
  await assert.rejects(rowsOf(nested, { filter: { 'l.list.element': 1 } }), RangeError);
  await assert.rejects(rowsOf(nested, { filter: { id: 'text' } }), TypeError);
  await assert.rejects(rowsOf(nested, { filter: { id: { $near: 1 } as never } }), TypeError);
});

test('leaving the loop ends what is being fetched, and an abort rejects with its reason', async () => {
  const source = new CountingSource(nested);
  const file = await openParquet(source, { tailBytes: 5027 });
  for await (const rows of readParquetRows(file, { batchSize: 3 })) {
    assert.equal(rows.length, 3);
    break;
  }
  const reason = new Error('enough');
  await assert.rejects(
    readParquetRows(file, { signal: AbortSignal.abort(reason) }).next(),
    (error) => error === reason,
  );
});

test('a failure of the source is handed on as it is', async () => {
  const failure = new SealpipeError('NETWORK', 'the connection broke');
  const source = new CountingSource(nested);
  const file = await openParquet(source, { tailBytes: 5027 });
  source.read = async () => Promise.reject(failure);
  await assert.rejects(readParquetRows(file).next(), (error) => error === failure);
  await assert.rejects(
    readParquetRows(file, { filter: { id: 1 }, pageIndex: true }).next(),
    (error) => error === failure,
  );
});

test('a run that claims more values than its page has is refused, and not written out', async () => {
  // Two bytes of the levels of st.x, found by altering at random: 44 million values in the place of 400.
  const altered = nested.slice();
  altered[5108] = 0o314;
  const started = performance.now();
  await assert.rejects(rowsOf(altered), { code: 'ERR_SEALPIPE_FORMAT_INVALID' });
  assert.ok(performance.now() - started < 5000);
});

test('whatever single byte is altered, reading ends, in rows or in a coded error', async () => {
  const bytes = flat.slice();
  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const altered = bytes.slice();
      altered[at]! ^= change;
      try {
        const { rows } = await rowsOf(altered);
        assert.ok(rows.length <= 10_000);
      } catch (error) {
        assert.ok(error instanceof SealpipeError, String((error as Error).stack));
        assert.match(error.code, /FORMAT_(INVALID|UNSUPPORTED)$/);
      }
    }),
    { numRuns: 150 },
  );
});
