import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { afterPrefix, fromOrder, SortedKeys, toOrder } from '../../../src/local/storage/sorted-keys.ts';

const key = fc.string({ unit: fc.constantFrom('a', 'b', '/', '\u00ff', '\ud7ff', '\uffff', '😀', '\0'), maxLength: 5 });

test('the order of keys is that of their UTF-8, and each comes back from it', () => {
  fc.assert(
    fc.property(key, key, (a, b) => {
      const [x, y] = [toOrder(a), toOrder(b)];
      assert.equal(Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))), x < y ? -1 : x > y ? 1 : 0);
      assert.equal(fromOrder(x), a);
    }),
  );
});

test('keys added and removed in any order are a sorted set', () => {
  const step = fc.tuple(fc.boolean(), key);
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), key, (steps, start) => {
      const sorted = new SortedKeys();
      const model = new Set<string>();
      for (const [add, name] of steps) {
        const order = toOrder(name);
        if (add) {
          sorted.add(order);
          model.add(order);
        } else {
          sorted.delete(order);
          model.delete(order);
        }
        if (steps.length % 3 === 0) [...sorted.from('')];
      }
      const expected = [...model].filter((order) => order >= toOrder(start)).sort((a, b) => (a < b ? -1 : 1));
      assert.deepEqual([...sorted.from(toOrder(start))], expected);
    }),
  );
});

test('after a prefix comes the first string that does not begin with it', () => {
  assert.equal(afterPrefix('a/'), 'a0');
  assert.equal(afterPrefix('a\u00ff'), 'b');
  assert.equal(afterPrefix('\u00ff\u00ff'), undefined);
  assert.equal(afterPrefix(''), undefined);
});
