import * as zlib from 'node:zlib';
import { Decompress, decompress } from 'fzstd';

type ZstdSync = (input: Uint8Array, options: { maxOutputLength: number; chunkSize: number }) => Buffer;

/** node:zlib has zstd from 22.15; before that fzstd does it in JavaScript. */
const native = (zlib as unknown as { zstdDecompressSync?: ZstdSync }).zstdDecompressSync;

/** Whether zstd comes from node:zlib here. */
export const nativeZstd: boolean = native !== undefined;

/** The largest window the format advises decoders to support; a frame that claims more gets no buffer for it. */
const largestWindow = 8 * 1024 * 1024;

/** Expands a zstd chunk, or throws (whatever the decoder throws) where it is malformed or would exceed `limit` bytes. */
export function zstdDecompress(input: Uint8Array, limit: number): Uint8Array {
  if (native !== undefined) return native(input, { maxOutputLength: limit, chunkSize: Math.min(limit, 256 * 1024) });
  return zstdDecompressPortable(input, limit);
}

/**
 * The same in JavaScript.
 *
 * fzstd allocates what the frame's header claims, so the header is looked at first: content above `limit`, or above what its blocks
 * could make (128 KiB from four bytes each), and windows above 8 MiB are refused.
 */
export function zstdDecompressPortable(input: Uint8Array, limit: number): Uint8Array {
  if (input.length < 6 || input[0] !== 0x28 || input[1] !== 0xb5 || input[2] !== 0x2f || input[3] !== 0xfd) {
    throw new Error('not a zstd frame');
  }
  const descriptor = input[4]!;
  const single = (descriptor & 0x20) !== 0;
  let position = single ? 5 : 6;
  if ((descriptor & 3) !== 0) throw new Error('the zstd frame needs a dictionary');
  const sizeBytes = descriptor >>> 6 === 0 ? (single ? 1 : 0) : 1 << (descriptor >>> 6);
  let size = 0;
  for (let index = 0; index < sizeBytes; index++) size += (input[position++] ?? 0) * 2 ** (8 * index);
  if (sizeBytes === 2) size += 256;
  const reachable = Math.min(limit, 128 * 1024 * (Math.floor(input.length / 4) + 1));
  if (sizeBytes > 0) {
    if (size > reachable) throw new Error(`the zstd frame claims ${size} bytes, ${reachable} is the most`);
    if (size === 0) return new Uint8Array();
    // fzstd keeps a window of the claimed size only where the content size is unknown.
    return decompress(input, new Uint8Array(size));
  }
  const exponent = 10 + (input[5]! >>> 3);
  const window = 2 ** exponent + 2 ** (exponent - 3) * (input[5]! & 7);
  if (window > Math.max(largestWindow, limit)) throw new Error(`the zstd frame claims a window of ${window} bytes`);
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
