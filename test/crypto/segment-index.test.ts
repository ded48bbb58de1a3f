import assert from 'node:assert/strict';
import { createHash, createSecretKey } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { deriveKey } from '../../src/crypto/content-key.ts';
import { takeOver } from '../../src/crypto/secret-memory.ts';
import {
  assertSegmentSize,
  encodeTrailer,
  fittingSegmentSize,
  type IndexTrailer,
  indexFingerprint,
  indexLength,
  indexLengthLimit,
  isTrailer,
  isTrailerAuthentic,
  parseTrailer,
  segmentCount,
  segmentIndexKeyInfo,
  segmentSizes,
} from '../../src/crypto/segment-index.ts';
import { SegmentIndexBuilder } from '../../src/crypto/segment-index-builder.ts';
import { findForgedSegment, SegmentMacs } from '../../src/crypto/segment-index-macs.ts';
import { maxPlaintextLength } from '../../src/format/suites.ts';
import { cutAt, runs } from '../support/properties.ts';
import { indexOf } from '../support/segment-indexes.ts';
import { shake } from '../support/vectors.ts';

const dataKey = shake('kat-key', 32);
const messageId = shake('kat-message-id', 28);
const segmentSize = 4096;

const reference = (ciphertext: Uint8Array, size: number, iv: Uint8Array): Buffer =>
  indexOf({ dataKey, iv, ciphertext, size });

function builder(contentLength?: number, size = segmentSize): SegmentIndexBuilder {
  const key = deriveKey(dataKey, messageId, segmentIndexKeyInfo(size));
  return new SegmentIndexBuilder({ key, segmentSize: size, iv: messageId, contentLength });
}

function build(ciphertext: Buffer, pieces: readonly Buffer[] = [ciphertext], size = segmentSize): Buffer {
  const index = builder(undefined, size);
  const macs = index.macs(0);
  for (const piece of pieces) macs.update(piece);
  index.add(0, macs.final());
  return index.finish(ciphertext.length);
}

const lengths = [0, 1, 15, 16, 17, 4095, 4096, 4097, 8191, 8192, 8193, 12_288, 20_000];

describe('an index', () => {
  test('has the bytes that the format says, at every length around a segment', () => {
    for (const length of lengths) {
      const ciphertext = Buffer.from(shake('index', length));
      assert.deepEqual(build(ciphertext), reference(ciphertext, segmentSize, messageId), `length ${length}`);
    }
  });

  test('is known by its answers', () => {
    const index = build(Buffer.from(shake('kat-plaintext', 12_388)));
    assert.equal(index.length, 4 * 16 + 64);
    assert.equal(
      createHash('sha256').update(index).digest('hex'),
      createHash('sha256')
        .update(reference(shake('kat-plaintext', 12_388), segmentSize, messageId))
        .digest('hex'),
    );
    assert.equal(index.subarray(0, 16).toString('hex'), '4db32af0d7f09283d6d759f10d8442bc');
    assert.equal(index.subarray(48, 64).toString('hex'), '87bbe9ce9ae078ba7184f3e02089165e');
    assert.equal(index.subarray(-16).toString('hex'), '7a81b8872ef38f482a0246884fe68250');
  });

  test('is the same however the ciphertext is cut and in which order its parts come', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 40_000 }),
        fc.array(fc.nat(40_000), { maxLength: 6 }),
        fc.constantFrom(4096, 8192, 65_536),
        (length, places, size) => {
          const ciphertext = Buffer.from(shake('cut', length));
          const expected = reference(ciphertext, size, messageId);
          assert.deepEqual(build(ciphertext, cutAt(ciphertext, places), size), expected);
          const index = builder(length, size);
          const parts = Array.from({ length: Math.ceil(length / (2 * size)) }, (_, i) => i * 2 * size).reverse();
          for (const offset of parts) {
            const macs = index.macs(offset / size);
            macs.update(ciphertext.subarray(offset, offset + 2 * size));
            index.add(offset, macs.final());
          }
          assert.deepEqual(index.finish(length), expected);
        },
      ),
      runs(30),
    );
  });

  test('is not finished while a segment is missing, nor after its key is gone', () => {
    const index = builder();
    index.add(0, new Uint8Array(16));
    assert.throws(() => index.finish(2 * segmentSize), /1 segments were indexed, the content has 2/);
    assert.throws(() => index.add(100, new Uint8Array(16)), /do not begin with a segment/);
    index.close();
    assert.throws(() => index.finish(segmentSize), /has been closed/);
  });

  test('overwrites the key that it was given, at the latest when it is closed', () => {
    const key = deriveKey(dataKey, messageId, segmentIndexKeyInfo(segmentSize));
    new SegmentIndexBuilder({ key, segmentSize, iv: messageId }).close();
    assert.ok(key.every((byte) => byte === 0));
  });

  test('hands its key over to other threads, a copy each, until it is closed', () => {
    const key = deriveKey(dataKey, messageId, segmentIndexKeyInfo(segmentSize));
    const index = builder();
    const copies = [takeOver(index.handOverKey()), takeOver(index.handOverKey())];
    index.close();
    assert.deepEqual(copies, [key, key]);
    assert.throws(() => index.handOverKey(), /has been closed/);
  });
});

describe('segment sizes', () => {
  test('are powers of two from 4 KiB to 1 MiB', () => {
    assert.deepEqual(segmentSizes, [4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144, 524_288, 1_048_576]);
    for (const size of segmentSizes) assertSegmentSize(size);
    for (const size of [0, 1, 2048, 4095, 65_537, 2 ** 21, Number.NaN, -4096])
      assert.throws(() => assertSegmentSize(size), RangeError);
  });

  test('are raised until the index of the content, or of the longest possible, stays under 32 MiB', () => {
    assert.equal(fittingSegmentSize(65_536, maxPlaintextLength), 65_536);
    assert.equal(fittingSegmentSize(65_536, undefined), 65_536);
    assert.equal(fittingSegmentSize(4096, undefined), 65_536);
    assert.equal(fittingSegmentSize(4096, 2 ** 30), 4096);
    const most = ((indexLengthLimit - 64) / 16 - 1) * 4096;
    assert.equal(fittingSegmentSize(4096, most), 4096);
    assert.equal(fittingSegmentSize(4096, most + 1), 8192);
    assert.equal(indexLength(0, 4096), 64);
    assert.equal(segmentCount(4097, 4096), 2);
  });

  test('are part of the key', () => {
    const infos = segmentSizes.map((size) => Buffer.from(segmentIndexKeyInfo(size)).toString('hex'));
    assert.equal(new Set(infos).size, segmentSizes.length);
    assert.equal(infos[4], `${Buffer.from('sealpipe segment index v1').toString('hex')}00010000`);
  });
});

describe('a trailer', () => {
  const wrong = (read: IndexTrailer | string): string => (typeof read === 'string' ? read : 'nothing');
  const key = createSecretKey(shake('trailer-key', 32));
  const said: IndexTrailer = { segmentSize, contentLength: 10_000, fingerprint: indexFingerprint(messageId) };
  const trailer = encodeTrailer(key, said);
  const stored = indexLength(said.contentLength, segmentSize);

  test('reads back', () => {
    assert.deepEqual(parseTrailer(trailer, stored), { ...said, fingerprint: Uint8Array.from(said.fingerprint) });
    assert.ok(isTrailerAuthentic(key, trailer));
    assert.ok(!isTrailerAuthentic(createSecretKey(shake('other', 32)), trailer));
  });

  test('with any bit flipped is none, or not authentic', () => {
    for (let bit = 0; bit < trailer.length * 8; bit++) {
      const altered = Buffer.from(trailer);
      altered.writeUInt8(altered.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      const read = parseTrailer(altered, stored);
      if (bit < 48 * 8) assert.equal(typeof read, 'string', `bit ${bit}`);
      else assert.ok(!isTrailerAuthentic(key, altered), `bit ${bit}`);
    }
  });

  test('of another length than its index has, or that makes no sense, is refused in words', () => {
    const resealed = (change: Partial<IndexTrailer>): Buffer => encodeTrailer(key, { ...said, ...change });
    assert.match(wrong(parseTrailer(trailer, stored - 16)), /it has 96 bytes, expected 112/);
    assert.match(wrong(parseTrailer(trailer, stored + 16)), /it has 128 bytes, expected 112/);
    assert.match(wrong(parseTrailer(trailer.subarray(1), 63)), /it has 63 bytes/);
    assert.match(wrong(parseTrailer(new Uint8Array(0), 0)), /it has 0 bytes/);
    assert.match(wrong(parseTrailer(resealed({ segmentSize: 5000 }), stored)), /its segment size is 5000/);
    assert.match(wrong(parseTrailer(resealed({ contentLength: 2 ** 40 }), stored)), /its content length is/);
    assert.match(wrong(parseTrailer(Buffer.alloc(64), stored)), /its trailer is none/);
  });

  test('of a later version is told by its checksum, and refused by its number', () => {
    const later = Buffer.from(trailer);
    later.writeUInt32BE(2, 8);
    createHash('sha256').update(later.subarray(0, 40)).digest().copy(later, 40, 0, 8);
    assert.ok(isTrailer(later));
    assert.match(wrong(parseTrailer(later, stored)), /it is of version 2, expected 1/);
  });

  test('is not found in any bytes whatsoever', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(200), (bytes, length) => {
        assert.equal(typeof parseTrailer(bytes, length), 'string');
      }),
      runs(200),
    );
  });
});

describe('verifying segments', () => {
  const ciphertext = Buffer.from(shake('verify', 5 * segmentSize + 100));
  const index = build(ciphertext);
  const key = createSecretKey(Buffer.from(deriveKey(dataKey, messageId, segmentIndexKeyInfo(segmentSize))));
  const check = (
    bytes: Buffer,
    first: number,
    entries = index,
    contentLength = ciphertext.length,
  ): number | undefined =>
    findForgedSegment({
      key,
      segmentSize,
      contentLength,
      firstSegment: first,
      ciphertext: bytes,
      entries: entries.subarray(first * 16, (first + Math.ceil(bytes.length / segmentSize)) * 16),
    });

  test('finds nothing wrong with any run of segments', () => {
    for (let first = 0; first < 6; first++)
      for (let end = first; end <= 6; end++)
        assert.equal(check(ciphertext.subarray(first * segmentSize, end * segmentSize), first), undefined);
  });

  test('finds a flipped bit of the content or of the index in its segment, and in no other', () => {
    fc.assert(
      fc.property(fc.nat(ciphertext.length * 8 - 1), fc.nat(6 * 128 - 1), (bit, entryBit) => {
        const altered = Buffer.from(ciphertext);
        altered.writeUInt8(altered.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        const touched = Math.floor((bit >> 3) / segmentSize);
        const alteredIndex = Buffer.from(index);
        alteredIndex.writeUInt8(alteredIndex.readUInt8(entryBit >> 3) ^ (1 << (entryBit & 7)), entryBit >> 3);
        for (let i = 0; i < 6; i++) {
          const at = [i * segmentSize, (i + 1) * segmentSize] as const;
          assert.equal(check(altered.subarray(...at), i), i === touched ? i : undefined);
          assert.equal(check(ciphertext.subarray(...at), i, alteredIndex), i === entryBit >> 7 ? i : undefined);
        }
      }),
      runs(40),
    );
  });

  test('finds segments that changed places, were cut, or are said to be the last', () => {
    const segment = (i: number): Buffer => ciphertext.subarray(i * segmentSize, (i + 1) * segmentSize);
    assert.equal(check(Buffer.concat([segment(1), segment(0)]), 0), 0);
    assert.equal(check(segment(2), 3), 3);
    assert.equal(check(segment(5).subarray(0, 99), 5), 5);
    assert.equal(check(segment(4).subarray(0, 4000), 4), 4);
    // The object cut after the fourth segment, with an index that says so.
    assert.equal(check(segment(3), 3, index, 4 * segmentSize), 3);
    // A last segment that is said to be followed by another.
    assert.equal(check(segment(5), 5, index, 7 * segmentSize), 5);
    assert.equal(check(segment(5), 5, index.subarray(0, 5 * 16 + 8)), 5);
  });
});

test('macs that are given up do not fail', () => {
  const macs = new SegmentMacs({ key: shake('k', 32), segmentSize, firstSegment: 0 });
  macs.update(Buffer.alloc(100));
  macs.close();
  macs.close();
  assert.equal(macs.final().length, 0);
});
