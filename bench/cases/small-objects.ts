/** Many objects of 4 KiB: the price of a request, and of a data key, rather than of bytes. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { GetObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { EncryptedS3, type Keyring } from '../../src/index.ts';
import { type CaseRunner, type SmallObjectsWork, servedKey, type World } from '../case-spec.ts';
import { sourceContent } from '../repeated-content.ts';
import { clientOf, keyringOf } from './clients.ts';

/** Bytes of each object. */
export const smallLength: number = 4096;
/** Copies that are stored where one object cannot stand for all. */
export const smallCopies = 16;

const concurrency = 16;

export function smallObjectsCase(work: SmallObjectsWork, world: World): CaseRunner {
  const { keyring, kms } = keyringOf(world);
  const client = clientOf(world, work.tuned);
  const one = operation({ work, world, client, keyring });
  let latencies: number[] = [];
  let runs = 0;
  let lastKeys: string[] = [];
  return {
    get latencies() {
      return latencies;
    },
    async run(count) {
      runs += 1;
      const keys = Array.from({ length: count }, (_, i) => keyOf(work, world, `${process.pid}-${runs}-${i}`, i));
      latencies = [];
      let next = 0;
      const worker = async (): Promise<void> => {
        for (let key = keys[next++]; key !== undefined; key = keys[next++]) {
          const began = performance.now();
          await one(key);
          latencies.push(performance.now() - began);
        }
      };
      await Promise.all(Array.from({ length: concurrency }, worker));
      lastKeys = keys;
    },
    async check() {
      const reader = new EncryptedS3({ client: clientOf(world, true), keyring });
      for (const key of lastKeys) {
        const got = work.client === 'sdk' ? await get(client, world, key) : await getSealed(reader, world, key);
        const expected =
          work.direction === 'put' ? sourceContent(smallLength).sha256() : world.digests[servedName(work, world)];
        assert.equal(createHash('sha256').update(got).digest('hex'), expected, `${key} holds something else`);
      }
    },
    async close() {
      client.destroy();
      kms.destroy();
    },
  };
}

const content = Buffer.from(sourceContent(smallLength).slice(0, smallLength));

function keyOf({ client, direction }: SmallObjectsWork, world: World, name: string, index: number): string {
  if (direction === 'put') return `${world.prefix}small-${name}`;
  return `${servedName({ client }, world)}/${index % smallCopies}`;
}

function servedName({ client }: Pick<SmallObjectsWork, 'client'>, world: World): string {
  return servedKey(world, client === 'sdk' ? 'plain' : 'sealed', smallLength);
}

interface Setting {
  readonly work: SmallObjectsWork;
  readonly world: World;
  readonly client: S3Client;
  readonly keyring: Keyring;
}

function operation({ work, world, client, keyring }: Setting): (key: string) => Promise<unknown> {
  const s3 = new EncryptedS3({ client, keyring });
  if (work.client === 'sealpipe') {
    if (work.direction === 'get') return (key) => getSealed(s3, world, key);
    return (key) => s3.upload({ Bucket: world.bucket, Key: key, Body: content }).done();
  }
  if (work.direction === 'get') return (key) => get(client, world, key);
  return (key) => client.send(new PutObjectCommand({ Bucket: world.bucket, Key: key, Body: content }));
}

async function get(client: S3Client, world: World, key: string): Promise<Buffer> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket: world.bucket, Key: key }));
  return Buffer.from((await Body?.transformToByteArray()) ?? []);
}

async function getSealed(s3: EncryptedS3, world: World, key: string): Promise<Buffer> {
  const { body } = await s3.get({ Bucket: world.bucket, Key: key });
  return Buffer.concat((await body.toArray()) as Buffer[]);
}
