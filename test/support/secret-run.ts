/** A process that uploads and downloads, and whose memory is then looked into. Its parent says when to go on. */
import { createReadStream } from 'node:fs';
import { KMSClient, type KMSClientConfig } from '@aws-sdk/client-kms';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { kmsKeyring } from '../../src/keyrings/kms.ts';
import type { UploadOptions } from '../../src/multipart/encrypted-upload.ts';
import { EncryptedS3 } from '../../src/objects/encrypted-s3.ts';
import { withEncryption } from '../../src/objects/with-encryption/with-encryption.ts';

interface Job {
  readonly s3: S3ClientConfig;
  readonly kms: KMSClientConfig;
  readonly Bucket: string;
  readonly path: string;
  readonly partSize: number;
  /** Each byte of the planted value, plus one: the value itself is to lie in one place only. */
  readonly planted: number[];
}

const { s3, kms, Bucket, path, partSize, planted } = JSON.parse(process.env.SEALPIPE_TEST_SECRETS ?? '{}') as Job;
const kept = Buffer.from(new ArrayBuffer(planted.length));
for (const [i, byte] of planted.entries()) kept[i] = byte - 1;

const say = (said: string): boolean => process.send?.(said) === true;
const told = (word: string): Promise<void> =>
  new Promise((resolve) => {
    const listen = (message: unknown): void => {
      if (message !== word) return;
      process.off('message', listen);
      resolve();
    };
    process.on('message', listen);
  });

async function work(): Promise<void> {
  const client = new S3Client(s3);
  const keyring = kmsKeyring({ keyId: 'alias/sealpipe', client: new KMSClient(kms) });
  const encrypted = new EncryptedS3({ client, keyring });
  const uploads: Record<string, UploadOptions & { stream?: true }> = {
    'by workers': { workers: 2, transport: 'workers', segmentIndex: true },
    'by the client': { workers: 2, transport: 'client', stream: true },
    serially: { workers: 0, stream: true, segmentIndex: true },
    journalled: { workers: 2, journal: `${path}.journal`, segmentIndex: true },
  };
  for (const [Key, { stream, ...options }] of Object.entries(uploads)) {
    const Body = stream === true ? createReadStream(path) : { path };
    const upload = encrypted.upload({ Bucket, Key, Body }, { partSize, queueSize: 2, ...options });
    if (Key === 'by workers') upload.once('httpUploadProgress', () => say('in the middle'));
    await upload.done();
  }
  const wrapped = withEncryption(client, { keyring, segmentIndex: true });
  const driven = new Upload({ client: wrapped, params: { Bucket, Key: 'lib-storage', Body: createReadStream(path) } });
  await driven.done();
  for (const Key of ['by workers', 'serially'])
    for (const workers of [0, 2]) await encrypted.download({ Bucket, Key }, `${path}.copy`, { workers });
  client.destroy();
}

await work();
// What nobody refers to any more is gone; freeing it is not ours to do.
for (let i = 0; i < 4; i++) {
  (globalThis as unknown as { gc: () => void }).gc();
  await new Promise((resolve) => setTimeout(resolve, 50));
}
say('done');
await told('end');
process.exit(kept.length === planted.length ? 0 : 1);
