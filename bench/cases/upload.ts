/** Uploads of a file or a stream, by each client. */
import assert from 'node:assert/strict';
import { createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { GetObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { EncryptedS3, type Keyring, withEncryption } from '../../src/index.ts';
import { type CaseRunner, sourceFile, type UploadWork, type World } from '../case-spec.ts';
import { sourceContent } from '../repeated-content.ts';
import { clientOf, keyringOf } from './clients.ts';
import { GeneratedSource } from './generated-source.ts';
import { NaiveGcmEncryptor, type NaiveKey } from './naive-gcm.ts';

const MiB = 1024 * 1024;

/** What one upload left, for the check. */
interface Uploaded {
  readonly key: string;
  readonly size: number;
  readonly naiveKey: NaiveKey;
}

export function uploadCase(work: UploadWork, world: World): CaseRunner {
  const { keyring, kms } = keyringOf(world);
  const client = clientOf(world, work.tuned);
  const send = senders[work.client]({ work, world, client, keyring });
  let uploads = 0;
  let last: Uploaded | undefined;
  return {
    async run(size) {
      uploads += 1;
      // A fresh key for each, as anybody's code would have.
      last = {
        key: `${world.prefix}upload-${process.pid}-${uploads}`,
        size,
        naiveKey: { key: randomBytes(32), iv: randomBytes(12) },
      };
      await send(last);
    },
    async check() {
      const { key, size, naiveKey } = last as Uploaded;
      const reading = { client: clientOf(world, true), keyring, bucket: world.bucket, key, size };
      if (work.client === 'lib-storage') await assertStored(reading);
      else if (work.client === 'lib-storage-gcm') await assertNaive(reading, naiveKey);
      else await assertSealed(reading);
    },
    async close() {
      client.destroy();
      kms.destroy();
    },
  };
}

interface Sender {
  readonly work: UploadWork;
  readonly world: World;
  readonly client: S3Client;
  readonly keyring: Keyring;
}

const senders: Record<UploadWork['client'], (sender: Sender) => (target: Uploaded) => Promise<void>> = {
  'lib-storage':
    ({ work, world, client }) =>
    ({ key, size }) =>
      libStorage(work, client, { Bucket: world.bucket, Key: key, Body: readable(work, world, size) }),

  'lib-storage-gcm':
    ({ work, world, client }) =>
    ({ key, size, naiveKey }) => {
      const encryptor = new NaiveGcmEncryptor(naiveKey);
      pipeline(readable(work, world, size), encryptor, () => undefined);
      return libStorage(work, client, { Bucket: world.bucket, Key: key, Body: encryptor });
    },

  'with-encryption': ({ work, world, client, keyring }) => {
    const encrypting = withEncryption(client, { keyring });
    return ({ key, size }) =>
      libStorage(work, encrypting, { Bucket: world.bucket, Key: key, Body: readable(work, world, size) });
  },

  sealpipe: ({ work, world, client, keyring }) => {
    const s3 = new EncryptedS3({ client, keyring });
    const { partSize, queueSize, workers, transport, segmentIndex } = work;
    const options = { partSize: partSize && partSize * MiB, queueSize, workers, transport, segmentIndex };
    return async ({ key, size }) => {
      const Body =
        work.source === 'file' ? { path: sourceFile(world.folder, size) } : new GeneratedSource(sourceContent(size));
      await s3.upload({ Bucket: world.bucket, Key: key, Body }, options).done();
    };
  },
};

async function libStorage(
  { partSize, queueSize }: UploadWork,
  client: S3Client,
  params: { Bucket: string; Key: string; Body: Readable },
): Promise<void> {
  const options = { ...(partSize && { partSize: partSize * MiB }), ...(queueSize && { queueSize }) };
  await new Upload({ client, params, ...options }).done();
}

/** Files are read in 64 KiB chunks by default, and generated streams come in the same. */
function readable({ source }: UploadWork, { folder }: World, size: number): Readable {
  return source === 'file' ? createReadStream(sourceFile(folder, size)) : new GeneratedSource(sourceContent(size));
}

interface Reading {
  readonly client: S3Client;
  readonly keyring: Keyring;
  readonly bucket: string;
  readonly key: string;
  readonly size: number;
}

async function assertStored(reading: Reading): Promise<void> {
  const { hash, length } = await stored(reading, createHash('sha256'));
  assert.equal(length, reading.size, 'the stored object has another length than the source');
  assert.equal(hash.digest('hex'), sourceContent(reading.size).sha256(), 'the stored object is not the source');
}

async function assertNaive(reading: Reading, { key, iv }: NaiveKey): Promise<void> {
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
  const hash = createHash('sha256');
  let left = reading.size;
  const tag: Buffer[] = [];
  for await (const chunk of await bodyOf(reading)) {
    hash.update(decipher.update(chunk.subarray(0, left)));
    if (chunk.length > left) tag.push(chunk.subarray(left));
    left = Math.max(0, left - chunk.length);
  }
  decipher.setAuthTag(Buffer.concat(tag));
  decipher.final();
  assert.equal(
    hash.digest('hex'),
    sourceContent(reading.size).sha256(),
    'the stored object does not decrypt to the source',
  );
}

async function assertSealed({ client, keyring, bucket, key, size }: Reading): Promise<void> {
  const { body, envelope, storedSize } = await new EncryptedS3({ client, keyring }).get(
    { Bucket: bucket, Key: key },
    { release: 'delayed' },
  );
  assert.ok(envelope?.suite.committing, 'the stored object has no V3 envelope');
  assert.equal(storedSize, size + 16, 'the stored object is not as long as content and tag');
  const hash = createHash('sha256');
  for await (const chunk of body as AsyncIterable<Buffer>) hash.update(chunk);
  assert.equal(hash.digest('hex'), sourceContent(size).sha256(), 'the stored object does not decrypt to the source');
}

async function stored<H extends { update(bytes: Buffer): unknown }>(reading: Reading, hash: H) {
  let length = 0;
  for await (const chunk of await bodyOf(reading)) {
    hash.update(chunk);
    length += chunk.length;
  }
  return { hash, length };
}

async function bodyOf({ client, bucket, key }: Reading): Promise<AsyncIterable<Buffer>> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
  return Body as AsyncIterable<Buffer>;
}
