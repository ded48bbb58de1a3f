import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { kmsKeyring } from '../../src/keyrings/kms.ts';
import { kmsDiscoveryKeyring } from '../../src/keyrings/kms-discovery.ts';
import { EncryptedS3 } from '../../src/objects/encrypted-s3.ts';
import { parseHttpRange, resolveHttpRange } from '../../src/readers/http-range.ts';
import { sha256 } from '../support/endpoint.ts';
import { TranscriptKms } from '../support/transcript-kms.ts';
import { VectorS3 } from '../support/vector-s3.ts';
import { loadRangedReads, loadVectors, type Vector } from '../support/vectors.ts';

const { vectors, transcript } = loadVectors();
const reads = loadRangedReads();
let kms: TranscriptKms;
let s3: VectorS3;
before(async () => {
  kms = await TranscriptKms.start(transcript);
  s3 = await VectorS3.start(vectors);
});
after(async () => {
  await s3.close();
  await kms.close();
});

function reader(vector: Vector): EncryptedS3 {
  const keyring = vector.keyring((keyId) =>
    keyId === undefined
      ? kmsDiscoveryKeyring({ client: kms.client, accounts: ['123456789012'] })
      : kmsKeyring({ keyId, client: kms.client }),
  );
  return new EncryptedS3({ client: s3.client, keyring, encryptionContext: vector.encryptionContext, ...vector.policy });
}

describe('open, objects of the official clients', () => {
  for (const vector of vectors.filter(({ record }) => record.kind === 'ok')) {
    test(`${vector.id} opens at one GET, another for an instruction file, and reads in any range`, async () => {
      const { bucket: Bucket, key: Key, instructionFile } = vector.record;
      const plaintext = vector.plaintext();
      s3.requests.length = 0;
      const asked = kms.operations.length;
      const object = await reader(vector).open({ Bucket, Key }, { authenticate: 'never', tail: 40 });
      assert.deepEqual(s3.requests, [
        `GET ${Key}`,
        ...(instructionFile === undefined ? [] : [`GET ${instructionFile.key}`]),
      ]);
      assert.equal(object.size, plaintext.length);
      const { length } = plaintext;
      for (const [start, end] of [
        [0, length],
        [length >> 1, length],
        [0, length >> 1],
        [Math.min(17, length), length],
      ] as const)
        assert.ok(plaintext.subarray(start, end).equals(await object.read(start, end)));
      assert.ok(kms.operations.length - asked <= 1);
      const head = await reader(vector).head({ Bucket, Key }, { exact: true });
      assert.deepEqual([head.plaintextSize, head.exact], [length, true]);
    });
  }
});

describe('open, edited objects', () => {
  for (const vector of vectors.filter(({ record }) => record.kind === 'negative' && !record.expect.ok)) {
    test(`${vector.id} (${vector.record.expect.meaning}) is refused, or reads as the client it came from reads it`, async () => {
      const { bucket: Bucket, key: Key, expect } = vector.record;
      const outcome = await reader(vector)
        .open({ Bucket, Key })
        .then((object) => object.read(0, object.size))
        .catch((error: unknown) => error);
      // CBC is refused by name here, as nothing authenticates it.
      if (outcome instanceof Uint8Array) assert.equal(sha256(outcome), expect.error?.javaReturned?.sha256);
      else assert.match((outcome as { code: string }).code, /^ERR_SEALPIPE_/);
    });
  }
});

test('the ranged reads of the conformance set give the stated bytes; suffixes as HTTP says; what is no range is refused', {
  skip: reads === undefined && 'SEALPIPE_SHARED names no full conformance set',
}, async () => {
  let compared = 0;
  for (const { case: id, range: text, length, sha256: digest } of reads ?? []) {
    const vector = vectors.find((one) => one.id === id);
    assert.ok(vector !== undefined, id);
    const { bucket: Bucket, key: Key } = vector.record;
    const plaintext = vector.plaintext();
    const range = parseHttpRange(text);
    if (range === undefined) {
      // The Java client answers these with the whole object.
      assert.equal(length, plaintext.length);
      continue;
    }
    await using object = await reader(vector).open({ Bucket, Key }, { authenticate: 'never', tail: 16 });
    const part = resolveHttpRange(range, object.size);
    const bytes = part === undefined ? new Uint8Array(0) : await object.read(part.start, part.end);
    // The Java client answers a suffix with the whole object.
    if ('suffix' in range) assert.ok(plaintext.subarray(-range.suffix).equals(bytes));
    else assert.deepEqual([bytes.length, sha256(bytes)], [length, digest], `${id} ${text}`);
    compared += 1;
  }
  assert.ok(compared > 90);
});
