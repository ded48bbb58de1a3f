/** Calls of an encrypting client that are aborted: they reject as the SDK's do, and let go of what they read. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as S3 from '@aws-sdk/client-s3';
import { Bucket, rejection, TestEndpoint } from '../support/endpoint.ts';

const MiB = 1024 * 1024;
let endpoint: TestEndpoint;
let client: S3.S3Client;

before(async () => {
  endpoint = await TestEndpoint.start();
  client = endpoint.encrypting();
});
beforeEach(() => {
  endpoint.local.faults.clear();
  endpoint.local.requests.clear();
});
after(() => endpoint.close());

const never = (): Promise<never> => new Promise(() => undefined);
async function* stalling(): AsyncGenerator<Buffer> {
  yield Buffer.alloc(10);
  await never();
}
const stalled = (): Readable => new Readable({ read: () => undefined });
const create = async (Key: string): Promise<{ Bucket: string; Key: string; UploadId: string }> => {
  const { UploadId = '' } = await client.send(new S3.CreateMultipartUploadCommand({ Bucket, Key }));
  return { Bucket, Key, UploadId };
};
const abortedWith = (error: unknown, cause: unknown): void => {
  assert.ok(error instanceof Error);
  assert.equal(error.name, 'AbortError');
  assert.equal((error as NodeJS.ErrnoException).code, 'ERR_SEALPIPE_ABORTED');
  assert.equal(error.cause, cause);
};

describe('a call that is aborted while its body is read rejects at once', { timeout: 20_000 }, () => {
  for (const [how, make] of [
    ['is silent', stalled],
    ['has begun', () => Readable.from(stalling())],
    ['is a web stream', () => new ReadableStream()],
  ] as const) {
    for (const ms of [-1, 0, 30]) {
      test(`a body that ${how}, after ${ms} ms`, async () => {
        const address = await create('aborted');
        for (const command of [
          new S3.PutObjectCommand({ Bucket, Key: 'aborted', Body: make() as Readable, ContentLength: MiB }),
          new S3.UploadPartCommand({ ...address, PartNumber: 1, Body: make() as Readable, ContentLength: 20 * MiB }),
        ]) {
          const abort = new AbortController();
          const reason = new Error('enough');
          if (ms < 0) abort.abort(reason);
          else setTimeout(() => abort.abort(reason), ms);
          const sending = client.send(command as S3.PutObjectCommand, { abortSignal: abort.signal });
          abortedWith(await rejection(sending), reason);
          const body = command.input.Body;
          if (body instanceof Readable) assert.ok(body.destroyed);
        }
        await client.send(new S3.AbortMultipartUploadCommand(address));
        assert.equal(endpoint.local.requests.count('PutObject') + endpoint.local.requests.count('UploadPart'), 0);
      });
    }
  }

  test('where the SDK tells middleware nothing of the signal, as older ones do', async () => {
    const command = new S3.PutObjectCommand({ Bucket, Key: 'aborted', Body: stalled(), ContentLength: MiB });
    const resolve = command.resolveMiddleware.bind(command);
    command.resolveMiddleware = (stack, configuration) => resolve(stack, configuration, {});
    const abort = new AbortController();
    const sending = client.send(command, { abortSignal: abort.signal });
    abort.abort('enough');
    abortedWith(await rejection(sending), 'enough');
  });

  test('and AbortMultipartUpload ends the reading for parts of its upload, and of no other', async () => {
    const [address, other] = [await create('given up'), await create('kept')];
    const [Body, kept] = [stalled(), stalled()];
    const part = { PartNumber: 1, ContentLength: 100 };
    const sending = rejection(client.send(new S3.UploadPartCommand({ ...address, ...part, Body })));
    const going = client.send(new S3.UploadPartCommand({ ...other, ...part, Body: kept }));
    await client.send(new S3.AbortMultipartUploadCommand(address));
    assert.equal(((await sending) as Error).name, 'AbortError');
    assert.ok(Body.destroyed);
    kept.push(Buffer.alloc(100));
    kept.push(null);
    await going;
    await client.send(new S3.AbortMultipartUploadCommand(other));
  });
});

test('an abort is an AbortError wherever it comes: with the key asked for, on the way, and in the body of an answer', async () => {
  for (const [fault, Body, more] of [
    [{ operation: 'KMS.GenerateDataKey', delay: 2000 }, Buffer.alloc(10), {}],
    [{ operation: 'KMS.GenerateDataKey', delay: 2000 }, stalled(), { ContentLength: 20 * MiB }],
    [{ operation: 'PutObject', delay: 2000 }, Buffer.alloc(10), {}],
    [{ operation: 'PutObject', delay: 2000 }, stalled(), { ContentLength: 20 * MiB }],
  ] as const) {
    endpoint.local.faults.set([fault]);
    const abort = new AbortController();
    const command = new S3.PutObjectCommand({ Bucket, Key: 'anywhere', Body, ...more });
    const sending = rejection(client.send(command, { abortSignal: abort.signal }));
    await sleep(100);
    abort.abort();
    assert.equal(((await sending) as Error).name, 'AbortError');
  }
  endpoint.local.faults.clear();
  await client.send(new S3.PutObjectCommand({ Bucket, Key: 'body', Body: randomBytes(4 * MiB) }));
  const delayed = endpoint.encrypting({ release: 'delayed' });
  const abort = new AbortController();
  const { Body } = await delayed.send(new S3.GetObjectCommand({ Bucket, Key: 'body' }), { abortSignal: abort.signal });
  abort.abort();
  assert.equal(((await rejection(Body?.transformToByteArray() as Promise<unknown>)) as Error).name, 'AbortError');
});
