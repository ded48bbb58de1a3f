import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import * as schemas from '../../src/cli/schemas.ts';
import { CommandLine, documents } from './command-line.ts';

const line = await CommandLine.start();
const bucket = await line.bucket('indexes');
const kms = ['--kms-key-id', 'alias/sealpipe', ...line.here];
const content = randomBytes(1_000_000);
const file = line.file('data.bin', content);

async function indexSize(key: string): Promise<number | undefined> {
  const { ContentLength } = await line.s3.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
  return ContentLength;
}

describe('segment indexes at the command line', () => {
  test('put --segment-index writes one, stat shows it, ls hides it, rm takes it along', async () => {
    await line.ok(['put', file, `s3://${bucket}/put/a`, ...kms, '--segment-index']);
    assert.equal(await indexSize('put/.a.segments'), 16 * 16 + 64);
    const stat = await line.ok(['stat', `s3://${bucket}/put/a`, ...line.here, '--json']);
    assert.deepEqual(schemas.stat.parse(documents(stat.stdout)[0]).index, { segmentSize: 65_536, state: 'present' });
    const people = await line.ok(['stat', `s3://${bucket}/put/a`, ...line.here]);
    assert.match(people.stdout.toString(), /^index +segments of 64/m);
    const list = async (...more: string[]): Promise<string> =>
      (await line.ok(['ls', `s3://${bucket}/put/`, ...line.here, ...more])).stdout.toString();
    assert.doesNotMatch(await list(), /segments/);
    assert.match(await list('--all'), /put\/\.a\.segments/);
    await line.ok(['put', file, `s3://${bucket}/put/a`, ...kms]);
    const stale = await line.ok(['stat', `s3://${bucket}/put/a`, ...line.here, '--json']);
    assert.equal(schemas.stat.parse(documents(stale.stdout)[0]).index?.state, 'stale');
    await line.ok(['rm', `s3://${bucket}/put/a`, ...line.here]);
    assert.equal(await list('--all'), '');
  });

  test('index makes one of an object that is there, and says so to people and programs', async () => {
    await line.ok(['put', file, `s3://${bucket}/there`, ...kms]);
    const first = await line.ok(['index', `s3://${bucket}/there`, ...kms, '--segment-size', '128KiB']);
    assert.match(first.stdout.toString(), /\/\.there\.segments {2}8 segments of 128/);
    const again = await line.ok(['index', `s3://${bucket}/there`, ...kms, '--json']);
    const { seconds, etag, ...rest } = schemas.index.parse(documents(again.stdout)[0]);
    assert.deepEqual(rest, {
      bucket,
      key: 'there',
      indexKey: '.there.segments',
      segmentSize: 65_536,
      bytes: content.length,
      indexBytes: 320,
      kmsCalls: 1,
    });
    assert.ok(seconds >= 0 && etag !== '');
  });

  test('a range of an indexed object is read authenticated, of another one refused', async () => {
    const range = ['--range', 'bytes=500000-500099', ...kms];
    await line.ok(['put', file, `s3://${bucket}/ranged`, ...kms]);
    const refused = await line.run(['get', `s3://${bucket}/ranged`, '-', ...range]);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /ERR_SEALPIPE_RANGE_UNAUTHENTICATED/);
    await line.ok(['index', `s3://${bucket}/ranged`, ...kms]);
    const { stdout } = await line.ok(['get', `s3://${bucket}/ranged`, '-', ...range]);
    assert.ok(stdout.equals(content.subarray(500_000, 500_100)));
  });

  test('cat writes what is too large to be held back, once it has an index', async () => {
    const cat = ['cat', `s3://${bucket}/large`, ...kms, '--max-buffered', '100KiB'];
    await line.ok(['put', file, `s3://${bucket}/large`, ...kms]);
    const refused = await line.run(cat);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /ERR_SEALPIPE_BUFFER_LIMIT.*sealpipe index/);
    await line.ok(['index', `s3://${bucket}/large`, ...kms]);
    assert.ok((await line.ok(cat)).stdout.equals(content));
  });

  test('what makes no sense is wrong usage, and nothing is sent', async () => {
    const before = line.endpoint.requests.length;
    for (const args of [
      ['index', `s3://${bucket}/there`, ...line.here],
      ['index', `s3://${bucket}/there`, ...kms, '--segment-size', '5000'],
      ['index', `s3://${bucket}`, ...kms],
      ['put', file, `s3://${bucket}/a`, ...line.here, '--client-side', 'none', '--sse', 'SSE-S3', '--segment-index'],
    ])
      assert.equal((await line.run(args)).status, 2, args.join(' '));
    assert.equal(line.endpoint.requests.length, before);
  });

  test('an object where an index would lie is refused by name', async () => {
    const { status, stderr } = await line.run(['put', file, `s3://${bucket}/.a.segments`, ...kms]);
    assert.equal(status, 1);
    assert.match(stderr, /ERR_SEALPIPE_COMMAND_REFUSED.*segment index of a lies/);
    const missing = line.s3.send(new GetObjectCommand({ Bucket: bucket, Key: '.a.segments' }));
    await assert.rejects(missing, { name: 'NoSuchKey' });
  });
});
