import { type Command, Option } from 'commander';
import {
  type AuthenticateRule,
  type CommitmentPolicy,
  type EncryptedS3Options,
  type EnvelopeStorage,
  type HttpRange,
  parseHttpRange,
  type ReadPolicy,
} from '../../index.ts';
import { collect } from '../pairs.ts';
import { UsageError } from '../usage-error.ts';

export interface WriteFormatOptions {
  readonly format?: 'v3' | 'v2';
  readonly storage?: EnvelopeStorage;
  readonly commitmentPolicy?: CommitmentPolicy;
}

export interface ReadFormatOptions {
  readonly commitmentPolicy?: CommitmentPolicy;
  readonly instructionSuffix?: string;
  readonly legacy?: readonly ('wrapping' | 'unauthenticated')[];
  readonly plaintext?: 'refuse' | 'allow';
}

export interface ReleaseOptions {
  readonly release?: 'authenticated' | 'delayed';
  readonly maxBuffered?: number;
}

const writing = 'Format of what is written:';
const reading = 'What is accepted on reading (everything weaker is off until named):';

function policyOption(group: string): Option {
  return new Option(
    '--commitment-policy <policy>',
    'REQUIRE_ENCRYPT_REQUIRE_DECRYPT (default): format V3 alone; REQUIRE_ENCRYPT_ALLOW_DECRYPT: writes V3, reads older formats; FORBID_ENCRYPT_ALLOW_DECRYPT: writes V2, reads all',
  )
    .choices(['FORBID_ENCRYPT_ALLOW_DECRYPT', 'REQUIRE_ENCRYPT_ALLOW_DECRYPT', 'REQUIRE_ENCRYPT_REQUIRE_DECRYPT'])
    .helpGroup(group);
}

export function addWriteFormatOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--format <v3|v2>', 'v3: AES-256-GCM with key commitment; v2: without, for older readers')
        .choices(['v3', 'v2'])
        .helpGroup(writing),
    )
    .addOption(policyOption(writing))
    .addOption(
      new Option('--storage <metadata|instruction-file>', 'where the envelope goes (default: metadata)')
        .choices(['metadata', 'instruction-file'])
        .helpGroup(writing),
    );
}

export function addInstructionSuffixOption(command: Command): Command {
  return command.addOption(
    new Option(
      '--instruction-suffix <suffix>',
      'how the keys of instruction files end (default: .instruction)',
    ).helpGroup(reading),
  );
}

/** What is accepted of formats; without `--plaintext`, for commands that return no content. */
export function addLegacyOptions(command: Command): Command {
  command.addOption(policyOption(reading)).addOption(
    new Option(
      '--legacy <wrapping|unauthenticated>',
      'wrapping: data keys wrapped as older clients did; unauthenticated: CBC content, which anybody who can write to the bucket can alter (repeatable)',
    )
      .choices(['wrapping', 'unauthenticated'])
      .argParser((argument: string, previous: readonly string[] | undefined) => {
        if (!['wrapping', 'unauthenticated'].includes(argument))
          throw new UsageError(`--legacy is given ${JSON.stringify(argument)}: expected wrapping or unauthenticated`);
        return collect(argument, previous);
      })
      .helpGroup(reading),
  );
  return addInstructionSuffixOption(command);
}

export function addReadFormatOptions(command: Command): Command {
  return addLegacyOptions(command).addOption(
    new Option(
      '--plaintext <refuse|allow>',
      'allow: also objects that are not encrypted. Gives up authenticity for the whole call: whoever can write to the bucket can then put bytes of their own in the place of any object (default: refuse)',
    )
      .choices(['refuse', 'allow'])
      .helpGroup(reading),
  );
}

/** `--range` and how much is asked of it. */
export interface RangeOptions {
  readonly range?: HttpRange;
  readonly authenticate?: AuthenticateRule;
}

export function addRangeOptions(command: Command): Command {
  return addAuthenticateOption(
    command.addOption(
      new Option(
        '--range <bytes=first-last>',
        'only these bytes of the plaintext, as HTTP counts them: bytes=0-99, bytes=100- (to the end), bytes=-100 (the last)',
      )
        .argParser(parseRange)
        .helpGroup(reading),
    ),
  );
}

export function addAuthenticateOption(command: Command): Command {
  return command.addOption(
    new Option(
      '--authenticate <required|when-possible|never>',
      'of a range: required: only bytes that were verified, which takes a segment index, or an object that is small enough to be verified whole; when-possible: verified where that can be; never: whoever can write to the bucket can have changed them (default: required)',
    )
      .choices(['required', 'when-possible', 'never'])
      .helpGroup(reading),
  );
}

function parseRange(argument: string): HttpRange {
  const range = parseHttpRange(argument);
  if (range !== undefined) return range;
  throw new UsageError(
    `--range is given ${JSON.stringify(argument)}: expected one range as HTTP writes it, bytes=0-99, bytes=100- or bytes=-100`,
  );
}

export function addReleaseOptions(command: Command, parseSize: (text: string) => number): Command {
  return command
    .addOption(
      new Option(
        '--release <authenticated|delayed>',
        'to stdout: authenticated: only after the whole object was verified, held in memory until then; delayed: at once, verified at the end (exit status 1 then means that what came out must be thrown away) (default: authenticated)',
      )
        .choices(['authenticated', 'delayed'])
        .helpGroup(reading),
    )
    .addOption(
      new Option('--max-buffered <size>', 'the most that --release authenticated holds in memory (default: 64MiB)')
        .argParser(parseSize)
        .helpGroup(reading),
    );
}

/** @throws UsageError when format and policy contradict each other (DECISIONS section 4) */
export function writeSetting(
  options: WriteFormatOptions,
): Pick<EncryptedS3Options, 'suite' | 'commitmentPolicy' | 'storage'> {
  const { format, commitmentPolicy, storage } = options;
  const forbids = commitmentPolicy === 'FORBID_ENCRYPT_ALLOW_DECRYPT';
  if (format !== undefined && commitmentPolicy !== undefined && (format === 'v2') !== forbids) {
    throw new UsageError(
      `--format ${format} ${forbids ? 'commits to its key, which' : 'does not commit to its key, as'} --commitment-policy ${commitmentPolicy} ${forbids ? 'forbids' : 'requires'}: leave out one of the two`,
    );
  }
  return {
    storage,
    commitmentPolicy: format === 'v2' ? 'FORBID_ENCRYPT_ALLOW_DECRYPT' : commitmentPolicy,
    suite: format === undefined ? undefined : format === 'v2' ? 'gcm' : 'gcm-commit',
  };
}

export function readPolicy({
  commitmentPolicy,
  instructionSuffix,
  legacy = [],
  plaintext,
}: ReadFormatOptions): ReadPolicy {
  return {
    commitmentPolicy,
    instructionSuffix,
    plaintext,
    legacy: {
      wrappingAlgorithms: legacy.includes('wrapping'),
      unauthenticatedModes: legacy.includes('unauthenticated'),
    },
  };
}
