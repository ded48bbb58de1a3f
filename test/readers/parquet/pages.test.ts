import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ExpandedPages } from '../../../src/readers/parquet/codecs.ts';
import type { ParquetCodec } from '../../../src/readers/parquet/footer.ts';
import { GroupLimits } from '../../../src/readers/parquet/group-limits.ts';
import { checkPages, type PageSpan } from '../../../src/readers/parquet/pages.ts';

/** Header of a page of version 2: four values in four rows, stored plain, and these sizes. */
function pageOf(sizes: { stored: number; expanded: number; definition: number; compressed: boolean }): Uint8Array {
  const { stored, expanded, definition, compressed } = sizes;
  const own = [0x15, 8, 0x15, 0, 0x15, 8, 0x15, 0, 0x15, definition * 2, 0x15, 0, compressed ? 0x11 : 0x12, 0];
  const header = [0x15, 6, 0x15, expanded * 2, 0x15, stored * 2, 0x5c, ...own, 0];
  return Uint8Array.from([...header, ...new Uint8Array(stored)]);
}

function spanOf(codec: ParquetCodec, maxDefinition: number): PageSpan {
  const chunk = {
    path: 'a',
    type: 'INT32' as const,
    codec,
    encodings: [],
    valueCount: 4,
    start: 4,
    length: 100,
    uncompressedLength: 100,
    dataPageOffset: 4,
    keyValueMetadata: [],
  };
  const field = { name: 'a', path: 'a', repetition: 'OPTIONAL' as const, type: 'INT32' as const, children: [] };
  const pages = new ExpandedPages();
  const limits = new GroupLimits({ index: 0, stored: 100, values: 4, rows: 4 });
  return {
    limits,
    chunk,
    field,
    rowCount: 4,
    offset: 4,
    whole: true,
    flat: true,
    maxRepetition: 0,
    maxDefinition,
    pages,
  };
}

test('a page that is said to be not compressed and has other sizes is refused by name, and not read as it is', () => {
  const page = pageOf({ stored: 30, expanded: 16, definition: 0, compressed: false });
  assert.throws(() => checkPages(page, spanOf('SNAPPY', 0)), {
    code: 'ERR_SEALPIPE_FORMAT_UNSUPPORTED',
    message: /said to be not compressed, and has 30 bytes of 16/,
  });
  checkPages(pageOf({ stored: 16, expanded: 16, definition: 0, compressed: false }), spanOf('SNAPPY', 0));
});

test('levels of a column that has none are refused by name, and not read as values', () => {
  const page = pageOf({ stored: 18, expanded: 18, definition: 2, compressed: false });
  assert.throws(() => checkPages(page, spanOf('UNCOMPRESSED', 0)), {
    code: 'ERR_SEALPIPE_FORMAT_UNSUPPORTED',
    message: /2 bytes of levels that its column does not have/,
  });
});
