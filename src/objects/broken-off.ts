/** A read that broke off, however it was made: when it goes on, when it is given up. */
import { SealpipeError } from '../errors.ts';

/** A read gives up after this many failures in a row without a new byte (DECISIONS section 8). */
export const maxFailuresInRow: number = 5;

/** Milliseconds without a byte, while one is waited for, until a connection counts as broken, where the caller does not say. */
export const defaultIdleTimeout: number = 60_000;

/** @param retry offset in the stored object from where on the rest is asked for, and what broke */
export type OnRetry = (retry: { readonly offset: number; readonly error: unknown }) => void;

/** The error of a read that was given up at a stored byte. */
export function brokenOff(
  { Bucket, Key }: { readonly Bucket?: string | undefined; readonly Key?: string | undefined },
  offset: number,
  cause: unknown,
): SealpipeError {
  return new SealpipeError(
    'NETWORK',
    `the read of s3://${Bucket}/${Key} broke off at byte ${offset}, and ${maxFailuresInRow} attempts to go on from there failed`,
    { cause, retryable: true, bucket: Bucket, key: Key, offset, attempts: maxFailuresInRow },
  );
}
