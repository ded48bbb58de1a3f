/** The files of the readers' own tests, encrypted in every format, held to the same facts and rows over the network. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pMap from 'p-map';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import type { EncryptedS3 } from '../../src/objects/encrypted-s3.ts';
import type { OpenOptions } from '../../src/objects/open-object.ts';
import { Bucket, TestEndpoint } from '../support/endpoint.ts';
import { legacyKmsObject, legacyObject, legacyPolicy } from '../support/legacy-objects.ts';
import { sharedFolder, withoutShared } from '../support/project.ts';
import { arrowChecks, malformedArrowCheck } from './arrow/columnar-checks.ts';
import { type ColumnarCheck, columnarFiles, malformedFiles } from './columnar-folder.ts';
import { malformedOrcCheck, orcChecks } from './orc/columnar-checks.ts';
import { malformedParquetCheck, parquetChecks } from './parquet/columnar-checks.ts';

/** A file's bytes, and what has to hold of them. */
interface Case {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly checks: readonly ColumnarCheck[];
}

const formats: Readonly<Record<string, readonly Case[]>> = {
  Parquet: columnarFiles('parquet').map((file) => ({ ...file, checks: parquetChecks(file) })),
  ORC: columnarFiles('orc').map((file) => ({ ...file, checks: orcChecks(file) })),
  Arrow: columnarFiles('arrow').map((file) => ({ ...file, checks: arrowChecks(file) })),
};
const malformed: readonly Case[] = [
  ...malformedFiles(/\.parquet$/).map((file) => ({ ...file, check: malformedParquetCheck(file) })),
  ...malformedFiles(/\.orc$/).map((file) => ({ ...file, check: malformedOrcCheck(file) })),
  ...malformedFiles(/\.arrows?$/).map((file) => ({ ...file, check: malformedArrowCheck(file) })),
].map(({ file, bytes, check }) => ({ name: file, bytes, checks: [check] }));

let endpoint: TestEndpoint;
before(async () => {
  endpoint = await TestEndpoint.start();
});
after(() => endpoint.close());

/** One way in which objects are written, and how they are read. */
interface Form {
  readonly name: string;
  readonly put: (Key: string, bytes: Uint8Array) => Promise<unknown>;
  readonly reader: () => EncryptedS3;
  readonly options: OpenOptions;
}

const wrappingKey = randomBytes(32);
const v2 = (): EncryptedS3 => endpoint.encrypted({ suite: 'gcm', commitmentPolicy: 'FORBID_ENCRYPT_ALLOW_DECRYPT' });
// Tails of odd lengths make even small files come in ranges that begin within a block of the cipher.
const forms: readonly Form[] = [
  {
    name: 'V3',
    put: (Key, Body) => endpoint.encrypted().upload({ Bucket, Key, Body }).done(),
    reader: () => endpoint.encrypted(),
    options: { authenticate: 'never' },
  },
  {
    name: 'V3 with a segment index, all reads authenticated',
    put: (Key, Body) =>
      endpoint
        .encrypted()
        .upload({ Bucket, Key, Body }, { segmentIndex: { segmentSize: 4096 } })
        .done(),
    reader: () => endpoint.encrypted(),
    options: { tail: 1001 },
  },
  {
    name: 'V2',
    put: (Key, Body) => v2().upload({ Bucket, Key, Body }).done(),
    reader: v2,
    options: { authenticate: 'never', tail: 1001 },
  },
  {
    name: 'V1, CBC, wrapped by AES',
    async put(Key, bytes) {
      const { body, metadata } = legacyObject(wrappingKey, bytes);
      await endpoint.store(Key, body, metadata);
    },
    reader: () => endpoint.encrypted({ keyring: aesKeyring({ key: wrappingKey }), ...legacyPolicy }),
    options: { authenticate: 'never', tail: 1001 },
  },
  {
    name: 'CBC, wrapped by KMS as the first clients did',
    async put(Key, bytes) {
      const { body, metadata } = await legacyKmsObject({ kms: endpoint.kms, keyId: 'alias/sealpipe' }, bytes);
      await endpoint.store(Key, body, metadata);
    },
    reader: () => endpoint.encrypted(legacyPolicy),
    options: { authenticate: 'never' },
  },
];

/** Writes the files, opens each, and says which checks failed of which. */
async function failuresOf({ name: form, put, reader, options }: Form, cases: readonly Case[]): Promise<string[]> {
  const s3 = reader();
  const failures = await pMap(
    cases,
    async ({ name, bytes, checks }) => {
      const Key = `${form}/${name}`;
      await put(Key, bytes);
      await using object = await s3.open({ Bucket, Key }, options);
      assert.equal(object.size, bytes.length, Key);
      const failed: string[] = [];
      for (const { title, run } of checks) {
        await run(object).catch((error: Error) => failed.push(`${title}: ${error.message}`));
      }
      return failed;
    },
    { concurrency: 6 },
  );
  return failures.flat();
}

for (const form of forms) {
  describe(form.name, () => {
    for (const [format, cases] of Object.entries(formats)) {
      test(`every ${format} file has the facts and the rows that other readers state`, async () => {
        assert.ok(cases.length > 3 && cases.every(({ checks }) => checks.length > 0));
        assert.deepEqual(await failuresOf(form, cases), []);
      });
    }

    test('every malformed file is refused by its code, and nothing outside of it is asked for', async () => {
      await endpoint.local.requests.settled();
      endpoint.local.requests.clear();
      assert.deepEqual(await failuresOf(form, malformed), []);
      await endpoint.local.requests.settled();
      const gets = endpoint.local.requests.all('GetObject').filter(({ key = '' }) => !key.endsWith('.segments'));
      assert.ok(gets.length >= malformed.length);
      assert.deepEqual(
        gets.filter(({ status }) => status !== 206),
        [],
      );
    });
  });
}

test('every file of the conformance set is among them', { skip: withoutShared }, () => {
  const index = readFileSync(join(sharedFolder as string, 'columnar/index.json'), 'utf8');
  const names = new Set(
    Object.values(formats)
      .flat()
      .map(({ name }) => name),
  );
  const missing = (JSON.parse(index) as { path: string }[]).filter(({ path }) => !names.has(basename(path)));
  assert.deepEqual(missing, []);
  assert.ok(malformed.length >= 50, `${malformed.length} malformed files`);
});
