import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { counted, formatByteSize, formatRate, parseByteSize } from '../byte-size.ts';
import { type CommandFactory, defineCommand } from '../command.ts';
import { addJsonOptions, addProgressOption } from '../options/common-options.ts';
import { addRangeOptions, type RangeOptions } from '../options/format-options.ts';
import { parseCount } from '../options/upload-options.ts';
import { printable } from '../printable.ts';
import { type ProgressStyle, startProgress } from '../progress.ts';
import { describeRange, rangeToFile, rangeToStdout } from '../range-reading.ts';
import { addReadingOptions, type FetchOptions, type ReadingOptions, withReading, writeToStdout } from '../reading.ts';
import { formatS3Url, looksLikeS3Url, parseObjectUrl } from '../s3-url.ts';
import type { TransferDocument } from '../schemas.ts';
import { UsageError } from '../usage-error.ts';

interface GetCommandOptions extends ReadingOptions, RangeOptions, FetchOptions {
  readonly progress: ProgressStyle;
}

export const getCommand: CommandFactory = defineCommand<GetCommandOptions>({
  name: 'get',
  operands: '<s3://bucket/key> <file|->',
  description:
    'Downloads an object and decrypts it. The file appears under its name when all of it has been authenticated, and not before: on any failure nothing is left, and what was there stays. A folder takes the name from the key; - is stdout, as `sealpipe cat` writes it. With --range only a part is fetched.',
  help: {
    Examples: [
      'sealpipe get s3://bucket/data.parquet data.parquet --kms-key-id alias/my-key',
      'sealpipe get s3://bucket/tables/a.csv ./downloads/ --aes-key-file key.hex',
      'sealpipe get s3://bucket/log.ndjson - --range bytes=-65536 --authenticate when-possible --kms-key-id alias/my-key',
      "sealpipe get s3://bucket/old.bin old.bin --aes-key-file now.hex --decryption-key 'year=2019=then.hex' --commitment-policy REQUIRE_ENCRYPT_ALLOW_DECRYPT",
    ],
  },
  least: 2,
  most: 2,
  schema: 'get',
  addOptions: (command) => {
    // First, as in the help of `put`: it is what the command does.
    addParallelOptions(command);
    addReadingOptions(command);
    addRangeOptions(command);
    addProgressOption(command);
    addJsonOptions(command, 'one document: bucket, key, bytes, seconds, parts, retries, kmsCalls, …');
  },
  run: async ([operand = '', target = ''], options, context) => {
    const url = parseObjectUrl(operand);
    if (looksLikeS3Url(target)) throw new UsageError(`${target} is in S3: get writes files and - (stdout)`);
    const { range } = options;
    if (range !== undefined && (options.concurrency ?? options.partSize ?? options.workers) !== undefined)
      throw new UsageError('--concurrency, --part-size and --workers go with whole objects, not with --range');
    if (range !== undefined && (options.release !== undefined || options.maxBuffered !== undefined))
      throw new UsageError(
        '--release and --max-buffered go with whole objects: of a range, --authenticate says what comes out',
      );
    if (target === '-') {
      if (options.json === true) throw new UsageError('--json goes with a file: stdout carries the object');
      if (range === undefined) return writeToStdout(url, options, context);
      const request = { range, authenticate: options.authenticate };
      return withReading(url, options, context, (reading) => rangeToStdout(reading, request, context));
    }
    if (options.release !== undefined || options.maxBuffered !== undefined)
      throw new UsageError(
        '--release and --max-buffered go with stdout: a file appears only once it is authenticated, whatever its size',
      );
    const path = await targetPath(target, url.key);
    const { concurrency, partSize, workers } = options;
    await withReading(url, options, context, async (reading) => {
      const { s3, session, params } = reading;
      const started = performance.now();
      const progress = await startProgress(options.progress, url.key);
      if (range !== undefined) {
        const request = { range, authenticate: options.authenticate, path, progress };
        const document = await rangeToFile(reading, request, context.signal).finally(() => progress.finish());
        if (options.json === true) return context.output.json(document);
        return context.output.line(`${formatS3Url(url)} -> ${path}  ${describeRange(document)}`);
      }
      const onProgress = ({ loaded, total }: { loaded: number; total: number }): void =>
        progress.report({ bytes: loaded, total, parts: 1 });
      const result = await s3
        .download(params, path, { concurrency, partSize, workers, signal: context.signal, onProgress })
        .finally(() => progress.finish());
      const seconds = Math.round(performance.now() - started) / 1000;
      const document: TransferDocument = {
        bucket: url.bucket,
        key: url.key,
        bytes: result.plaintextSize,
        seconds,
        parts: 1,
        retries: result.retries,
        restarts: 0,
        kmsCalls: session.kmsCalls,
        etag: result.etag,
      };
      if (options.json === true) return context.output.json(document);
      const { bytes, retries } = document;
      const again = retries === 0 ? '' : `, taken up again ${counted(retries, 'time')}`;
      // What --plaintext allow let through was verified by nobody.
      const how = result.envelope === undefined ? ', not encrypted, not authenticated' : '';
      await context.output.line(
        `${formatS3Url(url)} -> ${printable(path)}  ${formatByteSize(bytes)}, ${seconds.toFixed(1)} s (${formatRate(bytes, seconds)})${again}${how}`,
      );
    });
  },
});

function addParallelOptions(command: Command): void {
  const group = 'Download:';
  const add = (flags: string, description: string, parse: (argument: string) => number): void => {
    command.addOption(new Option(flags, description).helpGroup(group).argParser(parse));
  };
  add(
    '--concurrency <n>',
    'connections that fetch ranges side by side, where one is slower than the network (default: 1, a single GET)',
    parseCount('--concurrency', 1),
  );
  add('--part-size <size>', 'bytes of a range under --concurrency (default: an even share)', parseByteSize);
  add(
    '--workers <n>',
    'threads that decrypt large objects; up to 64; 0: none but the main one (default: one a core, at most 3)',
    parseCount('--workers', 0),
  );
}

/** Where the object goes: into a folder under the last part of its key. */
async function targetPath(target: string, key: string): Promise<string> {
  const isFolder =
    /[/\\]$/.test(target) ||
    (await stat(target).then(
      (found) => found.isDirectory(),
      () => false,
    ));
  if (!isFolder) return target;
  const name = key.slice(key.lastIndexOf('/') + 1);
  // A key is anybody's text: what it names must lie in the folder.
  if (
    name === '' ||
    name === '.' ||
    name === '..' ||
    /[\\\0]/.test(name) ||
    (process.platform === 'win32' && name.includes(':'))
  )
    throw new UsageError(`the key ${JSON.stringify(key)} gives no file name: name the file`);
  return join(target, name);
}
