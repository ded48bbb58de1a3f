/** Memory of the process, whatever the length: a scaled copy of the 4 GiB run that docs/cli.md speaks of. */
import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { CommandLine } from './command-line.ts';

const MiB = 1024 * 1024;
const line = await CommandLine.start({ hashBodies: false, etags: 'random' });
const kms = ['--kms-key-id', 'alias/sealpipe', ...line.here];
// Says on stderr, once the command has ended, what the operating system counted.
const preload = line.file(
  'peak.cjs',
  "process.on('exit', () => process.stderr.write('peak ' + process.resourceUsage().maxRSS + '\\n'));",
);
await line.bucket('memory');

function* generated(bytes: number): Generator<Buffer> {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16));
  const zeros = Buffer.alloc(64 * 1024);
  for (let made = 0; made < bytes; made += zeros.length) yield cipher.update(zeros);
}

/** Peak resident memory of a command in MiB. */
async function peakOf(args: readonly string[], stdin?: Readable): Promise<number> {
  const env = { NODE_OPTIONS: `--require ${preload}` };
  const { status, stderr } = await line.run(args, { env, ...(stdin && { stdin }) });
  assert.equal(status, 0, stderr);
  return Number(/peak (\d+)/.exec(stderr)?.[1]) / 1024;
}

test('put of a pipe and get need no more memory for a longer object, and less than 250 MiB', async (t) => {
  const peaks: { put: number; get: number }[] = [];
  for (const size of [288, 576]) {
    const url = `s3://memory/${size}`;
    const put = await peakOf(['put', '-', url, ...kms], Readable.from(generated(size * MiB)));
    const get = await peakOf(['get', url, line.path('out'), ...kms]);
    t.diagnostic(`${size} MiB: put ${put.toFixed(0)} MiB, get ${get.toFixed(0)} MiB`);
    peaks.push({ put, get });
  }
  const [short = assert.fail(), long = assert.fail()] = peaks;
  for (const way of ['put', 'get'] as const) {
    assert.ok(long[way] < 250, `${way}: ${long[way]} MiB`);
    assert.ok(long[way] < short[way] + 50, `${way}: ${short[way]} MiB, then ${long[way]} MiB`);
  }
});
