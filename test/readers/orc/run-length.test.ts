import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { SealpipeError } from '../../../src/errors.ts';
import { BitRunLengthReader, ByteRunLengthReader } from '../../../src/readers/orc/byte-run-length.ts';
import { ByteStream, PositionReader } from '../../../src/readers/orc/byte-stream.ts';
import { codecOf } from '../../../src/readers/orc/compression.ts';
import { IntegerReader } from '../../../src/readers/orc/integer-reader.ts';
import { parsePostScript } from '../../../src/readers/orc/postscript.ts';
import {
  bitRuns,
  byteRuns,
  delta,
  direct,
  literalsV1,
  patchedBase,
  repeatV1,
  shortRepeat,
} from './run-length-encoders.ts';

const runs = process.env['SLOW'] === undefined ? 200 : 5000;

function plainStream(bytes: readonly number[]): ByteStream {
  return new ByteStream(
    { bytes: Uint8Array.from(bytes), offset: 0, start: 0, partial: false, name: 'test stream' },
    undefined,
  );
}

/** The same bytes in deflated chunks of `size` bytes, so that runs cross from one chunk to the next. */
function chunkedStream(bytes: readonly number[], size: number): ByteStream {
  const chunks: number[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    const content = Uint8Array.from(bytes.slice(at, at + size));
    const deflated = deflateRawSync(content);
    const original = deflated.length >= content.length;
    const stored = original ? content : deflated;
    const header = (stored.length << 1) | (original ? 1 : 0);
    chunks.push(header & 255, (header >> 8) & 255, header >> 16, ...stored);
  }
  const codec = codecOf({
    ...parsePostScript(Uint8Array.from([0x08, 1]), 0),
    compression: 'ZLIB',
    compressionBlockSize: 1024,
  });
  return new ByteStream(
    { bytes: Uint8Array.from(chunks), offset: 0, start: 0, partial: false, name: 'test stream' },
    codec,
  );
}

function read64(
  stream: ByteStream,
  options: { count: number; signed: boolean; version: 1 | 2; step?: number },
): bigint[] {
  const { count, signed, version, step = count } = options;
  const reader = new IntegerReader(stream, { signed, encoding: version === 1 ? 'DIRECT' : 'DIRECT_V2' });
  const values = new BigInt64Array(count);
  const words = new Int32Array(values.buffer);
  for (let at = 0; at < count; at += step) reader.readInt64(words, at, Math.min(step, count - at));
  return [...values];
}

const long = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const ofWidth = fc
  .integer({ min: 1, max: 63 })
  .chain((bits) => fc.bigInt({ min: -(2n ** BigInt(bits)), max: 2n ** BigInt(bits) - 1n }));

/** A run of version 2 with the values it stands for. */
const signedRun = fc.oneof(
  fc.tuple(fc.oneof(long, ofWidth), fc.integer({ min: 3, max: 10 })).map(([value, count]) => {
    return { values: Array.from({ length: count }, () => value), bytes: shortRepeat(value, count, true) };
  }),
  fc
    .integer({ min: 1, max: 64 })
    .chain((bits) =>
      fc.array(fc.bigInt({ min: -(2n ** BigInt(bits - 1)), max: 2n ** BigInt(bits - 1) - 1n }), {
        minLength: 1,
        maxLength: 512,
      }),
    )
    .map((values) => ({ values, bytes: direct(values, true) })),
  fc
    .record({
      width: fc.constantFrom(1, 3, 8, 13, 24, 26, 32, 40),
      base: fc.bigInt({ min: -(2n ** 40n), max: 2n ** 40n }),
      count: fc.integer({ min: 20, max: 512 }),
      seed: fc.bigInt({ min: 1n, max: 2n ** 32n }),
      outliers: fc.array(fc.tuple(fc.nat(511), fc.bigInt({ min: 1n, max: 255n })), { maxLength: 12 }),
    })
    .map(({ width, base, count, seed, outliers }) => {
      const values = Array.from(
        { length: count },
        (_, index) => base + ((seed * BigInt(index * index + 1)) % 2n ** BigInt(width)),
      );
      values[0] = base;
      for (const [index, patch] of outliers)
        if (index > 0 && index < count) values[index] = base + (patch << BigInt(width));
      return { values, bytes: patchedBase(values, width) };
    }),
  fc
    .record({
      base: fc.oneof(fc.bigInt({ min: -(2n ** 62n), max: 2n ** 61n }), fc.bigInt({ min: -1000n, max: 1000n })),
      steps: fc.oneof(
        fc.array(fc.bigInt({ min: 0n, max: 300n }), { minLength: 1, maxLength: 511 }),
        fc.array(fc.bigInt({ min: 0n, max: 2n ** 40n }), { minLength: 1, maxLength: 50 }),
        fc.array(fc.constant(7n), { minLength: 1, maxLength: 511 }),
      ),
      down: fc.boolean(),
    })
    .map(({ base, steps, down }) => {
      const values = [base];
      for (const step of steps) values.push(values.at(-1)! + (down ? -step : step));
      // The sign of the first delta is the direction of all: a first step of 0 can only go up.
      const usable = down && steps[0] === 0n ? [base] : values;
      return { values: usable, bytes: delta(usable, true) };
    }),
);

test('integers in run lengths of version 2 decode to what was encoded, whatever the runs and wherever chunks and reads end', () => {
  fc.assert(
    fc.property(
      fc.array(signedRun, { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1, max: 700 }),
      fc.integer({ min: 16, max: 900 }),
      (list, step, chunk) => {
        const expected = list.flatMap(({ values }) => values);
        const bytes = list.flatMap(({ bytes: run }) => run);
        const options = { count: expected.length, signed: true, version: 2, step } as const;
        assert.deepEqual(read64(plainStream(bytes), options), expected);
        assert.deepEqual(read64(chunkedStream(bytes, chunk), options), expected);
      },
    ),
    { numRuns: runs },
  );
});

test('the specification’s own examples of version 2 decode', () => {
  const example = (bytes: number[], expected: bigint[]): void => {
    assert.deepEqual(read64(plainStream(bytes), { count: expected.length, signed: false, version: 2 }), expected);
  };
  example([0x0a, 0x27, 0x10], [10000n, 10000n, 10000n, 10000n, 10000n]);
  example([0x5e, 0x03, 0x5c, 0xa1, 0xab, 0x1e, 0xde, 0xad, 0xbe, 0xef], [23713n, 43806n, 57005n, 48879n]);
  const patched = [
    0x8e, 0x13, 0x2b, 0x21, 0x07, 0xd0, 0x1e, 0x00, 0x14, 0x70, 0x28, 0x32, 0x3c, 0x46, 0x50, 0x5a, 0x64, 0x6e, 0x78,
  ];
  const rest = [0x82, 0x8c, 0x96, 0xa0, 0xaa, 0xb4, 0xbe, 0xfc, 0xe8];
  const values = [
    2030, 2000, 2020, 1000000, 2040, 2050, 2060, 2070, 2080, 2090, 2100, 2110, 2120, 2130, 2140, 2150, 2160, 2170, 2180,
    2190,
  ];
  example([...patched, ...rest], values.map(BigInt));
  example([0xc6, 0x09, 0x02, 0x02, 0x22, 0x42, 0x42, 0x46], [2n, 3n, 5n, 7n, 11n, 13n, 17n, 19n, 23n, 29n]);
});

test('unsigned integers of up to 63 bits decode in both versions', () => {
  const unsigned = fc
    .integer({ min: 1, max: 63 })
    .chain((bits) => fc.array(fc.bigInt({ min: 0n, max: 2n ** BigInt(bits) - 1n }), { minLength: 1, maxLength: 128 }));
  fc.assert(
    fc.property(unsigned, (values) => {
      const options = { count: values.length, signed: false } as const;
      assert.deepEqual(read64(plainStream(direct(values, false)), { ...options, version: 2 }), values);
      assert.deepEqual(read64(plainStream(literalsV1(values, false)), { ...options, version: 1 }), values);
    }),
    { numRuns: runs },
  );
});

test('integers in run lengths of version 1 decode to what was encoded', () => {
  const run = fc.oneof(
    fc
      .array(fc.oneof(long, ofWidth), { minLength: 1, maxLength: 128 })
      .map((values) => ({ values, bytes: literalsV1(values, true) })),
    fc
      .tuple(
        fc.oneof(
          fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
          ofWidth.map((v) => v / 4n),
        ),
        fc.integer({ min: -128, max: 127 }),
        fc.integer({ min: 3, max: 130 }),
      )
      .map(([base, step, count]) => ({
        values: Array.from({ length: count }, (_, index) => base + BigInt(step * index)),
        bytes: repeatV1(base, step, count, true),
      })),
  );
  fc.assert(
    fc.property(fc.array(run, { minLength: 1, maxLength: 6 }), fc.integer({ min: 1, max: 300 }), (list, step) => {
      const expected = list.flatMap(({ values }) => values);
      const bytes = list.flatMap(({ bytes: part }) => part);
      assert.deepEqual(
        read64(plainStream(bytes), { count: expected.length, signed: true, version: 1, step }),
        expected,
      );
    }),
    { numRuns: runs },
  );
});

test('32-bit reads give the same values, and refuse one that needs more', () => {
  const small = fc.array(fc.integer(), { minLength: 1, maxLength: 512 });
  fc.assert(
    fc.property(small, (values) => {
      const reader = new IntegerReader(plainStream(direct(values.map(BigInt), true)), {
        signed: true,
        encoding: 'DIRECT_V2',
      });
      const target = new Int32Array(values.length);
      reader.readInt32(target, 0, values.length);
      assert.deepEqual([...target], values);
    }),
    { numRuns: runs },
  );
  for (const value of [2n ** 31n, -(2n ** 31n) - 1n, 2n ** 40n]) {
    const reader = new IntegerReader(plainStream(direct([value], true)), { signed: true, encoding: 'DIRECT_V2' });
    assert.throws(() => reader.readInt32(new Int32Array(1), 0, 1), { code: 'ERR_SEALPIPE_FORMAT_INVALID' });
  }
});

test('bytes and bits decode to what was encoded, however they are read', () => {
  const bytes = fc.array(fc.oneof(fc.nat(255), fc.constant(0), fc.constant(255)), { minLength: 1, maxLength: 600 });
  fc.assert(
    fc.property(bytes, fc.integer({ min: 1, max: 200 }), (values, step) => {
      const reader = new ByteRunLengthReader(chunkedStream(byteRuns(values), 100));
      const target = new Uint8Array(values.length);
      for (let at = 0; at < values.length; at += step) reader.read(target, at, Math.min(step, values.length - at));
      assert.deepEqual([...target], values);
      const bits = values.map((value) => value & 1);
      const bitReader = new BitRunLengthReader(plainStream(bitRuns(bits)));
      const bitTarget = new Uint8Array(bits.length);
      for (let at = 0; at < bits.length; at += step) bitReader.read(bitTarget, at, Math.min(step, bits.length - at));
      assert.deepEqual([...bitTarget], bits);
    }),
    { numRuns: runs },
  );
});

test('a position within a run is sought: the values before it are passed over', () => {
  const values = Array.from({ length: 400 }, (_, index) => BigInt(index * index));
  const bytes = [...direct(values.slice(0, 200), true), ...direct(values.slice(200), true)];
  const second = direct(values.slice(0, 200), true).length;
  const reader = new IntegerReader(plainStream(bytes), { signed: true, encoding: 'DIRECT_V2' });
  reader.seek(new PositionReader([second, 37], 1));
  const target = new Int32Array(3);
  reader.readInt32(target, 0, 3);
  assert.deepEqual([...target], [237 ** 2, 238 ** 2, 239 ** 2]);
  const bits = Array.from({ length: 100 }, (_, index) => (index % 3 === 0 ? 1 : 0));
  const bitReader = new BitRunLengthReader(plainStream(bitRuns(bits)));
  bitReader.seek(new PositionReader([0, 5, 3], 1));
  const bit = new Uint8Array(4);
  bitReader.read(bit, 0, 4);
  assert.deepEqual([...bit], bits.slice(43, 47));
});

test('positions that no run has are refused, not believed', () => {
  const reader = (): ByteRunLengthReader => new ByteRunLengthReader(plainStream(byteRuns([1, 2, 3])));
  assert.throws(() => reader().seek(new PositionReader([0, 2 ** 40], 1)), { code: 'ERR_SEALPIPE_FORMAT_INVALID' });
  assert.throws(() => reader().seek(new PositionReader([99, 0], 1)), { code: 'ERR_SEALPIPE_FORMAT_INVALID' });
  assert.throws(() => reader().seek(new PositionReader([0], 1)), { code: 'ERR_SEALPIPE_FORMAT_INVALID' });
  const bits = new BitRunLengthReader(plainStream(bitRuns([1, 0, 1])));
  assert.throws(() => bits.seek(new PositionReader([0, 0, 9], 1)), { code: 'ERR_SEALPIPE_FORMAT_INVALID' });
});

test('whatever the bytes, decoders give values or a typed error, and stop', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), fc.constantFrom(1, 2), (bytes, signed, version) => {
      try {
        read64(plainStream([...bytes]), { count: 5000, signed, version: version, step: 333 });
        assert.fail('200 bytes cannot have 5000 values without an end'); // a run of 512 takes at least four bytes
      } catch (error) {
        if (error instanceof assert.AssertionError) {
          assert.ok(bytes.length > 36);
          return;
        }
        assert.ok(error instanceof SealpipeError, String(error));
        assert.equal(error.code, 'ERR_SEALPIPE_FORMAT_INVALID');
      }
    }),
    { numRuns: runs * 5 },
  );
});
