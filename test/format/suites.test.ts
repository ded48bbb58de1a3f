import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cbcSuite, committingSuite, gcmSuite, suiteByName } from '../../src/format/suites.ts';

test('the two names of options stand for the suites of the specification', () => {
  assert.equal(suiteByName('gcm-commit').id, 0x0073);
  assert.equal(suiteByName('gcm').id, 0x0072);
});

test('an unknown suite is a mistake of the caller, inherited names included', () => {
  for (const name of ['', 'GCM', 'cbc', 'toString', '__proto__']) {
    assert.throws(() => suiteByName(name as 'gcm'), TypeError);
  }
});

test('what a data key is bound to differs from suite to suite, and CBC binds to nothing', () => {
  assert.deepEqual([committingSuite.binding, gcmSuite.binding, cbcSuite.binding], ['115', 'AES/GCM/NoPadding', null]);
});

test('suites cannot be changed by whoever gets hold of one', () => {
  for (const suite of [cbcSuite, committingSuite, gcmSuite]) assert.ok(Object.isFrozen(suite));
});
