import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { get, request } from 'node:http';
import { suite, test } from 'node:test';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { presign } from './conformance/signer.ts';
import { MiB } from './conformance/target.ts';

const peakMiB = (pid: number): number =>
  Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

suite('memory', () => {
  test('a body of any size goes up and comes down in the same memory', async (context) => {
    if (!existsSync('/proc/self/status')) {
      context.skip('peak memory is read from /proc');
      return;
    }
    const module = new URL('../../src/local/index.js', import.meta.url).href;
    const code = `const { startLocalEndpoint } = await import(${JSON.stringify(module)});
      const local = await startLocalEndpoint({ hashBodies: false, etags: 'random' });
      console.log(JSON.stringify({ endpoint: local.endpoint, credentials: local.credentials }));
      process.on('SIGTERM', () => local.close());`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const [line] = (await once(child.stdout, 'data')) as [Buffer];
      const { endpoint, credentials } = JSON.parse(line.toString()) as {
        endpoint: string;
        credentials: { accessKeyId: string; secretAccessKey: string };
      };
      const s3 = new S3Client({ endpoint, credentials, region: 'us-east-1', forcePathStyle: true });
      await s3.send(new CreateBucketCommand({ Bucket: 'memory' }));
      s3.destroy();
      const host = new URL(endpoint).host;
      const url = (method: string): string =>
        `${endpoint}${presign(credentials, { method, path: '/memory/k', host, region: 'us-east-1', expires: 600 })}`;
      const block = Buffer.alloc(MiB, 1);
      const both = async (mebibytes: number): Promise<void> => {
        await new Promise<void>((resolve, reject) => {
          const sent = request(
            url('PUT'),
            { method: 'PUT', headers: { 'content-length': mebibytes * MiB } },
            (response) => {
              response.resume().on('end', resolve);
            },
          );
          sent.on('error', reject);
          let left = mebibytes;
          const write = (): void => {
            while (left-- > 0) {
              if (!sent.write(block)) {
                sent.once('drain', write);
                return;
              }
            }
            sent.end();
          };
          write();
        });
        let received = 0;
        await new Promise<void>((resolve, reject) => {
          get(url('GET'), (response) => {
            response.on('data', (chunk: Buffer) => {
              received += chunk.length;
            });
            response.on('end', resolve).on('error', reject);
          }).on('error', reject);
        });
        assert.equal(received, mebibytes * MiB);
      };
      // Node takes some memory once, and not at its first large body: what is compared comes after that.
      await both(384);
      const small = peakMiB(child.pid!);
      await both(768);
      const large = peakMiB(child.pid!);
      assert.ok(small < 220, `an endpoint takes ${small.toFixed()} MiB for a body of 384 MiB`);
      assert.ok(large < small + 40, `twice the size took the peak from ${small.toFixed()} to ${large.toFixed()} MiB`);
    } finally {
      child.kill('SIGTERM');
      if (child.exitCode === null) await once(child, 'exit');
    }
  });
});
