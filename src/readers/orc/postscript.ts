/**
 * The end of an ORC file, from its last byte backwards:
 *
 *   … stripes | stripe statistics (encrypted) | metadata | footer | postscript | length of the postscript (1 byte)
 *
 * The postscript is never compressed, so that it can say how everything else is.
 */
import { formatInvalid, formatUnsupported } from './format-error.ts';
import { ProtobufReader } from './protobuf.ts';

/** How the chunks of a file are compressed. */
export type OrcCompression = 'NONE' | 'ZLIB' | 'SNAPPY' | 'LZO' | 'LZ4' | 'ZSTD' | 'BROTLI';

const compressions: readonly OrcCompression[] = ['NONE', 'ZLIB', 'SNAPPY', 'LZO', 'LZ4', 'ZSTD', 'BROTLI'];

/** The postscript as decoded. A field that the file leaves out is undefined, except where a default is stated. */
export interface OrcPostScript {
  /** Bytes of the footer as stored. */
  readonly footerLength: number;
  /** Default NONE. */
  readonly compression: OrcCompression;
  /** The most bytes a compressed chunk expands to. Where the file has none it is {@link defaultBlockSize}. */
  readonly compressionBlockSize: number | undefined;
  /** Major and minor file version; empty in files of Hive 0.11 and before. */
  readonly version: readonly number[];
  /** Bytes of the metadata section (stripe statistics) as stored. */
  readonly metadataLength: number;
  readonly writerVersion: number | undefined;
  /** Bytes of the encrypted stripe statistics. */
  readonly stripeStatisticsLength: number;
  /** 'ORC', or undefined in files of Hive 0.11 and before. */
  readonly magic: string | undefined;
}

/** The block size of a compressed file whose postscript has none. */
export const defaultBlockSize: number = 256 * 1024;

/**
 * Decodes a postscript.
 *
 * A file version later than the ones known is refused by name, as is a compression kind without a name:
 * reading on would turn unknown bytes into plausible rows.
 */
export function parsePostScript(bytes: Uint8Array, offset: number): OrcPostScript {
  const reader = new ProtobufReader(bytes, { what: 'the postscript', offset });
  let footerLength: number | undefined;
  let kind = 0;
  let compressionBlockSize: number | undefined;
  let metadataLength = 0;
  let writerVersion: number | undefined;
  let stripeStatisticsLength = 0;
  let magic: string | undefined;
  const version: number[] = [];
  while (reader.next()) {
    if (reader.field === 1) footerLength = reader.uint();
    else if (reader.field === 2) kind = reader.uint();
    else if (reader.field === 3) compressionBlockSize = reader.uint();
    else if (reader.field === 4) reader.uints(version);
    else if (reader.field === 5) metadataLength = reader.uint();
    else if (reader.field === 6) writerVersion = reader.uint();
    else if (reader.field === 7) stripeStatisticsLength = reader.uint();
    else if (reader.field === 8000) magic = reader.string();
    else reader.skip();
  }
  if (footerLength === undefined) throw formatInvalid('the postscript has no footer length', offset);
  const compression = compressions[kind];
  // A postscript that is garbage can decode as fields of any kind: without the magic it is malformed, not unsupported.
  if (compression === undefined) {
    if (magic !== 'ORC') throw formatInvalid(`the postscript has no magic and compression kind ${kind}`, offset);
    throw formatUnsupported(`compression kind ${kind} is unknown`, offset);
  }
  if (!knownVersion(version)) {
    if (magic !== 'ORC') throw formatInvalid('the postscript has no magic and an unknown version', offset);
    throw formatUnsupported(`file version ${version.join('.')} is later than 0.12 and 1.9999`, offset);
  }
  return {
    footerLength,
    compression,
    compressionBlockSize,
    version,
    metadataLength,
    writerVersion,
    stripeStatisticsLength,
    magic,
  };
}

/** 0.11, 0.12, and 1.9999: the name under which ORC 1.6 and later write their preview of 2.0. */
function knownVersion([major = 0, minor = 11]: readonly number[]): boolean {
  return major === 0 ? minor <= 12 : major === 1 && minor === 9999;
}
