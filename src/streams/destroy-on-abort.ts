import type { Readable, Writable } from 'node:stream';
import { SealpipeError } from '../errors.ts';

/** Destroys a stream with ERR_SEALPIPE_ABORTED when the signal fires; lets go of the signal when the stream closes. */
export function destroyOnAbort(stream: Readable | Writable, signal: AbortSignal | undefined, what: string): void {
  if (signal === undefined) return;
  const abort = (): void => {
    stream.destroy(
      new SealpipeError('ABORTED', `the ${what} was aborted by its signal`, { cause: signal.reason as unknown }),
    );
  };
  if (signal.aborted) {
    // Not at once: the caller must have had the chance to listen.
    process.nextTick(abort);
    return;
  }
  signal.addEventListener('abort', abort, { once: true });
  stream.once('close', () => signal.removeEventListener('abort', abort));
}
