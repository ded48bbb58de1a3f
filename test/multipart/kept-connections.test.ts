import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { S3Client } from '@aws-sdk/client-s3';
import { startOwnSink } from '../../bench/sink/sink-process.ts';
import type { SinkStats } from '../../bench/sink/tally.ts';
import { aesKeyring, EncryptedS3 } from '../../src/index.ts';

const partSize = 5 * 1024 * 1024;
const parts = 40;

test('parts that are answered the moment they are there go over the same few connections', async (t) => {
  // In a process of its own, or no answer would ever be as quick as the thread that sends.
  const sink = await startOwnSink({ tls: false });
  t.after(() => sink.close());
  const folder = mkdtempSync(join(tmpdir(), 'sealpipe-connections-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'source');
  writeFileSync(path, Buffer.alloc(parts * partSize - 16, 1));
  const client = new S3Client({
    endpoint: sink.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
  });
  t.after(() => client.destroy());
  const s3 = new EncryptedS3({ client, keyring: aesKeyring({ key: Buffer.alloc(32, 7) }) });
  await s3.upload({ Bucket: 'bucket', Key: 'key', Body: { path } }, { partSize, queueSize: 4, workers: 2 }).done();
  const stats = (await (await fetch(`${sink.endpoint}/_stats`)).json()) as SinkStats;
  assert.equal(stats.payloads?.unsigned, parts);
  // Four of each thread at most, and one of the client's for Create and Complete.
  assert.ok(stats.connections <= 2 * 4 + 1, `${stats.connections} connections for ${parts} parts`);
});
