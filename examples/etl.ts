// A small ETL job: rows from one encrypted object through a transform into another, without a plaintext copy anywhere.

import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { KMSClient } from '@aws-sdk/client-kms';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { EncryptedS3, kmsKeyring } from 'sealpipe';
import { startLocalEndpoint } from 'sealpipe/local';

const local = await startLocalEndpoint();
const client = new S3Client(local.s3Config);
await client.send(new CreateBucketCommand({ Bucket: 'lake' }));
const keyring = kmsKeyring({ keyId: 'alias/sealpipe', client: new KMSClient(local.kmsConfig) });
// The context is authenticated by KMS, and whoever reads has to give the same.
const s3 = new EncryptedS3({ client, keyring, encryptionContext: { dataset: 'orders' } });

const rows = Array.from({ length: 10_000 }, (_, id) => `${JSON.stringify({ id, cents: (id * 7919) % 10_000 })}\n`);
await s3
  .upload({
    Bucket: 'lake',
    Key: 'raw/orders.ndjson',
    Body: () => Readable.from(rows),
    ContentType: 'application/x-ndjson',
  })
  .done();

async function* large(lines: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const line of lines) if ((JSON.parse(line) as { cents: number }).cents > 5000) yield `${line}\n`;
}
const source = s3.createReadStream({ Bucket: 'lake', Key: 'raw/orders.ndjson' });
const target = s3.createWriteStream({ Bucket: 'lake', Key: 'large/orders.ndjson' });
await pipeline(large(createInterface({ input: source })), target);

const { plaintextSize, parts } = await target.result;
console.log(`large/orders.ndjson: ${plaintextSize} bytes of plaintext in ${parts} part`);
for await (const entry of s3.list({ Bucket: 'lake' }, { contents: 'gcm' })) console.log(entry.key, entry.plaintextSize);
await local.close();
