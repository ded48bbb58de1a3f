import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { assertStringMap, equalMaps, parseMap, stringifyMap, withoutNames } from '../../src/format/string-map.ts';
import { failure } from '../support/failure.ts';
import { runs, stringMap } from '../support/properties.ts';

describe('a map as text', () => {
  test('goes through printable ASCII unharmed, whatever Unicode it holds', () => {
    fc.assert(
      fc.property(stringMap, (map) => {
        const json = stringifyMap(map);
        assert.match(json, /^[\x20-\x7e]*$/);
        assert.ok(equalMaps(parseMap(json, 'x-amz-t'), map));
      }),
      runs(200),
    );
  });

  test('is escaped unit by unit: beyond the basic plane that is a surrogate pair, and DEL is escaped too', () => {
    assert.equal(stringifyMap({ ä: '😀\x7f"\n' }), '{"\\u00e4":"\\ud83d\\ude00\\u007f\\"\\n"}');
  });

  test('is refused when it is not JSON, no object, or holds anything but strings; the error names the field', () => {
    for (const json of ['', '{', 'null', '[]', '"a"', '1', '{"a":1}', '{"a":null}', '{"a":{}}', '{"a":"b"} x', '﻿{}']) {
      assert.throws(() => parseMap(json, 'x-amz-matdesc'), failure('ENVELOPE_INVALID', /^x-amz-matdesc /), json);
    }
  });

  test('may be written with any spacing and order', () => {
    assert.ok(equalMaps(parseMap(' { "b" : "2" ,\n"a":"1" } ', 'x-amz-t'), { a: '1', b: '2' }));
  });
});

describe('two maps', () => {
  test('are equal when they hold the same names and values, in whatever order', () => {
    fc.assert(
      fc.property(stringMap, (map) => {
        const shuffled = Object.fromEntries(Object.entries(map).reverse());
        assert.ok(equalMaps(map, shuffled) && equalMaps(shuffled, map));
      }),
      runs(100),
    );
  });

  test('differ when one holds an entry more, however alike the rest', () => {
    fc.assert(
      fc.property(stringMap, fc.constantFrom('one more', '__proto__', 'toString', ''), (map, name) => {
        fc.pre(!Object.hasOwn(map, name));
        const larger = Object.fromEntries([...Object.entries(map), [name, 'x']]);
        assert.ok(!equalMaps(map, larger) && !equalMaps(larger, map));
      }),
      runs(100),
    );
  });

  test('differ when a value or the case of a name differs', () => {
    assert.equal(equalMaps({ a: '1' }, { a: '2' }), false);
    assert.equal(equalMaps({ a: '1' }, { A: '1' }), false);
    assert.equal(equalMaps({ a: '1' }, { b: '1' }), false);
  });

  test('differ in normalization: é in one code point is not é in two', () => {
    assert.equal(equalMaps({ '\u00e9': '' }, { 'e\u0301': '' }), false);
  });

  test('are not compared by what objects inherit', () => {
    const evil = JSON.parse('{"__proto__":"1"}') as Record<string, string>;
    assert.equal(equalMaps(evil, { other: '1' }), false);
    assert.equal(equalMaps({ toString: 'x' }, { valueOf: '' }), false);
  });
});

test('a map without some names keeps the others', () => {
  assert.deepEqual(withoutNames({ a: '1', b: '2', c: '3' }, ['a', 'c', 'd']), { b: '2' });
});

describe("a caller's map", () => {
  test('is refused when it is no object of strings', () => {
    for (const value of [undefined, null, 'a', 1, [], ['a'], { a: 1 }, { a: undefined }]) {
      assert.throws(() => assertStringMap(value, 'encryptionContext'), TypeError);
    }
  });

  test('is refused when it is a Map or anything else whose entries are no properties: it would count as empty', () => {
    for (const value of [new Map([['a', '1']]), new Set(), new URLSearchParams('a=1'), new Headers({ a: '1' })]) {
      assert.throws(() => assertStringMap(value, 'encryptionContext'), TypeError);
    }
  });

  test('is refused when a name or value holds a lone surrogate, which UTF-8 cannot carry', () => {
    for (const value of [{ '\ud800': '' }, { a: '\udc00' }, { a: 'x\ud83d' }, { '\ud83d': '\ude00' }]) {
      assert.throws(() => assertStringMap(value, 'encryptionContext'), /lone surrogate/);
    }
    assertStringMap({ '😀': '😀' }, 'encryptionContext');
  });
});
