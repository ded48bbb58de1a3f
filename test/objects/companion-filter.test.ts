import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CompanionFilter } from '../../src/objects/companion-filter.ts';
import { runs } from '../support/properties.ts';

/** S3's order: that of UTF-8 bytes. */
const inOrder = (keys: Iterable<string>): string[] =>
  [...new Set(keys)].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

function companionsIn(keys: readonly string[], suffix = '.instruction'): string[] {
  const filter = new CompanionFilter(suffix);
  return keys.filter((key) => filter.isCompanion(key));
}

describe('the companion filter', () => {
  test('takes a key with the suffix for a companion exactly where its object is listed', () => {
    const keys = inOrder([
      'a',
      'a.instruction',
      'b.instruction',
      'c',
      'c.instruction.txt',
      'd.instruction.instruction',
    ]);
    assert.deepEqual(companionsIn(keys), ['a.instruction']);
  });

  test('finds it whatever lies between the two: all of it begins with the object', () => {
    const keys = inOrder(['k', 'k-1', 'k!', 'k ', 'k#/x', 'k,instruction', 'k.aaa', 'k.instruction', 'k0', 'kk']);
    assert.ok(keys.indexOf('k.instruction') - keys.indexOf('k') > 3);
    assert.deepEqual(companionsIn(keys), ['k.instruction']);
  });

  test('tells a companion of a companion, and a key that is the suffix alone', () => {
    const keys = inOrder(['.instruction', 'a', 'a.instruction', 'a.instruction.instruction']);
    assert.deepEqual(companionsIn(keys), ['a.instruction', 'a.instruction.instruction']);
  });

  test('knows any suffix', () => {
    assert.deepEqual(companionsIn(inOrder(['a', 'a.key', 'a.instruction']), '.key'), ['a.key']);
  });

  test('agrees with looking each key up in the whole listing, for any keys in order', () => {
    const part = fc.constantFrom('a', 'b', '/', '.', '-', '!', '.instruction', '😀', '\uffff', 'é');
    const key = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.array(key, { maxLength: 60 }), (some) => {
        const keys = inOrder([...some, ...some.filter((_, i) => i % 3 === 0).map((each) => `${each}.instruction`)]);
        const all = new Set(keys);
        const expected = keys.filter((each) => each.endsWith('.instruction') && all.has(each.slice(0, -12)));
        assert.deepEqual(companionsIn(keys), expected);
      }),
      runs(200),
    );
  });

  test('remembers only the keys that the current one begins with, so a listing of any length takes no memory', () => {
    const filter = new CompanionFilter('.instruction');
    const started = performance.now();
    for (let n = 0; n < 200_000; n++) filter.isCompanion(`prefix/${String(n).padStart(7, '0')}`);
    assert.ok(performance.now() - started < 10_000);
    assert.equal(filter.isCompanion('prefix/0199999.instruction'), true);
  });
});
