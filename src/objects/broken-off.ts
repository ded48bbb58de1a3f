/** A read that broke off, however it was made: when it goes on, when it is given up. */
import { SealpipeError } from '../errors.ts';
import { waitBefore } from '../retry/retry-sends.ts';
import { describeFailure } from '../service-failure.ts';

/** A read gives up after this many failures in a row without a new byte (DECISIONS section 8). */
export const maxFailuresInRow: number = 5;

/** Milliseconds without a byte, while one is waited for, until a connection counts as broken, where the caller does not say. */
export const defaultIdleTimeout: number = 60_000;

/** @param retry offset in the stored object from where on the rest is asked for, and what broke */
export type OnRetry = (retry: { readonly offset: number; readonly error: unknown }) => void;

/**
 * Milliseconds until what failed is asked for again. A broken connection is mended at once; it is the ones after that which mean trouble.
 * An answer means it from the first: who throttles would be asked again by all connections at the same time.
 */
export function pauseBefore(failuresInRow: number, failure: unknown): number {
  const { kind } = describeFailure(failure);
  if (failuresInRow === 1 && kind !== 'throttled' && kind !== 'server') return 0;
  return waitBefore(Math.max(1, failuresInRow - 1), failure);
}

/** The error of a read that was given up at a stored byte. */
export function brokenOff(
  { Bucket, Key }: { readonly Bucket?: string | undefined; readonly Key?: string | undefined },
  offset: number,
  cause: unknown,
): SealpipeError {
  const { kind, name, statusCode, requestId } = describeFailure(cause);
  const [code, what] =
    kind === 'throttled'
      ? (['THROTTLED', `were throttled (${name}): lower the concurrency or try again later`] as const)
      : kind === 'server'
        ? (['S3_UNAVAILABLE', `failed (${name}): try again later`] as const)
        : (['NETWORK', 'failed'] as const);
  return new SealpipeError(
    code,
    `the read of s3://${Bucket}/${Key} broke off at byte ${offset}, and ${maxFailuresInRow} attempts to go on from there ${what}`,
    { cause, retryable: true, bucket: Bucket, key: Key, offset, attempts: maxFailuresInRow, statusCode, requestId },
  );
}
