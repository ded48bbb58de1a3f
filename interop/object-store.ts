import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  PutObjectCommand,
  paginateListObjectsV2,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { StoredObject } from './changes.ts';

const suffix = '.instruction';

/** The bucket of one run, seen without any encryption client. */
export class ObjectStore {
  readonly bucket: string;
  readonly #s3: S3Client;

  private constructor(s3: S3Client, bucket: string) {
    this.#s3 = s3;
    this.bucket = bucket;
  }

  static async create(s3: S3Client): Promise<ObjectStore> {
    const bucket = `sealpipe-interop-${Date.now().toString(36)}`;
    await s3.send(new CreateBucketCommand({ Bucket: bucket }));
    return new ObjectStore(s3, bucket);
  }

  async get(key: string, { withInstructions }: { withInstructions: boolean }): Promise<StoredObject> {
    const { body, metadata } = await this.#get(key);
    if (!withInstructions) return { body, metadata, instructions: undefined };
    const file = await this.#get(`${key}${suffix}`);
    return { body, metadata, instructions: JSON.parse(Buffer.from(file.body).toString()) as Record<string, string> };
  }

  async put(key: string, object: StoredObject): Promise<void> {
    await this.#put(key, object.body, object.metadata);
    if (object.instructions === undefined) return;
    await this.#put(`${key}${suffix}`, Buffer.from(JSON.stringify(object.instructions)), {
      'x-amz-crypto-instr-file': '',
    });
  }

  /** Deletes the bucket with what is in it. */
  async discard(): Promise<void> {
    for await (const page of paginateListObjectsV2({ client: this.#s3 }, { Bucket: this.bucket })) {
      const objects = (page.Contents ?? []).map(({ Key }) => ({ Key }));
      if (objects.length === 0) continue;
      await this.#s3.send(new DeleteObjectsCommand({ Bucket: this.bucket, Delete: { Objects: objects, Quiet: true } }));
    }
    await this.#s3.send(new DeleteBucketCommand({ Bucket: this.bucket }));
  }

  async #get(key: string): Promise<{ body: Uint8Array; metadata: Record<string, string> }> {
    const { Body, Metadata = {} } = await this.#s3.send(new GetObjectCommand({ Bucket: this.bucket, Key: key }));
    return { body: (await Body?.transformToByteArray()) ?? new Uint8Array(), metadata: { ...Metadata } };
  }

  async #put(key: string, body: Uint8Array, metadata: Record<string, string>): Promise<void> {
    await this.#s3.send(new PutObjectCommand({ Bucket: this.bucket, Key: key, Body: body, Metadata: metadata }));
  }
}
