/**
 * Keeps the C allocator from giving memory back to the system only to ask for it again.
 *
 * Every `cipher.update` allocates its output, and garbage collection frees tens of megabytes of them at a time. glibc then trims
 * its heap, and the next outputs are paid for in page faults: measured on Node 20, some 300 000 of them for 2 GiB, which cost as much
 * processor time as the encryption; with this, 2 000, and the same peak memory. glibc raises its thresholds when a large
 * block is freed (mallopt(3), M_MMAP_THRESHOLD: "dynamic"); one that is never touched costs nothing. Elsewhere it has no effect.
 */
import { releaseMemory } from './release-memory.ts';

/** Just below the most that glibc takes as a threshold, 32 MiB; it trims at twice that. Measured: 8 and 16 MiB are not enough. */
const blockLength = 30 * 1024 * 1024;

let steadied = false;

/** Does it, once in a thread. */
export function steadyAllocator(): void {
  if (steadied) return;
  steadied = true;
  releaseMemory(Buffer.allocUnsafeSlow(blockLength));
}
