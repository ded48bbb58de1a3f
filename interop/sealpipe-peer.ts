import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { KMSClient } from '@aws-sdk/client-kms';
import type { S3Client } from '@aws-sdk/client-s3';
import { aesKeyring, EncryptedS3, type Keyring, kmsKeyring, rsaKeyring, SealpipeError } from '../src/index.ts';
import { type Digest, type KeyringSpec, type Peer, PeerError, type ReadJob, type WriteJob } from './peer.ts';

/** sealpipe as one more peer, by its public API. */
export class SealpipePeer implements Peer {
  readonly name = 'sealpipe';
  readonly client: string;
  readonly runtime: string = `Node ${process.versions.node}`;
  readonly #s3: S3Client;
  readonly #kms: KMSClient;

  constructor({ s3, kms }: { s3: S3Client; kms: KMSClient }) {
    const manifest = readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8');
    this.client = `sealpipe ${(JSON.parse(manifest) as { version: string }).version}`;
    this.#s3 = s3;
    this.#kms = kms;
  }

  async write(job: WriteJob): Promise<void> {
    await answered(this.#write(job));
  }

  async read(job: ReadJob): Promise<Digest> {
    return answered(this.#read(job), job.timeoutMs);
  }

  async close(): Promise<void> {}

  async #write(job: WriteJob): Promise<void> {
    const { bucket: Bucket, key: Key, file, storage, upload, encryptionContext } = job;
    const commitmentPolicy = job.format === 'v2' ? 'FORBID_ENCRYPT_ALLOW_DECRYPT' : 'REQUIRE_ENCRYPT_REQUIRE_DECRYPT';
    const s3 = new EncryptedS3({
      client: this.#s3,
      keyring: this.#keyring(job.keyring),
      storage,
      commitmentPolicy,
      encryptionContext,
    });
    switch (upload.kind) {
      case 'put':
        await s3.upload({ Bucket, Key, Body: { path: file } }).done();
        return;
      case 'multipart':
        await s3.upload({ Bucket, Key, Body: { path: file } }, { partSize: upload.partSize }).done();
        return;
      case 'stream':
        await pipeline(createReadStream(file), s3.createWriteStream({ Bucket, Key }, { partSize: 5 * 1024 * 1024 }));
        return;
      case 'parts':
        throw new Error('sealpipe cuts its parts itself');
    }
  }

  async #read(job: ReadJob): Promise<Digest> {
    const { bucket: Bucket, key: Key, encryptionContext, commitmentPolicy } = job;
    const s3 = new EncryptedS3({ client: this.#s3, keyring: this.#keyring(job.keyring), commitmentPolicy });
    const release = job.delayedAuthentication === true ? 'delayed' : 'authenticated';
    const { body, plaintextSize } = await s3.get({ Bucket, Key }, { encryptionContext, release });
    const digest = createHash('sha256');
    let length = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      digest.update(chunk);
      length += chunk.length;
    }
    // The length that was promised before the first byte is part of what a reader relies on.
    if (length !== plaintextSize) throw new Error(`read ${length} bytes where ${plaintextSize} were announced`);
    return { sha256: digest.digest('hex'), length };
  }

  #keyring(spec: KeyringSpec): Keyring {
    switch (spec.type) {
      case 'kms':
        return kmsKeyring({ keyId: spec.keyId, client: this.#kms });
      case 'aes':
        return aesKeyring({ ...spec, key: Buffer.from(spec.key, 'base64') });
      case 'rsa':
        return rsaKeyring(spec);
    }
  }
}

/** An error of sealpipe's own is a refusal; any other is a defect, which no case expects. */
async function answered<T>(work: Promise<T>, timeoutMs = 120_000): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new PeerError('hung', [`no answer in ${timeoutMs} ms`])), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } catch (error) {
    if (error instanceof PeerError) throw error;
    if (error instanceof SealpipeError) throw new PeerError('refused', [`${error.code}: ${error.message}`]);
    throw new PeerError('died', [String(error instanceof Error ? error.stack : error)]);
  } finally {
    clearTimeout(timer);
  }
}
