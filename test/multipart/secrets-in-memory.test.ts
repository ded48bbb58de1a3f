import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { DecryptCommand } from '@aws-sdk/client-kms';
import { deriveKey, storedContentKey } from '../../src/crypto/content-key.ts';
import { blockOf } from '../../src/crypto/field.ts';
import { MessageSecrets, SegmentHash } from '../../src/crypto/segment.ts';
import { segmentIndexKeyInfo } from '../../src/crypto/segment-index.ts';
import { parseEnvelope } from '../../src/format/parse-envelope.ts';
import { journalKeyInfo } from '../../src/multipart/journal/upload-journal.ts';
import { Bucket, TestEndpoint } from '../support/endpoint.ts';
import { encryptBlock } from '../support/gcm-reference.ts';
import { countInMemory, withoutProcessMemory } from '../support/process-memory.ts';

const partSize = 5 * 1024 * 1024;
const segmentSize = 65_536;
/** Where the index's key is a handle, its copy in a worker stays until that collects garbage: SECURITY.md says so. */
const indexKeyStays = Number(process.versions.node.split('.')[0]) > 22;
/** From here on workers encrypt a file. */
const length = 64 * 1024 * 1024 + 1;
const folder = mkdtempSync(join(tmpdir(), 'sealpipe-secrets-'));
let endpoint: TestEndpoint;
before(async () => {
  endpoint = await TestEndpoint.start({ hashBodies: false });
});
after(async () => {
  await endpoint.close();
  rmSync(folder, { recursive: true });
});

/** The secrets of an upload, from the envelope that it sent. */
async function keysOf(metadata: Record<string, string>): Promise<Record<string, Buffer>> {
  const envelope = parseEnvelope(metadata);
  assert.ok(envelope);
  const { Plaintext } = await endpoint.kms.send(
    new DecryptCommand({ CiphertextBlob: envelope.wrappedKey, EncryptionContext: { ...envelope.description } }),
  );
  const dataKey = Buffer.from(Plaintext ?? []);
  const { key, iv } = storedContentKey(envelope, dataKey);
  return {
    'data key': dataKey,
    'content key': Buffer.from(key),
    'journal key': Buffer.from(deriveKey(dataKey, envelope.iv, journalKeyInfo)),
    'index key': Buffer.from(deriveKey(dataKey, envelope.iv, segmentIndexKeyInfo(segmentSize))),
    H: encryptBlock(key, Buffer.alloc(16)),
    mask: encryptBlock(key, Buffer.concat([iv, Buffer.of(0, 0, 0, 1)])),
  };
}

/** Z of each part of a stored object. */
function zsOf(body: Buffer, contentKey: Buffer): Record<string, Buffer> {
  const key = { key: contentKey, iv: new Uint8Array(12).fill(1), aad: Uint8Array.of(0, 0x73) } as never;
  const secrets = new MessageSecrets(key);
  const content = body.subarray(0, -16);
  return Object.fromEntries(
    Array.from({ length: Math.ceil(content.length / partSize) }, (_, i) => {
      const hash = new SegmentHash(key, secrets);
      hash.update(content.subarray(i * partSize, (i + 1) * partSize));
      return [`Z of part ${i + 1}`, Buffer.from(blockOf(hash.final()))];
    }),
  );
}

/** In the orders of bytes that a 16-byte block may be kept in: as it is, as four words, as two, and turned round. */
function orders(secrets: Record<string, Buffer>): Record<string, Buffer> {
  return Object.fromEntries(
    Object.entries(secrets).flatMap(([name, block]): [string, Buffer][] =>
      block.length > 16
        ? [[name, block]]
        : [
            [name, block],
            [`${name}, as words`, Buffer.from(block).swap32()],
            [`${name}, as long words`, Buffer.from(block).swap64()],
            [`${name}, turned round`, Buffer.from(block).reverse()],
          ],
    ),
  );
}

const objects = ['by workers', 'by the client', 'serially', 'journalled', 'lib-storage'];

test('after uploads and downloads no key, H, Z or mask of them is left in the process', {
  skip: withoutProcessMemory,
  timeout: 120_000,
}, async (t) => {
  const path = join(folder, 'source');
  writeFileSync(path, randomBytes(length));
  utimesSync(path, 1_000_000, 1_000_000);
  const planted = Buffer.from(randomBytes(32).map((byte) => byte % 255));
  // Long enough to be looked into in the middle.
  endpoint.local.faults.add({
    operation: 'UploadPart',
    key: 'by workers',
    partNumber: [4, 5],
    delay: 6_000,
    per: 'part',
  });
  const child = fork(join(import.meta.dirname, '../support/secret-run.js'), [], {
    execArgv: ['--no-warnings', '--expose-gc'],
    env: {
      ...process.env,
      SEALPIPE_TEST_SECRETS: JSON.stringify({
        s3: endpoint.local.s3Config,
        kms: endpoint.local.kmsConfig,
        Bucket,
        path,
        partSize,
        planted: [...planted].map((byte) => byte + 1),
      }),
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const pid = child.pid as number;
  const said = (word: string): Promise<void> =>
    new Promise((resolve, reject) => {
      child.on('message', (message) => message === word && resolve());
      child.once('exit', (status) => reject(new Error(`the process ended with ${status} before it was ${word}`)));
    });
  const done = said('done');
  // Waited for below, unless something else fails first.
  done.catch(() => undefined);
  t.after(() => child.kill('SIGKILL'));
  await said('in the middle');
  await new Promise((resolve) => setTimeout(resolve, 300));
  // As it is now, however long the look takes.
  child.kill('SIGSTOP');
  const [created] = endpoint.local.requests.all('CreateMultipartUpload');
  const metadata = Object.fromEntries(
    Object.entries(created?.headers ?? {}).flatMap(([name, value]) =>
      name.startsWith('x-amz-meta-') ? [[name.slice('x-amz-meta-'.length), value]] : [],
    ),
  );
  const during = countInMemory(pid, orders({ ...(await keysOf(metadata)), planted }));
  child.kill('SIGCONT');
  t.diagnostic(`in the middle: ${JSON.stringify(during)}`);
  assert.ok(during.planted! > 0, 'the planted value was not found: the search does not work');
  assert.ok(during['content key']! > 0, 'the key in use was not found: the search does not work');
  assert.ok(during['index key']! > 0, 'the key of the segment index was not found in use');
  assert.ok(during['H']! + during['H, as words']! > 0, 'H in use was not found');

  await done;
  const secrets: Record<string, Buffer> = { planted };
  for (const Key of objects) {
    const stored = await endpoint.stored(Key);
    const keys = await keysOf(stored.metadata);
    const all = { ...keys, ...zsOf(stored.body, keys['content key'] as Buffer) };
    for (const [name, value] of Object.entries(orders(all))) secrets[`${Key}: ${name}`] = value;
  }
  const { planted: found, ...left } = countInMemory(pid, secrets);
  child.send('end');
  assert.ok(found! > 0);
  assert.deepEqual(
    Object.entries(left).filter(([name, count]) => count > 0 && !(indexKeyStays && name.endsWith('index key'))),
    [],
  );
});
