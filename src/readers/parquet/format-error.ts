import { SealpipeError } from '../../errors.ts';

/** What a malformed file gets. `offset` is where in the file the fault was met, as near as it is known. */
export function formatInvalid(message: string, offset?: number, cause?: unknown): SealpipeError {
  return new SealpipeError('FORMAT_INVALID', `Parquet file is malformed: ${message}`, { offset, cause });
}

/** What a well-formed file gets that uses something this reader refuses by name. */
export function formatUnsupported(message: string, offset?: number): SealpipeError {
  return new SealpipeError('FORMAT_UNSUPPORTED', `Parquet file is not supported: ${message}`, { offset });
}
