import { type errorCodes, SealpipeError } from '../errors.ts';

/** A source that delivered another number of bytes than was promised. */
export function wrongLength(found: number, expected: number): SealpipeError {
  const how = found < expected ? `ended after ${found} bytes` : `has more than ${expected} bytes`;
  return new SealpipeError('SOURCE_FAILED', `the source ${how}, expected were ${expected}: nothing of it was stored`, {
    offset: found,
  });
}

/** The same error, its cause kept, with a second sentence, for what went wrong while cleaning up after it. */
export function withNote(error: unknown, note: string, fields: { uploadId?: string } = {}): SealpipeError {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof SealpipeError))
    return new SealpipeError('PART_FAILED', `${message}; ${note}`, { cause: error, ...fields });
  const code = error.code.replace('ERR_SEALPIPE_', '') as (typeof errorCodes)[number];
  return new SealpipeError(code, `${message}; ${note}`, { ...error, cause: error.cause ?? error, ...fields });
}
