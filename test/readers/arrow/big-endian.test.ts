import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BatchLoader } from '../../../src/readers/arrow/columns.ts';
import { type ArrowFile, openRecordBatchReader } from '../../../src/readers/arrow/index.ts';
import type { ArrowField, ArrowType } from '../../../src/readers/arrow/schema.ts';
import { rowToJson } from '../../../src/readers/row-json.ts';

const field = (type: ArrowType, ...children: readonly ArrowField[]): ArrowField => {
  return { name: 'x', nullable: true, type, children, metadata: {} };
};
const int32 = field({ kind: 'int', bits: 32, signed: true });

/** A buffer as words of so many bytes each, which lie the other way round where the file is big-endian. */
interface Words {
  readonly width: number;
  readonly hex: string;
}
const words = (width: number, hex: string): Words => ({ width, hex: hex.replaceAll(' ', '') });
const none = words(1, '');

/** The values of a field whose buffers are these, highest byte of each word first. */
function valuesOf(top: ArrowField, nodes: readonly number[], buffers: readonly Words[], little: boolean): unknown[] {
  const body: number[] = [];
  const places = buffers.map(({ width, hex }): [number, number] => {
    const bytes = Buffer.from(hex, 'hex');
    const start = body.length;
    for (let at = 0; at < bytes.length; at += width) {
      const word = [...bytes.subarray(at, at + width)];
      body.push(...(little ? word.reverse() : word));
    }
    return [start, body.length - start];
  });
  const loader = new BatchLoader({
    header: {
      rowCount: nodes[0]!,
      nodes: nodes.map((length): [number, number] => [length, 0]),
      buffers: places,
      variadicCounts: [1],
      version: 4,
    },
    body: Uint8Array.from(body),
    offset: 0,
    dictionaries: new Map(),
    little,
  });
  const column = loader.column(top, nodes[0]!);
  return Array.from({ length: column.length }, (_, index) => rowToJson(column.get(index)));
}

const scaled = { kind: 'decimal', precision: 38, scale: 2 } as const;
const cases: readonly (readonly [ArrowField, readonly number[], readonly Words[], readonly unknown[]])[] = [
  [field({ kind: 'int', bits: 16, signed: true }), [2], [none, words(2, 'fffe 0102')], [-2, 258]],
  [field({ kind: 'int', bits: 32, signed: false }), [1], [none, words(4, 'fffffffe')], [4_294_967_294]],
  [field({ kind: 'int', bits: 64, signed: true }), [1], [none, words(8, '8000000000000001')], ['-9223372036854775807']],
  [field({ kind: 'float', bits: 16 }), [1], [none, words(2, '3e00')], [1.5]],
  [field({ kind: 'float', bits: 32 }), [1], [none, words(4, 'c0200000')], [-2.5]],
  [field({ kind: 'float', bits: 64 }), [1], [none, words(8, '3ff8000000000000')], [1.5]],
  [field({ ...scaled, bits: 32 }), [1], [none, words(4, 'ffffff85')], ['-1.23']],
  [field({ ...scaled, bits: 64 }), [1], [none, words(8, '000000000000007b')], ['1.23']],
  [
    field({ ...scaled, bits: 128 }),
    [1],
    [none, words(16, '0000000000000001 000000000000000a')],
    ['184467440737095516.26'],
  ],
  [field({ ...scaled, bits: 256 }), [1], [none, words(32, `${'ff'.repeat(31)}85`)], ['-1.23']],
  [field({ kind: 'date', bits: 32 }), [1], [none, words(4, '00000001')], ['1970-01-02']],
  [field({ kind: 'date', bits: 64 }), [1], [none, words(8, '0000000005265c00')], ['1970-01-02']],
  [field({ kind: 'time', unit: 'SECOND', bits: 32 }), [1], [none, words(4, '0000003c')], ['00:01:00.000000000']],
  [
    field({ kind: 'timestamp', unit: 'SECOND' }),
    [1],
    [none, words(8, '000000000000003c')],
    ['1970-01-01T00:01:00.000000000'],
  ],
  [
    field({ kind: 'interval', unit: 'DAY_TIME' }),
    [1],
    [none, words(4, '00000001 00000002')],
    [{ months: 0, days: 1, nanoseconds: 2_000_000 }],
  ],
  [field({ kind: 'utf8' }), [2], [none, words(4, '00000000 00000001 00000003'), words(1, '616263')], ['a', 'bc']],
  [field({ kind: 'large_utf8' }), [1], [none, words(8, '0000000000000000 0000000000000002'), words(1, '6162')], ['ab']],
  [
    field({ kind: 'list' }, int32),
    [1, 2],
    [none, words(4, '00000000 00000002'), none, words(4, '00000007 00000008')],
    [[7, 8]],
  ],
  [
    field({ kind: 'list_view' }, int32),
    [1, 2],
    [none, words(4, '00000001'), words(4, '00000001'), none, words(4, '00000007 00000008')],
    [[8]],
  ],
  [
    field({ kind: 'union', dense: true, typeIds: [5] }, int32),
    [1, 2],
    [words(1, '05'), words(4, '00000001'), none, words(4, '00000007 00000008')],
    [8],
  ],
];

for (const [top, nodes, buffers, expected] of cases) {
  test(`${JSON.stringify(top.type)} has the same values in either order of bytes`, () => {
    assert.deepEqual(valuesOf(top, nodes, buffers, false), expected);
    assert.deepEqual(valuesOf(top, nodes, buffers, true), expected);
  });
}

test('apache-arrow, which takes bytes as they come, is not given big-endian values', async () => {
  const file = { schema: { fields: [], metadata: {}, bigEndian: true } } as unknown as ArrowFile;
  await assert.rejects(openRecordBatchReader(file), {
    code: 'ERR_SEALPIPE_FORMAT_UNSUPPORTED',
    message: /big-endian: read them with readArrowRows/,
  });
});

test('no value is lost where two fields of a struct have one name', () => {
  const struct = field({ kind: 'struct' }, int32, int32);
  const buffers = [none, none, words(4, '00000007'), none, words(4, '00000008')];
  assert.deepEqual(valuesOf(struct, [1, 1, 1], buffers, true), [{ x: 7, x_1: 8 }]);
});
