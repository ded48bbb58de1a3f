import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { formatSchema, type OrcFile, openOrc, orcToJson, readOrcRows } from '../../../src/readers/orc/index.ts';
import { CountingSource, columnarFiles, columnarFolders } from './columnar-files.ts';
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

for (const folder of columnarFolders()) {
  for (const { name, bytes, facts, rows } of columnarFiles(folder)) {
    // The files for seeking come with their rows alone.
    const known = Object.keys(facts).length > 0;
    if (known) {
      test(`${name} has the facts that Apache ORC states`, async () => {
        assert.equal(bytes.length, facts['fileLength']);
        const actual = await factsOf(await openOrc(new CountingSource(bytes)));
        assert.deepEqual(withoutDefaults(actual), withoutDefaults(expectedFacts(facts)));
      });
    }

    if (rows !== undefined) {
      test(`${name} has the rows that Apache ORC reads`, async () => {
        const file = await openOrc(new CountingSource(bytes));
        let index = 0;
        for await (const batch of readOrcRows(file, { batchSize: 777 })) {
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
      });
    }
  }
}

test('the comparison of rows tells different values apart', () => {
  assert.equal(sameValue('2020-01-01T00:00:00.000000001', '2020-01-01 00:00:00.0'), false);
  assert.equal(sameValue('12.50', '12.51'), false);
  assert.equal(sameValue([1], [1, 2]), false);
  assert.equal(sameValue({ a: 1 }, { a: 1, b: null }), false);
  assert.equal(sameValue('9223372036854775807', parseExpected('{"a": 9223372036854775806}')), false);
});
