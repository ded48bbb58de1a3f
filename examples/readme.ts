import { pipeline } from 'node:stream/promises';
import { KMSClient } from '@aws-sdk/client-kms';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { EncryptedS3, kmsKeyring } from 'sealpipe';
import { startLocalEndpoint } from 'sealpipe/local';

const local = await startLocalEndpoint(); // S3 and KMS in this process; on AWS leave it and its configs out
const client = new S3Client(local.s3Config);
await client.send(new CreateBucketCommand({ Bucket: 'reports' }));
const keyring = kmsKeyring({ keyId: 'alias/sealpipe', client: new KMSClient(local.kmsConfig) });
const s3 = new EncryptedS3({ client, keyring });

await pipeline('hello, bucket\n', s3.createWriteStream({ Bucket: 'reports', Key: 'hello.txt' }));
await pipeline(s3.createReadStream({ Bucket: 'reports', Key: 'hello.txt' }), process.stdout);
await local.close();
