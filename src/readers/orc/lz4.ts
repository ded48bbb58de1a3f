/** How far back a match reaches at most. */
const window = 64 * 1024;

/**
 * Expands one raw LZ4 block (no frame), or returns undefined where it is malformed or would exceed `limit` bytes.
 *
 * A block does not say how long it becomes. The output starts at four times the input and doubles as bytes are
 * produced. `history` is what came before it, where blocks are linked.
 */
export function lz4Decompress(
  input: Uint8Array,
  limit: number,
  history: Uint8Array = new Uint8Array(),
): Uint8Array | undefined {
  const end = input.length;
  const before = Math.min(history.length, window);
  const most = before + limit;
  let output = new Uint8Array(before + Math.min(limit, Math.max(1024, end * 4)));
  output.set(history.subarray(history.length - before));
  let position = 0;
  let done = before;
  while (position < end) {
    const token = input[position++]!;
    let size = token >>> 4;
    if (size === 15) {
      const extended = extend();
      if (extended === undefined) return undefined;
      size += extended;
    }
    if (size > end - position || !grow(size)) return undefined;
    if (size < 32) for (let index = 0; index < size; index++) output[done + index] = input[position + index]!;
    else output.set(input.subarray(position, position + size), done);
    position += size;
    done += size;
    if (position === end) break; // the last sequence has no match
    if (position + 2 > end) return undefined;
    const distance = input[position]! | (input[position + 1]! << 8);
    position += 2;
    size = (token & 15) + 4;
    if (size === 19) {
      const extended = extend();
      if (extended === undefined) return undefined;
      size += extended;
    }
    if (distance === 0 || distance > done || !grow(size)) return undefined;
    if (distance >= size && size >= 32) output.copyWithin(done, done - distance, done - distance + size);
    else for (let index = 0; index < size; index++) output[done + index] = output[done + index - distance]!;
    done += size;
  }
  return output.subarray(before, done);

  /** The further length bytes, each 255 but the last. */
  function extend(): number | undefined {
    let size = 0;
    for (;;) {
      if (position >= end) return undefined;
      const byte = input[position++]!;
      size += byte;
      if (byte !== 255) return size;
    }
  }

  function grow(size: number): boolean {
    const needed = done + size;
    if (needed <= output.length) return true;
    if (needed > most) return false;
    const larger = new Uint8Array(Math.min(most, Math.max(needed, output.length * 2)));
    larger.set(output.subarray(0, done));
    output = larger;
    return true;
  }
}
