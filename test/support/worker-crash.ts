import { takeWorkers } from '../../src/multipart/workers/worker-pool.ts';

/**
 * Lets the pool's worker threads die of an uncaught error, as they would of a lack of memory. What they were asked before is
 * done first, unless they have to wait for it.
 */
export function crashWorkers(count: number): void {
  // A session without a key is nothing that sealpipe ever sends.
  for (const worker of takeWorkers(count)) worker.post({ type: 'open' } as never);
}
