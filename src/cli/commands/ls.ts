import { Option } from 'commander';
import type { ListEntry } from '../../index.ts';
import { type CommandFactory, defineCommand } from '../command.ts';
import { withLooking } from '../looking.ts';
import { addJsonOptions, addVerboseOption, type CommonOptions } from '../options/common-options.ts';
import { addInstructionSuffixOption } from '../options/format-options.ts';
import { addPlaceOptions, type PlaceOptions } from '../options/place-options.ts';
import { printable } from '../printable.ts';
import { parseS3Url } from '../s3-url.ts';
import type { LsLine } from '../schemas.ts';

interface LsOptions extends CommonOptions, PlaceOptions {
  readonly contents?: 'gcm';
  readonly all?: boolean;
  readonly instructionSuffix?: string;
}

export const lsCommand: CommandFactory = defineCommand<LsOptions>({
  name: 'ls',
  operands: '<s3://bucket/prefix>',
  description:
    'Lists all objects under a prefix with the sizes of their plaintext: time, bytes, key. A listing does not say how an object is encrypted, so a size is the least that it can be (≥), unless --contents gcm promises that all content is GCM. Instruction files are hidden beside their objects.',
  help: {
    Examples: ['sealpipe ls s3://bucket/tables/', 'sealpipe ls s3://bucket --contents gcm --json'],
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
      .option('--all', 'also list instruction files');
    addInstructionSuffixOption(command);
    addPlaceOptions(command, { kms: false });
    addJsonOptions(
      command,
      'one line for each object: key, storedSize, plaintextSize, exact, basis, lastModified, etag',
    );
    addVerboseOption(command);
  },
  run: async ([operand = ''], options, context) => {
    const { bucket, key } = parseS3Url(operand);
    const { contents, all, instructionSuffix, json } = options;
    await withLooking(options, { instructionSuffix }, context, async ({ s3 }) => {
      const entries = s3.list({ Bucket: bucket, Prefix: key }, { contents, companions: all, signal: context.signal });
      for await (const entry of entries) {
        if (json === true) await context.output.json(toLine(entry));
        else await context.output.line(forPeople(entry));
      }
    });
  },
});

function toLine({ key, storedSize, plaintextSize, exact, basis, lastModified, etag }: ListEntry): LsLine {
  return { key, storedSize, plaintextSize, exact, basis, lastModified: lastModified?.toISOString() ?? null, etag };
}

/** Bytes of the largest object have eleven digits. */
const sizeWidth = 13;

function forPeople({ key, plaintextSize, exact, lastModified }: ListEntry): string {
  const time =
    lastModified
      ?.toISOString()
      .replace('T', ' ')
      .replace(/\.\d+Z$/, 'Z') ?? '-'.repeat(20);
  // Content of GCM has exactly 16 bytes less than what is stored, CBC and plaintext have fewer less: it is a lower bound.
  return `${time} ${`${exact ? '' : '≥'}${plaintextSize}`.padStart(sizeWidth)}  ${printable(key)}`;
}
