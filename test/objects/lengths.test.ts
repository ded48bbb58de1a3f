import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import type { ListEntry, ListOptions } from '../../src/objects/list-objects.ts';
import { Bucket, TestEndpoint } from '../support/endpoint.ts';
import { failure } from '../support/failure.ts';
import { legacyObject, legacyPolicy } from '../support/legacy-objects.ts';

const wrappingKey = randomBytes(32);
const keyring = aesKeyring({ key: wrappingKey });
let endpoint: TestEndpoint;

before(async () => {
  endpoint = await TestEndpoint.start();
  const legacy = async (Key: string, length: number, claim?: number): Promise<void> => {
    const { body, metadata } = legacyObject(wrappingKey, randomBytes(length), {
      ...(claim !== undefined && { claim }),
    });
    await endpoint.store(Key, body, metadata);
  };
  await endpoint.store('mixed/', '');
  await legacy('mixed/cbc', 1000);
  await legacy('mixed/cbc-claimed', 1000, 1000);
  await legacy('mixed/cbc-lied', 1000, 5000);
  await endpoint.store('mixed/empty', '');
  await endpoint.encrypted().upload({ Bucket, Key: 'mixed/encrypted-folder/', Body: '' }).done();
  await endpoint
    .encrypted({ storage: 'instruction-file' })
    .upload({ Bucket, Key: 'mixed/filed', Body: 'x'.repeat(50) })
    .done();
  await endpoint.store('mixed/plain', 'plain text');
  const v2 = endpoint.encrypted({ suite: 'gcm', commitmentPolicy: 'FORBID_ENCRYPT_ALLOW_DECRYPT' });
  await v2.upload({ Bucket, Key: 'mixed/v2', Body: 'x'.repeat(20) }).done();
  await endpoint
    .encrypted()
    .upload({ Bucket, Key: 'mixed/v3', Body: 'x'.repeat(30) })
    .done();
});
beforeEach(() => {
  endpoint.local.faults.clear();
  endpoint.local.requests.clear();
});
after(() => endpoint.close());

const lenient = (): ReturnType<TestEndpoint['encrypted']> => endpoint.encrypted({ keyring, ...legacyPolicy });

async function listed(entries: AsyncIterable<ListEntry>): Promise<ListEntry[]> {
  const all: ListEntry[] = [];
  for await (const entry of entries) all.push(entry);
  return all;
}
const brief = (entries: readonly ListEntry[]): unknown[] =>
  entries.map(({ key, plaintextSize, exact, basis, kind }) => [key.slice(6), plaintextSize, exact, basis, kind]);

test('looking at each object tells a mixed prefix apart, with every length exact', async () => {
  const entries = await listed(lenient().list({ Bucket, Prefix: 'mixed/' }, { exact: true, companions: true }));
  assert.deepEqual(brief(entries), [
    ['', 0, true, 'plaintext', 'directory'],
    ['cbc', 1000, true, 'padding', 'V1'],
    ['cbc-claimed', 1000, true, 'claimed', 'V1'],
    ['cbc-lied', 1000, true, 'padding', 'V1'],
    ['empty', 0, true, 'plaintext', 'plaintext'],
    ['encrypted-folder/', 0, true, 'gcm', 'directory'],
    ['filed', 50, true, 'gcm', 'V3'],
    ['filed.instruction', entries[7]?.storedSize, true, 'plaintext', 'instruction-file'],
    ['plain', 10, true, 'plaintext', 'plaintext'],
    ['v2', 20, true, 'gcm', 'V2'],
    ['v3', 30, true, 'gcm', 'V3'],
  ]);
  assert.ok(entries.every(({ problem }) => problem === undefined));
});

test('it costs a HEAD each, a GET for CBC that nothing else tells, and a GET where an instruction file may be', async () => {
  const reader = lenient();
  const list = (): Promise<ListEntry[]> => listed(reader.list({ Bucket, Prefix: 'mixed/' }, { exact: true }));
  // Two of no bytes are known; `cbc` and `cbc-lied` are probed; `filed` and `plain` are looked up.
  assert.deepEqual(await endpoint.requestsOf(list), { ListObjectsV2: 1, HeadObject: 8, GetObject: 4 });
  assert.deepEqual(await endpoint.requestsOf(list), { ListObjectsV2: 1 }, 'what was found out was forgotten');
  await endpoint.store('mixed/plain', 'another');
  assert.deepEqual(await endpoint.requestsOf(list), { ListObjectsV2: 1, HeadObject: 1, GetObject: 1 });
  await endpoint.store('mixed/plain', 'plain text');
});

test('under the promise of GCM nothing is looked at', async () => {
  const options: ListOptions = { exact: true, contents: 'gcm' };
  const list = (): Promise<ListEntry[]> => listed(endpoint.encrypted().list({ Bucket, Prefix: 'mixed/v' }, options));
  assert.deepEqual(await endpoint.requestsOf(list), { ListObjectsV2: 1 });
});

test('what the policy or a key forbids leaves a bound, and says why, without ending the listing', async () => {
  const find = async (options: Parameters<TestEndpoint['encrypted']>[0]): Promise<ListEntry> => {
    const entries = await listed(endpoint.encrypted(options).list({ Bucket, Prefix: 'mixed/cbc' }, { exact: true }));
    assert.deepEqual(brief(entries).slice(1, 2), [['cbc-claimed', 1000, true, 'claimed', 'V1']]);
    return entries[0] as ListEntry;
  };
  for (const [options, code] of [
    [{}, 'LEGACY_DISABLED'],
    [{ keyring: aesKeyring({ key: randomBytes(32) }), ...legacyPolicy }, 'AUTHENTICATION_FAILED'],
  ] as const) {
    const { plaintextSize, exact, basis, kind, problem } = await find(options);
    assert.deepEqual([plaintextSize, exact, basis, kind], [1007, false, 'cbc-bound', 'V1']);
    assert.equal(problem?.code, `ERR_SEALPIPE_${code}`);
  }
});

test('an object that is gone or denied when it is looked at is listed with its problem', async () => {
  endpoint.local.faults.set([
    { operation: 'HeadObject', key: 'mixed/v2', status: 403, code: 'AccessDenied', times: 'always' },
    { operation: 'HeadObject', key: 'mixed/v3', status: 404, code: 'NoSuchKey', times: 'always' },
  ]);
  const entries = await listed(lenient().list({ Bucket, Prefix: 'mixed/v' }, { exact: true }));
  assert.deepEqual(
    entries.map(({ exact, basis, problem }) => [exact, basis, problem?.code]),
    [
      [false, 'assumed-gcm', 'ERR_SEALPIPE_ACCESS_DENIED'],
      [false, 'assumed-gcm', 'ERR_SEALPIPE_OBJECT_NOT_FOUND'],
    ],
  );
});

test('no more are looked at at a time than asked for, and leaving early ends what is under way', async () => {
  endpoint.local.faults.set([{ operation: 'HeadObject', delay: 50, times: 'always' }]);
  await listed(lenient().list({ Bucket, Prefix: 'mixed/' }, { exact: true, concurrency: 2 }));
  await endpoint.local.requests.settled();
  const heads = endpoint.local.requests.all('HeadObject');
  const most = Math.max(
    ...heads.map(
      ({ startedAt }) =>
        heads.filter((o) => o.startedAt <= startedAt && startedAt < o.startedAt + o.milliseconds).length,
    ),
  );
  assert.equal(most, 2);

  endpoint.local.faults.set([{ operation: 'HeadObject', delay: 8000, nth: 3, times: 'always' }]);
  const began = performance.now();
  for await (const entry of lenient().list({ Bucket, Prefix: 'mixed/' }, { exact: true }))
    if (entry.key.endsWith('/cbc')) break;
  assert.ok(performance.now() - began < 7000);
  await assert.rejects(listed(endpoint.encrypted().list({ Bucket }, { exact: true, concurrency: 0 })), RangeError);
});

test('an abort ends the listing', async () => {
  endpoint.local.faults.set([{ operation: 'HeadObject', delay: 1500, times: 'always' }]);
  const list = listed(lenient().list({ Bucket, Prefix: 'mixed/' }, { exact: true, signal: AbortSignal.timeout(100) }));
  await assert.rejects(list, failure('ABORTED'));
});

test('a head is exact where asked: one HEAD and one GET, the key once', async () => {
  const reader = lenient();
  const bound = await reader.head({ Bucket, Key: 'mixed/cbc' });
  assert.deepEqual([bound.plaintextSize, bound.exact, bound.basis], [1007, false, 'cbc-bound']);
  const requests = await endpoint.requestsOf(async () => {
    const { plaintextSize, exact, basis } = await reader.head({ Bucket, Key: 'mixed/cbc' }, { exact: true });
    assert.deepEqual([plaintextSize, exact, basis], [1000, true, 'padding']);
  });
  assert.deepEqual(requests, { HeadObject: 1, GetObject: 1 });
  const claimed = await endpoint.requestsOf(() => reader.head({ Bucket, Key: 'mixed/cbc-claimed' }, { exact: true }));
  assert.deepEqual(claimed, { HeadObject: 1 });
  await assert.rejects(
    endpoint.encrypted().head({ Bucket, Key: 'mixed/cbc' }, { exact: true }),
    failure('LEGACY_DISABLED'),
  );
});

test('every length of the last block is found', async () => {
  for (let length = 0; length <= 33; length++) {
    const { body, metadata } = legacyObject(wrappingKey, randomBytes(length));
    await endpoint.store('block', body, metadata);
    assert.equal((await lenient().head({ Bucket, Key: 'block' }, { exact: true })).plaintextSize, length);
  }
});
