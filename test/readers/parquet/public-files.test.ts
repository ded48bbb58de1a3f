import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SealpipeError } from '../../../src/errors.ts';
import { openParquet, parquetToJson, readParquetRows } from '../../../src/readers/parquet/index.ts';
import { CountingSource } from '../orc/columnar-files.ts';

/** A checkout of github.com/apache/parquet-testing. It is not part of this repository. */
const folder = process.env['SEALPIPE_PARQUET_TESTING'];

/** Files of `data` that are refused, and what of them the message names. */
const refused: readonly (readonly [RegExp, RegExp])[] = [
  [/\.encrypted$/, /UNSUPPORTED.*encrypted/],
  [/^large_string_map\.brotli/, /UNSUPPORTED.*expand to 1073741828 bytes/],
];

const skip = folder === undefined ? 'SEALPIPE_PARQUET_TESTING is not set' : false;

async function read(path: string): Promise<{ rows: number; stated: number }> {
  const file = await openParquet(new CountingSource(new Uint8Array(readFileSync(path))));
  let rows = 0;
  for await (const batch of readParquetRows(file)) {
    rows += batch.length;
    JSON.stringify(batch.map(parquetToJson));
  }
  return { rows, stated: file.rowCount };
}

test('the public files of Apache Parquet are read, but for those that are refused by name', { skip }, async () => {
  const base = join(folder!, 'data');
  const names = readdirSync(base, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\.parquet(\.encrypted)?$/.test(name),
  );
  assert.ok(names.length >= 60);
  for (const name of names) {
    const refusal = refused.find(([pattern]) => pattern.test(name));
    if (refusal === undefined) {
      const { rows, stated } = await read(join(base, name));
      assert.equal(rows, stated, name);
    } else {
      await assert.rejects(
        read(join(base, name)),
        (error) => error instanceof SealpipeError && refusal[1].test(`${error.code} ${error.message}`),
        name,
      );
    }
  }
});

/** Files of `shredded_variant` whose variants contradict themselves. */
const contradictory = ['case-040', 'case-042', 'case-087', 'case-128'];

test('the public files with variants are read, but for those that contradict themselves', { skip }, async () => {
  const base = join(folder!, 'shredded_variant');
  for (const name of readdirSync(base).filter((found) => found.endsWith('.parquet'))) {
    if (contradictory.some((wrong) => name.startsWith(wrong))) {
      await assert.rejects(read(join(base, name)), { code: 'ERR_SEALPIPE_FORMAT_INVALID' }, name);
    } else {
      const { rows, stated } = await read(join(base, name));
      assert.equal(rows, stated, name);
    }
  }
});

test('the public files that are bad end in rows or in a coded error', { skip }, async () => {
  const base = join(folder!, 'bad_data');
  for (const name of readdirSync(base).filter((found) => found.endsWith('.parquet'))) {
    await read(join(base, name)).catch((error: unknown) => {
      assert.ok(error instanceof SealpipeError, `${name}: ${String(error)}`);
    });
  }
});
