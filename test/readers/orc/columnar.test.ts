import assert from 'node:assert/strict';
import { test } from 'node:test';
import { columnarFiles } from '../columnar-folder.ts';
import { orcChecks } from './columnar-checks.ts';
import { CountingSource } from './columnar-files.ts';
import { parseExpected, sameValue } from './expected-rows.ts';

for (const file of columnarFiles('orc')) {
  for (const { title, run } of orcChecks(file)) test(title, () => run(new CountingSource(file.bytes)));
}

test('the comparison of rows tells different values apart', () => {
  assert.equal(sameValue('2020-01-01T00:00:00.000000001', '2020-01-01 00:00:00.0'), false);
  assert.equal(sameValue('12.50', '12.51'), false);
  assert.equal(sameValue([1], [1, 2]), false);
  assert.equal(sameValue({ a: 1 }, { a: 1, b: null }), false);
  assert.equal(sameValue('9223372036854775807', parseExpected('{"a": 9223372036854775806}')), false);
});
