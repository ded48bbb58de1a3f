import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SealpipeError } from '../../../src/errors.ts';
import { parquetToJson } from '../../../src/readers/parquet/index.ts';
import { valueConverter } from '../../../src/readers/parquet/row-of.ts';
import type {
  ParquetField,
  ParquetMeaning,
  ParquetRepetition,
  ParquetType,
} from '../../../src/readers/parquet/schema.ts';
import { variantNames, variantValue } from '../../../src/readers/parquet/variant.ts';

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

/** Metadata with these names. */
function metadataOf(...names: readonly string[]): Uint8Array {
  const offsets = [0];
  for (const name of names) offsets.push(offsets.at(-1)! + name.length);
  return Uint8Array.from([1, names.length, ...offsets, ...Buffer.from(names.join(''))]);
}

const decoded = (hex: string, ...names: readonly string[]): unknown =>
  parquetToJson(variantValue(bytes(hex), variantNames(metadataOf(...names))));

test('each type of a variant has the value that columns of that type have', () => {
  const expected: readonly (readonly [string, unknown])[] = [
    ['00', null],
    ['04', true],
    ['08', false],
    ['0c fe', -2],
    ['10 2efb', -1234],
    ['14 c7cfffff', -12345],
    ['18 ffffffffffffff7f', '9223372036854775807'],
    ['1c 9a99999999992cc0', -14.3],
    ['38 0000803e', 0.25],
    ['20 04 15cd5b07', '12345.6789'],
    ['24 09 4f05ad1fb46449fe', '-123456789.987654321'],
    ['28 09 157134b0b88710890000000000000000', '9876543210.123456789'],
    ['2c aaeeffff', '1957-11-07'],
    ['30 c0f229880a000000', '1970-01-01T12:33:54.123456000Z'],
    ['34 c0f229880a000000', '1970-01-01T12:33:54.123456000'],
    ['48 ffffffffffffffff', '1969-12-31T23:59:59.999999999Z'],
    ['4c 0100000000000000', '1970-01-01T00:00:00.000000001'],
    ['44 c0f229880a000000', '12:33:54.123456000'],
    ['3c 02000000 0aff', Buffer.from([10, 255]).toString('base64')],
    ['40 02000000 c3a9', 'é'],
    ['09 c3a9', 'é'],
    ['50 f24f9b6481fa49d1b74e8c09a6e31c56', 'f24f9b64-81fa-49d1-b74e-8c09a6e31c56'],
  ];
  for (const [hex, value] of expected) {
    assert.deepEqual(decoded(hex), value, hex);
  }
});

test('arrays and objects nest, and names come from the metadata', () => {
  assert.deepEqual(decoded('03 02 00 02 03 0c01 00'), [1, null]);
  assert.deepEqual(decoded('02 02 01 00 00 02 05 0c07 05 78 00', 'a', '__proto__'), {
    ['__proto__']: 7,
    a: 'x',
  });
  assert.deepEqual(decoded('02 01 00 00 05 03 01 00 01 08', 'list'), { list: [false] });
  assert.deepEqual(decoded('13 00000000 00'), []);
});

test('a variant whose elements share their bytes is refused before it is as large as they would make it', () => {
  // Ten levels of arrays of 200 elements, each of which is the next level: 200^10 values in 2 KB.
  let value = bytes('00');
  for (let level = 0; level < 10; level++) {
    const offsets = new Uint8Array(2 * 201);
    offsets.set([value.length & 255, value.length >> 8], 400);
    value = Uint8Array.from([0x07, 200, ...offsets, ...value]);
  }
  assert.throws(() => variantValue(value, []), invalid(/share bytes/));
});

test('what a variant claims is held to its bytes', () => {
  const deep = Uint8Array.from([...Array.from({ length: 300 }, () => [3, 1, 0, 0]).flat(), 0]);
  assert.throws(() => variantValue(deep, []), /UNSUPPORTED|nests deeper than 256/);
  for (const hex of [
    '',
    '0c',
    '13 ffffffff 00',
    '12 ffffffff 00',
    '40 ffffffff 61',
    '3c ffffffff',
    '02 01 05 00 00',
    'fd',
  ]) {
    assert.throws(() => variantValue(bytes(hex), []), invalid(/variant/), hex);
  }
  assert.throws(() => variantValue(bytes('54'), []), /ERR_SEALPIPE_FORMAT_UNSUPPORTED|unknown type 21/);
  assert.throws(() => variantNames(bytes('02 00 00')), /version 2/);
  for (const hex of ['', '01', 'c1 ffffffff', '01 02 00 05 03 61', '01 01 00 05 61']) {
    assert.throws(() => variantNames(bytes(hex)), invalid(/variant/), hex);
  }
});

test('whatever the bytes of a variant are, reading it ends, in a value or in a coded error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 40 }), (value, metadata) => {
      try {
        variantValue(value, variantNames(Uint8Array.from([1, ...metadata])));
      } catch (error) {
        assert.ok(error instanceof SealpipeError, String(error));
      }
    }),
  );
});

function invalid(pattern: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof SealpipeError && /FORMAT_(INVALID|UNSUPPORTED)$/.test(error.code) && pattern.test(error.message);
}

interface Shape {
  readonly type?: ParquetType;
  readonly meaning?: ParquetMeaning;
  readonly repetition?: ParquetRepetition;
}

function field(name: string, shape: Shape, ...children: readonly ParquetField[]): ParquetField {
  return { name, path: name, repetition: 'OPTIONAL', children, ...shape };
}

const metadata = field('metadata', { type: 'BYTE_ARRAY', repetition: 'REQUIRED' });
const value = field('value', { type: 'BYTE_ARRAY' });
const variant: Shape = { meaning: { kind: 'VARIANT' } };
const decimal: Shape = { type: 'INT32', meaning: { kind: 'DECIMAL', precision: 9, scale: 2 } };

test('a typed value of a variant is what a column of its type is, and null is neither', () => {
  const convert = valueConverter(field('v', variant, metadata, value, field('typed_value', decimal)));
  const names = metadataOf();
  assert.equal(convert({ metadata: names, value: null, typed_value: 12345 }), '123.45');
  assert.equal(convert({ metadata: names, value: bytes('0c07'), typed_value: null }), 7);
  assert.equal(convert({ metadata: names, value: null, typed_value: null }), null);
  assert.equal(convert(null), null);
  assert.throws(() => convert({ metadata: names, value: bytes('0c07'), typed_value: 1 }), invalid(/both a value/));
});

test('an object of which some fields have columns is put together, and those columns count', () => {
  const a = field('a', { repetition: 'REQUIRED' }, value, field('typed_value', decimal));
  const b = field('b', { repetition: 'REQUIRED' }, value);
  const convert = valueConverter(field('v', variant, metadata, value, field('typed_value', {}, a, b)));
  const names = metadataOf('b', 'c');
  const rest = bytes('02 02 00 01 00 02 04 0c05 0c06');
  const none = { value: null, typed_value: null };
  const typed = (first: object, second: object): unknown =>
    convert({ metadata: names, value: rest, typed_value: { a: first, b: second } });
  assert.deepEqual(typed({ value: null, typed_value: 150 }, { value: bytes('04') }), { c: 6, a: '1.50', b: true });
  assert.deepEqual(typed(none, { value: null }), { c: 6 });
  assert.deepEqual(convert({ metadata: names, value: null, typed_value: { a: none, b: none } }), {});
  assert.throws(
    () => convert({ metadata: names, value: bytes('00'), typed_value: { a: none, b: none } }),
    invalid(/is no object/),
  );
});

test('elements of a list have values and typed values of their own', () => {
  const element = field('element', { repetition: 'REQUIRED' }, value, field('typed_value', decimal));
  const list = field('typed_value', { meaning: { kind: 'LIST' } }, field('list', { repetition: 'REPEATED' }, element));
  const convert = valueConverter(field('v', variant, metadata, value, list));
  const items = [
    { value: null, typed_value: 1 },
    { value: bytes('0578'), typed_value: null },
    { value: null, typed_value: null },
  ];
  assert.deepEqual(convert({ metadata: metadataOf(), value: null, typed_value: items }), ['0.01', 'x', null]);
});

test('a variant of which a selection left out the metadata is the struct that is left', () => {
  const convert = valueConverter(field('v', variant, field('typed_value', decimal)));
  assert.deepEqual(convert({ typed_value: 250 }), { typed_value: '2.50' });
});
