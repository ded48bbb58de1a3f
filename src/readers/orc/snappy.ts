/**
 * Expands one raw Snappy block, or returns undefined where it is malformed or would exceed `limit` bytes.
 *
 * The block's claimed length is believed only as far as its bytes could reach: a copy of three bytes makes at most 64,
 * so a claim above 22 times the input is a lie, and nothing is allocated for it.
 */
export function snappyDecompress(input: Uint8Array, limit: number): Uint8Array | undefined {
  const end = input.length;
  let position = 0;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    if (position >= end || shift > 28) return undefined;
    const byte = input[position++]!;
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  if (length > limit || length > end * 22) return undefined;
  const output = new Uint8Array(length);
  let done = 0;
  while (position < end) {
    const tag = input[position++]!;
    let size = tag >>> 2;
    if ((tag & 3) === 0) {
      if (size >= 60) {
        const extra = size - 59;
        if (position + extra > end) return undefined;
        size = 0;
        for (let index = 0; index < extra; index++) size += input[position++]! * 2 ** (8 * index);
      }
      size++;
      if (size > end - position || size > length - done) return undefined;
      if (size < 32) for (let index = 0; index < size; index++) output[done + index] = input[position + index]!;
      else output.set(input.subarray(position, position + size), done);
      position += size;
      done += size;
      continue;
    }
    let distance: number;
    if ((tag & 3) === 1) {
      if (position >= end) return undefined;
      size = (size & 7) + 4;
      distance = ((tag >>> 5) << 8) | input[position++]!;
    } else if ((tag & 3) === 2) {
      if (position + 2 > end) return undefined;
      size++;
      distance = input[position]! | (input[position + 1]! << 8);
      position += 2;
    } else {
      if (position + 4 > end) return undefined;
      size++;
      distance =
        (input[position]! |
          (input[position + 1]! << 8) |
          (input[position + 2]! << 16) |
          (input[position + 3]! << 24)) >>>
        0;
      position += 4;
    }
    if (distance === 0 || distance > done || size > length - done) return undefined;
    if (distance >= size && size >= 32) output.copyWithin(done, done - distance, done - distance + size);
    else for (let index = 0; index < size; index++) output[done + index] = output[done + index - distance]!;
    done += size;
  }
  return done === length ? output : undefined;
}
