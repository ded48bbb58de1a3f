/** What the facts and rows of a file say that a reader over any source of its bytes finds. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  openParquet,
  type ParquetField,
  type ParquetFile,
  parquetToJson,
  readParquetRows,
} from '../../../src/readers/parquet/index.ts';
import { convertedTypes } from '../../../src/readers/parquet/schema.ts';
import type { RangeSource } from '../../../src/readers/range-source.ts';
import type { ColumnarCheck, ColumnarFile, MalformedFile } from '../columnar-folder.ts';
import { sameValue } from '../expected-values.ts';

function elements(field: ParquetField): unknown[] {
  const { name, type = null, repetition, children, typeLength = null, convertedType } = field;
  const converted = convertedType === undefined ? null : convertedTypes.indexOf(convertedType);
  return [[name, type, repetition, children.length, typeLength, converted], ...children.flatMap(elements)];
}

function rangeOf(range: { start: number; end: number } | undefined): [number, number] | null {
  return range === undefined ? null : [range.start, range.end - range.start];
}

/** The order of the facts. */
function byKey(a: { key: string }, b: { key: string }): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

function factsOf({ metadata, footerLength, footerOffset }: ParquetFile, facts: object): Record<string, unknown> {
  const rootRepetition = (facts as { schemaElements?: ParquetField['repetition'][][] })
    .schemaElements?.[0]?.[2] as ParquetField['repetition'];
  return {
    footerLength,
    footerOffset,
    fileMetaDataThriftLength: metadata.thriftLength,
    version: metadata.version,
    createdBy: metadata.createdBy,
    rowCount: metadata.rowCount,
    rowGroupCount: metadata.rowGroups.length,
    leafColumnCount: metadata.rowGroups[0]?.columns.length,
    columnOrders: metadata.columnOrders ?? null,
    encryptionAlgorithm: metadata.encryptionAlgorithm,
    keyValueMetadata: [...metadata.keyValueMetadata].sort(byKey).map(({ key, value = '' }) => ({
      key,
      length: Buffer.byteLength(value),
      sha256: createHash('sha256').update(value).digest('hex'),
    })),
    // Old files give their root no repetition.
    schemaElements: elements({ ...metadata.schema, repetition: rootRepetition }),
    rowGroups: metadata.rowGroups.map((group) => ({
      index: group.index,
      rowCount: group.rowCount,
      totalByteSize: group.totalByteSize,
      fileOffset: group.fileOffset ?? null,
      totalCompressedSize: group.totalCompressedSize ?? null,
      ordinal: group.ordinal ?? null,
      byteRange: [group.start, group.end],
      columns: group.columns.map((chunk) => ({
        path: chunk.path,
        type: chunk.type,
        // pyarrow has one word for the two framings of LZ4.
        codec: chunk.codec === 'LZ4_RAW' ? 'LZ4' : chunk.codec,
        encodings: [...chunk.encodings].sort(),
        numValues: chunk.valueCount,
        start: chunk.start,
        length: chunk.length,
        uncompressed: chunk.uncompressedLength,
        dataPageOffset: chunk.dataPageOffset,
        dictionaryPageOffset: chunk.dictionaryPageOffset ?? null,
        columnIndex: rangeOf(chunk.columnIndex),
        offsetIndex: rangeOf(chunk.offsetIndex),
        bloomFilter:
          chunk.bloomFilter === undefined ? null : [chunk.bloomFilter.start, chunk.bloomFilter.length ?? null],
      })),
    })),
  };
}

/** What the facts say of the names that ours have, in our form. */
function expectedOf(facts: Readonly<Record<string, unknown>>, actual: Record<string, unknown>): unknown {
  const pick = (expected: unknown, like: unknown): unknown => {
    if (Array.isArray(expected) && Array.isArray(like)) return expected.map((item, index) => pick(item, like[index]));
    if (typeof expected !== 'object' || expected === null || typeof like !== 'object' || like === null) return expected;
    return Object.fromEntries(
      Object.entries(like)
        .filter(([name]) => name in expected)
        .map(([name, value]) => {
          const found = (expected as Record<string, unknown>)[name];
          return [name, name === 'encodings' ? [...(found as string[])].sort() : pick(found, value)];
        }),
    );
  };
  return pick(facts, actual);
}

/** What of ours the facts have an opinion of. */
function known(actual: unknown, facts: unknown): unknown {
  if (Array.isArray(actual) && Array.isArray(facts)) return actual.map((item, index) => known(item, facts[index]));
  if (typeof actual !== 'object' || actual === null || typeof facts !== 'object' || facts === null) return actual;
  return Object.fromEntries(
    Object.entries(actual)
      .filter(([name]) => name in facts)
      .map(([name, value]) => [name, known(value, (facts as Record<string, unknown>)[name])]),
  );
}

interface StatisticsFacts {
  rowGroups?: { columns: { path: string; statistics?: Record<string, unknown> | null }[] }[];
}

export function parquetChecks({ name, facts, rows }: ColumnarFile): ColumnarCheck[] {
  if (facts !== undefined && 'encryptedFooter' in facts) {
    return [{ title: `${name} is refused by the name of its encryption`, run: refuseFooter }];
  }
  const checks: ColumnarCheck[] = [];
  if (facts !== undefined) {
    checks.push({
      title: `${name} has the facts that other readers state`,
      run: async (source) => checkFacts(await openParquet(source), facts),
    });
  }
  checks.push(
    facts?.['encryptionAlgorithm'] === undefined
      ? {
          title: `${name} has as many rows as its footer says, and those that other readers read`,
          run: (source) => checkRows(source, rows),
        }
      : { title: `${name}: its encrypted columns are refused by name`, run: refuseColumns },
  );
  return checks;
}

async function refuseFooter(source: RangeSource): Promise<void> {
  await assert.rejects(openParquet(source), {
    code: 'ERR_SEALPIPE_FORMAT_UNSUPPORTED',
    message: /PARE \(AES_GCM_V1\)/,
  });
}

async function refuseColumns(source: RangeSource): Promise<void> {
  const file = await openParquet(source);
  await assert.rejects(readParquetRows(file).next(), {
    code: 'ERR_SEALPIPE_FORMAT_UNSUPPORTED',
    message: /encrypted by Parquet's own encryption/,
  });
}

function checkFacts(file: ParquetFile, facts: Readonly<Record<string, unknown>>): void {
  const actual = factsOf(file, facts);
  assert.deepEqual(known(actual, facts), expectedOf(facts, actual));
  for (const [index, group] of ((facts as StatisticsFacts).rowGroups ?? []).entries()) {
    for (const [column, { path, statistics }] of group.columns.entries()) {
      if (statistics === undefined) continue;
      const found = file.metadata.rowGroups[index]!.columns[column]!.statistics;
      if (statistics === null) continue;
      assert.equal(found?.nullCount ?? null, statistics['nullCount'], path);
      assert.equal(found?.distinctCount ?? null, statistics['distinctCount'], path);
      for (const bound of ['min', 'max'] as const) {
        const value = found?.[bound] === undefined ? null : parquetToJson(found[bound]);
        assert.ok(sameValue(value, statistics[bound]), `${path}: ${JSON.stringify([value, statistics[bound]])}`);
      }
    }
  }
}

async function checkRows(source: RangeSource, rows: readonly string[] | undefined): Promise<void> {
  const file = await openParquet(source);
  let index = 0;
  for await (const batch of readParquetRows(file, { batchSize: 777 })) {
    for (const row of batch) {
      const actual = parquetToJson(row);
      if (rows !== undefined) {
        assert.ok(
          sameValue(actual, JSON.parse(rows[index]!)),
          `row ${index} is ${JSON.stringify(actual)}, expected ${rows[index]}`,
        );
      }
      index++;
    }
  }
  assert.equal(index, rows?.length ?? file.rowCount);
}

const codes: Readonly<Record<string, string>> = {
  'too-short': 'ERR_SEALPIPE_FORMAT_INVALID',
  'bad-magic': 'ERR_SEALPIPE_FORMAT_INVALID',
  'footer-length-out-of-range': 'ERR_SEALPIPE_FORMAT_INVALID',
  'malformed-footer': 'ERR_SEALPIPE_FORMAT_INVALID',
  'bad-range': 'ERR_SEALPIPE_FORMAT_INVALID',
  'encrypted-footer': 'ERR_SEALPIPE_FORMAT_UNSUPPORTED',
  ok: 'ok',
};

export function malformedParquetCheck({ file, code, meaning }: MalformedFile): ColumnarCheck {
  return {
    title: `${file} is judged ${code}: ${meaning}`,
    async run(source) {
      const actual = await openParquet(source).then(
        () => 'ok',
        (error: unknown) => String((error as { code?: unknown }).code),
      );
      const allowed = code.startsWith('ok-or-') ? ['ok', codes[code.slice(6)]] : [codes[code]];
      assert.ok(!allowed.includes(undefined), `the test does not know ${code}`);
      assert.ok(allowed.includes(actual), `${actual} is not ${allowed.join(' or ')}`);
    },
  };
}
