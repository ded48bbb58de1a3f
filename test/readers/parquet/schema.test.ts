import assert from 'node:assert/strict';
import { test } from 'node:test';
import { valueConverter } from '../../../src/readers/parquet/row-of.ts';
import {
  buildSchema,
  type ParquetField,
  type ParquetMeaning,
  type ParquetRepetition,
  type ParquetType,
} from '../../../src/readers/parquet/schema.ts';
import type { ThriftStruct, ThriftValue } from '../../../src/readers/parquet/thrift.ts';

interface Shape {
  readonly type?: ParquetType;
  readonly meaning?: ParquetMeaning;
  readonly repetition?: ParquetRepetition;
}

function field(name: string, shape: Shape, ...children: readonly ParquetField[]): ParquetField {
  return { name, path: name, repetition: 'OPTIONAL', children, ...shape };
}

test('a field that does not say how often it occurs is required, as other tools take it', () => {
  const root: ThriftStruct = new Map<number, ThriftValue>([
    [4, Buffer.from('root')],
    [5, 1],
  ]);
  const leaf: ThriftStruct = new Map<number, ThriftValue>([
    [1, 6],
    [4, Buffer.from('bytes')],
  ]);
  assert.deepEqual(buildSchema([root, leaf]).children, [
    { name: 'bytes', path: 'bytes', repetition: 'REQUIRED', type: 'BYTE_ARRAY', children: [] },
  ]);
});

const text: Shape = { type: 'BYTE_ARRAY', meaning: { kind: 'STRING' } };

test('a list or map that cannot be null has no elements where none are stored', () => {
  const repeated = valueConverter(field('r', { ...text, repetition: 'REPEATED' }));
  assert.deepEqual(repeated(null), []);
  assert.deepEqual(repeated(['x']), ['x']);
  const array = field('array', { ...text, repetition: 'REPEATED' });
  const shape: Shape = { meaning: { kind: 'LIST' } };
  assert.deepEqual(valueConverter(field('l', { ...shape, repetition: 'REQUIRED' }, array))(null), []);
  assert.equal(valueConverter(field('l', shape, array))(null), null);
  const entries = field('key_value', { repetition: 'REPEATED' }, field('key', text), field('value', text));
  const map: Shape = { meaning: { kind: 'MAP' } };
  assert.deepEqual(valueConverter(field('m', { ...map, repetition: 'REQUIRED' }, entries))(null), []);
  assert.equal(valueConverter(field('m', map, entries))(null), null);
});
