import { EncryptedS3 } from '../../index.ts';
import { counted, formatByteSize, formatRate, parseByteSize } from '../byte-size.ts';
import { type CommandFactory, defineCommand } from '../command.ts';
import { keyKind, missingKey, openKeyring } from '../keyring-options.ts';
import { addJsonOptions, addProgressOption, addVerboseOption, type CommonOptions } from '../options/common-options.ts';
import { addReadFormatOptions, type ReadFormatOptions, readPolicy } from '../options/format-options.ts';
import { addKeyOptions, type KeyOptions } from '../options/key-options.ts';
import { addPlaceOptions, localFolder, type PlaceOptions } from '../options/place-options.ts';
import { addCustomerKeyOption, type CustomerKeyOptions, customerKey } from '../options/server-side-options.ts';
import { type ProgressStyle, startProgress } from '../progress.ts';
import { formatS3Url, parseObjectUrl } from '../s3-url.ts';
import type { IndexDocument } from '../schemas.ts';
import { Session } from '../session.ts';

interface IndexOptions extends CommonOptions, PlaceOptions, KeyOptions, ReadFormatOptions, CustomerKeyOptions {
  readonly segmentSize?: number;
  readonly progress: ProgressStyle;
}

export const indexCommand: CommandFactory = defineCommand<IndexOptions>({
  name: 'index',
  operands: '<s3://bucket/key>',
  description:
    'Makes a segment index of an object that has none, so that parts of it can be read authenticated: reads the whole object once, verifies it, and stores the index beside it (.key.segments). Objects of AES-CBC get none: nothing authenticates them.',
  help: {
    Examples: [
      'sealpipe index s3://bucket/data.parquet --kms-key-id alias/my-key',
      'sealpipe index s3://bucket/data.orc --aes-key-file key.hex --segment-size 256KiB --json',
    ],
  },
  least: 1,
  most: 1,
  schema: 'index',
  addOptions: (command) => {
    command.option(
      '--segment-size <size>',
      'bytes that are authenticated as one: a power of two from 4KiB to 1MiB (default: 64KiB)',
      parseByteSize,
    );
    addKeyOptions(command, { direction: 'decrypt' });
    addReadFormatOptions(command);
    addCustomerKeyOption(command);
    addPlaceOptions(command, { kms: true });
    addProgressOption(command);
    addJsonOptions(
      command,
      'one document: bucket, key, indexKey, segmentSize, bytes, indexBytes, seconds, kmsCalls, etag',
    );
    addVerboseOption(command);
  },
  run: async ([operand = ''], options, context) => {
    const url = parseObjectUrl(operand);
    if (keyKind(options) === undefined) throw missingKey('decrypt', { local: localFolder(options) !== undefined });
    const session = await Session.open({ place: options, note: context.note });
    try {
      const keyring = await openKeyring({ options, session, direction: 'decrypt', warn: context.warn });
      const { encryptionContext, segmentSize } = options;
      const s3 = new EncryptedS3({ client: session.client, keyring, encryptionContext, ...readPolicy(options) });
      const sse = await customerKey(options, { warn: context.warn, confidential: session.confidential });
      const started = performance.now();
      const progress = await startProgress(options.progress, url.key);
      const onProgress = ({ loaded, total }: { loaded: number; total: number }): void =>
        progress.report({ bytes: loaded, total, parts: 1 });
      const result = await s3
        .createSegmentIndex(
          { Bucket: url.bucket, Key: url.key, ...sse },
          { segmentSize, onProgress, signal: context.signal },
        )
        .finally(() => progress.finish());
      const seconds = Math.round(performance.now() - started) / 1000;
      const document: IndexDocument = {
        bucket: result.bucket,
        key: result.key,
        indexKey: result.indexKey,
        segmentSize: result.segmentSize,
        bytes: result.plaintextSize,
        indexBytes: result.indexSize,
        seconds,
        kmsCalls: session.kmsCalls,
        etag: result.etag,
      };
      if (options.json === true) return await context.output.json(document);
      const segments = counted(Math.ceil(document.bytes / document.segmentSize), 'segment');
      await context.output.line(
        `${formatS3Url({ bucket: url.bucket, key: document.indexKey })}  ${segments} of ${formatByteSize(document.segmentSize)}, ${formatByteSize(document.bytes)} read in ${seconds.toFixed(1)} s (${formatRate(document.bytes, seconds)})`,
      );
    } finally {
      await session.close();
    }
  },
});
