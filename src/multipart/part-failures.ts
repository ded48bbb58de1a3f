import { SealpipeError } from '../errors.ts';

/** A source that delivered another number of bytes than was promised. */
export function wrongLength(found: number, expected: number): SealpipeError {
  const how = found < expected ? `ended after ${found} bytes` : `has more than ${expected} bytes`;
  return new SealpipeError('SOURCE_FAILED', `the source ${how}, expected were ${expected}: nothing of it was stored`, {
    offset: found,
  });
}
