import { setImmediate as nextTurn } from 'node:timers/promises';

/** Bytes of the smallest page there is. */
const pageLength = 4096;
/** Bytes after which the thread sees to other messages. */
const turnLength = 1024 * 1024;

/**
 * Has the kernel make the pages of shared memory, which it does at the first write to each. What others have written there by then, or
 * write meanwhile, stays.
 * @param isBusy whether there is something better to do: then it ends early
 */
export async function touchPages(memory: SharedArrayBuffer, isBusy: () => boolean): Promise<void> {
  const bytes = new Uint8Array(memory);
  for (let at = 0; at < bytes.length; at += pageLength) {
    // Before the first one, too: whatever came together with this message shows only then.
    if (at % turnLength === 0) await nextTurn();
    if (isBusy()) return;
    Atomics.or(bytes, at, 0);
  }
}
