/**
 * What only sealpipe writes: objects whose parts were encrypted out of order by several threads, and those of an unmodified
 * lib-storage over withEncryption. The official clients have to read them all.
 */
import { createHash } from 'node:crypto';
import { createReadStream, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { KMSClient } from '@aws-sdk/client-kms';
import { DeleteObjectCommand, type PutObjectCommandInput, type S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { EncryptedS3, kmsKeyring, withEncryption } from '../src/index.ts';
import type { KmsKeyringSpec, Peer } from './peer.ts';
import { PeerError } from './peer.ts';
import type { Plaintexts } from './plaintexts.ts';
import type { Verdict } from './tally.ts';

const MiB = 1024 * 1024;
const partSize = 5 * MiB;

/** Clients hold back so much and no more until it is verified; beyond it they are asked for delayed authentication. */
const bufferedLimit = 60 * MiB;

interface EngineUpload {
  readonly name: string;
  readonly format: 'v2' | 'v3';
  readonly length: number;
  /** Bytes are taken as ASCII, so that as many come out of a string. */
  readonly text?: boolean;
  write(place: { Bucket: string; Key: string }, context: WriteContext): Promise<unknown>;
}

interface WriteContext {
  readonly s3: EncryptedS3;
  /** For lib-storage. */
  readonly wrapped: S3Client;
  readonly file: string;
}

/** Parts are cut, and the tag laid, differently at each of these. */
const cutLengths = [1, -17, -16, -15, -1, 0].map((more) => 2 * partSize + more);

/** Around the size from which threads take a file of known length. */
const threadLengths = [64 * MiB, 64 * MiB + 5, 13 * partSize - 16];

export function engineUploads(): EngineUpload[] {
  return [...parallelUploads(), ...libStorageUploads()];
}

function parallelUploads(): EngineUpload[] {
  return (['client', 'workers'] as const).flatMap((transport) => [
    ...[partSize + 1, ...cutLengths, 4 * partSize + 3].flatMap((length) => [
      parallel(`stream.${transport}`, length, ({ file }) => ({ Body: createReadStream(file) }), { transport }),
      // A journal has small files cut into segments, too.
      parallel(`journalled-file.${transport}`, length, ({ file }) => ({ Body: { path: file } }), {
        transport,
        journal: true,
      }),
    ]),
    ...threadLengths.map((length) =>
      parallel(`file.${transport}`, length, ({ file }) => ({ Body: { path: file } }), { transport }),
    ),
    parallel(`file-v2.${transport}`, 64 * MiB + 5, ({ file }) => ({ Body: { path: file } }), {
      transport,
      format: 'v2',
    }),
  ]);
}

function parallel(
  name: string,
  length: number,
  body: (context: WriteContext) => { Body: Readable | { path: string } },
  options: { transport: 'client' | 'workers'; journal?: boolean; format?: 'v2' | 'v3' },
): EngineUpload {
  const { transport, format = 'v3' } = options;
  return {
    name: `parallel.${name}.${length}`,
    format,
    length,
    write: (place, context) => {
      const journal = options.journal === true ? `${context.file}.${transport}.journal` : undefined;
      return context.s3
        .upload({ ...place, ...body(context) }, { partSize, workers: 2, transport, queueSize: 3, journal })
        .done()
        .finally(() => journal !== undefined && rmSync(journal, { force: true }));
    },
  };
}

const libStorageLengths = [0, 1, partSize - 1, partSize, partSize + 1, 2 * partSize + 3, 100 * MiB];
type LibStorageBody = NonNullable<PutObjectCommandInput['Body']>;
const libStorageBodies: Record<string, (file: string) => Promise<LibStorageBody>> = {
  Buffer: (file) => readFile(file),
  stream: async (file) => createReadStream(file),
  Blob: async (file) => new Blob([await readFile(file)]) as never,
  string: async (file) => asciiOf(await readFile(file)).toString('latin1'),
};

/** Each length with each queue size, and so that each kind of body meets all of both; of the longest every second one, for time. */
function libStorageUploads(): EngineUpload[] {
  const kinds = Object.entries(libStorageBodies);
  return libStorageLengths.flatMap((length, i) =>
    Array.from({ length: 8 }, (_, q) => q).flatMap((q): EngineUpload[] => {
      if (length > bufferedLimit && ![0, 1, 3, 6].includes(q)) return [];
      const [kind, body] = kinds[(i + q) % kinds.length] as (typeof kinds)[number];
      const upload: EngineUpload = {
        name: `lib-storage.${kind}.${length}.queue-${q + 1}`,
        format: 'v3',
        length,
        text: kind === 'string',
        write: async (place, { wrapped, file }) => {
          const params = { ...place, Body: await body(file) };
          await new Upload({ client: wrapped, params, queueSize: q + 1, partSize }).done();
        },
      };
      return [upload];
    }),
  );
}

function asciiOf(bytes: Buffer): Buffer {
  for (let i = 0; i < bytes.length; i++) bytes[i]! &= 0x7f;
  return bytes;
}

export interface EngineUploadsOptions {
  readonly s3: S3Client;
  readonly kms: KMSClient;
  readonly bucket: string;
  readonly keyring: KmsKeyringSpec;
  readonly plaintexts: Plaintexts;
  /** The official clients. */
  readonly readers: readonly Peer[];
  readonly report: (line: string, verdict: Verdict) => void;
}

/** Writes each, has each reader read it, and removes it. @returns how many reads were right, and how many not */
export async function runEngineUploads(options: EngineUploadsOptions): Promise<{ passed: number; failed: number }> {
  const { s3, kms, bucket, keyring, plaintexts, readers } = options;
  const ring = kmsKeyring({ keyId: keyring.keyId, client: kms });
  const wrapped = withEncryption(s3, { keyring: ring });
  const counts = { passed: 0, failed: 0 };
  let reading: Promise<unknown> = Promise.resolve();
  for (const upload of engineUploads()) {
    const { name, format, length } = upload;
    const { file, sha256 } = plaintexts.of(length);
    const encrypted = new EncryptedS3({
      client: s3,
      keyring: ring,
      commitmentPolicy: format === 'v2' ? 'FORBID_ENCRYPT_ALLOW_DECRYPT' : 'REQUIRE_ENCRYPT_REQUIRE_DECRYPT',
    });
    const Key = `engines/${name}`;
    await upload.write({ Bucket: bucket, Key }, { s3: encrypted, wrapped, file });
    const expected = upload.text === true ? digestOf(asciiOf(await readFile(file))) : sha256;
    // One object is written while the one before it is read.
    await reading;
    reading = Promise.all(
      readers.map(async (reader) => {
        const said = await readBy(reader, { ...options, Key, format, length });
        const right = said === `${length} bytes, ${expected}`;
        counts[right ? 'passed' : 'failed'] += 1;
        options.report(`${reader.name} reads ${name}: ${said}`, right ? 'passed' : 'failed');
      }),
    ).finally(() => s3.send(new DeleteObjectCommand({ Bucket: bucket, Key })));
  }
  await reading;
  return counts;
}

async function readBy(
  reader: Peer,
  { bucket, Key, keyring, format, length }: EngineUploadsOptions & { Key: string; format: 'v2' | 'v3'; length: number },
): Promise<string> {
  try {
    const digest = await reader.read({
      bucket,
      key: Key,
      keyring,
      commitmentPolicy: format === 'v2' ? 'REQUIRE_ENCRYPT_ALLOW_DECRYPT' : 'REQUIRE_ENCRYPT_REQUIRE_DECRYPT',
      ...(length > bufferedLimit && { delayedAuthentication: true }),
    });
    return `${digest.length} bytes, ${digest.sha256}`;
  } catch (error) {
    if (error instanceof PeerError) return `${error.kind}: ${error.message}`;
    throw error;
  }
}

function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
