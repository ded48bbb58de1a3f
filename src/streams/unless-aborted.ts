/**
 * Waits for something unless the signal fires first; undefined then, whether what was waited for ends or not.
 *
 * For what a stream needs before its first byte: Node destroys a stream only after its construction, so a key service that
 * does not answer would hold up the whole pipeline's clean-up.
 * @param discard is given what comes too late
 */
export function unlessAborted<T>(
  awaited: Promise<T>,
  signal: AbortSignal,
  discard: (late: T) => void,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve(undefined);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    awaited
      .finally(() => signal.removeEventListener('abort', onAbort))
      .then((value) => {
        if (signal.aborted) discard(value);
        resolve(value);
      }, reject);
  });
}
