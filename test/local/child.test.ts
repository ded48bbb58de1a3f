import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { CreateBucketCommand, HeadBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { startLocalEndpoint, startLocalEndpointProcess } from '../../src/local/index.ts';
import { failure } from './conformance/target.ts';

const base = mkdtempSync(join(tmpdir(), 'sealpipe-child-'));
after(() => rmSync(base, { recursive: true, force: true }));
const Bucket = 'child';

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

suite('an endpoint in a process of its own', () => {
  test('serves, tells its log, takes rules, and ends when it is closed', async () => {
    const child = await startLocalEndpointProcess({ tls: true });
    assert.notEqual(child.pid, process.pid);
    const s3 = new S3Client({ ...child.s3Config, maxAttempts: 1 });
    await s3.send(new CreateBucketCommand({ Bucket }));
    await child.faults.set([{ operation: 'HeadBucket', status: 503 }]);
    assert.equal((await failure(s3.send(new HeadBucketCommand({ Bucket })))).status, 503);
    assert.deepEqual(await child.faults.hits(), [1]);
    assert.deepEqual(
      (await child.requests.all()).map((entry) => entry.operation),
      ['CreateBucket', 'HeadBucket'],
    );
    assert.equal((await child.requests.all('HeadBucket')).length, 1);
    await child.requests.clear();
    assert.deepEqual(await child.requests.all(), []);
    await assert.rejects(child.faults.set([{ status: 200 }]), TypeError);
    s3.destroy();
    await child.close();
    await child.close();
    assert.ok(!isAlive(child.pid));
    assert.ok(!existsSync(child.dir));
    await assert.rejects(child.requests.all(), /has ended/);
  });

  test('fails to start for the same reasons as one in this process', async () => {
    const dir = join(base, 'busy');
    const local = await startLocalEndpoint({ dir });
    await assert.rejects(startLocalEndpointProcess({ dir }), { code: 'ERR_SEALPIPE_LOCAL_BUSY' });
    await local.close();
    await assert.rejects(startLocalEndpointProcess({ port: -1 }), RangeError);
  });

  test('is killed as by a crash, and its folder taken over', async () => {
    const dir = join(base, 'killed');
    const child = await startLocalEndpointProcess({ dir });
    const s3 = new S3Client(child.s3Config);
    await s3.send(new CreateBucketCommand({ Bucket }));
    s3.destroy();
    await child.kill();
    await child.close();
    const again = await startLocalEndpoint({ dir });
    const client = new S3Client(again.s3Config);
    await client.send(new HeadBucketCommand({ Bucket }));
    client.destroy();
    await again.close();
  });
});
