import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as schemas from '../../src/cli/schemas.ts';
import { fixture } from '../support/project.ts';
import { CommandLine, documents } from './command-line.ts';

const line = await CommandLine.start();
const bucket = await line.bucket('columnar');
const key = ['--kms-key-id', 'alias/sealpipe', ...line.here];
const names = {
  parquet: 'parquet/pa-nested-v1-snappy.parquet',
  orc: 'orc/java-nested-zlib.orc',
  arrow: 'arrow/polars-ipc-stringview.arrow',
} as const;
for (const name of Object.values(names))
  await line.ok(['put', fixture('columnar', name), `s3://${bucket}/${name}`, ...key, '--json']);
const url = (format: keyof typeof names): string => `s3://${bucket}/${names[format]}`;
// Larger than its tail, and without an index, an object is authenticated by nothing.
const orc = [url('orc'), ...key, '--authenticate', 'when-possible'];

async function requests(args: readonly string[]): Promise<Record<string, number>> {
  line.endpoint.requests.clear();
  await line.ok(args);
  await line.endpoint.requests.settled();
  return line.endpoint.requests.counts();
}

test('footer takes one GET, one call of KMS and no HEAD, where the footer is no larger than the tail', async () => {
  assert.deepEqual(await requests(['footer', url('parquet'), ...key]), { GetObject: 1, 'KMS.Decrypt': 1 });
  assert.deepEqual(await requests(['footer', url('arrow'), ...key, '--json']), { GetObject: 1, 'KMS.Decrypt': 1 });
  assert.deepEqual(await requests(['footer', ...orc]), { GetObject: 1, 'KMS.Decrypt': 1 });
});

test('footer --json has the row groups of a Parquet file, their columns and statistics', async () => {
  const { stdout } = await line.ok(['footer', url('parquet'), ...key, '--json']);
  const [document = assert.fail()] = documents(stdout).map((found) => schemas.footer.parse(found));
  assert.deepEqual([document.format, document.rows, document.groups.length], ['parquet', 1200, 3]);
  const [group = assert.fail()] = document.groups;
  assert.deepEqual([group.rows, group.start, group.length], [400, 4, 10458]);
  assert.deepEqual(group.columns[0], {
    path: 'id',
    start: 4,
    length: 2150,
    compression: 'SNAPPY',
    statistics: { min: 0, max: 399, nullCount: 0 },
  });
  assert.match(document.schema, /required int64 id;/);
  assert.ok('ARROW:schema' in document.metadata);
});

test('footer --json has the stripes of an ORC file and the batches of an Arrow file in the same form', async () => {
  const stripes = schemas.footer.parse(documents((await line.ok(['footer', ...orc, '--json'])).stdout)[0]);
  assert.equal(stripes.format, 'orc');
  assert.equal(
    stripes.rows,
    stripes.groups.reduce((sum, { rows }) => sum + rows, 0),
  );
  assert.match(stripes.schema, /^struct</);
  const { size } = { size: readFileSync(fixture('columnar', names.orc)).length };
  for (const { start, length, columns } of stripes.groups) {
    assert.ok(start + length <= size);
    for (const column of columns) assert.ok(column.start >= start && column.start + column.length <= start + length);
  }
  const batches = schemas.footer.parse(
    documents((await line.ok(['footer', url('arrow'), ...key, '--json'])).stdout)[0],
  );
  assert.deepEqual([batches.format, batches.rows, batches.groups.length], ['arrow', 500, 1]);
  assert.deepEqual(
    batches.groups[0]?.columns.map(({ path, statistics }) => [path, statistics?.nullCount]),
    [
      ['id', 0],
      ['s', 84],
      ['f64', 78],
    ],
  );
});

test('footer shows people the schema and a table', async () => {
  const parquet = (await line.ok(['footer', url('parquet'), ...key])).stdout.toString();
  assert.match(parquet, /: Parquet, 1200 rows, 3 row groups\n/);
  assert.match(parquet, /row group +rows +start +size +compression\n +0 +400 +4 +10.2 KiB +SNAPPY\n/);
  assert.match((await line.ok(['footer', ...orc])).stdout.toString(), /stripe +rows +start +size +compression\n/);
});

test('rows writes JSON lines, of the columns, row groups and number asked for', async () => {
  const { stdout } = await line.ok([
    'rows',
    url('parquet'),
    ...key,
    '--columns',
    'id,st.x',
    '--row-group',
    '1',
    '--limit',
    '2',
  ]);
  assert.deepEqual(
    documents(stdout).map((row) => schemas.rows.parse(row)),
    [
      { id: 400, st: { x: 0.7723480925520294 } },
      { id: 401, st: { x: 0.9851319908210541 } },
    ],
  );
  const all = documents((await line.ok(['rows', url('parquet'), ...key, '--columns', 'id'])).stdout);
  assert.deepEqual(
    all,
    Array.from({ length: 1200 }, (_, id) => ({ id })),
  );
  assert.equal(documents((await line.ok(['rows', url('arrow'), ...key, '--limit', '7'])).stdout).length, 7);
  assert.equal(documents((await line.ok(['rows', ...orc, '--stripe', '0', '--limit', '3'])).stdout).length, 3);
  assert.equal((await line.ok(['rows', url('parquet'), ...key, '--limit', '0'])).stdout.length, 0);
});

test('rows of an object that fits into its tail takes no more requests than its footer', async () => {
  assert.deepEqual(await requests(['rows', url('parquet'), ...key]), { GetObject: 1, 'KMS.Decrypt': 1 });
});

test('an object without an index is refused, and told which option opens it', async () => {
  const large = line.file('large.orc', randomBytes(300_000));
  await line.ok(['put', large, `s3://${bucket}/large.orc`, ...key]);
  await line.fails(['footer', `s3://${bucket}/large.orc`, ...key], {
    code: 'RANGE_UNAUTHENTICATED',
    message: /--authenticate never/,
  });
});

test('what is no columnar file, and what it does not have, are named', async () => {
  const text = line.file('notes.txt', 'no columns in here');
  await line.ok(['put', text, `s3://${bucket}/notes.parquet`, ...key, '--json']);
  await line.fails(['footer', `s3://${bucket}/notes.parquet`, ...key], {
    code: 'FORMAT_INVALID',
    message: /neither Parquet nor ORC nor Arrow/,
  });
  await line.fails(['rows', url('parquet'), ...key, '--columns', 'nope'], {
    code: 'USAGE',
    message: /no column "nope"/,
  });
  await line.fails(['rows', url('parquet'), ...key, '--row-group', '3'], { code: 'USAGE', message: /row group 3/ });
  await line.fails(['rows', url('parquet'), ...key, '--stripe', '0'], { code: 'USAGE', message: /--row-group/ });
  await line.fails(['rows', ...orc, '--row-group', '0'], { code: 'USAGE', message: /--stripe/ });
  await line.fails(['rows', url('parquet'), ...key, '--columns', 'id,'], { code: 'USAGE', message: /--columns/ });
  await line.fails(['footer', '/tmp/file.parquet', ...key], { code: 'USAGE' });
});
