import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { KMSClient } from '@aws-sdk/client-kms';
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import type { Keyring } from '../../src/keyrings/keyring.ts';
import { kmsKeyring } from '../../src/keyrings/kms.ts';
import { type LocalEndpoint, type LocalEndpointOptions, startLocalEndpoint } from '../../src/local/index.ts';
import { EncryptedS3, type EncryptedS3Options } from '../../src/objects/encrypted-s3.ts';
import { type WithEncryptionOptions, withEncryption } from '../../src/objects/with-encryption/with-encryption.ts';

export const Bucket = 'test-bucket';

/** The local endpoint with a bucket, a KMS key and clients; real HTTP throughout. */
export class TestEndpoint {
  readonly local: LocalEndpoint;
  readonly client: S3Client;
  readonly kms: KMSClient;
  readonly keyring: Keyring;

  private constructor(local: LocalEndpoint) {
    this.local = local;
    this.client = new S3Client(local.s3Config);
    this.kms = new KMSClient(local.kmsConfig);
    this.keyring = kmsKeyring({ keyId: 'alias/sealpipe', client: this.kms });
  }

  static async start(options: LocalEndpointOptions = {}): Promise<TestEndpoint> {
    const endpoint = new TestEndpoint(await startLocalEndpoint(options));
    await endpoint.client.send(new CreateBucketCommand({ Bucket }));
    return endpoint;
  }

  encrypted(options: Partial<EncryptedS3Options> = {}): EncryptedS3 {
    return new EncryptedS3({ client: this.client, keyring: this.keyring, ...options });
  }

  /** A client of the SDK that encrypts. */
  encrypting(options: Partial<WithEncryptionOptions> = {}): S3Client {
    return withEncryption(this.client, { keyring: this.keyring, ...options });
  }

  /** The requests that `run` makes, by operation. */
  async requestsOf(run: () => Promise<unknown>): Promise<Record<string, number>> {
    // A request that was cut off is entered a moment after its caller has heard of it.
    await this.local.requests.settled();
    this.local.requests.clear();
    await run();
    await this.local.requests.settled();
    return this.local.requests.counts();
  }

  /** An object as it is stored. */
  async stored(Key: string): Promise<{ body: Buffer; metadata: Record<string, string> }> {
    const { Body, Metadata = {} } = await this.client.send(new GetObjectCommand({ Bucket, Key }));
    return { body: Buffer.from((await Body?.transformToByteArray()) ?? []), metadata: Metadata };
  }

  /** Puts an object as it is, past all encryption. */
  async store(Key: string, body: Uint8Array | string, metadata: Record<string, string> = {}): Promise<void> {
    await this.client.send(new PutObjectCommand({ Bucket, Key, Body: body, Metadata: metadata }));
  }

  async assertNoUploads(Prefix = ''): Promise<void> {
    const { Uploads } = await this.client.send(new ListMultipartUploadsCommand({ Bucket, Prefix }));
    assert.deepEqual(Uploads ?? [], [], 'a multipart upload was left behind');
  }

  async close(): Promise<void> {
    this.client.destroy();
    this.kms.destroy();
    await this.local.close({ graceMs: 0 });
  }
}

export async function bytesOf(stream: Readable | AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** What a promise rejects with; fails when it does not. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail('it succeeded');
}
