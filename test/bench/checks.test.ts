import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { type CaseRunner, type CaseSpec, servedKey, type UploadWork, type World } from '../../bench/case-spec.ts';
import { cipherLoop } from '../../bench/cases/cipher-loop.ts';
import { cryptoStream } from '../../bench/cases/crypto-stream.ts';
import { downloadCase } from '../../bench/cases/download.ts';
import { smallObjectsCase } from '../../bench/cases/small-objects.ts';
import { uploadCase } from '../../bench/cases/upload.ts';
import { catalogue } from '../../bench/catalogue.ts';
import { microCases } from '../../bench/micro/micro-cases.ts';
import { sourceContent, storedContent } from '../../bench/repeated-content.ts';
import { Bucket, TestEndpoint } from '../support/endpoint.ts';

/** A case that does something else than it says must not pass for a fast one. */
describe('the check of a case', () => {
  const size = 6 * 1024 * 1024 + 5;
  let endpoint: TestEndpoint;
  let world: World;

  before(async () => {
    endpoint = await TestEndpoint.start();
    const { endpoint: url, credentials, region } = endpoint.local;
    world = {
      endpoint: url,
      kmsEndpoint: url,
      kmsKeyId: 'alias/sealpipe',
      region,
      credentials,
      bucket: Bucket,
      prefix: 'bench-',
      servedPrefix: 'served-',
      folder: mkdtempSync(join(tmpdir(), 'sealpipe-checks-')),
      digests: {},
    };
  });

  after(async () => {
    rmSync(world.folder, { recursive: true, force: true });
    await endpoint.close();
  });

  /** What an action adds to the bucket. */
  async function addedBy(action: () => Promise<void>): Promise<string> {
    const prefix = `bench-${randomUUID()}-`;
    world = { ...world, prefix };
    await action();
    const { Contents = [] } = await endpoint.client.send(new ListObjectsV2Command({ Bucket, Prefix: prefix }));
    return Contents[0]?.Key as string;
  }

  const upload = (client: UploadWork['client']): CaseRunner =>
    uploadCase({ kind: 'upload', client, tuned: false, source: 'stream' }, world);

  test('passes an upload by each client, and none that stored something else', async () => {
    for (const client of ['lib-storage', 'lib-storage-gcm', 'sealpipe'] as const) {
      let runner!: CaseRunner;
      const key = await addedBy(async () => {
        runner = upload(client);
        await runner.run(size);
      });
      await runner.check();
      const { body, metadata } = await endpoint.stored(key);
      body[size >> 1]! ^= 1;
      await endpoint.store(key, body, metadata);
      await assert.rejects(runner.check(), client);
      await runner.close();
    }
  });

  test('finds plaintext where ciphertext should be', async () => {
    for (const client of ['lib-storage-gcm', 'sealpipe'] as const) {
      let runner!: CaseRunner;
      const key = await addedBy(async () => {
        runner = upload(client);
        await runner.run(size);
      });
      await endpoint.store(key, Buffer.concat([...sourceContent(size).chunks(65_536), Buffer.alloc(16)]));
      await assert.rejects(runner.check(), client);
      await runner.close();
    }
  });

  test('finds a download of other bytes, and of fewer', async () => {
    const runner = downloadCase({ kind: 'download', client: 'sdk', tuned: false, target: 'drop' }, world);
    const key = servedKey(world, 'plain', size);
    const content = Buffer.concat([...storedContent(size).chunks(65_536)]);
    await endpoint.store(key, content);
    await runner.run(size);
    await assert.rejects(runner.check(), /is not the content/);
    await endpoint.store(key, content.subarray(1));
    await assert.rejects(runner.run(size), /another number of bytes/);
    await runner.close();
  });

  test('finds small objects that are not what was put', async () => {
    for (const client of ['sdk', 'sealpipe'] as const) {
      let runner!: CaseRunner;
      const key = await addedBy(async () => {
        runner = smallObjectsCase({ kind: 'small-objects', client, tuned: false, direction: 'put' }, world);
        await runner.run(3);
      });
      assert.equal(runner.latencies?.length, 3);
      await runner.check();
      await endpoint.store(key, Buffer.alloc(4096));
      await assert.rejects(runner.check(), client);
      await runner.close();
    }
  });

  test('holds ciphers and streams against each other', async () => {
    const specs = catalogue({ size: 3 * 1024 * 1024 + 5, largeSize: 16, operations: 4 });
    for (const spec of specs.filter(({ kind }) => kind === 'cipher' || kind === 'stream')) {
      const runner =
        spec.kind === 'cipher' ? cipherLoop(spec) : await cryptoStream(spec as Extract<CaseSpec, { kind: 'stream' }>);
      await runner.run(spec.size);
      await runner.check();
    }
  });

  test('holds single steps against other ways to the same', async () => {
    for (const { check } of microCases) await check();
  });
});
