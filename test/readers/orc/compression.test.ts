import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brotliCompressSync, deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { SealpipeError } from '../../../src/errors.ts';
import { codecOf, expandSection } from '../../../src/readers/orc/compression.ts';
import { lz4Decompress } from '../../../src/readers/orc/lz4.ts';
import type { OrcCompression, OrcPostScript } from '../../../src/readers/orc/postscript.ts';
import { snappyDecompress } from '../../../src/readers/orc/snappy.ts';
import { nativeZstd, zstdDecompress, zstdDecompressPortable } from '../../../src/readers/orc/zstd.ts';

interface Match {
  readonly literal: Uint8Array;
  readonly distance: number;
  readonly length: number;
}

/** Cuts bytes into literals and matches of at least four bytes, greedily: what both encoders below write out. */
function matches(input: Uint8Array, longest: number): Match[] {
  const seen = new Map<string, number>();
  const found: Match[] = [];
  let start = 0;
  for (let at = 0; at < input.length; ) {
    const key = input.subarray(at, at + 4).join();
    const from = at + 4 <= input.length ? seen.get(key) : undefined;
    seen.set(key, at);
    if (from === undefined || at - from > 65_535) {
      at++;
      continue;
    }
    let length = 4;
    while (at + length < input.length && length < longest && input[from + length] === input[at + length]) length++;
    found.push({ literal: input.subarray(start, at), distance: at - from, length });
    at += length;
    start = at;
  }
  return [...found, { literal: input.subarray(start), distance: 0, length: 0 }];
}

function snappyCompress(input: Uint8Array): Uint8Array {
  const output: number[] = [];
  for (let rest = input.length; ; rest >>>= 7) {
    output.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) break;
  }
  for (const { literal, distance, length } of matches(input, 64)) {
    if (literal.length > 0) {
      const size = literal.length - 1;
      if (size < 60) output.push(size << 2);
      else if (size < 256) output.push(60 << 2, size);
      else output.push(61 << 2, size & 255, size >> 8);
      output.push(...literal);
    }
    if (length >= 4 && length <= 11 && distance < 2048)
      output.push(1 | ((length - 4) << 2) | ((distance >> 8) << 5), distance & 255);
    else if (length > 0 && length % 2 === 0) output.push(2 | ((length - 1) << 2), distance & 255, distance >> 8);
    else if (length > 0) output.push(3 | ((length - 1) << 2), distance & 255, distance >> 8, 0, 0);
  }
  return Uint8Array.from(output);
}

function lz4Compress(input: Uint8Array): Uint8Array {
  const output: number[] = [];
  const extend = (size: number): void => {
    for (let rest = size - 15; rest >= 0; rest -= 255) output.push(Math.min(rest, 255));
  };
  for (const { literal, distance, length } of matches(input, 1000)) {
    const copied = Math.max(0, length - 4);
    output.push((Math.min(literal.length, 15) << 4) | Math.min(copied, 15));
    if (literal.length >= 15) extend(literal.length);
    output.push(...literal);
    if (length > 0) {
      output.push(distance & 255, distance >> 8);
      if (copied >= 15) extend(copied);
    }
  }
  return Uint8Array.from(output);
}

/** Bytes with repetitions near and far, so that matches of all lengths and distances arise. */
const repetitive = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc.tuple(fc.nat(255), fc.nat(600)).map(([byte, count]) => new Uint8Array(count).fill(byte)),
    ),
    { maxLength: 30 },
  )
  .chain((parts) =>
    fc
      .array(fc.nat(Math.max(0, parts.length - 1)), { maxLength: 40 })
      .map((order) => Buffer.concat(order.map((index) => parts[index] ?? new Uint8Array()))),
  );

test('snappy and lz4 blocks expand to what was compressed', () => {
  fc.assert(
    fc.property(repetitive, (input) => {
      assert.deepEqual(Buffer.from(snappyDecompress(snappyCompress(input), 1 << 20)!), input);
      assert.deepEqual(Buffer.from(lz4Decompress(lz4Compress(input), 1 << 20)!), input);
    }),
    { numRuns: 150 },
  );
});

test('a block that would exceed the limit by one byte is refused, one that meets it is not', () => {
  const input = new Uint8Array(5000).fill(7);
  assert.equal(snappyDecompress(snappyCompress(input), 5000)?.length, 5000);
  assert.equal(snappyDecompress(snappyCompress(input), 4999), undefined);
  assert.equal(lz4Decompress(lz4Compress(input), 5000)?.length, 5000);
  assert.equal(lz4Decompress(lz4Compress(input), 4999), undefined);
});

test('a snappy block that claims more than its bytes can make has nothing allocated for it', () => {
  const claim = Uint8Array.from([0xff, 0xff, 0xff, 0x7f, 0x00, 0x61]); // 2^28 - 1 bytes from one literal
  assert.equal(snappyDecompress(claim, 256 * 1024 * 1024), undefined);
});

test('whatever the bytes, snappy and lz4 end, within the limit', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (input) => {
      for (const output of [snappyDecompress(input, 10_000), lz4Decompress(input, 10_000)]) {
        assert.ok(output === undefined || output.length <= 10_000);
      }
    }),
    { numRuns: 2000 },
  );
});

/** A zstd frame of raw and run-length blocks, which need no entropy coder. */
function zstdFrame(options: {
  single: boolean;
  size?: number;
  blocks: { type: 0 | 1; bytes: number[]; count: number }[];
}): Uint8Array {
  const { single, size, blocks } = options;
  const output = [0x28, 0xb5, 0x2f, 0xfd, (size === undefined ? 0 : 0x80) | (single ? 0x20 : 0)];
  if (!single) output.push(0x38); // 128 KiB window
  if (size !== undefined) output.push(size & 255, (size >> 8) & 255, (size >> 16) & 255, (size >>> 24) & 255);
  for (const [index, { type, bytes, count }] of blocks.entries()) {
    const header = (index === blocks.length - 1 ? 1 : 0) | (type << 1) | (count << 3);
    output.push(header & 255, (header >> 8) & 255, header >> 16, ...bytes);
  }
  return Uint8Array.from(output);
}

for (const [name, expand] of [
  ['the one in use', zstdDecompress],
  ['the portable one', zstdDecompressPortable],
] as const) {
  const skip = name === 'the one in use' && !nativeZstd ? 'it is the portable one here' : false;
  test(`zstd frames with and without a stated size expand: ${name}`, { skip }, () => {
    const blocks = [
      { type: 0 as const, bytes: [1, 2, 3], count: 3 },
      { type: 1 as const, bytes: [9], count: 70_000 },
    ];
    const expected = Uint8Array.from([1, 2, 3, ...new Uint8Array(70_000).fill(9)]);
    for (const frame of [
      zstdFrame({ single: true, size: 70_003, blocks }),
      zstdFrame({ single: false, blocks }),
      zstdFrame({ single: false, size: 70_003, blocks }),
    ]) {
      assert.deepEqual(Buffer.from(expand(frame, 70_003)), Buffer.from(expected));
      assert.throws(() => expand(frame, 70_002));
    }
  });

  test(`a zstd frame that claims a size or a window beyond the limit is refused: ${name}`, { skip }, () => {
    const blocks = [{ type: 1 as const, bytes: [9], count: 5 }];
    assert.throws(() => expand(zstdFrame({ single: true, size: 0xf0000000, blocks }), 1 << 28));
    const window = zstdFrame({ single: false, blocks });
    window[5] = 0xff; // 3.75 TiB
    assert.throws(() => expand(window, 1 << 28));
    assert.throws(() => expand(Uint8Array.from([1, 2, 3, 4, 5, 6, 7]), 1 << 28));
    assert.throws(() => expand(zstdFrame({ single: true, size: 5, blocks }).subarray(0, 10), 1 << 28));
  });
}

function postscript(compression: OrcCompression, compressionBlockSize?: number): OrcPostScript {
  const rest = {
    footerLength: 1,
    version: [0, 12],
    metadataLength: 0,
    writerVersion: 1,
    stripeStatisticsLength: 0,
    magic: 'ORC',
  };
  return { compression, compressionBlockSize, ...rest };
}

function chunk(content: Uint8Array, original = false): Uint8Array {
  const header = (content.length << 1) | (original ? 1 : 0);
  return Uint8Array.from([header & 255, (header >> 8) & 255, header >> 16, ...content]);
}

test('a section is the chunks’ contents one after the other, stored ones among them', () => {
  const codec = codecOf(postscript('ZLIB', 1000));
  const section = Buffer.concat([
    chunk(deflateRawSync(Buffer.from('abc'))),
    chunk(Buffer.from('def'), true),
    chunk(deflateRawSync(Buffer.from('g'))),
  ]);
  assert.equal(Buffer.from(expandSection(section, { codec, offset: 0 })).toString(), 'abcdefg');
  const brotli = codecOf(postscript('BROTLI', 1000));
  assert.equal(
    Buffer.from(expandSection(chunk(brotliCompressSync(Buffer.from('xyz'))), { codec: brotli, offset: 0 })).toString(),
    'xyz',
  );
});

test('a chunk that expands beyond the block size, is cut short or is garbage is malformed, with the place in the file', () => {
  const codec = codecOf(postscript('ZLIB', 1000));
  const invalid = (section: Uint8Array, offset: number): void => {
    assert.throws(
      () => expandSection(section, { codec, offset: 5000 }),
      (error) =>
        error instanceof SealpipeError && error.code === 'ERR_SEALPIPE_FORMAT_INVALID' && error.offset === offset,
    );
  };
  invalid(chunk(deflateRawSync(new Uint8Array(1001))), 5000);
  invalid(chunk(new Uint8Array(1001), true), 5000);
  invalid(chunk(Uint8Array.from([255, 255, 255])), 5000);
  invalid(Buffer.concat([chunk(Buffer.from('ok'), true), Uint8Array.from([200, 0, 0, 1])]), 5005);
  invalid(Uint8Array.from([1, 0]), 5000);
});

test('LZO is refused by name, and block sizes beyond 256 MiB are refused before any is allocated', () => {
  assert.throws(() => codecOf(postscript('LZO')), { code: 'ERR_SEALPIPE_FORMAT_UNSUPPORTED', message: /LZO/ });
  assert.throws(() => codecOf(postscript('ZSTD', 2 ** 40)), { code: 'ERR_SEALPIPE_FORMAT_INVALID' });
  assert.throws(() => codecOf(postscript('ZLIB', 0)), { code: 'ERR_SEALPIPE_FORMAT_INVALID' });
  assert.equal(codecOf(postscript('NONE')), undefined);
  assert.equal(codecOf(postscript('SNAPPY'))?.blockSize, 262_144);
});
