import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { SealpipeError } from '../src/errors.ts';

test('an error carries its code, its fields and its cause, and absent fields are absent', () => {
  const cause = new Error('socket hang up');
  const error = new SealpipeError('PART_FAILED', 'part 3 failed', { cause, part: 3, key: undefined, retryable: true });
  assert.equal(error.code, 'ERR_SEALPIPE_PART_FAILED');
  assert.equal(error.name, 'SealpipeError');
  assert.equal(error.cause, cause);
  assert.equal(error.part, 3);
  assert.equal(error.retryable, true);
  assert.equal('key' in error, false);
  assert.match(inspect(error), /part: 3/);
});

test('instanceof holds for an error of another copy of the package, and for nothing else', () => {
  const foreign = Object.assign(new Error('x'), { [Symbol.for('sealpipe.SealpipeError')]: true });
  assert.ok(foreign instanceof SealpipeError);
  assert.equal(new Error('x') instanceof SealpipeError, false);
  assert.equal((null as unknown) instanceof SealpipeError, false);
});
