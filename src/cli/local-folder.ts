import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { CreateBucketCommand, HeadBucketCommand, type S3Client } from '@aws-sdk/client-s3';
import { s3Failure } from '../index.ts';
import type { LocalEndpoint } from '../local/index.ts';

/** `--local`: the endpoint that runs inside this command, on a loopback port that lives as long as the command. */
export interface LocalFolder {
  readonly endpoint: LocalEndpoint;
  /** Makes a bucket that is not there yet. */
  requireBucket(client: S3Client, bucket: string): Promise<void>;
}

/**
 * Opens the folder of `--local`, made if missing.
 * @throws SealpipeError LOCAL_BUSY while another command has it, CONFIG_INVALID for a folder that holds something else
 */
export async function openLocalFolder(folder: string, note: (message: string) => void): Promise<LocalFolder> {
  const dir = resolve(folder);
  const isNew = !existsSync(dir);
  const { startLocalEndpoint } = await import('../local/index.ts');
  // Nobody reads the log of an endpoint that lives for one command, so bodies need not be hashed for it.
  const endpoint = await startLocalEndpoint({ dir, hashBodies: false, allowInsecureLoopback: true });
  if (isNew) note(`${dir} is new: an S3 and KMS for trying out and for tests, whose keys lie there in plain files`);
  return { endpoint, requireBucket };
}

async function requireBucket(client: S3Client, bucket: string): Promise<void> {
  try {
    await client.send(new HeadBucketCommand({ Bucket: bucket }));
  } catch {
    await client.send(new CreateBucketCommand({ Bucket: bucket })).catch((cause: unknown) => {
      throw s3Failure(cause, { operation: 'CreateBucket', bucket });
    });
  }
}
