/**
 * A process that may start no threads (`node --permission`): a journalled upload fails in the middle, goes on with workers, and then without.
 * Prints what each call came to.
 */
import { KMSClient, type KMSClientConfig } from '@aws-sdk/client-kms';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { kmsKeyring } from '../../src/keyrings/kms.ts';
import { EncryptedS3 } from '../../src/objects/encrypted-s3.ts';

interface Job {
  s3: S3ClientConfig;
  kms: KMSClientConfig;
  Bucket: string;
  path: string;
  journal: string;
}

const { s3, kms, Bucket, path, journal } = JSON.parse(process.argv[2] ?? '{}') as Job;
const encrypted = new EncryptedS3({
  client: new S3Client(s3),
  keyring: kmsKeyring({ keyId: 'alias/sealpipe', client: new KMSClient(kms) }),
});
for (const workers of [0, 2, 0]) {
  const upload = encrypted.upload({ Bucket, Key: 'threadless', Body: { path } }, { journal, workers });
  console.log(
    await upload.done().then(
      () => 'done',
      ({ code, message }: { code?: string; message: string }) => `${code}: ${message}`,
    ),
  );
}
process.exit(0);
