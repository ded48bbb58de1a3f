import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { combineCrc, combineCrc32, crc32cPolynomial } from '../../src/multipart/crc32-combine.ts';

test('the combined CRC-32 is that of the concatenation, for any two byte strings', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), fc.uint8Array({ maxLength: 3000 }), (a, b) => {
      assert.equal(combineCrc32(crc32(a), crc32(b), b.length), crc32(Buffer.concat([a, b])));
    }),
  );
});

test('an empty second string leaves the CRC as it is, an empty first one gives that of the second', () => {
  const crc = crc32('sealpipe');
  assert.equal(combineCrc32(crc, 0, 0), crc);
  assert.equal(combineCrc32(0, crc, 8), crc);
});

test('combining is associative, so parts may be folded in any grouping', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ maxLength: 200 }),
      (a, b, c) => {
        const left = combineCrc32(combineCrc32(crc32(a), crc32(b), b.length), crc32(c), c.length);
        const right = combineCrc32(crc32(a), combineCrc32(crc32(b), crc32(c), c.length), b.length + c.length);
        assert.equal(left, right);
      },
    ),
  );
});

test('lengths beyond 32 bits are right: a run of zeros doubled until it has 2^52 bytes agrees with one step', () => {
  // CRC of 2n zeros from that of n zeros, by the function itself; of 2^k zeros from the CRC before them, in one step.
  const start = crc32('before');
  let zeros = crc32(Buffer.alloc(1));
  let length = 1;
  let stepwise = combineCrc32(start, zeros, 1);
  for (let power = 0; power < 52; power++) {
    stepwise = combineCrc32(stepwise, zeros, length);
    zeros = combineCrc32(zeros, zeros, length);
    length *= 2;
    assert.equal(combineCrc32(start, zeros, length), stepwise, `2^${power + 1} zeros`);
  }
});

test('80 MiB of zeros, a MiB at a time, have the CRC-32 that reading them would give', () => {
  const mebibyte = crc32(Buffer.alloc(2 ** 20));
  let read = 0;
  const block = Buffer.alloc(2 ** 20);
  for (let piece = 0; piece < 80; piece++) read = crc32(block, read);
  let combined = 0;
  for (let piece = 0; piece < 80; piece++) combined = combineCrc32(combined, mebibyte, 2 ** 20);
  assert.equal(combined, read);
});

test('the same holds for CRC-32C with its polynomial', () => {
  // Check values of "123456789" and of its halves, from a bitwise computation.
  const bitwise = (text: string): number => {
    let crc = ~0;
    for (const byte of Buffer.from(text)) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ crc32cPolynomial;
    }
    return ~crc >>> 0;
  };
  assert.equal(bitwise('123456789'), 0xe3069283);
  assert.equal(combineCrc(crc32cPolynomial, bitwise('1234'), bitwise('56789'), 5), 0xe3069283);
});

test('a length that is no whole number of bytes is a RangeError', () => {
  for (const length of [-1, 1.5, Number.NaN, 2 ** 53]) {
    assert.throws(() => combineCrc32(1, 2, length), RangeError);
  }
});
