import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { DecryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { type LocalEndpoint, startLocalEndpoint } from '../../src/local/index.ts';
import { presign } from './conformance/signer.ts';
import { failure, MiB, pattern } from './conformance/target.ts';

const base = mkdtempSync(join(tmpdir(), 'sealpipe-test-'));
after(() => rmSync(base, { recursive: true, force: true }));
let folders = 0;
const newFolder = (): string => join(base, `dir-${++folders}`);
const Bucket = 'kept';

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

async function use<Result>(
  dir: string,
  work: (local: LocalEndpoint, s3: S3Client) => Promise<Result>,
): Promise<Result> {
  const local = await startLocalEndpoint({ dir });
  const s3 = new S3Client({ ...local.s3Config, maxAttempts: 1 });
  try {
    return await work(local, s3);
  } finally {
    s3.destroy();
    await local.close();
  }
}

/** An endpoint in a process of its own, to be killed. */
async function spawnEndpoint(
  dir: string,
): Promise<{ child: ChildProcess; endpoint: string; credentials: { accessKeyId: string; secretAccessKey: string } }> {
  const module = new URL('../../src/local/index.js', import.meta.url).href;
  const code = `const { startLocalEndpoint } = await import(${JSON.stringify(module)});
    const local = await startLocalEndpoint({ dir: ${JSON.stringify(dir)} });
    console.log(JSON.stringify({ endpoint: local.endpoint, credentials: local.credentials }));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return {
    child,
    ...(JSON.parse(line.toString()) as {
      endpoint: string;
      credentials: { accessKeyId: string; secretAccessKey: string };
    }),
  };
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

suite('the folder', () => {
  test('objects, uploads and keys are there in the next run', async () => {
    const dir = newFolder();
    const body = pattern(300_000);
    const before = await use(dir, async (local, s3) => {
      await s3.send(new CreateBucketCommand({ Bucket }));
      await s3.send(new PutObjectCommand({ Bucket, Key: 'ü/../k', Body: body, Metadata: { a: '1' }, Tagging: 't=1' }));
      await s3.send(new PutObjectCommand({ Bucket, Key: 'gone', Body: 'x' }));
      await s3.send(new DeleteObjectCommand({ Bucket, Key: 'gone' }));
      const begun = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'parts' }));
      const part = await s3.send(
        new UploadPartCommand({ Bucket, Key: 'parts', UploadId: begun.UploadId, PartNumber: 1, Body: pattern(100) }),
      );
      const kms = new KMSClient(local.kmsConfig);
      const dataKey = await kms.send(new GenerateDataKeyCommand({ KeyId: 'alias/sealpipe', KeySpec: 'AES_256' }));
      kms.destroy();
      return { uploadId: begun.UploadId!, part, dataKey };
    });
    await use(dir, async (local, s3) => {
      const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'ü/../k' }));
      assert.ok(Buffer.from(await got.Body!.transformToByteArray()).equals(body));
      assert.deepEqual(got.Metadata, { a: '1' });
      assert.equal(got.TagCount, 1);
      assert.equal((await failure(s3.send(new HeadObjectCommand({ Bucket, Key: 'gone' })))).status, 404);
      const upload = { Bucket, Key: 'parts', UploadId: before.uploadId };
      assert.equal((await s3.send(new ListPartsCommand(upload))).Parts?.length, 1);
      const Parts = [{ PartNumber: 1, ETag: before.part.ETag, ChecksumCRC32: before.part.ChecksumCRC32 }];
      const complete = new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } });
      await s3.send(complete);
      const kms = new KMSClient(local.kmsConfig);
      const opened = await kms.send(new DecryptCommand({ CiphertextBlob: before.dataKey.CiphertextBlob }));
      assert.deepEqual(Buffer.from(opened.Plaintext!), Buffer.from(before.dataKey.Plaintext!));
      kms.destroy();
    });
    await use(dir, async (_local, s3) => {
      const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'parts' }));
      assert.ok(Buffer.from(await got.Body!.transformToByteArray()).equals(pattern(100)));
    });
  });

  test('what is deleted or replaced leaves no bytes behind, and a reader keeps what it reads', async () => {
    const dir = newFolder();
    await use(dir, async (local, s3) => {
      const blobs = (): number => filesBelow(join(dir, 'blobs')).reduce((sum, file) => sum + statSync(file).size, 0);
      await s3.send(new CreateBucketCommand({ Bucket }));
      const body = pattern(5 * MiB);
      await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: body }));
      assert.equal(blobs(), body.length);
      const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'k' }));
      await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: pattern(1 * MiB, 2) }));
      assert.ok(Buffer.from(await got.Body!.transformToByteArray()).equals(body), 'the old bytes, to the last');
      await local.requests.settled();
      assert.equal(blobs(), 1 * MiB);
      await s3.send(new DeleteObjectCommand({ Bucket, Key: 'k' }));
      assert.equal(blobs(), 0);
    });
  });

  test('a client that goes away in the middle holds nothing back', async () => {
    const dir = newFolder();
    await use(dir, async (local, s3) => {
      await s3.send(new CreateBucketCommand({ Bucket }));
      await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: pattern(20 * MiB) }));
      const host = new URL(local.endpoint).host;
      const path = presign(local.credentials, {
        method: 'GET',
        path: `/${Bucket}/k`,
        host,
        region: local.region,
        expires: 60,
      });
      for (const moment of ['request', 'response', 'data'] as const) {
        await new Promise<void>((resolve) => {
          const sent = request(`${local.endpoint}${path}`, (response) => {
            if (moment === 'response') sent.destroy();
            response.once('data', () => sent.destroy()).on('error', () => {});
          });
          sent.on('error', () => {});
          sent.on('close', () => resolve());
          sent.end(() => {
            if (moment === 'request') setTimeout(() => sent.destroy(), 1);
          });
        });
      }
      await local.requests.settled();
      await s3.send(new DeleteObjectCommand({ Bucket, Key: 'k' }));
      assert.deepEqual(filesBelow(join(dir, 'blobs')), []);
    });
  });

  test('files are for their owner alone, and say what they are', async () => {
    const dir = newFolder();
    await use(dir, async (local, s3) => {
      await s3.send(new CreateBucketCommand({ Bucket }));
      await s3.send(new PutObjectCommand({ Bucket, Key: 'small', Body: 'x' }));
      await s3.send(new PutObjectCommand({ Bucket, Key: 'large', Body: pattern(200_000) }));
      const kms = new KMSClient(local.kmsConfig);
      await kms.send(new GenerateDataKeyCommand({ KeyId: 'alias/sealpipe', KeySpec: 'AES_256' }));
      kms.destroy();
      for (const file of filesBelow(dir)) assert.equal(statSync(file).mode & 0o777, 0o600, file);
    });
    assert.match(readFileSync(join(dir, 'README.txt'), 'utf8'), /for trying out and for tests/);
  });

  test('it is for one endpoint at a time', async () => {
    const dir = newFolder();
    await use(dir, async () => {
      await assert.rejects(startLocalEndpoint({ dir }), {
        code: 'ERR_SEALPIPE_LOCAL_BUSY',
        message: new RegExp(`process ${process.pid}`),
      });
    });
    await use(dir, async () => {});
    const { child } = await spawnEndpoint(dir);
    await assert.rejects(startLocalEndpoint({ dir }), {
      code: 'ERR_SEALPIPE_LOCAL_BUSY',
      message: new RegExp(`process ${child.pid}`),
    });
    await kill(child);
    await use(dir, async () => {});
  });

  test('the lock of a process that is gone is taken over, even if its number is in use again', async () => {
    const dir = newFolder();
    await use(dir, async () => {});
    writeFileSync(join(dir, 'lock'), JSON.stringify({ pid: 2 ** 22 + 12345 }));
    await use(dir, async () => {});
    if (existsSync('/proc/self/stat')) {
      writeFileSync(join(dir, 'lock'), JSON.stringify({ pid: process.pid, started: '1' }));
      await use(dir, async () => {});
    }
    assert.ok(!existsSync(join(dir, 'lock')));
  });

  test('of many that take over at once one succeeds', async () => {
    const dir = newFolder();
    await use(dir, async () => {});
    writeFileSync(join(dir, 'lock'), JSON.stringify({ pid: 2 ** 22 + 12345 }));
    const started = await Promise.allSettled(Array.from({ length: 5 }, () => startLocalEndpoint({ dir })));
    const running = started.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    assert.equal(running.length, 1);
    await running[0]!.close();
  });

  test('a kill in the middle of a PUT leaves no object, no half of one, and what was there before', async () => {
    const dir = newFolder();
    const { child, endpoint, credentials } = await spawnEndpoint(dir);
    const s3 = new S3Client({ endpoint, credentials, region: 'us-east-1', forcePathStyle: true, maxAttempts: 1 });
    await s3.send(new CreateBucketCommand({ Bucket }));
    await s3.send(new PutObjectCommand({ Bucket, Key: 'before', Body: pattern(3 * MiB) }));
    const begun = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'parts' }));
    s3.destroy();
    const host = new URL(endpoint).host;
    const halves = ['new', 'before', `parts?partNumber=1&uploadId=${begun.UploadId}`].map((key) => {
      const path = presign(credentials, {
        method: 'PUT',
        path: `/${Bucket}/${key}`,
        host,
        region: 'us-east-1',
        expires: 60,
      });
      const sent = request(`${endpoint}${path}`, { method: 'PUT', headers: { 'content-length': 8 * MiB } });
      sent.on('error', () => {});
      sent.write(pattern(4 * MiB, 5));
      return sent;
    });
    // Until half of each is on the disk.
    const blobs = (): number => filesBelow(join(dir, 'blobs')).reduce((sum, file) => sum + statSync(file).size, 0);
    while (blobs() < 3 * MiB + 3 * 3 * MiB) await new Promise((resolve) => setTimeout(resolve, 5));
    await kill(child);
    for (const half of halves) half.destroy();
    await use(dir, async (_local, after) => {
      const listed = await after.send(new ListObjectsV2Command({ Bucket }));
      assert.deepEqual(
        listed.Contents?.map((entry) => entry.Key),
        ['before'],
      );
      const got = await after.send(new GetObjectCommand({ Bucket, Key: 'before' }));
      assert.ok(Buffer.from(await got.Body!.transformToByteArray()).equals(pattern(3 * MiB)));
      const parts = await after.send(new ListPartsCommand({ Bucket, Key: 'parts', UploadId: begun.UploadId }));
      assert.equal(parts.Parts, undefined);
      assert.equal(blobs(), 3 * MiB, 'the halves are swept away');
    });
  });

  test('a torn last line of a journal is a change that was not made', async () => {
    const dir = newFolder();
    await use(dir, async (_local, s3) => {
      await s3.send(new CreateBucketCommand({ Bucket }));
      await s3.send(new PutObjectCommand({ Bucket, Key: 'whole', Body: 'x' }));
      await s3.send(new PutObjectCommand({ Bucket, Key: 'torn', Body: 'y' }));
    });
    const journal = join(dir, 'buckets', Bucket, 'journal.jsonl');
    const text = readFileSync(journal);
    for (const cut of [1, 30]) {
      writeFileSync(journal, text.subarray(0, text.length - cut));
      await use(dir, async (_local, s3) => {
        assert.deepEqual(
          (await s3.send(new ListObjectsV2Command({ Bucket }))).Contents?.map((entry) => entry.Key),
          ['whole'],
        );
        await s3.send(new PutObjectCommand({ Bucket, Key: 'next', Body: 'z' }));
        await s3.send(new DeleteObjectCommand({ Bucket, Key: 'next' }));
      });
    }
    await use(dir, async (_local, s3) => {
      assert.equal((await s3.send(new ListObjectsV2Command({ Bucket }))).KeyCount, 1);
    });
  });

  test('a journal that is damaged elsewhere is an error that names its line', async () => {
    const dir = newFolder();
    await use(dir, async (_local, s3) => {
      await s3.send(new CreateBucketCommand({ Bucket }));
      await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }));
    });
    const journal = join(dir, 'buckets', Bucket, 'journal.jsonl');
    writeFileSync(journal, `no json\n${readFileSync(journal, 'utf8')}`);
    await assert.rejects(startLocalEndpoint({ dir }), { code: 'ERR_SEALPIPE_CONFIG_INVALID', message: /line 1/ });
    // And the folder is free again.
    await assert.rejects(startLocalEndpoint({ dir }), { code: 'ERR_SEALPIPE_CONFIG_INVALID' });
  });

  test('a folder with other things in it is not touched', async () => {
    const dir = newFolder();
    mkdirSync(join(dir, 'buckets', 'mine'), { recursive: true });
    writeFileSync(join(dir, 'buckets', 'mine', 'file'), 'x');
    await assert.rejects(startLocalEndpoint({ dir }), {
      code: 'ERR_SEALPIPE_CONFIG_INVALID',
      message: /holds other files/,
    });
    assert.deepEqual(
      filesBelow(dir).map((file) => file.slice(dir.length)),
      ['/buckets/mine/file'],
    );
    writeFileSync(join(dir, 'sealpipe-local.json'), '{"layout":99}');
    await assert.rejects(startLocalEndpoint({ dir }), { code: 'ERR_SEALPIPE_CONFIG_INVALID', message: /layout 99/ });
  });

  test('the authority of a folder is the same in the next run', async () => {
    const dir = newFolder();
    const first = await startLocalEndpoint({ dir, tls: true });
    await first.close();
    const second = await startLocalEndpoint({ dir, tls: true });
    assert.equal(second.ca, first.ca);
    await second.close();
  });
});
