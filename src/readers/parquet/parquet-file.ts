/**
 * The end of a Parquet file:
 *
 *   FileMetaData (thrift) | its length, 4 bytes little-endian | PAR1
 *   FileCryptoMetaData, encrypted FileMetaData | length of both | PARE
 */
import { FetchedRanges, plainBytes, readRange } from '../orc/byte-ranges.ts';
import type { RangeSource } from '../range-source.ts';
import { describeEncryptedFooter, type ParquetMetadata, parseFooter } from './footer.ts';
import { formatInvalid, formatUnsupported } from './format-error.ts';

export interface OpenParquetOptions {
  /** The last bytes of the file, if they are at hand already: then nothing is fetched that they hold. */
  tail?: Uint8Array;
  /** How much of the file's end is fetched first. Default 64 KiB, which holds the footer of most files. */
  tailBytes?: number;
  signal?: AbortSignal;
}

/** The magic at both ends, and a footer's length. */
const shortest = 12;

/** Length word and magic. */
const trailerBytes = 8;

/**
 * Opens a Parquet file: reads its footer, in one request where `tailBytes` hold it, else in one more for the missing
 * part alone. Needs no other package.
 *
 * @throws SealpipeError FORMAT_INVALID for what is no well-formed Parquet file, FORMAT_UNSUPPORTED for an encrypted
 *   footer and unknown codecs
 */
export async function openParquet(source: RangeSource, options: OpenParquetOptions = {}): Promise<ParquetFile> {
  const { tailBytes = 64 * 1024, signal } = options;
  if (!Number.isSafeInteger(tailBytes) || tailBytes < trailerBytes)
    throw new RangeError(`tailBytes is ${tailBytes}, expected at least ${trailerBytes}`);
  const { size } = source;
  if (size < shortest) throw formatInvalid(`it has ${size} bytes, too short for a Parquet file`, 0);
  const length = Math.min(size, tailBytes);
  const tail = plainBytes(options.tail ?? (await readTail(source, length, signal)));
  if (tail.length < trailerBytes || tail.length > size)
    throw new RangeError(`the tail has ${tail.length} bytes of a file of ${size}`);
  const trailer = new DataView(tail.buffer, tail.byteOffset + tail.length - trailerBytes, trailerBytes);
  const magic = trailer.getUint32(4, true);
  if (magic !== 0x31524150 && magic !== 0x45524150) {
    throw formatInvalid('its last four bytes are not "PAR1"', size - 4);
  }
  const footerLength = trailer.getUint32(0, true);
  const footerOffset = size - trailerBytes - footerLength;
  if (footerLength === 0 || footerOffset < 4) {
    throw formatInvalid(
      `the footer is said to have ${footerLength} bytes, the file has ${size - shortest} for it`,
      size - trailerBytes,
    );
  }
  const fetched = new FetchedRanges();
  fetched.add(size - tail.length, tail);
  const footerEnd = size - trailerBytes;
  const missingEnd = size - tail.length;
  if (footerOffset < missingEnd) {
    const missing = await readRange(source, { start: footerOffset, end: missingEnd }, { signal });
    const joined = new Uint8Array(missing.length + tail.length);
    joined.set(missing);
    joined.set(tail, missing.length);
    fetched.add(footerOffset, joined);
  }
  const bytes = fetched.get({ start: footerOffset, end: footerEnd });
  if (magic === 0x45524150) {
    const algorithm = describeEncryptedFooter(bytes, { offset: footerOffset });
    throw formatUnsupported(`its footer is encrypted by Parquet's own encryption, PARE${algorithm}`, footerOffset);
  }
  const metadata = parseFooter(bytes, { offset: footerOffset });
  return new ParquetFile({ source, metadata, footerOffset, footerLength, fetched });
}

async function readTail(source: RangeSource, length: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
  if (source.tail === undefined) {
    return readRange(source, { start: source.size - length, end: source.size }, { signal });
  }
  signal?.throwIfAborted();
  return source.tail(length, signal === undefined ? {} : { signal });
}

/** An open Parquet file. Holds nothing that needs closing but its source. */
export class ParquetFile {
  readonly source: RangeSource;
  readonly metadata: ParquetMetadata;
  readonly footerOffset: number;
  /** Bytes of the footer as its length word says: the last 8 bytes of the file are not among them. */
  readonly footerLength: number;
  /** What was read of the file so far, so that nothing of it is fetched again. */
  readonly fetched: FetchedRanges;

  /** For {@link openParquet}. */
  constructor(parts: {
    source: RangeSource;
    metadata: ParquetMetadata;
    footerOffset: number;
    footerLength: number;
    fetched: FetchedRanges;
  }) {
    this.source = parts.source;
    this.metadata = parts.metadata;
    this.footerOffset = parts.footerOffset;
    this.footerLength = parts.footerLength;
    this.fetched = parts.fetched;
  }

  get rowCount(): number {
    return this.metadata.rowCount;
  }
}
