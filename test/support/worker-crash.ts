import { type PoolWorker, takeWorkers } from '../../src/multipart/workers/worker-pool.ts';

/**
 * Lets the pool's worker threads die of an uncaught error, as they would of a lack of memory. What they were asked before is
 * done first, unless they have to wait for it.
 * @returns them: each is dead some time later
 */
export function crashWorkers(count: number): readonly PoolWorker[] {
  // No AES key has three bytes; sealpipe never sends such a one.
  const key = (): SharedArrayBuffer => new SharedArrayBuffer(3);
  const rest = { session: 0, iv: new Uint8Array(12), aad: new Uint8Array(0), file: undefined };
  const workers = takeWorkers(count);
  for (const worker of workers) worker.post({ type: 'open', key: key(), ...rest });
  return workers;
}
