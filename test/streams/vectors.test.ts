import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { SealpipeError } from '../../src/errors.ts';
import { parseInstructionFile } from '../../src/format/instruction-file.ts';
import { locateEnvelope, parseEnvelope } from '../../src/format/parse-envelope.ts';
import type { Keyring } from '../../src/keyrings/keyring.ts';
import { kmsKeyring } from '../../src/keyrings/kms.ts';
import { kmsDiscoveryKeyring } from '../../src/keyrings/kms-discovery.ts';
import { decryptStreamOf } from '../../src/streams/decrypt-stream.ts';
import { TranscriptKms } from '../support/transcript-kms.ts';
import { loadVectors, type Vector } from '../support/vectors.ts';

const { vectors, transcript } = loadVectors();
let kms: TranscriptKms;

before(async () => {
  kms = await TranscriptKms.start(transcript);
});
after(() => kms.close());

const kmsFor = (keyId: string | undefined): Keyring =>
  keyId === undefined
    ? kmsDiscoveryKeyring({ client: kms.client, accounts: ['123456789012'] })
    : kmsKeyring({ keyId, client: kms.client });

/** Decrypts a case by parsing and streams alone; S3 comes in with the tests of EncryptedS3. */
async function decrypt(vector: Vector, { cut, known }: { cut: number; known: boolean }): Promise<Buffer> {
  const { policy, record } = vector;
  const place = locateEnvelope(record.metadata);
  let instructions: ReturnType<typeof parseInstructionFile> | undefined;
  if (place.place === 'instruction-file') {
    const suffix = policy.instructionSuffix ?? '.instruction';
    const file =
      policy.instructionFiles === false || record.instructionFile?.suffix !== suffix
        ? undefined
        : vector.instructionFile();
    if (file === undefined) throw new SealpipeError('NOT_ENCRYPTED', 'no instruction file');
    instructions = parseInstructionFile(file);
  }
  const body = vector.body();
  const stream = decryptStreamOf(parseEnvelope(record.metadata, instructions), {
    ...policy,
    keyring: vector.keyring(kmsFor),
    encryptionContext: vector.encryptionContext,
    ...(known && { contentLength: body.length }),
  });
  const pieces = Array.from({ length: Math.ceil(body.length / cut) }, (_, i) => body.subarray(i * cut, (i + 1) * cut));
  const chunks: Buffer[] = [];
  for await (const chunk of Readable.from(pieces)
    .on('error', () => undefined)
    .pipe(stream))
    chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe('objects of the official clients', () => {
  for (const vector of vectors.filter(({ record }) => record.kind === 'ok')) {
    test(`${vector.id} reads to the right bytes`, async () => {
      const whole = await decrypt(vector, { cut: 64 * 1024, known: true });
      assert.equal(sha256(whole), vector.record.plaintext.sha256);
      const smaller = whole.length > 100_000 ? 9973 : 7;
      assert.deepEqual(await decrypt(vector, { cut: smaller, known: false }), whole);
      if (whole.length < 100) assert.deepEqual(await decrypt(vector, { cut: 1, known: true }), whole);
    });
  }
});

/** Edits that the Java client accepts and that FORMAT.md refuses, with the code that says why. */
const stricter: Record<string, string> = {
  'tag-len-blank-128': 'ENVELOPE_INVALID',
  'wrap-legacy-on': 'ENVELOPE_INVALID',
  'wrap-modern': 'ENVELOPE_INVALID',
  'context-given': 'CONTEXT_MISMATCH',
  'instruction-trailing': 'ENVELOPE_INVALID',
  'object-has-iv': 'ENVELOPE_INVALID',
};

describe('edited objects', () => {
  for (const vector of vectors.filter(({ record }) => record.kind === 'negative')) {
    const { expect, edit = '', plaintext } = vector.record;
    test(`${vector.id} (${expect.meaning}) is judged as it should be`, async (t) => {
      const operations = kms.operations.length;
      const outcome = await decrypt(vector, { cut: 1000, known: true }).catch((error: unknown) => error);
      const asked = kms.operations.length - operations;
      const streamed = await decrypt(vector, { cut: 13, known: false }).catch((error: unknown) => error);
      if (outcome instanceof Buffer) {
        const original = sha256(outcome) === plaintext.sha256;
        if (expect.ok) assert.ok(original && stricter[edit] === undefined, 'read, though it should be refused');
        // Only CBC can return other bytes, and only what the Java client returned too.
        else assert.equal(sha256(outcome), expect.error?.javaReturned?.sha256);
        assert.deepEqual(streamed, outcome);
        return;
      }
      assert.ok(outcome instanceof SealpipeError, `not a coded error: ${String(outcome)}`);
      assert.ok(
        streamed instanceof SealpipeError && (streamed.code === outcome.code || outcome.code.endsWith('TRUNCATED')),
      );
      if (expect.ok) assert.equal(outcome.code, `ERR_SEALPIPE_${stricter[edit]}`);
      const early = [
        'ENVELOPE_INVALID',
        'COMMITMENT_POLICY',
        'LEGACY_DISABLED',
        'CONTEXT_MISMATCH',
        'NOT_ENCRYPTED',
        'TRUNCATED',
      ];
      if (early.some((code) => outcome.code === `ERR_SEALPIPE_${code}`)) {
        assert.equal(asked, 0, 'refused only after a KMS call');
      }
      t.diagnostic(outcome.code);
    });
  }
});
