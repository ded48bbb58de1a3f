import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { SealpipeError } from '../../src/errors.ts';
import { isTransient, retrySends, throwIfAborted, waitBefore } from '../../src/retry/retry-sends.ts';
import { failure, rejection } from '../support/failure.ts';
import { runs } from '../support/properties.ts';

const broken = (): Error => Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
const denied = (): Error =>
  Object.assign(new Error('no'), { name: 'AccessDenied', $metadata: { httpStatusCode: 403 } });
const slowDown = (retryAfter?: string): Error =>
  Object.assign(new Error('slow'), {
    name: 'SlowDown',
    $metadata: { httpStatusCode: 503 },
    $response: { statusCode: 503, headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter } },
  });

describe('a send', () => {
  test('that succeeds is made once', async () => {
    let sends = 0;
    const result = await retrySends(async () => ++sends, { attempts: 5 });
    assert.deepEqual([result, sends], [1, 1]);
  });

  test('is made again until it succeeds, and told which attempt it is', async () => {
    const seen: number[] = [];
    const result = await retrySends(
      async (attempt) => {
        seen.push(attempt);
        if (attempt < 3) throw broken();
        return 'done';
      },
      { attempts: 5 },
    );
    assert.deepEqual([result, seen], ['done', [1, 2, 3]]);
  });

  for (const attempts of [1, 2, 3]) {
    test(`is made ${attempts} times in all when ${attempts} attempts are allowed; then its last error is thrown`, async () => {
      const errors: Error[] = [];
      const retried: number[] = [];
      const call = retrySends(
        async () => {
          const error = broken();
          errors.push(error);
          throw error;
        },
        { attempts, onRetry: ({ attempt }) => retried.push(attempt) },
      );
      await assert.rejects(call, (error) => error === errors.at(-1));
      assert.equal(errors.length, attempts);
      assert.deepEqual(
        retried,
        Array.from({ length: attempts - 1 }, (_, n) => n + 1),
        'told only of sends that follow',
      );
    });
  }

  test('is not made again for what does not pass by itself', async () => {
    for (const error of [denied(), new SealpipeError('KEY_DENIED', 'x'), new Error('odd')]) {
      let sends = 0;
      const call = retrySends(
        async () => {
          sends += 1;
          throw error;
        },
        { attempts: 5, onRetry: () => assert.fail('told of a retry') },
      );
      await assert.rejects(call, (thrown) => thrown === error);
      assert.equal(sends, 1);
    }
  });

  test('is not made again after a TypeError or RangeError: that is a mistake, even if a rule would have it', async () => {
    for (const mistake of [
      new TypeError('no function'),
      Object.assign(new TypeError('x'), { code: 'ERR_INVALID_CHAR' }),
    ]) {
      let sends = 0;
      const call = retrySends(
        async () => {
          sends += 1;
          throw mistake;
        },
        { attempts: 5, shouldRetry: () => true },
      );
      await assert.rejects(call, (thrown) => thrown === mistake);
      assert.equal(sends, 1);
    }
    assert.equal(isTransient(Object.assign(new RangeError('x'), { code: 'ERR_OUT_OF_RANGE' })), false);
  });

  test("follows the caller's own rule where one is given", async () => {
    let sends = 0;
    const call = retrySends(
      async () => {
        sends += 1;
        throw denied();
      },
      { attempts: 3, shouldRetry: () => true },
    );
    await assert.rejects(call, { name: 'AccessDenied' });
    assert.equal(sends, 3);
  });
});

describe('the wait before the next send', () => {
  const withoutJitter = (t: { mock: typeof import('node:test').mock }, value: number): void =>
    void t.mock.method(Math, 'random', () => value);

  test('is anything from nothing up to an exponential, which ends at 20 s', (t) => {
    withoutJitter(t, 0.999_999);
    const highest = [1, 2, 3, 4, 8, 9, 30, 1000].map((attempt) => Math.round(waitBefore(attempt, broken())));
    assert.deepEqual(highest, [100, 200, 400, 800, 12_800, 20_000, 20_000, 20_000]);
    t.mock.restoreAll();
    withoutJitter(t, 0);
    assert.equal(waitBefore(9, broken()), 0);
  });

  test('is five times as long where the service throttles', (t) => {
    withoutJitter(t, 0.999_999);
    const highest = [1, 2, 7].map((attempt) => Math.round(waitBefore(attempt, slowDown())));
    assert.deepEqual(highest, [500, 1000, 20_000]);
  });

  test('stays in its bounds whatever the attempt and error', () => {
    const errors = fc.constantFrom(broken(), denied(), slowDown(), slowDown('3'), slowDown('100000'), undefined);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), errors, (attempt, error) => {
        const wait = waitBefore(attempt, error);
        assert.ok(wait >= 0 && wait <= 60_000);
      }),
      runs(200),
    );
  });

  test('is never shorter than Retry-After asks for, and never longer than a minute for it', () => {
    for (let round = 0; round < 20; round++) {
      assert.ok(waitBefore(1, slowDown('3')) >= 3000);
      assert.ok(waitBefore(1, slowDown('3')) <= 3500);
      assert.equal(waitBefore(1, slowDown('100000')), 60_000);
    }
  });

  test('looks through an error of ours to what the service said', () => {
    const wrapped = new SealpipeError('THROTTLED', 'x', { cause: slowDown('7'), retryable: true });
    assert.ok(waitBefore(1, wrapped) >= 7000);
  });

  test('is kept: with Retry-After: 1 the second send comes a second later', async () => {
    const started = performance.now();
    await retrySends(
      async (attempt) => {
        if (attempt === 1) throw slowDown('1');
      },
      { attempts: 2 },
    );
    const took = performance.now() - started;
    assert.ok(took >= 990, `sent again after ${took} ms`);
  });
});

describe('an abort signal', () => {
  test('fired before means no send at all', async () => {
    const call = retrySends(() => assert.fail('sent'), { attempts: 3, signal: AbortSignal.abort('reason') });
    const error = await rejection(call);
    failure('ABORTED')(error);
    assert.equal(error.cause, 'reason');
  });

  test('fired in the middle of a wait ends it at once, and lets go of its timer and listener', async () => {
    const controller = new AbortController();
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    const started = performance.now();
    const call = retrySends(
      async () => {
        throw slowDown('30');
      },
      { attempts: 3, signal: controller.signal, onRetry: () => setImmediate(() => controller.abort('reason')) },
    );
    const error = await rejection(call);
    failure('ABORTED')(error);
    assert.equal(error.cause, 'reason');
    assert.ok(performance.now() - started < 5000);
    assert.equal(timers(), before);
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  });

  test('fired during a send means that its failure is no longer looked at', async () => {
    const controller = new AbortController();
    let sends = 0;
    const call = retrySends(
      async () => {
        sends += 1;
        controller.abort('reason');
        throw broken();
      },
      { attempts: 3, signal: controller.signal },
    );
    failure('ABORTED')(await rejection(call));
    assert.equal(sends, 1);
  });

  test('that fires after a success changes nothing, and holds nothing', async () => {
    const controller = new AbortController();
    const result = await retrySends(async () => 'done', { attempts: 3, signal: controller.signal });
    controller.abort();
    assert.equal(result, 'done');
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  });

  test('keeps an ERR_SEALPIPE_ABORTED that came first', () => {
    const first = new SealpipeError('ABORTED', 'first');
    throwIfAborted(AbortSignal.abort(), first);
    throwIfAborted(undefined);
    assert.throws(() => throwIfAborted(AbortSignal.abort(), broken()), failure('ABORTED'));
  });
});

test('what passes by itself: throttling, the service itself, the network, a digest that did not arrive right, a skewed clock', () => {
  const named = (name: string, status: number): Error =>
    Object.assign(new Error('x'), { name, $metadata: { httpStatusCode: status } });
  for (const error of [
    broken(),
    slowDown(),
    named('InternalError', 500),
    named('BadDigest', 400),
    named('RequestTimeTooSkewed', 403),
    new SealpipeError('NETWORK', 'x', { retryable: true }),
  ])
    assert.equal(isTransient(error), true, String(error));
  for (const error of [
    denied(),
    named('NoSuchUpload', 404),
    named('InvalidPart', 400),
    named('ExpiredToken', 400),
    named('NotImplemented', 501),
    named('AbortError', 0),
    new SealpipeError('AUTHENTICATION_FAILED', 'x'),
    new Error('odd'),
    undefined,
  ])
    assert.equal(isTransient(error), false, String(error));
});
