import { isAscii } from 'node:buffer';
import type { DirectStringVector } from './vectors.ts';

const lenient = new TextDecoder();
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The strings of a direct vector.
 *
 * One call into the engine's decoder costs as much as a hundred bytes, so strings are not decoded one by one: all bytes
 * become one string, and each value a piece of it. For ASCII the offsets are the same; for other well-formed UTF-8 they
 * are recounted in UTF-16 units. Bytes that are not UTF-8 go value by value, with U+FFFD for what cannot be decoded,
 * since a bad one must not touch its neighbours.
 */
export function decodeStrings(vector: Pick<DirectStringVector, 'bytes' | 'offsets' | 'length' | 'trim'>): string[] {
  const { bytes, offsets, length, trim } = vector;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const result = new Array<string>(length);
  if (isAscii(bytes)) {
    const all = buffer.toString('latin1');
    for (let row = 0; row < length; row++) result[row] = all.substring(offsets[row]!, offsets[row + 1]);
  } else {
    const all = wholeText(bytes, offsets, length);
    if (all !== undefined) {
      let unit = 0;
      for (let row = 0; row < length; row++) {
        const start = unit;
        unit += utf16Units(bytes, offsets[row]!, offsets[row + 1]!);
        result[row] = all.substring(start, unit);
      }
    } else {
      for (let row = 0; row < length; row++)
        result[row] = lenient.decode(bytes.subarray(offsets[row], offsets[row + 1]));
    }
  }
  if (trim) for (let row = 0; row < length; row++) result[row] = trimPadding(result[row]!);
  return result;
}

/** All bytes as one string, if they are UTF-8 and no character crosses from one value to the next. */
function wholeText(bytes: Uint8Array, offsets: Int32Array, length: number): string | undefined {
  for (let row = 1; row < length; row++) if ((bytes[offsets[row]!]! & 0xc0) === 0x80) return undefined;
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** How many UTF-16 units the well-formed UTF-8 bytes [start, end) make. */
function utf16Units(bytes: Uint8Array, start: number, end: number): number {
  let units = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    if ((byte & 0xc0) !== 0x80) units += byte >= 0xf0 ? 2 : 1;
  }
  return units;
}

function trimPadding(value: string): string {
  let end = value.length;
  while (end > 0 && value.charCodeAt(end - 1) === 32) end--;
  return end === value.length ? value : value.slice(0, end);
}
