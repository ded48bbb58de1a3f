import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { distinctNames } from '../../src/readers/field-names.ts';
import { rowsOf } from '../../src/readers/orc/row-values.ts';

test('fields of the same name are told apart by a number, which no other field has', () => {
  assert.deepEqual(distinctNames(['a', 'b', 'a', 'a']), ['a', 'b', 'a_1', 'a_2']);
  assert.deepEqual(distinctNames(['a', 'a_1', 'a', '', '']), ['a', 'a_1', 'a_2', '', '_1']);
  fc.assert(
    fc.property(fc.array(fc.constantFrom('a', 'a_1', 'a_2', 'a_1_1', 'b')), (names) => {
      const distinct = distinctNames(names);
      assert.equal(new Set(distinct).size, names.length);
      for (const [index, name] of names.entries())
        if (names.indexOf(name) === index) assert.equal(distinct[index], name);
    }),
  );
});

test('no value of an ORC row is lost where two fields have one name', () => {
  const child = (value: number) => ({
    kind: 'int32' as const,
    length: 1,
    values: Int32Array.of(value),
    nulls: undefined,
  });
  const rows = rowsOf({
    kind: 'struct',
    length: 1,
    names: ['a', 'a'],
    children: [child(1), child(2)],
    nulls: undefined,
  });
  assert.deepEqual(rows, [{ a: 1, a_1: 2 }]);
});
