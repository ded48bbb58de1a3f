/** Reads at the same time, of objects whose instruction file takes a connection while their own is waiting on another. */
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { after, before, test } from 'node:test';
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { EncryptedS3 } from '../../src/objects/encrypted-s3.ts';
import { withEncryption } from '../../src/objects/with-encryption/with-encryption.ts';
import { Bucket, bytesOf, TestEndpoint } from '../support/endpoint.ts';
import { failure, rejection } from '../support/failure.ts';

const content = Buffer.alloc(300_000, 'content');
let endpoint: TestEndpoint;
before(async () => {
  endpoint = await TestEndpoint.start();
  await endpoint.encrypted({ storage: 'instruction-file' }).upload({ Bucket, Key: 'object', Body: content }).done();
});
after(() => endpoint.close());

/** A client with so few connections that a handful of reads holds them all. */
const narrow = (maxSockets: number): S3Client =>
  new S3Client({
    ...endpoint.local.s3Config,
    requestHandler: { httpAgent: new Agent({ keepAlive: true, maxSockets }) },
  });

const readers: Record<string, (client: S3Client) => () => Promise<Buffer>> = {
  withEncryption: (client) => {
    const by = withEncryption(client, { keyring: endpoint.keyring });
    return async () => {
      const { Body } = await by.send(new GetObjectCommand({ Bucket, Key: 'object' }));
      return Buffer.from((await Body?.transformToByteArray()) ?? []);
    };
  },
  'EncryptedS3.get': (client) => {
    const s3 = new EncryptedS3({ client, keyring: endpoint.keyring });
    return async () => bytesOf((await s3.get({ Bucket, Key: 'object' })).body);
  },
  'EncryptedS3.get in ranges': (client) => {
    const s3 = new EncryptedS3({ client, keyring: endpoint.keyring });
    const options = { concurrency: 2, partSize: 65_536, workers: 0, release: 'delayed', transport: 'client' } as const;
    return async () => bytesOf((await s3.get({ Bucket, Key: 'object' }, options)).body);
  },
  'EncryptedS3.open': (client) => {
    const s3 = new EncryptedS3({ client, keyring: endpoint.keyring });
    return async () => {
      const object = await s3.open({ Bucket, Key: 'object' }, { authenticate: 'never', transport: 'client' });
      const bytes = await object.read(0, object.size);
      await object.close();
      return Buffer.from(bytes);
    };
  },
};

for (const [name, reader] of Object.entries(readers)) {
  for (const maxSockets of [1, 3]) {
    test(`${name} ends over ${maxSockets} connections, however many read`, { timeout: 60_000 }, async (t) => {
      const client = narrow(maxSockets);
      t.after(() => client.destroy());
      const read = reader(client);
      for (const bytes of await Promise.all(Array.from({ length: 12 }, read))) assert.ok(bytes.equals(content));
    });
  }
}

test('an object that is overwritten while its body was given up is no other one', async () => {
  const client = narrow(1);
  const s3 = new EncryptedS3({ client, keyring: endpoint.keyring });
  const upload = async (Body: string): Promise<unknown> =>
    endpoint.encrypted({ storage: 'instruction-file' }).upload({ Bucket, Key: 'changing', Body }).done();
  await upload('old');
  const fault = endpoint.local.faults.add({ operation: 'GetObject', key: 'changing.instruction', delay: 500 });
  const read = rejection(s3.get({ Bucket, Key: 'changing' }));
  while (fault.hits === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await upload('new');
  assert.ok(failure('OBJECT_CHANGED')(await read));
  client.destroy();
});

test('with connections to spare an object takes one GET, and its instruction file another', async () => {
  const counts = await endpoint.requestsOf(() => readers.withEncryption?.(endpoint.client)() ?? assert.fail());
  assert.deepEqual(counts, { GetObject: 2, 'KMS.Decrypt': 1 });
});
