import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { contentKeysV3, envelopeKeys, reservedContextKey, type WrappingAlgorithm } from '../../src/format/envelope.ts';
import { parseInstructionFile, writeInstructionFile } from '../../src/format/instruction-file.ts';
import { locateEnvelope, parseEnvelope } from '../../src/format/parse-envelope.ts';
import { equalMaps } from '../../src/format/string-map.ts';
import { committingSuite, gcmSuite } from '../../src/format/suites.ts';
import {
  divideEnvelope,
  type EnvelopeFields,
  joinMetadata,
  metadataLimit,
  writeEnvelope,
} from '../../src/format/write-envelope.ts';
import { envelopeV3 } from '../support/envelopes.ts';
import { failure } from '../support/failure.ts';
import { fromAmazonS3, fromPlainStore } from '../support/metadata-stores.ts';
import { runs, stringMap } from '../support/properties.ts';

const writable: readonly WrappingAlgorithm[] = ['kms+context', 'AES/GCM', 'RSA-OAEP-SHA1'];

/** Whatever a keyring may hand over for an object. */
const envelopeFields: fc.Arbitrary<EnvelopeFields> = fc
  .record({
    suite: fc.constantFrom(committingSuite, gcmSuite),
    wrappingAlgorithm: fc.constantFrom(...writable),
    wrappedLength: fc.integer({ min: 1, max: 600 }),
    description: stringMap,
    length: fc.option(fc.nat(), { nil: undefined }),
  })
  .map(({ suite, wrappingAlgorithm, wrappedLength, description, length }) => ({
    suite,
    wrappingAlgorithm,
    wrappedKey: randomBytes(wrappedLength),
    iv: randomBytes(suite.committing ? 28 : 12),
    commitment: suite.committing ? randomBytes(28) : undefined,
    description:
      wrappingAlgorithm === 'kms+context'
        ? { ...description, [reservedContextKey]: suite.binding as string }
        : description,
    length,
  }));

function assertSame(found: ReturnType<typeof parseEnvelope>, written: EnvelopeFields): void {
  assert.equal(found.suite, written.suite);
  assert.equal(found.wrappingAlgorithm, written.wrappingAlgorithm);
  assert.deepEqual(Buffer.from(found.wrappedKey), written.wrappedKey);
  assert.deepEqual(Buffer.from(found.iv), written.iv);
  assert.deepEqual(found.commitment && Buffer.from(found.commitment), written.commitment);
  assert.ok(equalMaps(found.description, written.description));
  assert.equal(found.claimedLength, written.suite.committing ? undefined : written.length);
}

describe('what is written reads back', () => {
  test('from metadata, through every kind of store, for any context or description in Unicode', () => {
    fc.assert(
      fc.property(envelopeFields, (fields) => {
        const envelope = writeEnvelope(fields);
        assertSame(parseEnvelope(envelope), fields);
        const through = (store: (value: string) => string): Record<string, string> =>
          Object.fromEntries(Object.entries(envelope).map(([name, value]) => [name, store(value)]));
        for (const metadata of [
          through(fromPlainStore),
          through((value) => fromAmazonS3(value, { encoding: 'Q' })),
          through((value) => fromAmazonS3(value, { encoding: 'B' })),
        ]) {
          // Stores keep ASCII as it is: that is why nothing else is written.
          assert.deepEqual(metadata, envelope);
        }
      }),
      runs(100),
    );
  });

  test('from other writers too, who send the JSON of a context raw, from S3 and from stores that return its bytes', () => {
    fc.assert(
      fc.property(
        envelopeFields,
        fc.constantFrom('Q' as const, 'B' as const),
        fc.nat({ max: 60 }),
        (fields, encoding, wordLength) => {
          const envelope = writeEnvelope(fields);
          const field = ['x-amz-t', 'x-amz-m', 'x-amz-matdesc'].find((name) => Object.hasOwn(envelope, name));
          if (field === undefined) return;
          // DEL is no character of a header, so no writer can send it raw.
          const raw = JSON.stringify(fields.description).replaceAll('\x7f', '\\u007f');
          assertSame(parseEnvelope({ ...envelope, [field]: fromPlainStore(raw) }), fields);
          assertSame(parseEnvelope({ ...envelope, [field]: fromAmazonS3(raw, { encoding, wordLength }) }), fields);
        },
      ),
      runs(100),
    );
  });

  test('from an instruction file', () => {
    fc.assert(
      fc.property(envelopeFields, (fields) => {
        const { metadata, instructionFile } = divideEnvelope(writeEnvelope(fields), 'instruction-file');
        const body = writeInstructionFile(instructionFile as Record<string, string>);
        assert.ok(body.every((byte) => byte >= 0x20 && byte <= 0x7e));
        const located = locateEnvelope(metadata);
        assert.deepEqual(located, { place: 'instruction-file', required: fields.suite.committing });
        const found = parseEnvelope(metadata, parseInstructionFile(body));
        assert.equal(found.storage, 'instruction-file');
        assertSame(found, fields);
      }),
      runs(100),
    );
  });
});

describe('an envelope as it is written', () => {
  const base = { wrappedKey: Buffer.alloc(60, 1), description: {}, wrappingAlgorithm: 'AES/GCM' as const };
  const v3 = { ...base, suite: committingSuite, iv: Buffer.alloc(28, 2), commitment: Buffer.alloc(28, 3) };
  const v2 = { ...base, suite: gcmSuite, iv: Buffer.alloc(12, 2) };

  test('is printable ASCII in every value', () => {
    fc.assert(
      fc.property(envelopeFields, (fields) => {
        for (const value of Object.values(writeEnvelope(fields))) assert.match(value, /^[\x20-\x7e]+$/);
      }),
      runs(100),
    );
  });

  test('has only names that a reader knows as those of an envelope', () => {
    for (const name of [...Object.keys(writeEnvelope(v3)), ...Object.keys(writeEnvelope(v2))])
      assert.ok(envelopeKeys.includes(name), name);
  });

  test('leaves out an empty description in V3, and writes it in V2', () => {
    assert.deepEqual(Object.keys(writeEnvelope(v3)).sort(), ['x-amz-3', 'x-amz-c', 'x-amz-d', 'x-amz-i', 'x-amz-w']);
    assert.equal(writeEnvelope(v2)['x-amz-matdesc'], '{}');
  });

  test('puts the context of KMS under x-amz-t and a description under x-amz-m', () => {
    const description = { a: '1' };
    assert.equal(writeEnvelope({ ...v3, description })['x-amz-m'], '{"a":"1"}');
    const kms = writeEnvelope({ ...v3, description, wrappingAlgorithm: 'kms+context' });
    assert.equal(kms['x-amz-t'], '{"a":"1"}');
    assert.equal('x-amz-m' in kms, false);
  });

  test('claims a length in V2 where it is known, never in V3', () => {
    assert.equal(writeEnvelope({ ...v2, length: 0 })['x-amz-unencrypted-content-length'], '0');
    assert.equal('x-amz-unencrypted-content-length' in writeEnvelope(v2), false);
    assert.equal('x-amz-unencrypted-content-length' in writeEnvelope({ ...v3, length: 5 }), false);
  });

  test('encodes a view into a larger buffer as the view alone', () => {
    const pool = Buffer.alloc(100, 9);
    const view = new Uint8Array(pool.buffer, pool.byteOffset + 7, 12).fill(1);
    assert.equal(writeEnvelope({ ...v2, iv: view })['x-amz-iv'], Buffer.alloc(12, 1).toString('base64'));
  });

  test('cannot be made of V3 with a wrapping that V3 has no code for, or without a commitment', () => {
    assert.throws(() => writeEnvelope({ ...v3, wrappingAlgorithm: 'AESWrap' }), /internal error/);
    assert.throws(() => writeEnvelope({ ...v3, commitment: undefined }), /internal error/);
  });
});

test('the division for an instruction file leaves content part and length claim with the object', () => {
  const envelope = { ...envelopeV3, 'x-amz-unencrypted-content-length': '5' };
  const { metadata, instructionFile } = divideEnvelope(envelope, 'instruction-file');
  assert.deepEqual(Object.keys(metadata).sort(), [...contentKeysV3, 'x-amz-unencrypted-content-length'].sort());
  assert.deepEqual({ ...metadata, ...instructionFile }, envelope);
  assert.deepEqual(divideEnvelope(envelope, 'metadata'), { metadata: envelope, instructionFile: undefined });
});

describe("S3's limit on user metadata", () => {
  const size = (map: Record<string, string>): number =>
    Object.entries(map).reduce((sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value), 0);
  const own = (total: number, char = 'x'): Record<string, string> => {
    const rest = total - size(envelopeV3) - 'note'.length;
    return { note: char.repeat(Math.floor(rest / Buffer.byteLength(char))) };
  };

  test('is met exactly at 2048 bytes of names and values', () => {
    assert.equal(metadataLimit, 2048);
    const joined = joinMetadata(own(2048), envelopeV3);
    assert.equal(size(joined), 2048);
    assert.throws(() => joinMetadata(own(2049), envelopeV3), failure('ENVELOPE_TOO_LARGE', /would have 2049 bytes/));
  });

  test('counts bytes, not characters', () => {
    const bytes = 2050 - ((2050 - size(envelopeV3) - 4) % 2);
    assert.throws(() => joinMetadata(own(bytes, 'é'), envelopeV3), failure('ENVELOPE_TOO_LARGE'));
  });

  test("names the envelope's share and the way out", () => {
    assert.throws(
      () => joinMetadata(own(3000), envelopeV3),
      failure('ENVELOPE_TOO_LARGE', new RegExp(`${size(envelopeV3)} of them the envelope.*instruction file`)),
    );
  });
});

describe("the caller's metadata", () => {
  test('goes along unchanged', () => {
    const own = { Owner: 'me', 'x-amz-other': '', é: 'ü' };
    assert.deepEqual(joinMetadata(own, envelopeV3), { ...own, ...envelopeV3 });
  });

  test('may not hold a name of the envelope, in whatever case S3 would fold', () => {
    for (const name of [...envelopeKeys, 'x-amz-unencrypted-content-length']) {
      for (const spelled of [name, name.toUpperCase()])
        assert.throws(() => joinMetadata({ [spelled]: 'x' }, {}), TypeError);
    }
  });
});
