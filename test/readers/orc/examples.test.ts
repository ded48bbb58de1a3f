import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { SealpipeError } from '../../../src/errors.ts';
import { openOrc, orcToJson, readOrcRows } from '../../../src/readers/orc/index.ts';
import { CountingSource } from './columnar-files.ts';
import { parseExpected, sameValue } from './expected-rows.ts';

/** The folder `examples` of a checkout of github.com/apache/orc. It is not part of this repository. */
const folder = process.env['SEALPIPE_ORC_EXAMPLES'];

/** Files that a reader has to refuse: with what, and what of it the message names. */
const refused: Record<string, RegExp> = {
  'TestVectorOrcFile.testLzo.orc': /UNSUPPORTED.*LZO/,
  'encrypted/sample1.orc': /UNSUPPORTED.*encrypted/,
  'encrypted/sample2.orc': /UNSUPPORTED.*encrypted/,
  'version1999.orc': /UNSUPPORTED.*19\.99/,
  'zero.orc': /INVALID.*0 bytes/,
  'corrupt/missing_blob_stream_in_string_dict.orc': /INVALID.*DICTIONARY_DATA/,
  'corrupt/missing_length_stream_in_string_dict.orc': /INVALID.*LENGTH/,
  'corrupt/negative_dict_entry_lengths.orc': /INVALID.*-17 bytes/,
  'corrupt/stripe_footer_bad_column_encodings.orc': /INVALID.*stripe footer/,
};

const names =
  folder === undefined
    ? []
    : readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.orc'));

test('the examples of Apache ORC are at hand', {
  skip: folder === undefined ? 'SEALPIPE_ORC_EXAMPLES is not set' : false,
}, () => {
  assert.ok(names.length >= 40);
});

for (const name of names.sort()) {
  const expectedPath = join(folder!, 'expected', name.replace(/\.orc$/, '.jsn.gz'));
  const bytes = new Uint8Array(readFileSync(join(folder!, name)));
  const refusal = refused[name];
  if (refusal !== undefined) {
    test(`${name} of Apache ORC's examples is refused by name`, async () => {
      await assert.rejects(
        async () => {
          for await (const rows of readOrcRows(await openOrc(new CountingSource(bytes)))) assert.ok(rows.length > 0);
        },
        (error) => error instanceof SealpipeError && refusal.test(`${error.code} ${error.message}`),
      );
    });
    continue;
  }
  test(`${name} of Apache ORC's examples has the rows that its own tools read`, async () => {
    const file = await openOrc(new CountingSource(bytes));
    const expected = existsSync(expectedPath)
      ? gunzipSync(readFileSync(expectedPath)).toString('utf8').split('\n')
      : undefined;
    let index = 0;
    for await (const rows of readOrcRows(file, { unions: 'tagged' })) {
      for (const row of rows) {
        const actual = orcToJson(row);
        if (expected !== undefined && !sameRow(name, actual, expected[index]!)) {
          assert.fail(`row ${index} is ${JSON.stringify(actual)}, expected ${expected[index]}`);
        }
        index++;
      }
    }
    assert.equal(index, file.rowCount);
    if (expected !== undefined) assert.equal(index, expected.filter((line) => line !== '').length);
  });
}

/**
 * Decimals of Hive 0.11 have no scale; the C++ tool that printed the expected rows cuts them to six places, where Java
 * and we keep them all.
 */
function sameRow(name: string, actual: unknown, line: string): boolean {
  const expected = parseExpected(line);
  if (name === 'orc-file-11-format.orc') {
    const row = actual as { decimal1: string | null };
    if (row.decimal1 !== null) row.decimal1 = row.decimal1.replace(/(\.\d{6})\d+$/, '$1');
    const other = expected as { decimal1: unknown };
    if (typeof other.decimal1 === 'number') other.decimal1 = String(other.decimal1);
  }
  return sameValue(actual, expected);
}
