/** Aborted calls, as users of the SDK know them: by the name AbortError. */
import { SealpipeError } from '../../errors.ts';

/** An error of ours for an abort gets the SDK's name beside its code; others stay as they are. */
export function asAbort<E>(error: E): E {
  if (error instanceof SealpipeError && error.code === 'ERR_SEALPIPE_ABORTED')
    Object.defineProperty(error, 'name', { value: 'AbortError', configurable: true, writable: true });
  return error;
}

/**
 * Waits for something unless one of the signals fires first, whatever becomes of it then.
 * @param end lets go of what is waited for
 * @throws SealpipeError ABORTED, by the name of AbortError
 */
export function unlessFired<T>(
  awaited: Promise<T>,
  signals: readonly (AbortSignal | undefined)[],
  end: (error: Error) => void,
): Promise<T> {
  const given = signals.filter((signal) => signal !== undefined);
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => {
      const cause = given.find(({ aborted }) => aborted)?.reason as unknown;
      const error = asAbort(new SealpipeError('ABORTED', 'the request was aborted while its body was read', { cause }));
      reject(error);
      end(error);
    };
    for (const signal of given) signal.addEventListener('abort', onAbort, { once: true });
    const settled = (): void => {
      for (const signal of given) signal.removeEventListener('abort', onAbort);
    };
    awaited.finally(settled).then(resolve, reject);
    if (given.some(({ aborted }) => aborted)) onAbort();
  });
}
