import assert from 'node:assert/strict';
import { type errorCodes, SealpipeError } from '../../src/errors.ts';

/** For assert.throws and assert.rejects: an error of ours with this code, whose message says this. */
export function failure(code: (typeof errorCodes)[number], message?: RegExp): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof SealpipeError, `expected ERR_SEALPIPE_${code}, got ${String(error)}`);
    assert.equal(error.code, `ERR_SEALPIPE_${code}`, error.message);
    if (message !== undefined) assert.match(error.message, message);
    return true;
  };
}

/** The error that a promise rejects with; fails where it resolves. */
export async function rejection(promise: Promise<unknown>): Promise<SealpipeError> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(outcome instanceof SealpipeError, `expected a SealpipeError, got ${String(outcome)}`);
  return outcome;
}
