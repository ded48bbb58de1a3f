/** Looks for bytes in another process's memory, as a debugger or a thief of the machine would. Linux alone. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

/** Reason why this process's children cannot be looked into, or false. */
export const withoutProcessMemory: string | false = (() => {
  if (process.platform !== 'linux') return 'only Linux shows the memory of a process as a file';
  try {
    closeSync(openSync('/proc/self/mem', 'r'));
    return false;
  } catch (error) {
    return `the memory of a process cannot be read here (${(error as Error).message})`;
  }
})();

/** Bytes that are read at once. */
const pieceLength = 16 * 1024 * 1024;

/**
 * How often each needle lies in the memory that a process can write to.
 * @param needles of 8 bytes or more; looked for at offsets that are multiples of 4, where allocators put things
 */
export function countInMemory(pid: number, needles: Readonly<Record<string, Buffer>>): Record<string, number> {
  const counts: Record<string, number> = Object.fromEntries(Object.keys(needles).map((name) => [name, 0]));
  const byStart = new Map<number, [string, Buffer][]>();
  // Most words are told apart by 16 of their bits.
  const filter = new Uint8Array(65_536);
  for (const [name, needle] of Object.entries(needles)) {
    const start = needle.readUInt32LE(0);
    byStart.set(start, [...(byStart.get(start) ?? []), [name, needle]]);
    filter[start & 0xffff] = 1;
  }
  const longest = Math.max(...Object.values(needles).map(({ length }) => length));
  const piece = Buffer.from(new ArrayBuffer(pieceLength + longest));
  const words = new Uint32Array(piece.buffer, 0, pieceLength / 4);
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (const [from, to] of writableRegions(pid)) {
      for (let at = from; at < to; at += pieceLength) {
        const length = readAt(memory, piece, at, to);
        const end = Math.min(pieceLength, length) >> 2;
        for (let i = 0; i < end; i++) {
          const word = words[i] as number;
          if (filter[word & 0xffff] === 0) continue;
          for (const [name, needle] of byStart.get(word) ?? [])
            if (piece.compare(needle, 0, needle.length, i * 4, i * 4 + needle.length) === 0) counts[name]! += 1;
        }
      }
    }
  } finally {
    closeSync(memory);
  }
  return counts;
}

function writableRegions(pid: number): [number, number][] {
  return readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .flatMap((line): [number, number][] => {
      const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
      return from === undefined || to === undefined ? [] : [[Number.parseInt(from, 16), Number.parseInt(to, 16)]];
    });
}

/** Bytes read; none where the region has gone meanwhile, or is not to be read. */
function readAt(memory: number, piece: Buffer, at: number, to: number): number {
  let done = 0;
  const wanted = Math.min(piece.length, to - at);
  while (done < wanted) {
    try {
      const count = readSync(memory, piece, done, wanted - done, at + done);
      if (count === 0) break;
      done += count;
    } catch {
      break;
    }
  }
  return done;
}
