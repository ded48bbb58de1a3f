import { lz4Decompress } from './orc/lz4.ts';

/** How far back a match of a linked block reaches. */
const window = 64 * 1024;

/**
 * Expands an LZ4 frame, or returns undefined where it is malformed or would exceed `limit` bytes. Its checksums are not
 * looked at.
 */
export function lz4Frame(input: Uint8Array, limit: number): Uint8Array | undefined {
  const view = new DataView(input.buffer, input.byteOffset, input.length);
  if (input.length < 7 || view.getUint32(0, true) !== 0x184d2204) return undefined;
  const flags = input[4]!;
  if (flags >>> 6 !== 1 || (flags & 1) !== 0) return undefined; // another version, or a dictionary
  const linked = (flags & 0x20) === 0;
  const parts: Uint8Array[] = [];
  let history: Uint8Array = new Uint8Array();
  let total = 0;
  for (let position = 7 + ((flags & 8) !== 0 ? 8 : 0); position + 4 <= input.length; ) {
    const word = view.getUint32(position, true);
    position += 4;
    if (word === 0) return parts.length === 1 ? parts[0] : Buffer.concat(parts);
    const length = word & 0x7fff_ffff;
    if (length > input.length - position) return undefined;
    const block = input.subarray(position, position + length);
    const part = word >= 0x8000_0000 ? block : lz4Decompress(block, limit - total, history);
    if (part === undefined || part.length > limit - total) return undefined;
    parts.push(part);
    total += part.length;
    if (linked) history = part.length >= window ? part : Buffer.concat([history, part]).subarray(-window);
    position += length + ((flags & 0x10) !== 0 ? 4 : 0);
  }
  return undefined;
}
