/** Stores that answer ranges otherwise than S3 does. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, test } from 'node:test';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import { EncryptedS3 } from '../../src/objects/encrypted-s3.ts';
import { failure } from '../support/failure.ts';
import { type Answer, type RecordedRequest, RecordingServer } from '../support/recording-server.ts';

const body = randomBytes(300_000);
const servers: RecordingServer[] = [];
after(async () => {
  for (const server of servers) await server.close();
});

/** An S3 with one plaintext object, whose answers to ranges a test may change. */
async function storeWith(
  change: (
    answer: Answer & { status: number; headers: Record<string, string>; body: Buffer },
    request: RecordedRequest,
  ) => Answer,
): Promise<EncryptedS3> {
  const server = await RecordingServer.start((request) => {
    if (request.url.includes('.instruction')) return { status: 404, body: '<Error><Code>NoSuchKey</Code></Error>' };
    const suffix = /^bytes=-(\d+)$/.exec(request.headers.range ?? '');
    const bounded = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    const start = suffix === null ? Number(bounded?.[1]) : Math.max(0, body.length - Number(suffix[1]));
    const end = suffix === null ? Number(bounded?.[2]) + 1 : body.length;
    const headers = { etag: '"one"', 'content-range': `bytes ${start}-${end - 1}/${body.length}` };
    const answer = change({ status: 206, headers, body: body.subarray(start, end) }, request);
    // Without a length it would be sent in chunks.
    const length = answer.headers?.['transfer-encoding'] === undefined ? String(answer.body?.length ?? 0) : undefined;
    return { ...answer, headers: { ...answer.headers, ...(length !== undefined && { 'content-length': length }) } };
  });
  servers.push(server);
  return new EncryptedS3({
    client: server.client(),
    keyring: aesKeyring({ key: randomBytes(32) }),
    plaintext: 'allow',
  });
}

const address = { Bucket: 'bucket', Key: 'key' };
const never = { authenticate: 'never', tail: 1000 } as const;
const isFirst = ({ headers }: RecordedRequest): boolean => headers.range?.startsWith('bytes=-') === true;

test('a store that passes over Range is refused by name, when it is opened or read', async () => {
  const always = await storeWith(() => ({ status: 200, headers: { etag: '"one"' }, body }));
  await assert.rejects(always.open(address, never), failure('REQUEST_REJECTED', /does not know ranges/));
  const later = await storeWith((answer, request) =>
    isFirst(request) ? answer : { status: 200, headers: { etag: '"one"' }, body },
  );
  const object = await later.open(address, never);
  await assert.rejects(object.read(0, 100), failure('REQUEST_REJECTED', /does not know ranges/));
});

test('the whole is taken for an answer where it is no longer than the range', async () => {
  const s3 = await storeWith(() => ({ status: 200, headers: { etag: '"one"' }, body }));
  const object = await s3.open(address, { ...never, tail: 1e6 });
  assert.ok(body.equals(await object.read(0, body.length)));
});

test('a suffix that is answered as something else is refused', async () => {
  const wrong: Record<string, string>[] = [
    { 'content-range': `bytes 0-1015/${body.length}` },
    { 'content-range': `bytes 298984-299999/*` },
    { 'content-range': `bytes 298984-299999/299999` },
    { 'content-range': `bytes 298984-299999/99999999999999999999` },
    { 'content-range': 'nonsense' },
    { 'content-range': '' },
  ];
  for (const headers of wrong) {
    const s3 = await storeWith((answer) => ({ ...answer, headers: { ...answer.headers, ...headers } }));
    await assert.rejects(s3.open(address, never), failure('REQUEST_REJECTED'), headers['content-range']);
  }
});

test('a range that is answered with another one, or of another object, is OBJECT_CHANGED', async () => {
  const changes: Record<string, string>[] = [
    { 'content-range': `bytes 1-100/${body.length}` },
    { 'content-range': `bytes 0-98/${body.length}` },
    { 'content-range': `bytes 0-99/${body.length + 1}` },
    { 'content-range': `bytes 0-99/*` },
    // It does not know If-Match.
    { etag: '"two"' },
  ];
  for (const headers of changes) {
    const s3 = await storeWith((answer, request) =>
      isFirst(request) ? answer : { ...answer, headers: { ...answer.headers, ...headers } },
    );
    const object = await s3.open(address, never);
    await assert.rejects(object.read(0, 100), failure('OBJECT_CHANGED'), JSON.stringify(headers));
  }
});

test('a body that is longer than its range is refused', async () => {
  const s3 = await storeWith((answer, request) =>
    isFirst(request)
      ? answer
      : { ...answer, headers: { ...answer.headers, 'transfer-encoding': 'chunked' }, body: body.subarray(0, 200) },
  );
  const object = await s3.open(address, never);
  await assert.rejects(object.read(0, 100), failure('OBJECT_CHANGED', /more bytes/));
});

test('416 for a range that lay within the object means that it was replaced', async () => {
  const s3 = await storeWith((answer, request) =>
    isFirst(request) ? answer : { status: 416, body: '<Error><Code>InvalidRange</Code></Error>' },
  );
  const object = await s3.open(address, never);
  await assert.rejects(object.read(0, 100), failure('OBJECT_CHANGED'));
});

test('without an ETag, nothing beyond the first answer is read', async () => {
  const s3 = await storeWith(({ headers, ...answer }) => ({
    ...answer,
    headers: { 'content-range': headers['content-range'] ?? '' },
  }));
  const object = await s3.open(address, never);
  assert.equal((await object.tail(1000)).length, 1000);
  await assert.rejects(object.read(0, 100), failure('REQUEST_REJECTED', /ETag/));
});

test('a length that nobody could have is refused or read piece by piece, never allocated', async () => {
  const s3 = await storeWith((answer, request) =>
    isFirst(request)
      ? {
          ...answer,
          headers: {
            ...answer.headers,
            'content-range': `bytes ${999_999_999_999_999 - 1016}-999999999999998/999999999999999`,
          },
        }
      : { status: 404, body: '<Error><Code>NoSuchKey</Code></Error>' },
  );
  const object = await s3.open(address, never);
  assert.equal(object.size, 999_999_999_999_999);
  await assert.rejects(object.read(0, object.size), RangeError);
  await assert.rejects(object.read(0, 4e9), failure('OBJECT_NOT_FOUND'));
});
