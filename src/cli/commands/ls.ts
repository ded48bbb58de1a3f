import { Option } from 'commander';
import type { ListEntry } from '../../index.ts';
import { counted } from '../byte-size.ts';
import { type CommandFactory, defineCommand } from '../command.ts';
import { withLooking } from '../looking.ts';
import { addJsonOptions, addVerboseOption, type CommonOptions } from '../options/common-options.ts';
import { addLegacyOptions, type ReadFormatOptions, readPolicy } from '../options/format-options.ts';
import { addKeyOptions, type KeyOptions } from '../options/key-options.ts';
import { addPlaceOptions, type PlaceOptions } from '../options/place-options.ts';
import { parseCount } from '../options/upload-options.ts';
import { printable } from '../printable.ts';
import { parseS3Url } from '../s3-url.ts';
import type { LsLine } from '../schemas.ts';
import { UsageError } from '../usage-error.ts';

interface LsOptions extends CommonOptions, PlaceOptions, KeyOptions, ReadFormatOptions {
  readonly contents?: 'gcm';
  readonly exact?: boolean;
  readonly concurrency?: number;
  readonly all?: boolean;
}

export const lsCommand: CommandFactory = defineCommand<LsOptions>({
  name: 'ls',
  operands: '<s3://bucket/prefix>',
  description:
    'Lists all objects under a prefix with the sizes of their plaintext: time, bytes, key. A listing does not say how an object is encrypted, so a size is the least that it can be (≥), unless --contents gcm promises that all content is GCM, or --exact looks at each object. Instruction files are hidden beside their objects.',
  help: {
    Examples: [
      'sealpipe ls s3://bucket/tables/',
      'sealpipe ls s3://bucket --contents gcm --json',
      'sealpipe ls s3://bucket/old/ --exact --legacy unauthenticated --legacy wrapping --commitment-policy REQUIRE_ENCRYPT_ALLOW_DECRYPT --aes-key-file key.hex',
    ],
  },
  least: 1,
  most: 1,
  schema: 'ls',
  addOptions: (command) => {
    command
      .addOption(
        new Option(
          '--contents <gcm>',
          'a promise that all content is AES-GCM (formats V2 and V3 of current clients): makes sizes exact',
        ).choices(['gcm']),
      )
      .option(
        '--exact',
        'look at every object (one HEAD each, at times one or two GETs): exact sizes, and what each is. CBC content needs a key, and --legacy unauthenticated',
      )
      .addOption(
        new Option('--concurrency <n>', 'objects that --exact looks at at a time (default: 16)').argParser(
          parseCount('--concurrency', 1),
        ),
      )
      .option('--all', 'also list instruction files');
    addKeyOptions(command, { direction: 'decrypt' });
    addLegacyOptions(command);
    addPlaceOptions(command, { kms: true });
    addJsonOptions(
      command,
      'one line for each object: key, storedSize, plaintextSize, exact, basis, lastModified, etag',
    );
    addVerboseOption(command);
  },
  run: async ([operand = ''], options, context) => {
    const { bucket, key } = parseS3Url(operand);
    const { contents, exact, concurrency, all, json } = options;
    if (concurrency !== undefined && exact !== true) throw new UsageError('--concurrency goes with --exact');
    await withLooking(options, readPolicy(options), context, async ({ s3 }) => {
      const list = { contents, exact, concurrency, companions: all, signal: context.signal };
      let inexact = 0;
      let problem: ListEntry['problem'];
      for await (const entry of s3.list({ Bucket: bucket, Prefix: key }, list)) {
        if (json === true) await context.output.json(toLine(entry));
        else await context.output.line(forPeople(entry));
        if (entry.problem === undefined) continue;
        inexact += 1;
        problem ??= entry.problem;
        context.detail(`${printable(entry.key)}: ${entry.problem.message}`);
      }
      if (problem !== undefined)
        context.note(
          `${counted(inexact, 'size')} could not be made exact (of the first: ${problem.code}: ${problem.message})`,
        );
    });
  },
});

function toLine({ lastModified, problem, kind, ...entry }: ListEntry): LsLine {
  const { key, storedSize, plaintextSize, exact, basis, etag } = entry;
  return {
    key,
    storedSize,
    plaintextSize,
    exact,
    basis,
    lastModified: lastModified?.toISOString() ?? null,
    etag,
    ...(kind && { kind }),
    ...(problem && { problem: { code: problem.code, message: problem.message } }),
  };
}

/** Bytes of the largest object have eleven digits. */
const sizeWidth = 13;
/** `plaintext`, `directory`. */
const kindWidth = 9;

function forPeople({ key, plaintextSize, exact, basis, kind, lastModified }: ListEntry): string {
  const time =
    lastModified
      ?.toISOString()
      .replace('T', ' ')
      .replace(/\.\d+Z$/, 'Z') ?? '-'.repeat(20);
  // Content of GCM has exactly 16 bytes less than what is stored, CBC and plaintext have fewer less: it is a lower bound.
  const bound = exact ? '' : basis === 'cbc-bound' ? '≤' : '≥';
  const what = kind === undefined ? '' : `${kind.padEnd(kindWidth)}  `;
  return `${time} ${`${bound}${plaintextSize}`.padStart(sizeWidth)}  ${what}${printable(key)}`;
}
