import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  concatenateVectors,
  type OrcFile,
  type OrcRow,
  type OrcVector,
  openOrc,
  orcToJson,
  planOrc,
  type ReadOrcOptions,
  type RowValueOptions,
  readOrcBatches,
  readOrcColumns,
  readOrcRows,
  rowsOf,
} from '../../../src/readers/orc/index.ts';
import { CountingSource, ownFile } from './columnar-files.ts';

const names = [
  'java-prim-zstd',
  'java-nested-zlib',
  'java-v011-zlib',
  'cpp-nested-snappy',
  'java-tz-America_Los_Angeles-zlib',
  'java-usermeta-none',
  'pyorc-rowgroups-zstd',
  'java-rowgroups-1kib',
  'java-rowgroups-nested',
];

async function open(name: string, tailBytes = 1000): Promise<{ file: OrcFile; source: CountingSource }> {
  const source = new CountingSource(ownFile(`${name}.orc`));
  return { file: await openOrc(source, { tailBytes }), source };
}

async function rowsIn(file: OrcFile, options: ReadOrcOptions & RowValueOptions = {}): Promise<OrcRow[]> {
  const rows: OrcRow[] = [];
  for await (const batch of readOrcRows(file, options)) rows.push(...batch);
  return rows;
}

const json = (rows: readonly OrcRow[]): string[] => rows.map((row) => JSON.stringify(orcToJson(row)));

for (const name of names) {
  test(`${name}: any range of rows is the same as that slice of all rows, whatever the batch size and the gaps`, async () => {
    const { file } = await open(name);
    const all = json(await rowsIn(file));
    assert.equal(all.length, file.footer.rowCount);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(all.length),
        fc.nat(400),
        fc.integer({ min: 1, max: 500 }),
        fc.constantFrom(0, 100, 65_536),
        async (rowStart, length, batchSize, gapBytes) => {
          const rows = await rowsIn(file, { rowStart, rowEnd: rowStart + length, batchSize, gapBytes });
          assert.deepEqual(json(rows), all.slice(rowStart, rowStart + length));
        },
      ),
      { numRuns: 8 },
    );
  });

  test(`${name}: columns read whole are the same values as the rows`, async () => {
    const { file } = await open(name);
    const { rowCount, columns } = await readOrcColumns(file, { batchSize: 333 });
    const root = {
      kind: 'struct',
      length: rowCount,
      nulls: undefined,
      names: Object.keys(columns),
      children: Object.values(columns),
    } as const;
    assert.deepEqual(json(rowsOf(root)), json(await rowsIn(file)));
  });
}

test('one column of one stripe costs its stripe footer and its bytes, one request each', async () => {
  const { file, source } = await open('java-prim-zstd');
  source.reads.length = 0;
  const footers = await file.stripeFooters([1]);
  const plan = planOrc(file, footers, { columns: ['d'] });
  assert.equal(plan.requests.length, 1);
  assert.equal(plan.wantedBytes, plan.requestedBytes);
  const own = footers
    .get(1)!
    .streams.filter(({ column, kind }) => column === 7 && (kind === 'PRESENT' || kind === 'DATA'));
  assert.deepEqual(plan.requests[0], { start: own[0]!.offset, end: own.at(-1)!.offset + own.at(-1)!.length });
  assert.equal(source.reads.length, 1);
});

test('a small stripe is fetched whole, neighbours together', async () => {
  const { file, source } = await open('java-nested-zlib');
  source.reads.length = 0;
  await rowsIn(file, { columns: ['id'] });
  const { stripes } = file.footer;
  assert.deepEqual(source.reads, [[stripes[0]!.offset, file.layout.stripeStatisticsOffset]]);
});

test('a file that lies within the tail is read without another request', async () => {
  const { file, source } = await open('cpp-nested-snappy', 65_536);
  assert.equal((await rowsIn(file)).length, 1000);
  assert.equal(source.reads.length, 1);
});

test('large ranges are split and asked for at the same time, and no request is longer than the limit', async () => {
  const { file, source } = await open('java-prim-zstd');
  source.reads.length = 0;
  const rows = await rowsIn(file, { requestBytes: 10_000, concurrency: 3 });
  assert.equal(rows.length, 2500);
  assert.ok(source.reads.length > 20);
  assert.ok(source.reads.every(([start, end]) => end - start <= 10_000));
});

test('columns are chosen by path, nested ones with what holds them', async () => {
  const { file } = await open('java-nested-zlib');
  const [row] = await rowsIn(file, { columns: ['p.tag', 'l.element.k', 'id'] });
  assert.deepEqual(Object.keys(row!), ['id', 'p', 'l']);
  assert.deepEqual(Object.keys(row!['p'] as object), ['tag']);
  assert.deepEqual(row!['l'], [{ k: 'epsilon-23' }, { k: 'alpha-37' }, { k: 'beta-18' }]);
});

test('a column that the file does not have is a RangeError, or a column of nulls where that is asked for', async () => {
  const { file } = await open('java-usermeta-none');
  await assert.rejects(rowsIn(file, { columns: ['nope'] }), RangeError);
  const [row] = await rowsIn(file, { columns: ['a', 'nope'], missingColumns: 'null' });
  assert.equal(row!['nope'], null);
  assert.equal(typeof row!['a'], 'number');
});

test('wrong calls are refused before anything is read', async () => {
  const { file, source } = await open('java-usermeta-none');
  source.reads.length = 0;
  await assert.rejects(rowsIn(file, { batchSize: 0 }), RangeError);
  await assert.rejects(rowsIn(file, { stripes: [7] }), RangeError);
  await assert.rejects(rowsIn(file, { rowStart: -1 }), RangeError);
  await assert.rejects(rowsIn(file, { rowStart: 5, rowEnd: 4 }), RangeError);
  await assert.rejects(file.stripeFooters([9]), RangeError);
  assert.throws(() => planOrc(file, new Map(), { stripes: [0] }), RangeError);
  assert.deepEqual(source.reads, []);
});

test('encrypted columns are refused by name, the others of the file are read', async () => {
  const { file } = await open('java-colenc-zlib');
  await assert.rejects(rowsIn(file), { code: 'ERR_SEALPIPE_FORMAT_UNSUPPORTED', message: /"name"/ });
  assert.equal((await rowsIn(file, { columns: ['id'] })).length, 1500);
});

test('values come as the documentation says: numbers where they are exact, bigints beyond, unions with or without their tag', async () => {
  const { file } = await open('java-1row-snappy');
  const [plain] = await rowsIn(file);
  assert.equal(plain!['u'], 1449496396);
  assert.deepEqual((plain!['m'] as { value: object }[])[0]!.value, { n: -6180203295136937637n, d: '1991-02-07' });
  const [tagged] = await rowsIn(file, { unions: 'tagged', longs: 'bigint' });
  assert.deepEqual(tagged!['u'], { tag: 0, value: 1449496396 });
  const { file: primitive } = await open('cpp-nested-snappy');
  assert.equal(typeof (await rowsIn(primitive, { longs: 'bigint', rowEnd: 1 }))[0]!['id'], 'bigint');
  assert.equal(typeof (await rowsIn(primitive, { rowEnd: 1 }))[0]!['id'], 'number');
});

test('vectors of several batches join to one, of every kind', async () => {
  for (const name of names) {
    const { file } = await open(name);
    const roots: OrcVector[] = [];
    for await (const { root } of readOrcBatches(file, { batchSize: 61 })) roots.push(root);
    assert.deepEqual(json(rowsOf(concatenateVectors(roots))), json(await rowsIn(file)), name);
  }
});

test('a source that answers Buffers of a shared pool gives the same rows, and values that are copies', async () => {
  for (const name of ['java-prim-zstd', 'java-usermeta-none', 'cpp-nested-snappy']) {
    const bytes = ownFile(`${name}.orc`);
    const pool = Buffer.concat([Buffer.alloc(77, 0xee), bytes, Buffer.alloc(99, 0xee)]);
    const source = {
      size: bytes.length,
      read: async (start: number, end: number) => pool.subarray(77 + start, 77 + end),
    };
    const file = await openOrc(source, { tailBytes: 900 });
    const { file: plain } = await open(name);
    const rows = await rowsIn(file);
    assert.deepEqual(json(rows), json(await rowsIn(plain)));
    for (const value of Object.values(rows[0]!))
      if (value instanceof Uint8Array) assert.equal(value.buffer.byteLength, value.length);
    assert.deepEqual(file.footer.userMetadata, plain.footer.userMetadata);
  }
});

test('batches say which rows of the file they are', async () => {
  const { file } = await open('java-prim-zstd');
  const stripes = new Set<number>();
  let next = 150;
  for await (const { rowStart, rowCount, stripe } of readOrcBatches(file, {
    batchSize: 30,
    rowStart: 150,
    columns: ['id'],
  })) {
    assert.equal(rowStart, next);
    next += rowCount;
    stripes.add(stripe);
  }
  assert.equal(next, 2500);
  assert.deepEqual([...stripes], [...file.footer.stripes.keys()].slice(1));
});

test('leaving the loop ends the fetch that is under way, and waits for it', async () => {
  const bytes = ownFile('java-prim-zstd.orc');
  const blocked = (await openOrc(new CountingSource(bytes))).footer.stripes[16]!.offset; // small stripes are fetched by sixteen
  let waiting = 0;
  let waited = 0;
  const source = {
    size: bytes.length,
    async read(start: number, end: number, options: { signal?: AbortSignal } = {}): Promise<Uint8Array> {
      if (start === blocked) {
        waiting++;
        waited++;
        await once(options.signal!, 'abort');
        waiting--;
        throw options.signal!.reason;
      }
      return bytes.subarray(start, end);
    },
  };
  const file = await openOrc(source, { tailBytes: 1000 });
  for await (const { stripe } of readOrcBatches(file)) if (stripe === 15) break;
  assert.equal(waited, 1);
  assert.equal(waiting, 0);
});

test('an abort ends the reading with its reason', async () => {
  const { file } = await open('java-prim-zstd');
  const controller = new AbortController();
  const reason = new Error('enough');
  await assert.rejects(async () => {
    for await (const rows of readOrcRows(file, { signal: controller.signal, batchSize: 10 })) {
      assert.ok(rows.length > 0);
      controller.abort(reason);
    }
  }, reason);
});

test('a failing source fails the reading with its error, once, and nothing is left unhandled', async () => {
  const bytes = ownFile('java-prim-zstd.orc');
  const failure = new Error('connection lost');
  const source = {
    size: bytes.length,
    async read(start: number, end: number): Promise<Uint8Array> {
      if (start < 100_000) throw failure;
      return bytes.subarray(start, end);
    },
  };
  const file = await openOrc(source, { tailBytes: 1000 });
  await assert.rejects(rowsIn(file), failure);
});
