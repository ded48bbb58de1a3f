import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, test } from 'node:test';
import { CreateBucketCommand, GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { startLocalEndpoint } from '../../src/local/index.ts';
import { plaintextUpload } from '../../src/multipart/plaintext-upload.ts';

const MiB = 1024 * 1024;
const local = await startLocalEndpoint();
const client = new S3Client(local.s3Config);
await client.send(new CreateBucketCommand({ Bucket: 'plain' }));
after(async () => {
  client.destroy();
  await local.close();
});

for (const length of [0, 1, 5 * MiB - 1, 5 * MiB, 5 * MiB + 1, 10 * MiB, 10 * MiB + 7]) {
  for (const known of [true, false]) {
    test(`${length} bytes of ${known ? 'known' : 'unknown'} length are stored as they are, with no envelope`, async () => {
      const bytes = randomBytes(length);
      const Key = `${length}-${known}`;
      const body = known
        ? bytes
        : (async function* () {
            yield bytes;
          })();
      const params = {
        Bucket: 'plain',
        Key,
        Body: body,
        Metadata: { own: 'kept' },
        ServerSideEncryption: 'AES256' as const,
      };
      const result = await plaintextUpload({ client, params, partSize: 5 * MiB }).done();
      assert.deepEqual(
        [result.plaintextSize, result.storedSize, result.parts],
        [length, length, Math.max(1, Math.ceil(length / (5 * MiB)))],
      );
      assert.deepEqual(result.envelope, {});
      const stored = await client.send(new GetObjectCommand({ Bucket: 'plain', Key }));
      assert.deepEqual(stored.Metadata, { own: 'kept' });
      assert.ok(bytes.equals((await stored.Body?.transformToByteArray()) ?? new Uint8Array()));
    });
  }
}

test('a part that fails is sent again', async () => {
  const fault = local.faults.add({ operation: 'UploadPart', per: 'part', status: 503 });
  const params = { Bucket: 'plain', Key: 'again', Body: randomBytes(11 * MiB) };
  const result = await plaintextUpload({ client, params, partSize: 5 * MiB }).done();
  fault.remove();
  assert.equal(result.retries, 3);
});
