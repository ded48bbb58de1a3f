import { assertWorkerCount, defaultWorkerCount } from '../multipart/workers/worker-pool.ts';
import { longestTimeout } from '../retry/send-deadline.ts';
import type { AnsweredObject } from './answered-object.ts';
import { defaultIdleTimeout } from './broken-off.ts';
import type { GetOptions } from './get-object.ts';
import type { ParallelOptions } from './parallel-content.ts';

/** More connections than this to one object only wait for each other, and take memory. */
const mostConnections = 256;
/** A range of less costs more in requests than in bytes; one of more would not fit into a buffer. */
const partSizes = { least: 64 * 1024, most: 1024 * 1024 * 1024 };

/**
 * Threads that open one object, where the caller does not say. Between them they receive, decrypt and write a gigabyte a second, which
 * most networks do not bring; each takes some 20 to 45 MiB.
 */
const mostThreads = 3;

type Given = Pick<
  GetOptions,
  'concurrency' | 'partSize' | 'workers' | 'transport' | 'idleTimeout' | 'onRetry' | 'signal'
>;

/** @throws RangeError or TypeError for what cannot be right */
export function checkParallelOptions(given: Given): void {
  const { concurrency = 1, partSize, workers, transport, idleTimeout = defaultIdleTimeout } = given;
  // `>` alone takes strings for numbers.
  if (typeof idleTimeout !== 'number' || !(idleTimeout > 0)) {
    throw new RangeError(`idleTimeout is ${String(idleTimeout)}, expected a number of milliseconds above 0`);
  }
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > mostConnections) {
    throw new RangeError(`concurrency is ${String(concurrency)}, expected an integer from 1 to ${mostConnections}`);
  }
  if (partSize !== undefined) checkPartSize(partSize);
  if (workers !== undefined) assertWorkerCount(workers);
  if (transport !== undefined && !['auto', 'client', 'workers'].includes(transport)) {
    throw new TypeError(`transport is ${JSON.stringify(transport)}, expected 'auto', 'client' or 'workers'`);
  }
}

function checkPartSize(partSize: number): void {
  const { least, most } = partSizes;
  if (!Number.isInteger(partSize) || partSize < least || partSize > most) {
    throw new RangeError(`partSize is ${String(partSize)}, expected an integer from ${least} to ${most} (bytes)`);
  }
  if (partSize % 16 !== 0) {
    const nearest = Math.round(partSize / 16) * 16;
    throw new RangeError(
      `partSize is ${partSize}, expected a multiple of 16 (the cipher's block): the nearest is ${nearest}`,
    );
  }
}

/** Whether an object comes over several connections: it was asked for in ranges, and is one that segments can authenticate. */
export function isParallel(object: AnsweredObject, { concurrency = 1 }: Given): boolean {
  const { arrived, storedSize, etag, contentKey } = object;
  return concurrency > 1 && arrived < storedSize && etag !== undefined && contentKey?.suite.authenticated === true;
}

export function parallelOptions(given: Given): ParallelOptions {
  const { concurrency = 1, partSize, transport = 'auto', onRetry, signal } = given;
  const { workers: threads = Math.min(defaultWorkerCount(), mostThreads) } = given;
  // What one connection brings is cut into segments, which any number of threads can share; of several, each serves one at least.
  const workers = concurrency === 1 ? threads : Math.min(threads, concurrency);
  return { concurrency, partSize, workers, transport, idleTimeout: idleTimeoutOf(given), onRetry, signal };
}

/** Milliseconds that a timer takes: what is longer, or without end, would fire at once. */
export function idleTimeoutOf({ idleTimeout = defaultIdleTimeout }: Given): number {
  return Math.min(idleTimeout, longestTimeout);
}
