import assert from 'node:assert/strict';
import { getEventListeners, once } from 'node:events';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { withDeadline } from '../../src/retry/send-deadline.ts';
import { failure, rejection } from '../support/failure.ts';

const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

/** Fails when its signal fires, as a request of the SDK does. */
async function hang(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, 'abort');
  throw Object.assign(new Error('Request aborted'), { name: 'AbortError' });
}

describe('a send with a deadline', () => {
  test('returns what it returns and throws what it throws, and leaves no timer and no listener', async () => {
    const controller = new AbortController();
    const before = timers();
    const options = { timeout: 60_000, signal: controller.signal, what: 'PutObject' };
    assert.equal(await withDeadline(async () => 5, options), 5);
    const cause = new Error('no');
    await assert.rejects(
      withDeadline(() => Promise.reject(cause), options),
      (error) => error === cause,
    );
    await assert.rejects(
      withDeadline(() => {
        throw cause;
      }, options),
      (error) => error === cause,
    );
    assert.equal(timers(), before);
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  });

  test('that takes longer is aborted, and is ERR_SEALPIPE_NETWORK, worth another try', async () => {
    let seen: AbortSignal | undefined;
    const error = await rejection(
      withDeadline(
        (signal) => {
          seen = signal;
          return hang(signal);
        },
        { timeout: 10, signal: undefined, what: 'UploadPart' },
      ),
    );
    failure('NETWORK', /^UploadPart was not answered within 10 ms$/)(error);
    assert.equal(error.retryable, true);
    assert.equal((error.cause as Error).name, 'AbortError');
    assert.equal(seen?.aborted, true);
  });

  test('goes on for its grace after the signal, and is ended after it', async () => {
    const before = timers();
    const signal = AbortSignal.abort();
    const late = (): Promise<string> => new Promise((resolve) => setTimeout(resolve, 30, 'answer'));
    const options = { timeout: 60_000, signal, what: 'PutObject' };
    assert.equal(await withDeadline(late, { ...options, grace: 5000 }), 'answer');
    assert.equal(await withDeadline(late, { ...options, grace: Number.POSITIVE_INFINITY }), 'answer');
    await assert.rejects(withDeadline(hang, { ...options, grace: 10 }), { name: 'AbortError' });
    assert.equal(timers(), before);
  });

  test("that the caller's signal ends throws what the send throws, not the deadline", async () => {
    const controller = new AbortController();
    const call = withDeadline(hang, { timeout: 60_000, signal: controller.signal, what: 'PutObject' });
    setImmediate(() => controller.abort());
    await assert.rejects(call, { name: 'AbortError' });
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  });

  test("hands the reason of the caller's signal on, also of one that had fired before", async () => {
    const reasons: unknown[] = [];
    const send = async (signal: AbortSignal): Promise<void> => void reasons.push(signal.reason);
    await withDeadline(send, { timeout: 1000, signal: AbortSignal.abort('why'), what: 'x' });
    assert.deepEqual(reasons, ['why']);
  });

  test('of more than 2^31 ms, or without end, does not pass at once', async (t) => {
    const warnings: unknown[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning.name);
    process.on('warning', onWarning);
    t.after(() => process.off('warning', onWarning));
    for (const timeout of [2 ** 31, 2 ** 40, Number.POSITIVE_INFINITY]) {
      const result = await withDeadline((signal) => sleep(20, 'done', { signal }), {
        timeout,
        signal: undefined,
        what: 'PutObject',
      });
      assert.equal(result, 'done');
    }
    assert.deepEqual(warnings, []);
  });
});
