/**
 * Shared memory for parts, used again by later uploads and downloads of the process. A SharedArrayBuffer weighs nothing in the
 * garbage collector's eyes: without this, each upload would add its own to those that wait to be collected.
 */
import type { PartMemory } from '../part-buffers.ts';

/** Bytes that are kept when nobody uses them, those of ten parts of 16 MiB among them, and for how long (milliseconds). */
const keptLimit = 192 * 1024 * 1024;
const keptFor = 10_000;

const kept: Buffer[] = [];
let keptLength = 0;
let forgetting: NodeJS.Timeout | undefined;

export const sharedMemory: PartMemory = {
  take: (length) => takeKept(length) ?? Buffer.from(newMemory(length)),
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

function takeKept(length: number): Buffer | undefined {
  // The smallest that fits, and not one that would be mostly wasted.
  const fitting = kept.filter((buffer) => buffer.length >= length && buffer.length <= 2 * length + 65_536);
  const best = fitting.reduce<Buffer | undefined>(
    (a, b) => (a === undefined || b.length < a.length ? b : a),
    undefined,
  );
  if (best === undefined) return undefined;
  kept.splice(kept.indexOf(best), 1);
  keptLength -= best.length;
  return best;
}

/** What is kept and did not fit goes first: the two together would be more than either upload was said to take. */
function newMemory(length: number): SharedArrayBuffer {
  for (let dropped = 0; dropped < length; ) {
    const oldest = kept.shift();
    if (oldest === undefined) break;
    keptLength -= oldest.length;
    dropped += oldest.length;
  }
  return new SharedArrayBuffer(length);
}

/** Memory that was taken before anybody needed it. */
export interface MemoryInStock extends PartMemory {
  /** Gives back what was never asked for. */
  close(): void;
}

/**
 * Takes shared memory ahead, of which `touch` makes the pages: the kernel does that at the first access, which takes longer than
 * to encrypt what goes there, and KMS takes long enough to answer. More is taken as from {@link sharedMemory}.
 * @param touch is given what is new to the process
 */
export function stockMemory(
  { count, length }: { readonly count: number; readonly length: number },
  touch: (memory: SharedArrayBuffer) => void,
): MemoryInStock {
  const touched = (): Buffer => {
    const memory = newMemory(length);
    touch(memory);
    return Buffer.from(memory);
  };
  const stock: Buffer[] = [];
  try {
    while (stock.length < count) stock.push(takeKept(length) ?? touched());
  } catch {
    // What there is no memory for is missed when it is needed, if ever.
  }
  return {
    take: (wanted) => (wanted <= length ? stock.shift() : undefined) ?? sharedMemory.take(wanted),
    giveBack: (buffer) => sharedMemory.giveBack(buffer),
    close: () => {
      for (const buffer of stock.splice(0)) sharedMemory.giveBack(buffer);
    },
  };
}
