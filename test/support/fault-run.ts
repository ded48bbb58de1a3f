/**
 * A process in which uploads fail in every way there is, one after the other. It has nothing that ends it: when it does not end by
 * itself, a thread, a timer or a socket was left behind. What it saw goes to standard output as JSON.
 */
import { Readable } from 'node:stream';
import { KMSClient, type KMSClientConfig } from '@aws-sdk/client-kms';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { kmsKeyring } from '../../src/keyrings/kms.ts';
import type { UploadOptions } from '../../src/multipart/encrypted-upload.ts';
import { EncryptedS3 } from '../../src/objects/encrypted-s3.ts';
import { until } from './stream-ends.ts';
import { crashWorkers } from './worker-crash.ts';

interface Job {
  readonly s3: S3ClientConfig;
  readonly kms: KMSClientConfig;
  readonly Bucket: string;
}

const { s3, kms, Bucket } = JSON.parse(process.env.SEALPIPE_TEST_FAULTS ?? '{}') as Job;
const unhandled: string[] = [];
process.on('unhandledRejection', (reason) => unhandled.push(String(reason)));
process.on('warning', (warning) => {
  // Of listeners that pile up; what libraries say of the Node version is none of this.
  if (warning.name === 'MaxListenersExceededWarning') unhandled.push(String(warning));
});

const client = new S3Client(s3);
const encrypted = new EncryptedS3({
  client,
  keyring: kmsKeyring({ keyId: 'alias/sealpipe', client: new KMSClient(kms) }),
});
const partSize = 5 * 1024 * 1024;

function* pieces(count: number): Generator<Buffer> {
  for (let i = 0; i < count; i++) yield Buffer.alloc(partSize, i);
}

function* failing(): Generator<Buffer> {
  yield* pieces(2);
  throw new Error('torn');
}

const outcomes: Record<string, string> = {};
async function run(
  name: string,
  body: Iterable<Uint8Array>,
  options: UploadOptions,
  during?: () => void,
): Promise<void> {
  const upload = encrypted.upload(
    { Bucket, Key: name, Body: Readable.from(body) },
    { partSize, workers: 2, ...options },
  );
  if (during !== undefined) upload.once('httpUploadProgress', during);
  outcomes[name] = await upload.done().then(
    () => 'done',
    (error: { code?: string }) => String(error.code),
  );
}

for (const transport of ['client', 'workers'] as const) {
  await run(`whole-${transport}`, pieces(3), { transport });
  await run(`torn-${transport}`, failing(), { transport });
  const controller = new AbortController();
  await run(`aborted-${transport}`, pieces(6), { transport, signal: controller.signal }, () => controller.abort());
  let crashed: ReturnType<typeof crashWorkers> = [];
  await run(`crashed-${transport}`, pieces(6), { transport, queueSize: 1 }, () => {
    crashed = crashWorkers(2);
  });
  // The first that dies ends the upload; the next one must not be given the second.
  await until(() => crashed.every(({ dead }) => dead), 'the end of the threads');
  await run(`stalled-${transport}`, pieces(3), { transport, partTimeout: 200, partAttempts: 2 });
}
await run('after all', pieces(3), {});
console.log(JSON.stringify({ outcomes, unhandled }));
