import assert from 'node:assert/strict';
import { test } from 'node:test';
import { columnarFiles, malformedFiles } from '../columnar-folder.ts';
import { sameValue } from '../expected-values.ts';
import { CountingSource } from '../orc/columnar-files.ts';
import { malformedParquetCheck, parquetChecks } from './columnar-checks.ts';

for (const file of columnarFiles('parquet')) {
  for (const { title, run } of parquetChecks(file)) test(title, () => run(new CountingSource(file.bytes)));
}

for (const file of malformedFiles(/\.parquet$/)) {
  const { title, run } = malformedParquetCheck(file);
  test(title, async () => {
    const source = new CountingSource(file.bytes);
    await run(source);
    assert.ok(source.reads.length <= 1, 'nothing is fetched once the footer is known to lie');
  });
}

test('the comparison of values tells different ones apart', () => {
  assert.equal(sameValue('2020-01-01T00:00:00.000000001', '2020-01-01T00:00:00'), false);
  assert.equal(sameValue('2020-01-01T00:00:00.000000000', '2020-01-01T00:00:00+00:00'), false);
  assert.equal(sameValue('2020-01-01T00:00:00.000000000Z', '1577836800000000001'), false);
  assert.equal(sameValue([{ key: 'a', value: 1 }], [['a', 2]]), false);
  assert.equal(sameValue({ a: 1 }, { a: 1, b: null }), false);
  assert.equal(sameValue('AA==', { base64: 'AQ==' }), false);
  assert.equal(sameValue(1, null), false);
});
