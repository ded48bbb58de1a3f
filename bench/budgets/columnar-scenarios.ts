/** Footers, columns and row groups of files laid out like those that the figures of other readers were taken with. */
import assert from 'node:assert/strict';
import { RecordBatchFileWriter, tableFromArrays } from 'apache-arrow';
import type { EncryptedObject, OpenOptions } from '../../src/index.ts';
import { openArrow, readArrowRows } from '../../src/readers/arrow/index.ts';
import { type OrcFile, openOrc, readOrcBatches } from '../../src/readers/orc/index.ts';
import { openParquet, type ParquetFile, readParquetRows } from '../../src/readers/parquet/index.ts';
import type { BudgetScenario, OtherReader } from './budget-spec.ts';
import type { FileParts } from './file-parts.ts';
import { orcLayout } from './orc-layout.ts';
import { parquetLayout } from './parquet-layout.ts';
import type { BudgetPlace } from './place.ts';

const KiB = 1024;
const footerBytes = 27_359;
const wideFooterBytes = 1_978_062;
const orcTailBytes = 4229;
const wideOrcFooterBytes = 82_904;

/** What the ORC readers ask for first, which is all that most files of the format need. */
const orcTail: OpenOptions = { tail: 16 * KiB };

interface Step {
  readonly id: string;
  readonly title: string;
  /** GETs at most; a KMS call goes without saying. */
  readonly get: number;
  readonly other?: OtherReader;
}

/** @param scale 1: files as large as those; less makes columns shorter, and nothing else */
export function columnarScenarios(scale: number): BudgetScenario[] {
  const chunk = scaled(1_551_032, scale);
  const chunkBytes = [...Array<number>(8).fill(chunk), ...Array<number>(12).fill(chunk / 2 + 68)];
  const wideChunk = scaled(9352, scale);
  const stream = 2 + scaled(1_507_560, scale);
  const rowGroup = chunkBytes.reduce((sum, bytes) => sum + bytes, 0);
  const files: Record<string, () => FileParts> = {
    'big.parquet': () => parquetLayout({ rowGroups: 10, chunkBytes, footerBytes }).parts,
    'indexed.parquet': () => parquetLayout({ rowGroups: 1, chunkBytes, footerBytes }).parts,
    'wide.parquet': () =>
      parquetLayout({ rowGroups: 4, chunkBytes: Array<number>(3000).fill(wideChunk), footerBytes: wideFooterBytes })
        .parts,
    'big.orc': () =>
      orcLayout({
        stripes: 9,
        columns: 10,
        streamBytes: stream,
        stripeFooterBytes: 285,
        statisticsBytes: orcTailBytes - 858 - 26,
        footerBytes: 858,
      }).parts,
    'wide.orc': () =>
      orcLayout({
        stripes: 1,
        columns: 3000,
        streamBytes: scaled(26_776, scale),
        stripeFooterBytes: 80_000,
        statisticsBytes: 67_785,
        footerBytes: wideOrcFooterBytes,
      }).parts,
    'batches.arrow': () => [arrowFile(scaled(1_048_576, scale))],
  };

  const scenario = <T>(
    step: Step,
    name: string,
    use: {
      readonly open: OpenOptions;
      readonly with: (object: EncryptedObject) => Promise<T>;
    },
  ): BudgetScenario => ({
    name: `budgets/${step.id}`,
    title: step.title,
    budget: { get: step.get, head: 0, list: 0, kms: 1 },
    ...(step.other && { other: step.other }),
    prepare: (place) => place.put(name, files[name] as () => FileParts, { segmentIndex: name.startsWith('indexed') }),
    run: (place) => reading(place, name, use),
  });
  const parquet = (step: Step, name: string, read: (file: ParquetFile) => Promise<void>): BudgetScenario =>
    scenario(step, name, {
      open: { authenticate: 'never' },
      with: async (object) => read(await openParquet(object)),
    });
  const orc = (step: Step, name: string, read: (file: OrcFile) => Promise<void>): BudgetScenario =>
    scenario(step, name, {
      open: { authenticate: 'never', ...orcTail },
      with: async (object) => read(await openOrc(object, { tailBytes: 16 * KiB })),
    });
  const none = async (): Promise<void> => undefined;

  return [
    parquet(
      {
        id: 'parquet-footer',
        title: 'Parquet: open, metadata (footer 27 359 B)',
        get: 1,
        other: { name: 'polars', requests: 1, bytes: 262_144 },
      },
      'big.parquet',
      none,
    ),
    scenario(
      { id: 'parquet-footer-index', title: 'the same, authenticated by a segment index', get: 2 },
      'indexed.parquet',
      {
        open: {},
        with: async (object) => {
          await openParquet(object);
          assert.equal(object.authenticated, 'index');
        },
      },
    ),
    scenario(
      // The opening brings the last 4 KiB of the index: that of 21.7 MB of columns is longer.
      { id: 'parquet-column-index', title: 'the same, 1 column of 1 row group, the rest of its index', get: 4 },
      'indexed.parquet',
      {
        open: {},
        with: async (object) => parquetRows(await openParquet(object), { rowGroups: [0], columns: ['f3'] }),
      },
    ),
    parquet(
      {
        id: 'parquet-wide-footer',
        title: 'Parquet: open, metadata (footer 1 978 062 B)',
        get: 2,
        other: { name: 'hyparquet', requests: 2, bytes: wideFooterBytes + 8 },
      },
      'wide.parquet',
      none,
    ),
    parquet(
      {
        id: 'parquet-column',
        title: 'Parquet: open, 1 column of 1 row group',
        get: 2,
        other: { name: 'polars', requests: 2, bytes: 262_144 + chunk },
      },
      'big.parquet',
      (file) => parquetRows(file, { rowGroups: [3], columns: ['f3'] }),
    ),
    parquet(
      {
        id: 'parquet-columns',
        title: 'Parquet: open, 3 adjacent columns of 1 row group',
        get: 2,
        other: { name: 'pyarrow, pre_buffer', requests: 3, bytes: 65_536 + 3 * chunk },
      },
      'big.parquet',
      (file) => parquetRows(file, { rowGroups: [3], columns: ['f3', 'f4', 'f5'] }),
    ),
    parquet(
      {
        id: 'parquet-row-group',
        title: 'Parquet: open, a whole row group of 20 columns',
        get: 3,
        other: { name: 'pyarrow, pre_buffer', requests: 3, bytes: 65_536 + rowGroup },
      },
      'big.parquet',
      (file) => parquetRows(file, { rowGroups: [3] }),
    ),
    parquet(
      {
        id: 'parquet-wide-row-group',
        title: 'Parquet: open, a whole row group of 3 000 columns',
        get: 4,
        other: { name: 'pyarrow, pre_buffer', requests: 4, bytes: 2_043_598 + 3000 * wideChunk },
      },
      'wide.parquet',
      (file) => parquetRows(file, { rowGroups: [1] }),
    ),
    parquet(
      {
        id: 'parquet-column-all',
        title: 'Parquet: open, 1 column of all 10 row groups',
        get: 11,
        other: { name: 'polars', requests: 11, bytes: 262_144 + 10 * chunk },
      },
      'big.parquet',
      (file) => parquetRows(file, { columns: ['f3'] }),
    ),
    orc(
      {
        id: 'orc-footer',
        title: 'ORC: open, footer (tail 4 229 B)',
        get: 1,
        other: { name: 'all', requests: 2, bytes: 16_384 },
      },
      'big.orc',
      none,
    ),
    orc(
      {
        id: 'orc-wide-footer',
        title: 'ORC: open, footer (82 904 B of a tail of 150 717 B)',
        get: 2,
        other: { name: 'pyarrow, pyorc', requests: 3, bytes: 99_288 },
      },
      'wide.orc',
      none,
    ),
    orc(
      {
        id: 'orc-column',
        title: 'ORC: open, 1 column of 1 stripe',
        get: 3,
        other: { name: 'Apache ORC Java', requests: 4, bytes: 16_384 + 2 * 285 + stream },
      },
      'big.orc',
      (file) => orcRows(file, ['f3']),
    ),
    orc(
      {
        id: 'orc-columns',
        title: 'ORC: open, 3 adjacent columns of 1 stripe',
        get: 3,
        other: { name: 'Apache ORC Java', requests: 4, bytes: 16_384 + 2 * 285 + 3 * stream },
      },
      'big.orc',
      (file) => orcRows(file, ['f3', 'f4', 'f5']),
    ),
    scenario({ id: 'arrow-footer', title: 'Arrow: open, footer', get: 1 }, 'batches.arrow', {
      open: { authenticate: 'never' },
      with: async (object) => assert.equal((await openArrow(object)).recordBatches.length, arrowBatches),
    }),
    scenario({ id: 'arrow-batch', title: 'Arrow: open, 1 record batch', get: 2 }, 'batches.arrow', {
      open: { authenticate: 'never' },
      async with(object) {
        const file = await openArrow(object);
        let rows = 0;
        for await (const batch of readArrowRows(file, { batches: [1] })) rows += batch.length;
        assert.ok(rows > 0);
      },
    }),
  ];
}

/** A length that 8 divides, of at least 1 KiB. */
function scaled(bytes: number, scale: number): number {
  return Math.max(KiB, Math.round((bytes * scale) / 8) * 8);
}

async function reading<T>(
  place: BudgetPlace,
  name: string,
  { open, with: use }: { readonly open: OpenOptions; readonly with: (object: EncryptedObject) => Promise<T> },
): Promise<void> {
  await using object = await place.encrypted().open(place.at(name), open);
  await use(object);
}

async function parquetRows(file: ParquetFile, options: { rowGroups?: number[]; columns?: string[] }): Promise<void> {
  const groups = options.rowGroups?.map((index) => file.metadata.rowGroups[index]) ?? file.metadata.rowGroups;
  const expected = groups.reduce((sum, group) => sum + (group?.rowCount ?? 0), 0);
  let rows = 0;
  for await (const batch of readParquetRows(file, options)) rows += batch.length;
  assert.equal(rows, expected);
}

async function orcRows(file: OrcFile, columns: string[]): Promise<void> {
  let rows = 0;
  for await (const { rowCount } of readOrcBatches(file, { columns, stripes: [3] })) rows += rowCount;
  assert.equal(rows, file.footer.stripes[3]?.rowCount);
}

const arrowBatches = 8;

function arrowFile(batchBytes: number): Buffer {
  const writer = new RecordBatchFileWriter();
  const table = tableFromArrays({ value: new Float64Array(batchBytes / 8) });
  for (let batch = 0; batch < arrowBatches; batch++) for (const each of table.batches) writer.write(each);
  writer.finish();
  return Buffer.from(writer.toUint8Array(true));
}
