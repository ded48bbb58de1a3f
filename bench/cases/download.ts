/** Downloads of a whole object, dropped or written to a file, by each client. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GetObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { EncryptedS3, type Keyring } from '../../src/index.ts';
import { type CaseRunner, type DownloadWork, type ServedKind, servedKey, type World } from '../case-spec.ts';
import { clientOf, keyringOf } from './clients.ts';
import { Discard } from './generated-source.ts';
import { NaiveGcmDecryptor, servedNaiveKey } from './naive-gcm.ts';

const kinds: Record<DownloadWork['client'], ServedKind> = { sdk: 'plain', 'sdk-gcm': 'gcm', sealpipe: 'sealed' };

interface Reader {
  readonly work: DownloadWork;
  readonly world: World;
  readonly client: S3Client;
  readonly keyring: Keyring;
}

export function downloadCase(work: DownloadWork, world: World): CaseRunner {
  const { keyring, kms } = keyringOf(world);
  const client = clientOf(world, work.tuned);
  const reader = { work, world, client, keyring };
  const path = `${world.folder}/download-${process.pid}.bin`;
  let last: { key: string; size: number } | undefined;
  return {
    async run(size) {
      last = { key: servedKey(world, kinds[work.client], size), size };
      const length = work.target === 'file' ? await toFile(reader, last.key, path) : await drop(reader, last.key);
      assert.equal(length, size, 'another number of bytes arrived');
    },
    async check() {
      const { key, size } = last as NonNullable<typeof last>;
      const hash = createHash('sha256');
      if (work.target === 'file') await pipeline(createReadStream(path), hash);
      else await copy(reader, key, hash);
      assert.equal(hash.digest('hex'), world.digests[key], 'what arrived is not the content');
      if (work.client !== 'sealpipe') return;
      const altered = servedKey(world, 'altered', size);
      const reading = work.target === 'file' ? toFile(reader, altered, path) : drop(reader, altered);
      await assert.rejects(reading, { code: 'ERR_SEALPIPE_AUTHENTICATION_FAILED' });
    },
    async close() {
      client.destroy();
      kms.destroy();
      await rm(path, { force: true });
    },
  };
}

async function drop(reader: Reader, key: string): Promise<number> {
  const sink = new Discard();
  await copy(reader, key, sink);
  return sink.received;
}

async function toFile(reader: Reader, key: string, path: string): Promise<number> {
  const { work, world, client, keyring } = reader;
  if (work.client === 'sealpipe') {
    const { concurrency } = work;
    await new EncryptedS3({ client, keyring }).download({ Bucket: world.bucket, Key: key }, path, { concurrency });
  } else await copy(reader, key, createWriteStream(path));
  return (await stat(path)).size;
}

/** The plaintext of an object into a Writable. */
async function copy({ work, world, client, keyring }: Reader, key: string, target: Writable): Promise<void> {
  const address = { Bucket: world.bucket, Key: key };
  if (work.client === 'sealpipe') {
    const { concurrency } = work;
    const { body } = await new EncryptedS3({ client, keyring }).get(address, { release: 'delayed', concurrency });
    await pipeline(body, target);
    return;
  }
  const { Body, ContentLength } = await client.send(new GetObjectCommand(address));
  const body = Body as Readable;
  if (work.client === 'sdk') await pipeline(body, target);
  else await pipeline(body, new NaiveGcmDecryptor(servedNaiveKey, ContentLength as number), target);
}
