import { SealpipeError } from '../../errors.ts';

/**
 * What a malformed file gets. `offset` is where in the file the fault was met: the byte itself where it is addressable,
 * the start of the compressed chunk or section that holds it otherwise.
 */
export function formatInvalid(message: string, offset?: number, cause?: unknown): SealpipeError {
  return new SealpipeError('FORMAT_INVALID', `ORC file is malformed: ${message}`, { offset, cause });
}

/** What a well-formed file gets that uses something this reader refuses by name. */
export function formatUnsupported(message: string, offset?: number): SealpipeError {
  return new SealpipeError('FORMAT_UNSUPPORTED', `ORC file is not supported: ${message}`, { offset });
}
