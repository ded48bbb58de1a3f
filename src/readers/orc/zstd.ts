import * as zlib from 'node:zlib';
import { Decompress, decompress } from 'fzstd';

type ZstdSync = (input: Uint8Array, options: { maxOutputLength: number; chunkSize: number }) => Buffer;

/** node:zlib has zstd from 22.15; before that fzstd does it in JavaScript. */
const native = (zlib as unknown as { zstdDecompressSync?: ZstdSync }).zstdDecompressSync;

/** Whether zstd comes from node:zlib here. */
export const nativeZstd: boolean = native !== undefined;

/** The largest window the format advises decoders to support; a frame that claims more gets no buffer for it. */
const largestWindow = 8 * 1024 * 1024;

/** Expands a zstd chunk, or throws (an error of any kind) where it is malformed or would exceed `limit` bytes. */
export function zstdDecompress(input: Uint8Array, limit: number): Uint8Array {
  if (native === undefined) return zstdDecompressPortable(input, limit);
  const size = frameSize(input, limit);
  const output = native(input, { maxOutputLength: limit, chunkSize: Math.max(64, Math.min(limit, 256 * 1024)) });
  // Node 22 takes a frame that is cut short for one that ends.
  if (size !== undefined && output.length !== size)
    throw new Error(`the zstd frame gave ${output.length} bytes of ${size}`);
  return output;
}

/** The same in JavaScript. fzstd allocates what the frame's header claims, so the header is looked at first. */
export function zstdDecompressPortable(input: Uint8Array, limit: number): Uint8Array {
  const size = frameSize(input, limit);
  if (size === 0) return new Uint8Array();
  if (size !== undefined) return decompress(input, new Uint8Array(size));
  const parts: Uint8Array[] = [];
  let total = 0;
  const stream = new Decompress((part) => {
    total += part.length;
    if (total > limit) throw new Error(`the zstd frame expands beyond ${limit} bytes`);
    parts.push(part.slice());
  });
  stream.push(input, true);
  const output = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    output.set(part, at);
    at += part.length;
  }
  return output;
}

/**
 * The content size that a frame states, undefined where it states none.
 *
 * Throws for a size above `limit` or above what the frame's blocks could make (128 KiB from four bytes each), and,
 * where none is stated, for a window above 8 MiB: these would be allocated on the frame's word.
 */
function frameSize(input: Uint8Array, limit: number): number | undefined {
  if (input.length < 6 || input[0] !== 0x28 || input[1] !== 0xb5 || input[2] !== 0x2f || input[3] !== 0xfd) {
    throw new Error('not a zstd frame');
  }
  const descriptor = input[4]!;
  const single = (descriptor & 0x20) !== 0;
  if ((descriptor & 3) !== 0) throw new Error('the zstd frame needs a dictionary');
  let position = single ? 5 : 6;
  const bytes = descriptor >>> 6 === 0 ? (single ? 1 : 0) : 1 << (descriptor >>> 6);
  if (bytes === 0) {
    const exponent = 10 + (input[5]! >>> 3);
    const window = 2 ** exponent + 2 ** (exponent - 3) * (input[5]! & 7);
    if (window > Math.max(largestWindow, limit)) throw new Error(`the zstd frame claims a window of ${window} bytes`);
    return undefined;
  }
  let size = bytes === 2 ? 256 : 0;
  for (let index = 0; index < bytes; index++) size += (input[position++] ?? 0) * 2 ** (8 * index);
  const reachable = Math.min(limit, 128 * 1024 * (Math.floor(input.length / 4) + 1));
  if (size > reachable) throw new Error(`the zstd frame claims ${size} bytes, ${reachable} is the most`);
  return size;
}
