import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bloomContains, bloomHash, parseBloomFilters } from '../../../src/readers/orc/bloom-filter.ts';
import { expandSection } from '../../../src/readers/orc/compression.ts';
import { compileFilter, matchRows, type OrcFilter } from '../../../src/readers/orc/filter.ts';
import {
  type OrcFile,
  type OrcRow,
  OrcTimestamp,
  type OrcValue,
  openOrc,
  readOrcBatches,
  readOrcRows,
} from '../../../src/readers/orc/index.ts';
import { mayMatch } from '../../../src/readers/orc/push-down.ts';
import type { OrcColumnStatistics } from '../../../src/readers/orc/statistics.ts';
import { CountingSource, ownFile } from './columnar-files.ts';

const name = 'pyorc-rowgroups-zstd.orc';

async function open(): Promise<{ file: OrcFile; source: CountingSource; all: OrcRow[] }> {
  const source = new CountingSource(ownFile(name));
  const file = await openOrc(source, { tailBytes: 1000 });
  const all: OrcRow[] = [];
  for await (const batch of readOrcRows(await openOrc(new CountingSource(ownFile(name))))) all.push(...batch);
  return { file, source, all };
}

async function ids(file: OrcFile, filter: OrcFilter): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const rows of readOrcRows(file, { filter, columns: ['id'] })) found.push(...rows.map((row) => row['id']));
  return found;
}

const text = (value: OrcValue | undefined): string => (typeof value === 'string' ? value : JSON.stringify(value));

const middle = new OrcTimestamp(1_577_836_800 + 1000 * 4000, 0, false);

/** A filter, and the same said in JavaScript of a row. */
const cases: [string, OrcFilter, (row: OrcRow) => boolean][] = [
  ['a value', { id: 900 }, (row) => row['id'] === 900],
  ['a value as a bigint', { id: 900n }, (row) => row['id'] === 900],
  ['an open range', { id: { $gt: 897, $lt: 1500 } }, (row) => Number(row['id']) > 897 && Number(row['id']) < 1500],
  ['a closed range', { id: { $gte: 897, $lte: 1500 } }, (row) => Number(row['id']) >= 897 && Number(row['id']) <= 1500],
  ['a list', { id: { $in: [3, 7, 6000] } }, (row) => row['id'] === 3 || row['id'] === 6000],
  ['strings in order', { name: { $gte: 'name-9' } }, (row) => row['name'] !== null && text(row['name']) >= 'name-9'],
  ['all but one string', { name: { $ne: 'name-7' } }, (row) => row['name'] !== 'name-7'],
  ['null', { name: null }, (row) => row['name'] === null],
  ['not null', { name: { $ne: null } }, (row) => row['name'] !== null],
  ['null or a value', { name: { $in: [null, 'name-5'] } }, (row) => row['name'] === null || row['name'] === 'name-5'],
  ['none of a list', { name: { $nin: [null, 'name-5'] } }, (row) => row['name'] !== null && row['name'] !== 'name-5'],
  ['a negation', { id: { $not: { $lt: 7000 } } }, (row) => Number(row['id']) >= 7000],
  ['a decimal', { price: { $gt: '9000.5' } }, (row) => row['price'] !== null && Number(row['price']) > 9000.5],
  [
    'a decimal as a number',
    { price: { $lte: -9000.5 } },
    (row) => row['price'] !== null && Number(row['price']) <= -9000.5,
  ],
  [
    'a large decimal',
    { big: { $gt: 10n ** 23n } },
    (row) => row['big'] !== null && BigInt(text(row['big']).split('.')[0]!) >= 10n ** 23n,
  ],
  ['a date', { day: { $lt: '2020-02-01' } }, (row) => row['day'] !== null && text(row['day']) < '2020-02-01'],
  ['a date as a Date', { day: new Date('2020-03-05') }, (row) => row['day'] === '2020-03-05'],
  [
    'a timestamp',
    { at: { $lt: middle } },
    (row) => row['at'] !== null && (row['at'] as OrcTimestamp).toBigInt() < middle.toBigInt(),
  ],
  [
    'a timestamp as text',
    { at: { $gte: middle.toString() } },
    (row) => row['at'] !== null && (row['at'] as OrcTimestamp).toBigInt() >= middle.toBigInt(),
  ],
  ['a boolean', { flag: true }, (row) => row['flag'] === true],
  ['a double', { score: { $gt: 1.5 } }, (row) => row['score'] !== null && Number(row['score']) > 1.5],
  ['bytes', { data: Uint8Array.of() }, (row) => (row['data'] as Uint8Array | null)?.length === 0],
  ['a field of a struct', { 'pos.y': 4 }, (row) => (row['pos'] as { y: number } | null)?.y === 4],
  [
    'a field that is null, or its struct',
    { 'pos.y': null },
    (row) => ((row['pos'] as { y: number } | null)?.y ?? null) === null,
  ],
  ['lists that are null', { tags: null }, (row) => row['tags'] === null],
  [
    'one or the other',
    { $or: [{ id: 3 }, { level: { $gt: 120 } }] },
    (row) => row['id'] === 3 || Number(row['level'] ?? 0) > 120,
  ],
  [
    'one and the other',
    { $and: [{ id: { $lt: 600 } }, { flag: false }] },
    (row) => Number(row['id']) < 600 && row['flag'] === false,
  ],
  [
    'neither',
    { $nor: [{ id: { $lt: 6000 } }, { flag: null }] },
    (row) => !(Number(row['id']) < 6000 || row['flag'] === null),
  ],
  ['several columns', { id: { $lt: 600 }, level: 5 }, (row) => Number(row['id']) < 600 && row['level'] === 5],
  ['nothing', { id: { $in: [] } }, () => false],
  ['out of all bounds', { id: { $gt: 10 ** 9 } }, () => false],
];

test('a filter gives the rows that fulfil it, no more and no fewer', async (context) => {
  const { file, all } = await open();
  for (const [title, filter, predicate] of cases) {
    await context.test(title, async () => {
      const expected = all.filter(predicate).map((row) => row['id']);
      assert.deepEqual(await ids(file, filter), expected);
      if (title !== 'nothing' && title !== 'out of all bounds')
        assert.ok(expected.length > 0, 'the case selects nothing');
    });
  }
});

test('row groups whose statistics or bloom filter rule a filter out are not fetched', async () => {
  const { file, source } = await open();
  await file.stripeFooters();
  source.reads.length = 0;
  assert.deepEqual(await ids(file, { id: 900 }), [900]);
  const narrow = source.bytesRead;
  source.reads.length = 0;
  for await (const { rowCount } of readOrcBatches(file, { columns: ['id'] })) assert.ok(rowCount > 0);
  assert.ok(source.reads.length > 0 || narrow < file.source.size);
  source.reads.length = 0;
  // 901 lies within the bounds of a row group, and is no multiple of 3: only the bloom filter knows.
  const touched: number[] = [];
  for await (const { rowStart } of readOrcBatches(file, { filter: { id: 901 } })) touched.push(rowStart);
  assert.deepEqual(touched, []);
});

test('a file whose statistics rule a filter out is not read at all', async () => {
  const { file, source } = await open();
  source.reads.length = 0;
  assert.deepEqual(await ids(file, { id: { $lt: 0 } }), []);
  assert.deepEqual(source.reads, []);
});

test('fields that only the filter needs are left out of the rows', async () => {
  const { file } = await open();
  for await (const rows of readOrcRows(file, { filter: { id: 900, 'pos.y': { $ne: 77 } }, columns: ['pos.x'] })) {
    assert.deepEqual(Object.keys(rows[0]!), ['pos']);
    if (rows[0]!['pos'] !== null) assert.deepEqual(Object.keys(rows[0]!['pos'] as object), ['x']);
  }
});

test('a filter that makes no sense for a file is the caller’s mistake, and named', async () => {
  const { file } = await open();
  const compile = (filter: unknown): unknown => compileFilter(file.schema, filter as OrcFilter);
  assert.throws(() => compile({ nope: 1 }), RangeError);
  assert.throws(() => compile({ 'tags.element': 'x' }), RangeError);
  assert.throws(() => compile({ id: 'x' }), TypeError);
  assert.throws(() => compile({ name: 5 }), TypeError);
  assert.throws(() => compile({ day: '2020-02-31' }), TypeError);
  assert.throws(() => compile({ at: 'yesterday' }), TypeError);
  assert.throws(() => compile({ price: 'much' }), TypeError);
  assert.throws(() => compile({ tags: ['a'] }), TypeError);
  assert.throws(() => compile({ id: { $near: 5 } }), TypeError);
  assert.throws(() => compile({ id: { $in: 5 } }), TypeError);
  assert.throws(() => compile({ $or: 5 }), TypeError);
});

test('every value of a row group is in its bloom filter, and others mostly are not', async () => {
  const { file, all } = await open();
  const footers = await file.stripeFooters();
  let first = 0;
  for (const [index, stripe] of file.footer.stripes.entries()) {
    for (const [column, field] of [
      [1, 'id'],
      [2, 'name'],
    ] as const) {
      const stream = footers
        .get(index)!
        .streams.find(({ kind, column: id }) => kind === 'BLOOM_FILTER_UTF8' && id === column)!;
      const stored = await file.source.read(stream.offset, stream.offset + stream.length);
      const filters = parseBloomFilters(expandSection(stored, { codec: file.codec, offset: stream.offset }), stream);
      const orcColumn = file.schema.children[column - 1]!;
      let absent = 0;
      for (let row = 0; row < stripe.rowCount; row++) {
        const value = all[first + row]![field];
        const filter = filters[Math.floor(row / file.footer.rowIndexStride)]!;
        if (value !== null) assert.ok(bloomContains(filter, bloomHash(orcColumn, value)!), `${field} ${text(value)}`);
        const other = field === 'id' ? row * 3 + 1 : `other-${row}`;
        if (!bloomContains(filter, bloomHash(orcColumn, other)!)) absent++;
      }
      assert.ok(
        absent > stripe.rowCount * 0.8,
        `only ${absent} of ${stripe.rowCount} absent values are known to be absent`,
      );
    }
    first += stripe.rowCount;
  }
});

test('a bloom filter that says nothing, or is malformed, proves nothing', () => {
  assert.deepEqual(parseBloomFilters(Uint8Array.from([0x0a, 0]), { offset: 0, length: 2 }), [undefined]);
  assert.deepEqual(parseBloomFilters(Uint8Array.from([0x0a, 5, 0x08, 3, 0x1a, 1, 7]), { offset: 0, length: 7 }), [
    undefined,
  ]);
});

test('statistics prove absence only where they say enough', async () => {
  const { file } = await open();
  const may = (filter: OrcFilter, statistics: OrcColumnStatistics | undefined): boolean =>
    mayMatch(compileFilter(file.schema, filter), () => ({ statistics }));
  const known = { numberOfValues: 10, hasNull: false, intStatistics: { minimum: 5, maximum: 9 } };
  assert.equal(may({ id: 4 }, known), false);
  assert.equal(may({ id: 5 }, known), true);
  assert.equal(may({ id: { $gt: 9 } }, known), false);
  assert.equal(may({ id: { $gte: 9 } }, known), true);
  assert.equal(may({ id: { $lt: 5 } }, known), false);
  assert.equal(may({ id: { $lte: 5 } }, known), true);
  assert.equal(may({ id: { $in: [1, 2, 10] } }, known), false);
  assert.equal(may({ id: { $in: [1, 2, 7] } }, known), true);
  assert.equal(may({ id: null }, known), false);
  assert.equal(may({ id: null }, { ...known, hasNull: true }), true);
  assert.equal(may({ id: { $ne: 5 } }, known), true);
  assert.equal(may({ $nor: [{ id: { $gt: 0 } }] }, known), true);
  assert.equal(may({ $or: [{ id: 4 }, { id: 6 }] }, known), true);
  assert.equal(may({ $or: [{ id: 4 }, { id: 10 }] }, known), false);
  assert.equal(may({ id: 4 }, undefined), true);
  assert.equal(may({ id: 4 }, { numberOfValues: 10 }), true);
  // A writer without an index counts nothing, and says so as if there were no values.
  assert.equal(may({ id: 4 }, { numberOfValues: 0, hasNull: false }), true);
  assert.equal(may({ id: 4 }, { numberOfValues: 0, hasNull: true }), false);
  // A null struct makes its field null, which the field's own statistics do not count.
  assert.equal(may({ 'pos.y': null }, known), true);
  assert.equal(
    may({ score: 4 }, { numberOfValues: 10, doubleStatistics: { minimum: Number.NaN, maximum: Number.NaN } }),
    true,
  );
  // UTF-16 orders this after U+FFFF's neighbours, UTF-8 the other way round: such bounds prove nothing.
  assert.equal(
    may({ name: '\uff5e' }, { numberOfValues: 1, stringStatistics: { minimum: 'a', maximum: '\u{1f600}' } }),
    true,
  );
  assert.equal(
    may({ name: 'zz' }, { numberOfValues: 1, stringStatistics: { lowerBound: 'a', upperBound: 'c' } }),
    false,
  );
});

test('comparisons with NaN hold for no row, and NaN equals nothing', () => {
  const schema = {
    id: 0,
    lastId: 1,
    name: '',
    type: { kind: 'STRUCT', subtypes: [1], fieldNames: ['x'] },
    children: [{ id: 1, lastId: 1, name: 'x', type: { kind: 'DOUBLE', subtypes: [], fieldNames: [] }, children: [] }],
  } as const;
  const values = Float64Array.from([1, Number.NaN, 3]);
  const root = {
    kind: 'struct',
    length: 3,
    nulls: undefined,
    names: ['x'],
    children: [{ kind: 'float', length: 3, nulls: undefined, values }],
  } as const;
  assert.deepEqual([...matchRows(compileFilter(schema, { x: { $gt: 0 } }), root)], [1, 0, 1]);
  assert.deepEqual([...matchRows(compileFilter(schema, { x: Number.NaN }), root)], [0, 0, 0]);
});
