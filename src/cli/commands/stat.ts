import type { Envelope, HeadResult } from '../../index.ts';
import { formatByteSize } from '../byte-size.ts';
import { type CommandFactory, defineCommand } from '../command.ts';
import { keyKind } from '../keyring-options.ts';
import { withLooking } from '../looking.ts';
import { addJsonOptions, addVerboseOption, type CommonOptions } from '../options/common-options.ts';
import { addLegacyOptions, type ReadFormatOptions, readPolicy } from '../options/format-options.ts';
import { addKeyOptions, type KeyOptions } from '../options/key-options.ts';
import { addPlaceOptions, type PlaceOptions } from '../options/place-options.ts';
import { addCustomerKeyOption, type CustomerKeyOptions, customerKey } from '../options/server-side-options.ts';
import { printable } from '../printable.ts';
import { parseObjectUrl, parseS3Url } from '../s3-url.ts';
import type { StatDocument } from '../schemas.ts';

interface StatOptions extends CommonOptions, PlaceOptions, KeyOptions, ReadFormatOptions, CustomerKeyOptions {
  readonly recursive?: boolean;
}

export const statCommand: CommandFactory = defineCommand<StatOptions>({
  name: 'stat',
  operands: '<s3://bucket/key>',
  description:
    'Shows everything about one object that is known without its key: sizes, how it is encrypted on this side and by S3, what a reader has to give. A key is needed for one thing alone: the exact size of CBC content, whose last block it is that tells (--legacy unauthenticated).',
  help: {
    Examples: [
      'sealpipe stat s3://bucket/data.parquet',
      'sealpipe stat s3://bucket/data.parquet --json',
      'sealpipe stat --recursive s3://bucket/tables/ --json',
    ],
  },
  least: 1,
  most: 1,
  schema: 'stat',
  addOptions: (command) => {
    command.option('--recursive', 'all objects under a prefix, instruction files left out');
    addKeyOptions(command, { direction: 'decrypt' });
    addLegacyOptions(command);
    addCustomerKeyOption(command);
    addPlaceOptions(command, { kms: true });
    addJsonOptions(command, 'one document, or one line for each object with --recursive');
    addVerboseOption(command);
  },
  run: async ([operand = ''], options, context) => {
    const { recursive = false, json = false } = options;
    const { bucket, key } = recursive ? parseS3Url(operand) : parseObjectUrl(operand);
    // Nothing is opened here: that an object is not encrypted is what a look at it should tell.
    const policy = { ...readPolicy(options), plaintext: 'allow' } as const;
    // Without leave to open it, the bound is what is known.
    const exact = keyKind(options) !== undefined && options.legacy?.includes('unauthenticated') === true;
    const { signal } = context;
    await withLooking(options, policy, context, async ({ s3, session }) => {
      const sse = await customerKey(options, { warn: context.warn, confidential: session.confidential });
      const show = async (Key: string): Promise<void> => {
        const head = await s3.head({ Bucket: bucket, Key, ...sse }, { exact, signal });
        const document = toDocument(head);
        if (json) return context.output.json(document);
        for (const line of forPeople(document, head)) await context.output.line(line);
      };
      if (!recursive) return show(key);
      let first = true;
      for await (const entry of s3.list({ Bucket: bucket, Prefix: key }, { signal })) {
        if (!first && !json) await context.output.line('');
        first = false;
        await show(entry.key);
      }
    });
  },
});

function toDocument(head: HeadResult): StatDocument {
  const { bucket, key, storedSize, plaintextSize, exact, envelope, metadata, etag, versionId } = head;
  return {
    bucket,
    key,
    storedSize,
    plaintextSize,
    exact,
    encryption: envelope === undefined ? null : encryptionOf(envelope),
    index: null,
    sse: serverSideOf(head.answer),
    metadata,
    etag,
    versionId: versionId ?? null,
  };
}

/** Entries of a stored context that a reader neither gives nor may give. */
const reservedEntries = ['aws:x-amz-cek-alg', 'kms_cmk_id'];

function encryptionOf({
  format,
  suite,
  wrappingAlgorithm,
  storage,
  description,
}: Envelope): NonNullable<StatDocument['encryption']> {
  const kms = wrappingAlgorithm === 'kms' || wrappingAlgorithm === 'kms+context';
  const { kms_cmk_id: kmsKeyId } = description;
  const own = Object.fromEntries(
    Object.entries(description).filter(([name]) => !kms || !reservedEntries.includes(name)),
  );
  return {
    format,
    suite: suite.name,
    wrapping: wrappingAlgorithm,
    storage,
    ...(kms ? { encryptionContext: own } : { materialsDescription: own }),
    ...(kms && kmsKeyId !== undefined ? { kmsKeyId } : {}),
  };
}

function serverSideOf(answer: HeadResult['answer']): StatDocument['sse'] {
  const { ServerSideEncryption, SSEKMSKeyId, SSECustomerAlgorithm, BucketKeyEnabled } = answer;
  if (SSECustomerAlgorithm !== undefined) return { mode: 'SSE-C' };
  if (ServerSideEncryption === undefined) return null;
  const modes = { AES256: 'SSE-S3', 'aws:kms': 'SSE-KMS', 'aws:kms:dsse': 'DSSE-KMS' } as const;
  const mode = modes[ServerSideEncryption as keyof typeof modes];
  if (mode === undefined) return null;
  return {
    mode,
    ...(SSEKMSKeyId === undefined ? {} : { kmsKeyId: SSEKMSKeyId }),
    ...(BucketKeyEnabled === undefined ? {} : { bucketKey: BucketKeyEnabled }),
  };
}

function forPeople(document: StatDocument, { contentType, lastModified }: HeadResult): string[] {
  const { bucket, key, plaintextSize, storedSize, exact, encryption, sse, metadata, etag, versionId } = document;
  const rows: [string, string | undefined][] = [
    ['object', `s3://${bucket}/${key}`],
    ['size', `${exact ? '' : '≤ '}${plaintextSize} bytes (${formatByteSize(plaintextSize)}), stored ${storedSize}`],
  ];
  if (encryption === null) rows.push(['encryption', 'none on this side: plaintext, nothing authenticates it']);
  else {
    const { format, suite, wrapping, storage, encryptionContext, materialsDescription, kmsKeyId } = encryption;
    rows.push(
      ['encryption', `${suite} (format ${format})${suite === 'AES-256-CBC' ? ', which nothing authenticates' : ''}`],
      ['data key', `wrapped by ${wrapping}${kmsKeyId === undefined ? '' : ` under ${kmsKeyId}`}`],
      ['envelope', storage === 'metadata' ? "in the object's metadata" : 'in an instruction file'],
      ['context', encryptionContext && pairs(encryptionContext)],
      ['materials', materialsDescription && pairs(materialsDescription)],
    );
  }
  rows.push(
    ['index', 'none'],
    ['by S3', sse === null ? 'none named' : [sse.mode, sse.kmsKeyId].filter((part) => part !== undefined).join(', ')],
    ['metadata', pairs(metadata)],
    ['content type', contentType],
    ['modified', lastModified?.toISOString()],
    ['etag', etag],
    ['version', versionId ?? undefined],
  );
  return rows.flatMap(([name, value]) => (value === undefined ? [] : [`${name.padEnd(13)} ${printable(value)}`]));
}

function pairs(map: Record<string, string>): string {
  const entries = Object.entries(map);
  return entries.length === 0
    ? 'none'
    : entries.map(([name, value]) => `${name}=${JSON.stringify(value).slice(1, -1)}`).join(', ');
}
