/**
 * Sections and streams of a compressed file are sequences of chunks:
 *
 *   3 bytes little-endian (length << 1 | original) | length bytes, stored as they are where `original` is set
 *
 * Each expands to at most the compression block size. That bound is what is allocated for at most, whatever a chunk
 * claims.
 */
import { brotliDecompressSync, inflateRawSync } from 'node:zlib';
import { plainBytes } from './byte-ranges.ts';
import { formatInvalid, formatUnsupported } from './format-error.ts';
import { lz4Decompress } from './lz4.ts';
import { defaultBlockSize, type OrcCompression, type OrcPostScript } from './postscript.ts';
import { snappyDecompress } from './snappy.ts';
import { zstdDecompress } from './zstd.ts';

/** Length of a chunk's header. */
export const chunkHeaderBytes = 3;

/**
 * Block sizes above this are refused: no writer makes them, and a chunk could then claim more than a reader should
 * hold.
 */
const largestBlock = 256 * 1024 * 1024;

/**
 * Output beyond this is refused for a footer, metadata or index section; those of the largest known files are a few
 * MiB.
 */
const largestSection = 256 * 1024 * 1024;

/** Expands one chunk's content to at most `limit` bytes. Throws, or returns undefined, where it is malformed. */
type Expand = (input: Uint8Array, limit: number) => Uint8Array | undefined;

const expanders: Record<Exclude<OrcCompression, 'NONE' | 'LZO'>, Expand> = {
  ZLIB: (input, limit) =>
    inflateRawSync(input, { maxOutputLength: limit, chunkSize: Math.max(64, Math.min(limit, 256 * 1024)) }),
  SNAPPY: snappyDecompress,
  LZ4: lz4Decompress,
  ZSTD: zstdDecompress,
  BROTLI: (input, limit) =>
    brotliDecompressSync(input, { maxOutputLength: limit, chunkSize: Math.max(64, Math.min(limit, 256 * 1024)) }),
};

/** How chunks are expanded; undefined for a file without compression, where there are no chunks. */
export interface Codec {
  readonly compression: OrcCompression;
  /** The most bytes a chunk expands to. */
  readonly blockSize: number;
  /** Expands the content of the chunk at file offset `offset`. */
  expand(input: Uint8Array, offset: number): Uint8Array;
}

/** The codec of a file. LZO is refused by name. */
export function codecOf(postscript: OrcPostScript): Codec | undefined {
  const { compression, compressionBlockSize: blockSize = defaultBlockSize } = postscript;
  if (compression === 'NONE') return undefined;
  if (compression === 'LZO') throw formatUnsupported('it is compressed with LZO');
  if (blockSize === 0 || blockSize > largestBlock) {
    throw formatInvalid(`the compression block size is ${blockSize}, expected 1 to ${largestBlock}`);
  }
  const expander = expanders[compression];
  return {
    compression,
    blockSize,
    expand(input, offset) {
      let output: Uint8Array | undefined;
      try {
        output = expander(input, blockSize);
      } catch (cause) {
        throw formatInvalid(`a ${compression} chunk does not expand within ${blockSize} bytes`, offset, cause);
      }
      if (output === undefined || output.length > blockSize) {
        throw formatInvalid(`a ${compression} chunk does not expand within ${blockSize} bytes`, offset);
      }
      return plainBytes(output);
    },
  };
}

/**
 * The next chunk of `bytes` at `position`, expanded, and where the one after it begins. `offset` is the file's, of
 * bytes[0].
 */
export function readChunk(
  bytes: Uint8Array,
  position: number,
  options: { codec: Codec; offset: number },
): { content: Uint8Array; next: number } {
  const { codec, offset } = options;
  const left = bytes.length - position;
  if (left < chunkHeaderBytes) throw formatInvalid(`${left} bytes are left where a chunk begins`, offset + position);
  const header = bytes[position]! | (bytes[position + 1]! << 8) | (bytes[position + 2]! << 16);
  const start = position + chunkHeaderBytes;
  const next = start + (header >>> 1);
  if (next > bytes.length) {
    throw formatInvalid(
      `a chunk claims ${header >>> 1} bytes where ${bytes.length - start} are left`,
      offset + position,
    );
  }
  const content = bytes.subarray(start, next);
  if ((header & 1) === 0) return { content: codec.expand(content, offset + position), next };
  if (content.length > codec.blockSize) {
    throw formatInvalid(`a stored chunk has ${content.length} bytes, above ${codec.blockSize}`, offset + position);
  }
  return { content, next };
}

/** Whether the chunk that begins at `position` lies within the bytes as a whole. */
export function holdsChunk(bytes: Uint8Array, position: number): boolean {
  if (bytes.length - position < chunkHeaderBytes) return false;
  const header = bytes[position]! | (bytes[position + 1]! << 8) | (bytes[position + 2]! << 16);
  return position + chunkHeaderBytes + (header >>> 1) <= bytes.length;
}

/** A whole section (footer, metadata, stripe footer, index stream), expanded. */
export function expandSection(bytes: Uint8Array, options: { codec: Codec | undefined; offset: number }): Uint8Array {
  const { codec, offset } = options;
  if (codec === undefined) return bytes;
  const chunks: Uint8Array[] = [];
  let total = 0;
  for (let position = 0; position < bytes.length; ) {
    const { content, next } = readChunk(bytes, position, { codec, offset });
    position = next;
    total += content.length;
    if (total > largestSection) throw formatInvalid(`a section expands beyond ${largestSection} bytes`, offset);
    chunks.push(content);
  }
  if (chunks.length === 1) return chunks[0]!;
  const output = new Uint8Array(total);
  let done = 0;
  for (const chunk of chunks) {
    output.set(chunk, done);
    done += chunk.length;
  }
  return output;
}
