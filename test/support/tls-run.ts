/**
 * A process that reaches an endpoint by every way that requests leave: whom it trusts is decided when it starts. Its clients are left as
 * they are. What came of each request goes to standard output as JSON.
 */
import { subscribe } from 'node:diagnostics_channel';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { KMSClient } from '@aws-sdk/client-kms';
import { S3Client } from '@aws-sdk/client-s3';
import { kmsKeyring } from '../../src/keyrings/kms.ts';
import { base64Crc } from '../../src/multipart/upload-requests.ts';
import { EncryptedS3 } from '../../src/objects/encrypted-s3.ts';
import { sendGet } from '../../src/requests/get-request.ts';
import { sendGenerateDataKey } from '../../src/requests/kms-request.ts';
import { sendPut } from '../../src/requests/put-request.ts';
import { bytesOf } from './endpoint.ts';

export interface TlsJob {
  readonly endpoint: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly Bucket: string;
  /** Of what is large; default `workers`. */
  readonly transport?: 'auto' | 'workers';
  /** Set as soon as the process runs. */
  readonly rejectUnauthorized?: string;
  /** Trusted as soon as the process runs. */
  readonly authorities?: readonly string[];
}

/** What a caller is told of a request: `ok`, or its error. */
export type TlsOutcome = 'ok' | { readonly name: unknown; readonly code: unknown; readonly message: unknown };

export interface TlsStep {
  /** Through the SDK. */
  readonly client: TlsOutcome;
  readonly other: TlsOutcome;
  /** Requests, or attempts to connect, without the SDK and by this thread. */
  readonly direct: number;
  /** Parts and ranges that this thread has sent or fetched by the SDK's way while `other` was made. */
  readonly byClient: number;
}

let direct = 0;
let byClient = 0;
for (const channel of ['undici:client:sendHeaders', 'undici:client:connectError'])
  subscribe(channel, () => {
    direct += 1;
  });
subscribe('http.client.request.start', () => {
  byClient += 1;
});

const {
  endpoint,
  credentials,
  Bucket,
  transport: ofLarge = 'workers',
  rejectUnauthorized,
  authorities,
} = JSON.parse(process.env.SEALPIPE_TEST_TLS ?? '{}') as TlsJob;
if (rejectUnauthorized !== undefined) process.env.NODE_TLS_REJECT_UNAUTHORIZED = rejectUnauthorized;
if (authorities !== undefined) {
  const { default: tls } = (await import('node:tls')) as unknown as {
    default: { setDefaultCACertificates(certificates: readonly string[]): void };
  };
  tls.setDefaultCACertificates(authorities);
}

const settings = { endpoint, region: 'us-east-1', credentials };
const client = new S3Client({ ...settings, forcePathStyle: true });
const kms = new KMSClient(settings);
const s3 = new EncryptedS3({ client, keyring: kmsKeyring({ keyId: 'alias/sealpipe', client: kms }) });
const { signal } = new AbortController();
const Body = Buffer.from('content');

type Transport = 'auto' | 'client' | 'workers';

async function outcomeOf(run: () => Promise<unknown>): Promise<TlsOutcome> {
  try {
    await run();
    return 'ok';
  } catch (error) {
    const { name, code, message } = error as Record<string, unknown>;
    return { name, code, message };
  }
}

/** One kind of request, until it has left without the SDK or could have. */
async function small(send: (transport: 'auto' | 'client') => Promise<unknown>): Promise<TlsStep> {
  const control = await outcomeOf(() => send('client'));
  const before = direct;
  let other: TlsOutcome = 'ok';
  for (let i = 0; i < 10 && direct === before; i++) {
    other = await outcomeOf(() => send('auto'));
    await sleep(20);
  }
  return { client: control, other, direct: direct - before, byClient: 0 };
}

async function large(send: (transport: Transport) => Promise<unknown>): Promise<TlsStep> {
  const control = await outcomeOf(() => send('client'));
  const [directBefore, clientBefore] = [direct, byClient];
  const other = await outcomeOf(() => send(ofLarge));
  return { client: control, other, direct: direct - directBefore, byClient: byClient - clientBefore };
}

const get = async (Range: string | undefined, transport: Transport): Promise<void> => {
  const answer = await sendGet(client, { Bucket, Key: 'small', Range }, { signal, transport });
  await bytesOf(answer.Body as never);
};
const put = (transport: Transport): Promise<unknown> =>
  sendPut(
    client,
    { Bucket, Key: 'small', ContentLength: Body.length, ChecksumCRC32: base64Crc(crc32(Body)), Body },
    { signal, transport },
  );
const generate = (transport: 'auto' | 'client'): Promise<unknown> =>
  sendGenerateDataKey(kms, { KeyId: 'alias/sealpipe', KeySpec: 'AES_256' }, { signal, transport });

const content = Buffer.alloc(26 * 1024 * 1024, 7);
const parts = (transport: Transport): Promise<unknown> =>
  s3
    // Of a stream nobody knows that it is too small for workers.
    .upload(
      { Bucket, Key: 'large', Body: Readable.from([content]) },
      { transport, workers: 2, partSize: 5 * 1024 * 1024, restarts: 0 },
    )
    .done();
const ranges = async (transport: Transport): Promise<void> => {
  const { body } = await s3.get(
    { Bucket, Key: 'large' },
    { transport, workers: 2, concurrency: 2, partSize: 5 * 1024 * 1024, release: 'delayed' },
  );
  const found = await bytesOf(body);
  if (!found.equals(content)) throw new Error('it is not what was uploaded');
};

const steps: Record<string, TlsStep> = {
  put: await small(put),
  get: await small((transport) => get(undefined, transport)),
  range: await small((transport) => get('bytes=1-3', transport)),
  generate: await small(generate),
  parts: await large(parts),
  ranges: await large(ranges),
};
process.stdout.write(JSON.stringify(steps));
