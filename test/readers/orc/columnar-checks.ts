/** What the facts and rows of a file say that a reader over any source of its bytes finds. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { SealpipeError } from '../../../src/errors.ts';
import { formatSchema, type OrcFile, openOrc, orcToJson, readOrcRows } from '../../../src/readers/orc/index.ts';
import type { RangeSource } from '../../../src/readers/range-source.ts';
import type { ColumnarCheck, ColumnarFile, MalformedFile } from '../columnar-folder.ts';
import { parseExpected, sameValue } from './expected-rows.ts';

/** Drops what is undefined, turns large integers into strings: the form of the facts. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, field: unknown) => {
      if (typeof field === 'bigint') return String(field);
      if (typeof field === 'number' && !Number.isFinite(field)) return String(field);
      return field;
    }),
  );
}

/** The facts have null, 0 or nothing where a file leaves a field out, depending on its writer. */
function withoutDefaults(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDefaults);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([, field]) => {
    const empty = Array.isArray(field) && field.length === 0;
    return field !== null && field !== undefined && field !== 0 && !empty;
  });
  return Object.fromEntries(kept.map(([name, field]) => [name, withoutDefaults(field)]));
}

async function factsOf(file: OrcFile): Promise<Record<string, unknown>> {
  const { postscript, layout, footer } = file;
  const footers = await file.stripeFooters();
  return plain({
    postscriptLength: layout.postscriptLength,
    postscript: {
      footerLength: postscript.footerLength,
      compression: postscript.compression,
      compressionBlockSize: postscript.compressionBlockSize,
      version: postscript.version,
      metadataLength: postscript.metadataLength,
      writerVersion: postscript.writerVersion,
      stripeStatisticsLength: postscript.stripeStatisticsLength,
      magic: postscript.magic,
    },
    tail: {
      postscriptOffset: layout.postscriptOffset,
      footerOffset: layout.footerOffset,
      metadataOffset: layout.metadataOffset,
      stripeStatisticsOffset: layout.stripeStatisticsOffset,
      tailLength: layout.tailLength,
    },
    rowCount: footer.rowCount,
    stripeCount: footer.stripes.length,
    contentLength: footer.contentLength,
    headerLength: footer.headerLength,
    rowIndexStride: footer.rowIndexStride,
    schema: formatSchema(file.schema),
    types: footer.types,
    userMetadata: footer.userMetadata.map(({ name, value }) => ({
      name,
      length: value.length,
      sha256: createHash('sha256').update(value).digest('hex'),
    })),
    stripes: footer.stripes.map((stripe, index) => {
      const { streams, encodings, writerTimezone, encryption } = footers.get(index)!;
      return {
        index,
        offset: stripe.offset,
        indexLength: stripe.indexLength,
        dataLength: stripe.dataLength,
        footerLength: stripe.footerLength,
        length: stripe.indexLength + stripe.dataLength + stripe.footerLength,
        rowCount: stripe.rowCount,
        writerTimezone,
        encryption: encryption.map(({ streams, encodings }) => ({ streams, encoding: encodings })),
        streams: streams.map(({ kind, column, offset, length }) => [kind, column, offset, length]),
        encodings: encodings.map(({ kind, dictionarySize, bloomEncoding }) => [
          kind,
          dictionarySize ?? 0,
          bloomEncoding ?? 0,
        ]),
      };
    }),
    fileStatistics: footer.statistics,
    stripeStatistics: await file.stripeStatistics(),
  }) as Record<string, unknown>;
}

function expectedFacts(facts: Record<string, unknown>): Record<string, unknown> {
  const names = [
    'postscriptLength',
    'postscript',
    'rowCount',
    'stripeCount',
    'contentLength',
    'headerLength',
    'rowIndexStride',
    'schema',
    'types',
  ];
  const picked = Object.fromEntries(names.map((name) => [name, facts[name]]));
  const tail = { ...(facts['tail'] as Record<string, unknown>) };
  for (const name of ['footerUncompressedLength', 'footerChunks', 'metadataChunks']) delete tail[name];
  const userMetadata = (facts['userMetadata'] as { name: string; length: number; sha256: string }[]).map(
    ({ name, length, sha256 }) => ({ name, length, sha256 }),
  );
  const stripes = (facts['stripes'] as { encodings: [string, number | null, number | null][] }[]).map((stripe) => ({
    ...stripe,
    encodings: stripe.encodings.map(([kind, size, bloom]) => [kind, size ?? 0, bloom ?? 0]),
  }));
  const { fileStatistics, stripeStatistics } = facts;
  return { ...picked, tail, userMetadata, stripes, fileStatistics, stripeStatistics };
}

export function orcChecks({ name, facts, rows }: ColumnarFile): ColumnarCheck[] {
  const checks: ColumnarCheck[] = [];
  // The files for seeking come with their rows alone.
  if (facts !== undefined) {
    checks.push({
      title: `${name} has the facts that Apache ORC states`,
      async run(source) {
        assert.equal(source.size, facts['fileLength']);
        const actual = await factsOf(await openOrc(source));
        assert.deepEqual(withoutDefaults(actual), withoutDefaults(expectedFacts(facts)));
      },
    });
  }
  if (rows !== undefined) {
    checks.push({ title: `${name} has the rows that Apache ORC reads`, run: (source) => checkRows(source, rows) });
  }
  return checks;
}

async function checkRows(source: RangeSource, rows: readonly string[]): Promise<void> {
  let index = 0;
  for await (const batch of readOrcRows(await openOrc(source), { batchSize: 777 })) {
    for (const row of batch) {
      const actual = orcToJson(row);
      assert.ok(
        sameValue(actual, parseExpected(rows[index]!)),
        `row ${index} is ${JSON.stringify(actual)}, expected ${rows[index]}`,
      );
      index++;
    }
  }
  assert.equal(index, rows.length);
}

/** The codes of the list, as sealpipe's. Opening, or where the fault lies deeper reading, has to end in one of them. */
const codes: Record<string, string> = {
  'too-short': 'ERR_SEALPIPE_FORMAT_INVALID',
  'bad-magic': 'ERR_SEALPIPE_FORMAT_INVALID',
  'footer-length-out-of-range': 'ERR_SEALPIPE_FORMAT_INVALID',
  'malformed-postscript': 'ERR_SEALPIPE_FORMAT_INVALID',
  'malformed-footer': 'ERR_SEALPIPE_FORMAT_INVALID',
  'bad-range': 'ERR_SEALPIPE_FORMAT_INVALID',
  unsupported: 'ERR_SEALPIPE_FORMAT_UNSUPPORTED',
  ok: 'ok',
};

/** Opens a file and reads it to its end. */
export async function judgeOrc(source: RangeSource): Promise<{ code: string; error?: SealpipeError }> {
  try {
    const file = await openOrc(source);
    for await (const rows of readOrcRows(file)) assert.ok(rows.length > 0);
    return { code: 'ok' };
  } catch (error) {
    assert.ok(error instanceof SealpipeError, `an untyped error: ${String(error)}`);
    return { code: error.code, error };
  }
}

export function malformedOrcCheck({ file, code, meaning }: MalformedFile): ColumnarCheck {
  return {
    title: `${file} is judged ${code}: ${meaning}`,
    async run(source) {
      const { code: actual, error } = await judgeOrc(source);
      const allowed = code.split(/-or-(?!range)| or /).map((name) => codes[name]);
      assert.ok(!allowed.includes(undefined), `the test does not know ${code}`);
      assert.ok(allowed.includes(actual), `${actual}: ${error?.message}`);
      if (error?.code === 'ERR_SEALPIPE_FORMAT_INVALID') assert.equal(typeof error.offset, 'number');
    },
  };
}
