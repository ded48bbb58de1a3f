import { SealpipeError } from '../../errors.ts';

/** What a malformed file or stream gets. `offset` is where in the file the fault was met, as near as it is known. */
export function formatInvalid(message: string, offset?: number, cause?: unknown): SealpipeError {
  return new SealpipeError('FORMAT_INVALID', `Arrow IPC data is malformed: ${message}`, { offset, cause });
}

/** What well-formed data gets that uses something this reader refuses by name. */
export function formatUnsupported(message: string, offset?: number): SealpipeError {
  return new SealpipeError('FORMAT_UNSUPPORTED', `Arrow IPC data is not supported: ${message}`, { offset });
}
