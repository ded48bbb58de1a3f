/** Sending one request again: how often, and after which wait. */
import { setTimeout as sleep } from 'node:timers/promises';
import pRetry from 'p-retry';
import { SealpipeError } from '../errors.ts';
import { describeFailure } from '../service-failure.ts';

export interface RetryOptions {
  /** Total sends, the first included. */
  readonly attempts: number;
  /** Whether this failure is worth another send. Default: {@link isTransient}. */
  readonly shouldRetry?: ((error: unknown) => boolean) | undefined;
  /** Told of each failure that leads to another send. */
  readonly onRetry?: ((failure: { error: unknown; attempt: number }) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Longest wait between two sends, in milliseconds; a Retry-After may ask for up to three times that. */
const longestWait = 20_000;

/**
 * Runs `send` until it succeeds, fails for good, or has been tried `attempts` times; then rejects with its last error.
 * An aborted signal rejects with ERR_SEALPIPE_ABORTED, also in the middle of a wait.
 */
export async function retrySends<T>(send: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const { attempts, shouldRetry = isTransient, onRetry, signal } = options;
  const guarded = async (attempt: number): Promise<T> => {
    throwIfAborted(signal);
    return send(attempt);
  };
  // Most sends succeed at once: p-retry is there for the others. What it makes of its options for each is garbage that stays on Node 20.
  const first = await guarded(1).then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if ('value' in first) return first.value;
  try {
    return await pRetry((attempt) => (attempt === 1 ? Promise.reject(first.error as Error) : guarded(attempt)), {
      retries: attempts - 1,
      // The wait is below: p-retry's randomization keeps at least half of it, so that clients stay in step.
      minTimeout: 0,
      shouldRetry: async ({ error, attemptNumber }) => {
        if (signal?.aborted === true || !shouldRetry(error)) return false;
        onRetry?.({ error, attempt: attemptNumber });
        await sleep(waitBefore(attemptNumber, error), undefined, { ...(signal && { signal }) });
        return true;
      },
    });
  } catch (error) {
    throwIfAborted(signal, error);
    throw error;
  }
}

/** Milliseconds to wait after the given failed attempt: full jitter over an exponential, and never less than the service asked for. */
export function waitBefore(attempt: number, error: unknown): number {
  const { kind, retryAfterMs = 0 } = describeFailure(
    error instanceof SealpipeError && error.cause !== undefined ? error.cause : error,
  );
  const base = kind === 'throttled' ? 500 : 100;
  const jittered = Math.random() * Math.min(longestWait, base * 2 ** (attempt - 1));
  return Math.max(jittered, Math.min(retryAfterMs, 3 * longestWait));
}

/** Whether a failure may pass by itself: throttling, a server's own error, a broken or silent connection. */
export function isTransient(error: unknown): boolean {
  if (error instanceof SealpipeError) return error.retryable;
  const { kind, name } = describeFailure(error);
  // BadDigest: what arrived is not what was sent; the same bytes can be sent again. A skewed clock the SDK has set right by now.
  return (
    kind === 'throttled' ||
    kind === 'server' ||
    kind === 'network' ||
    name === 'BadDigest' ||
    name === 'RequestTimeTooSkewed'
  );
}

/** @throws SealpipeError ABORTED */
export function throwIfAborted(signal: AbortSignal | undefined, during?: unknown): void {
  if (signal?.aborted !== true || (during instanceof SealpipeError && during.code === 'ERR_SEALPIPE_ABORTED')) return;
  throw new SealpipeError('ABORTED', 'the operation was aborted by its signal', {
    cause: (signal.reason ?? during) as unknown,
  });
}

/** An error of an operation: where the signal ended that, its cause is the signal's reason, not what the request under way made of it. */
export function withReason(error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted !== true || !(error instanceof SealpipeError) || error.code !== 'ERR_SEALPIPE_ABORTED')
    return error;
  return error.cause === signal.reason
    ? error
    : new SealpipeError('ABORTED', error.message, { ...error, cause: signal.reason as unknown });
}
