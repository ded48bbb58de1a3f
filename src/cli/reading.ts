/** What `get` and `cat` share: which options they have, and how they open S3. */
import type { Command } from 'commander';
import { EncryptedS3, type GetOptions, type GetParams } from '../index.ts';
import { parseByteSize } from './byte-size.ts';
import type { CommandContext } from './command-run.ts';
import { keyKind, missingKey, noKeyring, openKeyring } from './keyring-options.ts';
import { addVerboseOption, type CommonOptions } from './options/common-options.ts';
import {
  addReadFormatOptions,
  addReleaseOptions,
  type ReadFormatOptions,
  type ReleaseOptions,
  readPolicy,
} from './options/format-options.ts';
import { addKeyOptions, type KeyOptions } from './options/key-options.ts';
import { addPlaceOptions, localFolder, type PlaceOptions } from './options/place-options.ts';
import { addCustomerKeyOption, type CustomerKeyOptions, customerKey } from './options/server-side-options.ts';
import type { S3Url } from './s3-url.ts';
import { Session } from './session.ts';

export interface ReadingOptions
  extends CommonOptions,
    PlaceOptions,
    KeyOptions,
    ReadFormatOptions,
    ReleaseOptions,
    CustomerKeyOptions {}

export function addReadingOptions(command: Command): void {
  addKeyOptions(command, { direction: 'decrypt' });
  addReadFormatOptions(command);
  addReleaseOptions(command, parseByteSize);
  addCustomerKeyOption(command);
  addPlaceOptions(command, { kms: true });
  addVerboseOption(command);
}

/** An object about to be read. */
export interface Reading {
  readonly s3: EncryptedS3;
  readonly session: Session;
  readonly params: GetParams;
}

/** Opens what reading one object needs, runs `work` with it, and closes it. @throws UsageError where no key was given */
export async function withReading<Result>(
  url: S3Url,
  options: ReadingOptions,
  context: CommandContext,
  work: (reading: Reading) => Promise<Result>,
): Promise<Result> {
  const kind = keyKind(options);
  // A plaintext object needs no key; an encrypted one then fails when its key is asked for.
  if (kind === undefined && options.plaintext !== 'allow')
    throw missingKey('decrypt', { local: localFolder(options) !== undefined });
  const session = await Session.open({ place: options, note: context.note });
  try {
    const keyring =
      kind === undefined
        ? noKeyring
        : await openKeyring({ options, session, direction: 'decrypt', warn: context.warn });
    const { encryptionContext } = options;
    const s3 = new EncryptedS3({ client: session.client, keyring, encryptionContext, ...readPolicy(options) });
    const sse = await customerKey(options, { warn: context.warn, confidential: session.confidential });
    return await work({ s3, session, params: { Bucket: url.bucket, Key: url.key, ...sse } });
  } finally {
    await session.close();
  }
}

/** How an object is fetched: over how many connections. */
export type FetchOptions = Pick<GetOptions, 'concurrency' | 'partSize' | 'workers'>;

/** Writes an object's plaintext to stdout. */
export async function writeToStdout(
  url: S3Url,
  options: ReadingOptions & FetchOptions,
  context: CommandContext,
): Promise<void> {
  const { release, maxBuffered, concurrency, partSize, workers } = options;
  const { signal, output } = context;
  const read: GetOptions = { release, maxBuffered, concurrency, partSize, workers, signal };
  await withReading(url, options, context, async ({ s3, params }) => {
    const { body } = await s3.get(params, read);
    // Left early, as when stdout is closed, the loop destroys the body, and with it the connection.
    for await (const chunk of body as AsyncIterable<Buffer>) await output.handOver(chunk);
  });
}
