import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { lz4Frame } from '../lz4-frame.ts';
import { plainBytes } from '../orc/byte-ranges.ts';
import { lz4Decompress } from '../orc/lz4.ts';
import { snappyDecompress } from '../orc/snappy.ts';
import { zstdDecompress } from '../orc/zstd.ts';
import type { ParquetCodec } from './footer.ts';
import { formatInvalid } from './format-error.ts';

/** Expands one page to at most `limit` bytes. Throws, or returns undefined, where it is malformed. */
type Expand = (input: Uint8Array, limit: number) => Uint8Array | undefined;

function chunkSize(limit: number): number {
  return Math.max(64, Math.min(limit, 256 * 1024));
}

const expanders: Readonly<Record<Exclude<ParquetCodec, 'UNCOMPRESSED' | 'LZO'>, Expand>> = {
  SNAPPY: snappyDecompress,
  // zlib reads the members of a page one after the other: some writers make several.
  GZIP: (input, limit) => gunzipSync(input, { maxOutputLength: limit, chunkSize: chunkSize(limit) }),
  BROTLI: (input, limit) => brotliDecompressSync(input, { maxOutputLength: limit, chunkSize: chunkSize(limit) }),
  // Named the same, LZ4 is three things: Hadoop's blocks, LZ4 frames of some writers, and bare blocks.
  LZ4: (input, limit) => hadoopLz4(input, limit) ?? lz4Frame(input, limit) ?? lz4Decompress(input, limit),
  ZSTD: zstdDecompress,
  LZ4_RAW: lz4Decompress,
};

/**
 * Expands a page. Its claimed length is the limit of what it becomes; output grows as it is made.
 *
 * @throws SealpipeError FORMAT_INVALID
 */
export function expandPage(codec: ParquetCodec, input: Uint8Array, length: number): Uint8Array {
  if (codec === 'UNCOMPRESSED' || codec === 'LZO') return input;
  // A page of no values may have no bytes at all, not even those of an empty stream.
  if (length === 0) return new Uint8Array();
  let output: Uint8Array | undefined;
  try {
    output = expanders[codec](input, length);
  } catch (cause) {
    throw formatInvalid(`a ${codec} page does not expand to ${length} bytes`, undefined, cause);
  }
  if (output?.length !== length) throw formatInvalid(`a ${codec} page does not expand to ${length} bytes`);
  return plainBytes(output);
}

/** Pages that were expanded to be looked at, kept until hyparquet asks for the same. */
export class ExpandedPages {
  readonly #pages = new Map<number, { readonly input: Uint8Array; readonly output: Uint8Array }[]>();

  add(input: Uint8Array, output: Uint8Array): void {
    const pages = this.#pages.get(input.length);
    if (pages === undefined) this.#pages.set(input.length, [{ input, output }]);
    else pages.push({ input, output });
  }

  /** The decompressors by codec, as hyparquet takes them. */
  get decompressors(): Readonly<Record<string, (input: Uint8Array, length: number) => Uint8Array>> {
    return Object.fromEntries(
      (Object.keys(expanders) as (keyof typeof expanders)[]).map((codec) => [
        codec,
        (input: Uint8Array, length: number): Uint8Array => this.#take(input) ?? expandPage(codec, input, length),
      ]),
    );
  }

  /** By content: hyparquet copies what it was given. */
  #take(input: Uint8Array): Uint8Array | undefined {
    const pages = this.#pages.get(input.length) ?? [];
    const index = pages.findIndex((page) => Buffer.compare(page.input, input) === 0);
    return index < 0 ? undefined : pages.splice(index, 1)[0]!.output;
  }
}

/** Hadoop's framing: big-endian sizes of what comes out and of what follows, then a bare block, repeated. */
function hadoopLz4(input: Uint8Array, limit: number): Uint8Array | undefined {
  const view = new DataView(input.buffer, input.byteOffset, input.length);
  const parts: Uint8Array[] = [];
  let total = 0;
  for (let position = 0; position < input.length; ) {
    if (position + 8 > input.length) return undefined;
    const expanded = view.getUint32(position);
    const stored = view.getUint32(position + 4);
    position += 8;
    if (stored > input.length - position || expanded > limit - total) return undefined;
    const part = lz4Decompress(input.subarray(position, position + stored), expanded);
    if (part?.length !== expanded) return undefined;
    parts.push(part);
    total += expanded;
    position += stored;
  }
  return parts.length === 1 ? parts[0] : Buffer.concat(parts);
}
