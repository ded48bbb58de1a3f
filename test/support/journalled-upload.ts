/** A process that makes one journalled upload and can be killed at any moment. Its job is in the environment. */
import { KMSClient, type KMSClientConfig } from '@aws-sdk/client-kms';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { kmsKeyring } from '../../src/keyrings/kms.ts';
import type { UploadOptions } from '../../src/multipart/encrypted-upload.ts';
import { EncryptedS3 } from '../../src/objects/encrypted-s3.ts';

interface Job {
  s3: S3ClientConfig;
  kms: KMSClientConfig;
  Bucket: string;
  Key: string;
  path: string;
  journal: string;
  partSize: number;
  segmentIndex?: UploadOptions['segmentIndex'];
}

const { s3, kms, Bucket, Key, path, ...options } = JSON.parse(process.env.SEALPIPE_TEST_UPLOAD ?? '{}') as Job;
const encrypted = new EncryptedS3({
  client: new S3Client(s3),
  keyring: kmsKeyring({ keyId: 'alias/sealpipe', client: new KMSClient(kms) }),
});
await encrypted.upload({ Bucket, Key, Body: { path } }, options).done();
process.disconnect?.();
