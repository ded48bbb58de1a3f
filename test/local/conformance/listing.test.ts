import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import {
  ListObjectsCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandInput,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { failure, useTarget } from './target.ts';

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** What S3 documents a listing to hold, computed the slow way. */
function expected(
  keys: readonly string[],
  { Prefix = '', Delimiter = '', StartAfter = '' }: { Prefix?: string; Delimiter?: string; StartAfter?: string },
): { keys: string[]; prefixes: string[] } {
  const found: string[] = [];
  const prefixes = new Set<string>();
  for (const key of [...keys].sort(byBytes)) {
    if (!key.startsWith(Prefix) || (StartAfter !== '' && byBytes(key, StartAfter) <= 0)) continue;
    const at = Delimiter === '' ? -1 : key.indexOf(Delimiter, Prefix.length);
    if (at < 0) found.push(key);
    else prefixes.add(key.slice(0, at + Delimiter.length));
  }
  return { keys: found, prefixes: [...prefixes] };
}

suite('listings', () => {
  const target = useTarget();
  let Bucket: string;
  const keys = [
    'a',
    'a/',
    'a/1',
    'a/2/x',
    'a/2/y',
    'a/b',
    'b',
    'b/c/d',
    'c d+e%',
    'ü/1',
    'ü/2',
    '日本',
    '😀/x',
    '\ufffd',
  ];

  before(async () => {
    Bucket = await target.bucket();
    for (const Key of keys) await target.s3().send(new PutObjectCommand({ Bucket, Key, Body: Key }));
  });

  async function listAll(
    input: Partial<ListObjectsV2CommandInput>,
  ): Promise<{ keys: string[]; prefixes: string[]; pages: number }> {
    const result = { keys: [] as string[], prefixes: [] as string[], pages: 0 };
    let ContinuationToken: string | undefined;
    do {
      const page = await target.s3().send(new ListObjectsV2Command({ Bucket, ...input, ContinuationToken }));
      const contents = page.Contents ?? [];
      const common = page.CommonPrefixes ?? [];
      assert.equal(page.KeyCount, contents.length + common.length);
      result.keys.push(...contents.map((entry) => entry.Key!));
      result.prefixes.push(...common.map((entry) => entry.Prefix!));
      result.pages++;
      assert.equal(page.IsTruncated, page.NextContinuationToken !== undefined);
      ContinuationToken = page.NextContinuationToken;
    } while (ContinuationToken !== undefined);
    return result;
  }

  const questions: Partial<ListObjectsV2CommandInput>[] = [
    {},
    { Prefix: 'a' },
    { Prefix: 'a/' },
    { Prefix: 'nothing' },
    { Delimiter: '/' },
    { Prefix: 'a/', Delimiter: '/' },
    { Prefix: 'a/2', Delimiter: '/' },
    { Delimiter: '2/' },
    { StartAfter: 'a/2' },
    { StartAfter: 'a/2/x', Prefix: 'a/' },
    { StartAfter: 'a/1', Delimiter: '/' },
    { Prefix: 'ü', Delimiter: '/' },
    { StartAfter: '日本' },
  ];
  for (const question of questions) {
    test(`${JSON.stringify(question)} lists what it should, in the order of UTF-8, in pages of any size`, async () => {
      const { keys: wanted, prefixes } = expected(keys, question as { Prefix?: string });
      for (const MaxKeys of [1000, 3, 1]) {
        const listed = await listAll({ ...question, MaxKeys });
        assert.deepEqual(listed.keys, wanted);
        assert.deepEqual(listed.prefixes, prefixes);
        assert.equal(listed.pages, Math.max(1, Math.ceil((wanted.length + prefixes.length) / MaxKeys)));
      }
    });
  }

  test('any keys, prefix and delimiter are listed as the documentation has it', async () => {
    const character = fc.constantFrom('a', 'b', '/', '-', 'é', '😀', '\uffff');
    const key = fc.array(character, { minLength: 1, maxLength: 6 }).map((letters) => letters.join(''));
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(key, { minLength: 1, maxLength: 12 }),
        fc.array(character, { maxLength: 2 }).map((letters) => letters.join('')),
        fc.constantFrom('', '/', '-', 'b/'),
        fc.integer({ min: 1, max: 4 }),
        async (some, Prefix, Delimiter, MaxKeys) => {
          const bucket = await target.bucket();
          for (const Key of some)
            await target.raw({ method: 'PUT', path: `/${bucket}/${encodeURIComponent(Key).replaceAll('%2F', '/')}` });
          const listed = await listAll({ Bucket: bucket, Prefix, ...(Delimiter === '' ? {} : { Delimiter }), MaxKeys });
          const wanted = expected(some, { Prefix, Delimiter });
          assert.deepEqual([listed.keys, listed.prefixes], [wanted.keys, wanted.prefixes]);
        },
      ),
      { numRuns: 25 },
    );
  });

  test('an entry has size, ETag, time and class, and an owner where asked', async () => {
    const s3 = target.s3();
    const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'a/1' }));
    const entry = Contents![0]!;
    assert.equal(entry.Size, 3);
    assert.match(entry.ETag!, /^"[0-9a-f]{32}"$/);
    assert.equal(entry.StorageClass, 'STANDARD');
    assert.ok(Math.abs(entry.LastModified!.getTime() - Date.now()) < 60_000);
    assert.equal(entry.Owner, undefined);
    const owned = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'a/1', FetchOwner: true }));
    assert.equal(typeof owned.Contents![0]!.Owner?.ID, 'string');
  });

  test('names are encoded as a form encodes them where that is asked for', async () => {
    const s3 = target.s3();
    const listed = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'c d+', EncodingType: 'url' }));
    assert.equal(listed.EncodingType, 'url');
    assert.equal(listed.Contents![0]!.Key, 'c+d%2Be%25');
    assert.equal(listed.Prefix, 'c+d%2B');
    const other = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'ü', Delimiter: '/', EncodingType: 'url' }));
    assert.deepEqual(other.CommonPrefixes, [{ Prefix: '%C3%BC/' }]);
  });

  test('version 1 goes on by marker, which it tells where there is a delimiter', async () => {
    const s3 = target.s3();
    for (const Delimiter of [undefined, '/']) {
      const seen: string[] = [];
      let Marker: string | undefined;
      for (let page = 0; page < 50; page++) {
        const listed = await s3.send(new ListObjectsCommand({ Bucket, MaxKeys: 2, Delimiter, Marker }));
        seen.push(
          ...(listed.Contents ?? []).map((entry) => entry.Key!),
          ...(listed.CommonPrefixes ?? []).map((entry) => entry.Prefix!),
        );
        if (listed.IsTruncated !== true) break;
        if (Delimiter === undefined) assert.equal(listed.NextMarker, undefined);
        else assert.equal(typeof listed.NextMarker, 'string');
        Marker = listed.NextMarker ?? listed.Contents!.at(-1)!.Key;
      }
      const wanted = expected(keys, { Delimiter: Delimiter ?? '' });
      assert.deepEqual([...seen].sort(byBytes), [...wanted.keys, ...wanted.prefixes].sort(byBytes));
    }
  });

  test('numbers and tokens that make no sense are InvalidArgument, and no keys at all can be asked for', async () => {
    const s3 = target.s3();
    for (const query of ['max-keys=x', 'max-keys=-1', 'encoding-type=base64', 'continuation-token=%21%21']) {
      const answer = await target.raw({ path: `/${Bucket}?list-type=2&${query}` });
      assert.deepEqual([answer.status, answer.code], [400, 'InvalidArgument'], query);
    }
    const none = await s3.send(new ListObjectsV2Command({ Bucket, MaxKeys: 0 }));
    assert.equal(none.KeyCount, 0);
    assert.equal(none.IsTruncated, false);
    const missing = await failure(s3.send(new ListObjectsV2Command({ Bucket: `${Bucket}-not` })));
    assert.deepEqual([missing.name, missing.status], ['NoSuchBucket', 404]);
  });

  test('no page has more than 1000 keys', async () => {
    const answer = await target.raw({ path: `/${Bucket}?list-type=2&max-keys=5000` });
    assert.match(answer.text, /<MaxKeys>1000<\/MaxKeys>/);
  });
});
