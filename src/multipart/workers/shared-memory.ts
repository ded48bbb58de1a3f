/**
 * Shared memory for parts, used again by later uploads and downloads of the process. A SharedArrayBuffer weighs nothing in the
 * garbage collector's eyes: without this, each upload would add its own to those that wait to be collected.
 */
import type { PartMemory } from '../part-buffers.ts';

/** Bytes that are kept when nobody uses them, and for how long (milliseconds). */
const keptLimit = 128 * 1024 * 1024;
const keptFor = 10_000;

const kept: Buffer[] = [];
let keptLength = 0;
let forgetting: NodeJS.Timeout | undefined;

export const sharedMemory: PartMemory = {
  take(length) {
    // The smallest that fits, and not one that would be mostly wasted.
    const fitting = kept.filter((buffer) => buffer.length >= length && buffer.length <= 2 * length + 65_536);
    const best = fitting.reduce<Buffer | undefined>(
      (a, b) => (a === undefined || b.length < a.length ? b : a),
      undefined,
    );
    if (best === undefined) return Buffer.from(new SharedArrayBuffer(length));
    kept.splice(kept.indexOf(best), 1);
    keptLength -= best.length;
    return best;
  },
  giveBack(buffer) {
    if (keptLength + buffer.length > keptLimit) return;
    kept.push(buffer);
    keptLength += buffer.length;
    clearTimeout(forgetting);
    forgetting = setTimeout(() => {
      kept.length = 0;
      keptLength = 0;
    }, keptFor).unref();
  },
};
