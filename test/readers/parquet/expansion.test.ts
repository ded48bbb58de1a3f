import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { deltaByteArrayBytes } from '../../../src/readers/parquet/delta.ts';
import { GroupLimits } from '../../../src/readers/parquet/group-limits.ts';
import { presentValues } from '../../../src/readers/parquet/runs.ts';
import { leafConverter } from '../../../src/readers/parquet/value-of.ts';

function varint(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 0x80; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  return [...bytes, left];
}
const zigzag = (value: number): number[] => varint(value < 0 ? -2 * value - 1 : 2 * value);

/** Lengths as writers store them: blocks of 128 in 4 parts, 32 bits each. */
function lengths(values: readonly number[]): number[] {
  const bytes = [...varint(128), ...varint(4), ...varint(values.length), ...zigzag(values[0] ?? 0)];
  const deltas = values.slice(1).map((value, index) => value - values[index]!);
  for (let start = 0; start < deltas.length; start += 128) {
    const block = deltas.slice(start, start + 128);
    const least = Math.min(...block);
    bytes.push(...zigzag(least), 32, 32, 32, 32);
    const parts = Math.ceil(block.length / 32) * 32;
    for (let index = 0; index < parts; index++) {
      const word = (block[index] ?? least) - least;
      bytes.push(word & 255, (word >>> 8) & 255, (word >>> 16) & 255, word >>> 24);
    }
  }
  return bytes;
}

/** Lengths of one value repeated: a block as large as they are, without a bit for any. */
const repeated = (value: number, count: number): number[] => {
  return [...varint(count + 31 - ((count + 31) % 32)), 1, ...varint(count), ...zigzag(value), 0, 0];
};

const place = { path: 'a', at: 4, position: 0 };

test('what values take that begin as the ones before is counted before any is made', () => {
  const words = ['axis', 'axle', 'babble', 'babyhood'];
  const prefixes = [0, 2, 0, 3];
  const suffixes = words.map((word, index) => word.slice(prefixes[index]));
  const stored = [
    ...lengths(prefixes),
    ...lengths(suffixes.map(({ length }) => length)),
    ...Buffer.from(suffixes.join('')),
  ];
  assert.equal(deltaByteArrayBytes(Uint8Array.from(stored), { ...place, count: 4 }), words.join('').length);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(40), fc.nat(40)), { minLength: 1, maxLength: 300 }), (pairs) => {
      let before = 0;
      let total = 0;
      const own = pairs.map(([prefix, suffix]): [number, number] => {
        const shared = Math.min(prefix, before);
        before = shared + suffix;
        total += before;
        return [shared, suffix];
      });
      const rest = own.reduce((sum, [, suffix]) => sum + suffix, 0);
      const page = Uint8Array.from([
        ...lengths(own.map(([prefix]) => prefix)),
        ...lengths(own.map(([, suffix]) => suffix)),
        ...new Uint8Array(rest),
      ]);
      assert.equal(deltaByteArrayBytes(page, { ...place, count: pairs.length }), total);
    }),
  );
});

test('a page of a hundred kilobytes whose values take a hundred gigabytes says so', () => {
  const count = 1_000_000;
  const first = 100_000;
  // A value of 100 000 bytes, and a million that are the same.
  const prefixes = [...varint(count + 63 - (count % 64)), 1, ...varint(count), ...zigzag(0), ...zigzag(0), 0];
  const suffixes = [...prefixes];
  const page = (lengthsOfPrefixes: number[]): Uint8Array =>
    Uint8Array.from([...lengthsOfPrefixes, ...suffixes, ...new Uint8Array(first)]);
  assert.equal(deltaByteArrayBytes(page(prefixes), { ...place, count }), 0);
  const two = Uint8Array.from([...lengths([0, first, first]), ...lengths([first, 0, 0]), ...new Uint8Array(first)]);
  assert.equal(deltaByteArrayBytes(two, { ...place, count: 3 }), 3 * first);
  assert.throws(() => deltaByteArrayBytes(page(repeated(1 << 30, count)), { ...place, count }), /of the one before/);
});

test('lengths that contradict their page are refused', () => {
  const body = new Uint8Array(8);
  const page = (...bytes: number[]): Uint8Array => Uint8Array.from([...bytes, ...body]);
  const refused: readonly (readonly [Uint8Array, number])[] = [
    [page(...lengths([0, 9]), ...lengths([4, 4])), 2], // more of the one before than it has
    [page(...lengths([0, 0]), ...lengths([4, 5])), 2], // more than is left
    [page(...lengths([0, 0]), ...lengths([4, -1])), 2],
    [page(...lengths([0, 0, 0]), ...lengths([4, 4])), 3],
    [page(...lengths([0, 0])), 2],
    [page(...lengths([0, 0, 0]), ...lengths([0, 0, 0])), 2], // more than the page has values
    [page(...lengths([0]), ...lengths([0])), 2], // fewer
    [Uint8Array.from([0, 0, 2, 0]), 2],
    [Uint8Array.from([128, 1, 255, 255, 255, 255, 15, 2, 0]), 2], // 2^32 widths a block
    [Uint8Array.from([255, 255, 255, 255, 255, 255]), 2],
  ];
  for (const [bytes, count] of refused) {
    assert.throws(() => deltaByteArrayBytes(bytes, { ...place, count }), { code: 'ERR_SEALPIPE_FORMAT_INVALID' });
  }
});

test('whatever the bytes, looking at lengths ends, in a count or in a coded error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(1000), (bytes, count) => {
      try {
        assert.ok(deltaByteArrayBytes(bytes, { ...place, count }) >= 0);
      } catch (error) {
        assert.match(String((error as { code?: string }).code), /FORMAT_INVALID/);
      }
    }),
  );
});

test('the values of a page that are not null are counted in runs of both kinds', () => {
  const plan = { path: 'a', at: 4, maxRepetition: 0, values: 'other' as const };
  // 5 of level 1, then 8 in bits of which 6 count, two of them beyond the last value.
  const one = Uint8Array.from([9, 9, 10, 1, 3, 0b11101101]);
  assert.equal(presentValues(one, { position: 2, plan: { ...plan, maxDefinition: 1, valueCount: 13 } }), 5 + 6);
  assert.equal(presentValues(one, { position: 2, plan: { ...plan, maxDefinition: 1, valueCount: 11 } }), 5 + 4);
  // Levels of two bits: 3 3 0 1 2 3 0 3.
  const two = Uint8Array.from([3, 0b01001111, 0b11001110]);
  assert.equal(presentValues(two, { position: 0, plan: { ...plan, maxDefinition: 3, valueCount: 8 } }), 4);
});

test('a row group of few bytes may not become many, nor millions of values; one of many bytes may', () => {
  const refusal = { code: 'ERR_SEALPIPE_FORMAT_UNSUPPORTED' };
  const few = { index: 0, stored: 1000 };
  assert.throws(() => new GroupLimits({ ...few, values: 2 ** 25, rows: 1 }), refusal);
  new GroupLimits({ index: 0, stored: 2 ** 26, values: 2 ** 30, rows: 2 ** 20 });
  const limits = new GroupLimits({ ...few, values: 10, rows: 10 });
  limits.add(4, 2 ** 28);
  limits.add(4, 2 ** 28); // the same page again
  limits.add(5, 2 ** 28);
  assert.throws(() => limits.add(6, 1), refusal);
  const large = new GroupLimits({ index: 0, stored: 2 ** 26, values: 10, rows: 10 });
  for (let page = 0; page < 15; page++) large.add(page, 2 ** 28);
});

test('rows that name the same entry of a dictionary have one copy of it', () => {
  const convert = leafConverter({ name: 'a', path: 'a', repetition: 'OPTIONAL', type: 'BYTE_ARRAY', children: [] })!;
  const page = new Uint8Array(100);
  const entry = page.subarray(10, 20);
  const copy = convert(entry) as Uint8Array;
  assert.notEqual(copy.buffer, page.buffer);
  assert.deepEqual(copy, entry);
  assert.equal(convert(entry), copy);
  assert.notEqual(convert(page.subarray(10, 20)), copy);
});
