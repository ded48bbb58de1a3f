/** The parsers that people pipe objects through, in the two major versions that are in use. */
import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { type Duplex, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, test } from 'node:test';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import parserOf3 from 'stream-json/jsonl/parser.js';
import { aesKeyring, EncryptedS3 } from '../../src/index.ts';
import { startLocalEndpoint } from '../../src/local/index.ts';

const require = createRequire(import.meta.url);
const local = await startLocalEndpoint();
const client = new S3Client(local.s3Config);
await client.send(new CreateBucketCommand({ Bucket: 'rows' }));
after(async () => {
  client.destroy();
  await local.close();
});
const s3 = new EncryptedS3({ client, keyring: aesKeyring({ key: createSecretKey(randomBytes(32)) }) });
const rows = Array.from({ length: 20_000 }, (_, n) => ({ n, text: 'två 🙂 rows'.repeat(n % 7) }));
await pipeline(
  Readable.from(rows.map((row) => `${JSON.stringify(row)}\n`)),
  s3.createWriteStream({ Bucket: 'rows', Key: 'k' }),
);

const parsers: Record<string, () => Duplex> = {
  'stream-json 3': () => parserOf3.asStream(),
  'stream-json 1': () => (require('stream-json-1/jsonl/Parser') as { parser: () => Duplex }).parser(),
};
for (const [name, parser] of Object.entries(parsers)) {
  test(`a decrypted object is piped through ${name} row by row`, async () => {
    const found: unknown[] = [];
    const sink = new Writable({
      objectMode: true,
      write: ({ value }: { value: unknown }, _encoding, done) => {
        found.push(value);
        done();
      },
    });
    await pipeline(s3.createReadStream({ Bucket: 'rows', Key: 'k' }), parser(), sink);
    assert.deepEqual(found, rows);
  });
}
