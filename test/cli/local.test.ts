import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import * as schemas from '../../src/cli/schemas.ts';
import { fixture } from '../support/project.ts';
import { CommandLine, documents, mainPath, namesIn } from './command-line.ts';

const line = await CommandLine.start();

/** Runs `sealpipe local` until `work` is done, then ends it as a terminal does. */
async function withLocal<T>(args: readonly string[], work: (readyLine: string) => Promise<T>): Promise<T> {
  const child = spawn(process.execPath, [mainPath, 'local', ...args], { env: line.env, cwd: line.folder });
  const closed = once(child, 'close');
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  try {
    const [first] = (await once(createInterface(child.stdout), 'line')) as [string];
    return await work(first);
  } finally {
    child.kill('SIGINT');
    assert.deepEqual(await closed, [0, null], stderr);
  }
}

describe('local', { concurrency: 2 }, () => {
  test('sealpipe local says where it is, serves S3 and KMS, and ends at Ctrl-C', async () => {
    await withLocal(['--json', '--control'], async (first) => {
      const ready = schemas.local.parse(JSON.parse(first));
      assert.deepEqual([ready.dir, ready.control, ready.endpoint], [null, true, `http://127.0.0.1:${ready.port}`]);
      const env = { AWS_ACCESS_KEY_ID: ready.accessKeyId, AWS_SECRET_ACCESS_KEY: ready.secretAccessKey };
      const here = ['--endpoint-url', ready.endpoint];
      const file = line.file('served', 'served');
      await line.ok(['mb', 's3://served', ...here], { env });
      // It is asked whether it serves KMS, too, and says yes.
      await line.ok(['put', file, 's3://served/k', '--kms-key-id', 'alias/sealpipe', ...here], { env });
      const { stdout } = await line.ok(['cat', 's3://served/k', '--kms-key-id', 'alias/sealpipe', ...here], { env });
      assert.equal(stdout.toString(), 'served');
      const log = await (await fetch(`${ready.endpoint}/_sealpipe/requests`)).text();
      assert.match(log, /"operation":"KMS\.Decrypt"/);
    });
  });

  test('the ready line for people is one that programs read, too', async () => {
    const dir = line.path('kept');
    await withLocal(['--dir', dir, '--region', 'eu-west-1'], async (first) => {
      assert.match(
        first,
        /^sealpipe local ready: endpoint=http:\/\/127\.0\.0\.1:\d+ region=eu-west-1 access-key-id=\S+ secret-access-key=\S+ dir=\S+kept$/,
      );
      const [, endpoint = ''] = /endpoint=(\S+)/.exec(first) ?? [];
      const port = new URL(endpoint).port;
      await line.fails(['local', '--port', port], { code: 'NETWORK', message: /cannot be listened on/ });
      await line.fails(['local', '--dir', dir], { code: 'LOCAL_BUSY', message: /in use by process/ });
      await line.fails(['ls', 's3://bucket', '--local', dir], { code: 'LOCAL_BUSY' });
    });
  });

  test('--local keeps objects and keys in a folder, makes the bucket and the key, and says what it is at its first use', async () => {
    const folder = line.path('try');
    const file = line.file('kept.txt', 'kept');
    const here = ['--local', folder, '--kms-key-id', 'alias/sealpipe'];
    const first = await line.run(['put', file, 's3://made/k', ...here, '--json']);
    assert.equal(first.status, 0);
    assert.match(
      first.stderr,
      /^sealpipe: \S+try is new: an S3 and KMS for trying out and for tests, whose keys lie there in plain files\n$/,
    );
    assert.deepEqual(
      documents(first.stdout).map((document) => schemas.put.parse(document).kmsCalls),
      [1],
    );
    await line.ok(['put', file, 's3://made/l', ...here]);
    assert.equal((await line.ok(['cat', 's3://made/k', ...here])).stdout.toString(), 'kept');
    const env = { SEALPIPE_LOCAL: folder };
    assert.equal(documents((await line.ok(['ls', 's3://made', '--json'], { env })).stdout).length, 2);
    // An option goes before the environment.
    await line.fails(['ls', 's3://made', ...line.here], { code: 'BUCKET_NOT_FOUND' }, { env });
    await line.fails(['get', 's3://other/k', 'out', ...here], { code: 'BUCKET_NOT_FOUND' });
    await line.ok(['rm', '--recursive', 's3://made', '--local', folder]);
    await line.ok(['rb', 's3://made', '--local', folder]);
    for (const name of readdirSync(folder)) {
      const { mode } = statSync(join(folder, name));
      if (process.platform !== 'win32') assert.equal(mode & 0o077, 0, name);
    }
  });

  test('--local takes no folder that holds something else', async () => {
    const folder = line.emptyFolder();
    writeFileSync(join(folder, 'mine'), 'x');
    await line.fails(['ls', 's3://bucket', '--local', folder], {
      code: 'CONFIG_INVALID',
      message: /holds other files/,
    });
    assert.deepEqual(namesIn(folder), ['mine']);
  });

  test('--local says what is wrong with a folder that cannot be one, or is damaged', async () => {
    const file = line.file('no-folder', 'x');
    for (const folder of [file, join(file, 'below')])
      await line.fails(['ls', 's3://bucket', '--local', folder], {
        code: 'CONFIG_INVALID',
        message: /a file is in its place/,
      });
    const damaged = line.emptyFolder();
    writeFileSync(join(damaged, 'sealpipe-local.json'), '{"layou');
    await line.fails(['ls', 's3://bucket', '--local', damaged], { code: 'CONFIG_INVALID', message: /is damaged/ });
  });
});

describe('demo', { concurrency: 2 }, () => {
  test('the demonstration runs to its end and leaves nothing behind', async () => {
    // Of its own: others may run a demonstration at the same time.
    const temporary = line.emptyFolder();
    const text = (await line.ok(['demo'], { env: { TMPDIR: temporary } })).stdout.toString();
    assert.match(text, /60 000 rows through stream-json, encrypted on the way: 4 parts/);
    assert.match(text, /part 2 was answered 503 and sent again: 2 sends, the same bytes/);
    assert.match(text, /refused, ERR_SEALPIPE_AUTHENTICATION_FAILED; no file was left/);
    assert.match(text, /All \d+ checks held/);
    assert.ok(text.split('\n').length <= 24, 'one screen');
    assert.deepEqual(namesIn(temporary), []);
  });

  test('an empty file is as good as any', async () => {
    const [empty] = documents((await line.ok(['demo', line.file('empty', ''), '--json'])).stdout).map((document) =>
      schemas.demo.parse(document),
    );
    assert.deepEqual([empty?.bytes, empty?.storedSize, empty?.ok], [0, 16, true]);
  });

  test('it takes a JSON array, a binary file, and one that is smaller than a part', async () => {
    const rows = line.file('rows.json', JSON.stringify([{ a: 1 }, { a: 'två' }, null, 4]));
    const [json] = documents((await line.ok(['demo', rows, '--json'])).stdout).map((document) =>
      schemas.demo.parse(document),
    );
    assert.deepEqual([json?.rows, json?.parts, json?.ok, json?.retries], [4, 1, true, 1]);
    const bytes = line.file('bytes.bin', randomBytes(6_000_000));
    const [binary] = documents((await line.ok(['demo', bytes, '--json'])).stdout).map((document) =>
      schemas.demo.parse(document),
    );
    assert.deepEqual(
      [binary?.rows, binary?.bytes, binary?.parts, binary?.kmsCalls, binary?.ok],
      [null, 6_000_000, 2, 2, true],
    );
    await line.fails(['demo', line.path('missing')], { code: 'SOURCE_FAILED' });
    const broken = line.file('broken.ndjson', '{"a":1}\n{"a":\n');
    const { status, stderr } = await line.run(['demo', broken, '--json']);
    assert.equal(status, 1);
    assert.match(stderr, /^sealpipe: ERR_SEALPIPE_SOURCE_FAILED: [^\n]*broken\.ndjson[^\n]*\n$/);
  });

  test('its file is what its script makes', async () => {
    assert.ok(existsSync(fixture('demo/README.md')));
    const { gunzipSync } = await import('node:zlib');
    const { createHash } = await import('node:crypto');
    const rows = gunzipSync(readFileSync(fixture('demo/orders.ndjson.gz')));
    const sha256 = createHash('sha256').update(rows).digest('hex');
    assert.ok(readFileSync(fixture('demo/README.md'), 'utf8').includes(sha256));
  });
});
