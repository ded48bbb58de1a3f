/**
 * Unpacks `count` big-endian values of `width` bits (1 to 32) from `bytes` at `position` to `target`, as unsigned
 * 32-bit patterns.
 *
 * The caller has made sure that the bytes are there. The common widths have a loop each; the rest cut a value out of
 * the four or five bytes that it touches.
 */
export function unpackBits(
  bytes: Uint8Array,
  position: number,
  options: { width: number; count: number; target: Int32Array },
): void {
  const { width, count, target } = options;
  if (width === 8) for (let index = 0; index < count; index++) target[index] = bytes[position + index]!;
  else if (width === 16) {
    for (let index = 0, at = position; index < count; index++, at += 2) {
      target[index] = (bytes[at]! << 8) | bytes[at + 1]!;
    }
  } else if (width === 24) {
    for (let index = 0, at = position; index < count; index++, at += 3) {
      target[index] = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    }
  } else if (width === 32) {
    for (let index = 0, at = position; index < count; index++, at += 4) {
      target[index] = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
    }
  } else if (width < 8 && (width & (width - 1)) === 0) unpackWithinByte(bytes, position, options);
  else if (width <= 17) unpackAccumulated(bytes, position, options);
  else unpackAcross(bytes, position, options);
}

/** 1, 2 and 4 bits: no value crosses a byte. */
function unpackWithinByte(
  bytes: Uint8Array,
  position: number,
  options: { width: number; count: number; target: Int32Array },
): void {
  const { width, count, target } = options;
  const mask = (1 << width) - 1;
  let at = position;
  for (let index = 0; index < count; ) {
    const byte = bytes[at++]!;
    for (let shift = 8 - width; shift >= 0 && index < count; shift -= width) target[index++] = (byte >>> shift) & mask;
  }
}

/** Up to 17 bits: two bytes at a time are pushed into a 32-bit register, which then never overflows. */
function unpackAccumulated(
  bytes: Uint8Array,
  position: number,
  options: { width: number; count: number; target: Int32Array },
): void {
  const { width, count, target } = options;
  const mask = (1 << width) - 1;
  let at = position;
  let register = 0;
  let bits = 0;
  for (let index = 0; index < count; index++) {
    while (bits < width) {
      register = (register << 8) | bytes[at++]!;
      bits += 8;
    }
    bits -= width;
    target[index] = (register >>> bits) & mask;
  }
}

/** 18 to 31 bits: at most five bytes; the first four are shifted left past the bits of the value before. */
function unpackAcross(
  bytes: Uint8Array,
  position: number,
  options: { width: number; count: number; target: Int32Array },
): void {
  const { width, count, target } = options;
  const drop = 32 - width;
  let bit = position * 8;
  // The last values may have fewer than five bytes after their first: they are cut from a copy that has.
  const end = position + Math.ceil((count * width) / 8);
  const safe = Math.max(0, Math.min(count, Math.floor(((end - 5 - position) * 8) / width)));
  for (let index = 0; index < safe; index++, bit += width) {
    const at = bit >>> 3;
    const offset = bit & 7;
    const word = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
    target[index] = ((word << offset) | (bytes[at + 4]! >>> (8 - offset))) >>> drop;
  }
  if (safe === count) return;
  const tail = new Uint8Array(16 + ((count - safe) * width) / 8);
  const first = bit >>> 3;
  tail.set(bytes.subarray(first, end));
  for (let index = safe, local = bit - first * 8; index < count; index++, local += width) {
    const at = local >>> 3;
    const offset = local & 7;
    const word = (tail[at]! << 24) | (tail[at + 1]! << 16) | (tail[at + 2]! << 8) | tail[at + 3]!;
    target[index] = ((word << offset) | (tail[at + 4]! >>> (8 - offset))) >>> drop;
  }
}

/** Unpacks values of 40, 48, 56 or 64 bits, which begin at bytes, to two words each. */
export function unpackWide(
  bytes: Uint8Array,
  position: number,
  options: { width: number; count: number; low: Int32Array; high: Int32Array },
): void {
  const { width, count, low, high } = options;
  const upper = (width - 32) >>> 3;
  let at = position;
  for (let index = 0; index < count; index++) {
    let word = 0;
    for (let byte = 0; byte < upper; byte++) word = (word << 8) | bytes[at++]!;
    high[index] = word;
    low[index] = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
    at += 4;
  }
}
