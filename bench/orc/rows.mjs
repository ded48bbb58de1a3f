// Rows per second of sealpipe/orc and of hyparquet on the same table, whole rows as objects:
//   python bench/orc/table.py 10000000 FOLDER && npm run build && node bench/orc/rows.mjs FOLDER [orc|columns|parquet]
// hyparquet is measured where it and hyparquet-compressors are installed; it reads a row group at a time, since ten million objects at once are not what is compared.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { LocalFileSource, openOrc, readOrcBatches, readOrcRows } from '../../dist/readers/orc/index.js';

const [folder, only] = process.argv.slice(2);
if (folder === undefined || !existsSync(join(folder, 'table.orc'))) {
  console.log(
    'skipped: no table.orc; bench/orc/table.py writes it (needs Python with pyarrow), its folder is the argument',
  );
  process.exit(0);
}

async function orcRows() {
  const source = await LocalFileSource.open(join(folder, 'table.orc'));
  let count = 0;
  for await (const rows of readOrcRows(await openOrc(source))) count += rows.length;
  await source.close();
  return count;
}

async function orcColumns() {
  const source = await LocalFileSource.open(join(folder, 'table.orc'));
  let count = 0;
  for await (const { rowCount } of readOrcBatches(await openOrc(source))) count += rowCount;
  await source.close();
  return count;
}

async function parquetRows() {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import('hyparquet');
  const { compressors } = await import('hyparquet-compressors');
  const file = await asyncBufferFromFile(join(folder, 'table.parquet'));
  const metadata = await parquetMetadataAsync(file);
  let count = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = count + Number(group.num_rows);
    count += (await parquetReadObjects({ file, metadata, compressors, rowStart: count, rowEnd })).length;
  }
  return count;
}

const cases = { orc: orcRows, columns: orcColumns, parquet: parquetRows };
for (const [name, run] of Object.entries(cases)) {
  if (only !== undefined && only !== name) continue;
  try {
    const started = performance.now();
    const count = await run();
    const seconds = (performance.now() - started) / 1000;
    const peak = Math.round(process.resourceUsage().maxRSS / 1024);
    const result = { node: process.versions.node, case: name, rows: count, seconds: Number(seconds.toFixed(2)) };
    console.log(JSON.stringify({ ...result, rowsPerSecond: Math.round(count / seconds), peakMiB: peak }));
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    console.log(`skipped: ${name} needs hyparquet and hyparquet-compressors`);
  }
}
