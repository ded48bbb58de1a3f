import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  checksumAlgorithms,
  checksumBytes,
  createChecksum,
  fullObjectChecksum,
  isChecksumValue,
} from '../../src/checksums/checksum.ts';
import { crc32c } from '../../src/checksums/crc32c.ts';
import { Crc64Nvme } from '../../src/checksums/crc64nvme.ts';

test('the check values of the catalogue hold', () => {
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  const crc = new Crc64Nvme();
  crc.update(Buffer.from('123456789'));
  assert.equal(crc.digest().toString('hex'), 'ae8b14860a799888');
  // RFC 3720, B.4: 32 bytes of zeros, of ones, and counting up.
  assert.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa);
  assert.equal(crc32c(Buffer.alloc(32, 0xff)), 0x62a8ab43);
  assert.equal(crc32c(Buffer.from(Array.from({ length: 32 }, (_, index) => index))), 0x46dd794e);
});

test('a checksum is the same in one piece and in any pieces, and at any alignment', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(), fc.integer({ min: 0, max: 7 }), (bytes, cut, shift) => {
      const moved = Buffer.concat([Buffer.alloc(shift), bytes]).subarray(shift);
      for (const algorithm of checksumAlgorithms) {
        const whole = createChecksum(algorithm);
        whole.update(bytes);
        const pieces = createChecksum(algorithm);
        const at = cut % (bytes.length + 1);
        pieces.update(moved.subarray(0, at));
        pieces.update(moved.subarray(at));
        const value = whole.digest();
        assert.equal(value.length, checksumBytes[algorithm]);
        assert.ok(value.equals(pieces.digest()), algorithm);
      }
    }),
  );
});

test('the CRC of a whole object is combined from those of its parts, whatever their sizes', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { minLength: 1, maxLength: 6 }), (parts) => {
      for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME'] as const) {
        const of = (bytes: Uint8Array): string => {
          const checksum = createChecksum(algorithm);
          checksum.update(bytes);
          return checksum.digest().toString('base64');
        };
        const combined = fullObjectChecksum(
          algorithm,
          parts.map((part) => ({ value: of(part), size: part.length })),
        );
        assert.equal(combined, of(Buffer.concat(parts)), algorithm);
      }
    }),
  );
});

test('only base64 of the right length is a checksum', () => {
  assert.ok(isChecksumValue('CRC32', 'AAAAAA=='));
  for (const text of ['', 'AAAAAA', 'AAAA', 'AAAAAAA=', 'AAAAA!==', 'AAAAAA==-2'])
    assert.ok(!isChecksumValue('CRC32', text), text);
});
