import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { CreateBucketCommand, HeadBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { type LocalEndpoint, type RequestLogEntry, startLocalEndpoint } from '../../src/local/index.ts';
import { failure } from './conformance/target.ts';

suite('control over HTTP', () => {
  let local: LocalEndpoint;
  let s3: S3Client;
  const Bucket = 'controlled';
  before(async () => {
    local = await startLocalEndpoint({ control: true });
    s3 = new S3Client({ ...local.s3Config, maxAttempts: 1 });
    await s3.send(new CreateBucketCommand({ Bucket }));
  });
  after(async () => {
    s3.destroy();
    await local.close();
  });

  const control = (path: string, init?: RequestInit): Promise<Response> =>
    fetch(`${local.endpoint}/_sealpipe${path}`, init);

  test('the log is lines of JSON, and can be cleared', async () => {
    await control('/requests', { method: 'DELETE' });
    await s3.send(new HeadBucketCommand({ Bucket }));
    await local.requests.settled();
    const text = await (await control('/requests')).text();
    const entries = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as RequestLogEntry);
    assert.deepEqual(
      entries.map((entry) => [entry.operation, entry.status]),
      [['HeadBucket', 200]],
    );
    assert.deepEqual(entries, JSON.parse(JSON.stringify(local.requests.all())));
    assert.equal((await control('/requests', { method: 'DELETE' })).status, 204);
    assert.equal(await (await control('/requests')).text(), '');
  });

  test('rules are put, told with how often they struck, and removed', async () => {
    const rules = [{ name: 'down', operation: 'HeadBucket', status: 503, times: 2 }];
    const put = await control('/faults', { method: 'PUT', body: JSON.stringify(rules) });
    assert.deepEqual(await put.json(), [{ ...rules[0], hits: 0 }]);
    assert.equal((await failure(s3.send(new HeadBucketCommand({ Bucket })))).status, 503);
    assert.deepEqual(await (await control('/faults')).json(), [{ ...rules[0], hits: 1 }]);
    assert.equal(local.faults.installed.length, 1);
    await control('/faults', { method: 'DELETE' });
    await s3.send(new HeadBucketCommand({ Bucket }));
    // One rule needs no list, and "always" is how JSON says for ever.
    await control('/faults', { method: 'PUT', body: JSON.stringify({ status: 500, times: 'always' }) });
    for (const _ of [1, 2]) assert.equal((await failure(s3.send(new HeadBucketCommand({ Bucket })))).status, 500);
    await control('/faults', { method: 'DELETE' });
  });

  test('what makes no sense is 400 with the reason, and changes nothing', async () => {
    await control('/faults', { method: 'PUT', body: '[{"status":503,"operation":"X"}]' });
    for (const [body, reason] of [
      ['no json', /JSON/],
      ['[{"statuss":1}]', /statuss/],
      ['{}', /must have an effect/],
    ] as const) {
      const answer = await control('/faults', { method: 'PUT', body });
      assert.equal(answer.status, 400);
      assert.match(await answer.text(), reason);
    }
    assert.equal(local.faults.installed.length, 1);
    await control('/faults', { method: 'DELETE' });
    assert.equal((await control('/other')).status, 404);
    assert.equal((await control('/requests', { method: 'POST' })).status, 405);
  });

  test('control is neither logged nor struck by rules', async () => {
    await local.requests.settled();
    local.requests.clear();
    local.faults.add({ status: 500, times: 'always' });
    assert.equal((await control('')).status, 200);
    local.faults.clear();
    assert.equal(local.requests.length, 0);
  });

  test('without control there is nothing but the description', async () => {
    const closed = await startLocalEndpoint();
    for (const path of ['/requests', '/faults']) {
      assert.equal((await fetch(`${closed.endpoint}/_sealpipe${path}`)).status, 403);
    }
    assert.equal(
      (await fetch(`${closed.endpoint}/_sealpipe/faults`, { method: 'PUT', body: '[{"status":500}]' })).status,
      403,
    );
    assert.equal(closed.faults.installed.length, 0);
    await closed.close();
  });
});
