import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, suite, test } from 'node:test';
import fc from 'fast-check';
import { BlobStore, type Segment, sliceSegments } from '../../../src/local/storage/blobs.ts';
import type { ObjectVersion } from '../../../src/local/storage/records.ts';
import { BucketStore } from '../../../src/local/storage/store.ts';

const base = mkdtempSync(join(tmpdir(), 'sealpipe-store-'));
after(() => rmSync(base, { recursive: true, force: true }));
let folders = 0;
let folder = '';
beforeEach(() => {
  folder = join(base, `store-${++folders}`);
});

const version = (
  key: string,
  segments: readonly Segment[] = [],
  extra: Partial<ObjectVersion> = {},
): ObjectVersion => ({
  key,
  versionId: 'null',
  modified: 0,
  size: segments.reduce((sum, segment) => sum + segment.length, 0),
  etag: 'e',
  segments,
  headers: {},
  metadata: {},
  storageClass: 'STANDARD',
  encryption: { type: 'AES256' },
  tags: [],
  ...extra,
});

async function write(store: BucketStore, bytes: Buffer): Promise<Segment[]> {
  const writer = store.blobs.writer();
  await writer.write(bytes);
  return writer.finish();
}

async function read(store: BucketStore, segments: readonly Segment[]): Promise<Buffer> {
  const reader = store.blobs.reader(segments);
  const bytes = Buffer.alloc(reader.length);
  await reader.read(bytes, 0);
  reader.close();
  return bytes;
}

const blobCount = (): number =>
  readdirSync(join(folder, 'blobs'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).length;

suite('the store', () => {
  test('a journal is rewritten when most of it is about what is no more', () => {
    const journal = join(folder, 'buckets', 'b-1', 'journal.jsonl');
    const lines = (): number => readFileSync(journal, 'utf8').split('\n').length - 1;
    const store = new BucketStore(folder, { sweep: false });
    const bucket = store.create({ name: 'b-1', region: 'us-east-1', created: 0 });
    for (let round = 0; round < 2000; round++) bucket.put(version('k', [], { etag: String(round) }));
    bucket.createUpload({ ...version('u'), id: 'upload', initiated: 1 });
    bucket.putPart('upload', { number: 3, modified: 0, size: 0, etag: 'p', segments: [] });
    store.close();
    assert.equal(lines(), 2002);
    const again = new BucketStore(folder, { sweep: false });
    assert.equal(lines(), 3);
    assert.equal(again.get('b-1')!.current('k')!.etag, '1999');
    again.get('b-1')!.put(version('after'));
    again.close();
    const third = new BucketStore(folder, { sweep: false });
    assert.equal(third.get('b-1')!.current('k')!.etag, '1999');
    assert.ok(third.get('b-1')!.current('after'));
    assert.equal(third.get('b-1')!.upload('upload')!.parts.get(3)!.etag, 'p');
    third.close();
  });

  test('small bodies share a file, which goes when the last of them does', async () => {
    const store = new BucketStore(folder, { sweep: false });
    const bucket = store.create({ name: 'b-1', region: 'us-east-1', created: 0 });
    for (let index = 0; index < 50; index++)
      bucket.put(version(`k${index}`, await write(store, Buffer.from(`body ${index}`))));
    assert.equal(blobCount(), 1);
    for (let index = 0; index < 50; index++) {
      assert.equal((await read(store, bucket.current(`k${index}`)!.segments)).toString(), `body ${index}`);
    }
    store.close();
    const again = new BucketStore(folder, { sweep: false });
    const reopened = again.get('b-1')!;
    for (let index = 0; index < 50; index++) {
      assert.equal(blobCount(), 1, `${50 - index} left`);
      reopened.drop(`k${index}`, 'null');
    }
    assert.equal(blobCount(), 0);
    again.close();
  });

  test('a blob that two objects share lives as long as either', async () => {
    const store = new BucketStore(folder, { sweep: false });
    const bucket = store.create({ name: 'b-1', region: 'us-east-1', created: 0 });
    const other = store.create({ name: 'b-2', region: 'us-east-1', created: 0 });
    const bytes = Buffer.alloc(200_000, 7);
    const segments = await write(store, bytes);
    bucket.put(version('from', segments));
    other.put(version('to', sliceSegments(segments, 10, 20)));
    bucket.drop('from', 'null');
    assert.deepEqual(await read(store, other.current('to')!.segments), bytes.subarray(10, 20));
    other.drop('to', 'null');
    assert.equal(blobCount(), 0);
    store.close();
  });

  test('what no record names is swept away, and nothing else', async () => {
    const store = new BucketStore(folder, { sweep: false });
    const bucket = store.create({ name: 'b-1', region: 'us-east-1', created: 0 });
    bucket.put(version('k', await write(store, Buffer.alloc(100_000, 1))));
    await write(store, Buffer.alloc(100_000, 2));
    store.close();
    assert.equal(blobCount(), 2);
    const again = new BucketStore(folder, { sweep: true });
    assert.equal(blobCount(), 1);
    assert.equal((await read(again, again.get('b-1')!.current('k')!.segments))[0], 1);
    again.close();
  });

  test('any run of bytes of any segments is read as it was written, in pieces of any size', async () => {
    const blobs = new BlobStore(folder);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 300_000 }), { minLength: 1, maxLength: 4 }),
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 1, max: 200_000 }),
        async (lengths, from, to, piece) => {
          const bodies = lengths.map((length, index) => Buffer.alloc(length, index + 1));
          const segments: Segment[] = [];
          for (const body of bodies) {
            const writer = blobs.writer();
            for (let at = 0; at < body.length; at += 70_000) await writer.write(body.subarray(at, at + 70_000));
            segments.push(...(await writer.finish()));
          }
          const whole = Buffer.concat(bodies);
          const [start, end] = [from % (whole.length + 1), to % (whole.length + 1)].sort((a, b) => a - b) as [
            number,
            number,
          ];
          blobs.retain(segments);
          const reader = blobs.reader(sliceSegments(segments, start, end));
          assert.equal(reader.length, end - start);
          const read = Buffer.alloc(end - start);
          for (let at = 0; at < read.length; at += piece) await reader.read(read.subarray(at, at + piece), at);
          reader.close();
          assert.ok(read.equals(whole.subarray(start, end)));
          blobs.release(segments);
        },
      ),
      { numRuns: 30 },
    );
    blobs.close();
    assert.equal(blobCountIn(folder), 0);
  });
});

function blobCountIn(path: string): number {
  return readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).length;
}
