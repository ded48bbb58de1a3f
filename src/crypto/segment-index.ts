/**
 * The layout of a segment index: what makes ranges of a GCM object authentic (docs/segment-index.md). Pure.
 *
 *   body    = entry_0 … entry_{n−1} ‖ trailer          n = ceil(content length / segment size)
 *   entry   = GMAC of one ciphertext segment, 16 bytes
 *   trailer = magic 8 ‖ version 4 ‖ segment size 4 ‖ content length 8 ‖ fingerprint 16
 *             ‖ first 8 bytes of the SHA-256 of those 40 ‖ GMAC of those 48, 16          (64 bytes)
 *
 * The checksum tells our indexes from anything else without a key; the GMAC tells that nobody altered one.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { maxPlaintextLength } from '../format/suites.ts';
import { entryLength, entryTypes, gmac, type IndexKey } from './segment-index-macs.ts';

/** Bytes of the trailer. */
export const trailerLength = 64;

/** Segment sizes, in bytes: powers of two. */
const minSegmentSize: number = 4 * 1024;
const maxSegmentSize: number = 1024 * 1024;
export const defaultSegmentSize: number = 64 * 1024;

/** Every segment size that there is, smallest first. */
export const segmentSizes: readonly number[] = Array.from({ length: 9 }, (_, i) => minSegmentSize * 2 ** i);

/** An index stays under this many bytes: a reader may have to fetch it. */
export const indexLengthLimit: number = 32 * 1024 * 1024;

const magic = Buffer.from('SEALSIDX', 'latin1');
const version = 1;
const checksumAt = 40;
const gmacAt = 48;

/** @throws RangeError unless it is a power of two from 4 KiB to 1 MiB */
export function assertSegmentSize(segmentSize: number): void {
  if (segmentSizes.includes(segmentSize)) return;
  throw new RangeError(
    `segmentSize is ${segmentSize} bytes, expected a power of two from ${minSegmentSize} (4 KiB) to ${maxSegmentSize} (1 MiB)`,
  );
}

/** Segments of content of that length. The last may be short, none is empty. */
export function segmentCount(contentLength: number, segmentSize: number): number {
  return Math.ceil(contentLength / segmentSize);
}

/** Bytes of the index of content of that length. */
export function indexLength(contentLength: number, segmentSize: number): number {
  return segmentCount(contentLength, segmentSize) * entryLength + trailerLength;
}

/**
 * The segment size asked for, or as much more as keeps the index under its limit.
 * @param contentLength undefined: not known yet, so the longest possible content has to fit
 */
export function fittingSegmentSize(wanted: number, contentLength: number | undefined): number {
  const fits = (size: number): boolean => indexLength(contentLength ?? maxPlaintextLength, size) < indexLengthLimit;
  return segmentSizes.find((size) => size >= wanted && fits(size)) ?? maxSegmentSize;
}

/**
 * What the index's key is derived for (`deriveKey`). The segment size is part of it: under one key, a nonce then has one input only.
 */
export function segmentIndexKeyInfo(segmentSize: number): Uint8Array {
  const info = Buffer.alloc(29, 'sealpipe segment index v1', 'latin1');
  info.writeUInt32BE(segmentSize, 25);
  return info;
}

/** Says which object an index belongs to. @param iv the content IV (format V2) or message id (V3) */
export function indexFingerprint(iv: Uint8Array): Uint8Array {
  return createHash('sha256').update(iv).digest().subarray(0, 16);
}

/** What a trailer says. Believed only once its GMAC is verified. */
export interface IndexTrailer {
  readonly segmentSize: number;
  /** Plaintext bytes of the object. */
  readonly contentLength: number;
  readonly fingerprint: Uint8Array;
}

/** The trailer's 64 bytes. */
export function encodeTrailer(key: IndexKey, { segmentSize, contentLength, fingerprint }: IndexTrailer): Buffer {
  const trailer = Buffer.alloc(trailerLength);
  magic.copy(trailer);
  trailer.writeUInt32BE(version, 8);
  trailer.writeUInt32BE(segmentSize, 12);
  trailer.writeBigUInt64BE(BigInt(contentLength), 16);
  trailer.set(fingerprint, 24);
  trailer.set(checksum(trailer), checksumAt);
  trailer.set(gmac(key, { type: entryTypes.trailer, index: 0 }, trailer.subarray(0, gmacAt)), gmacAt);
  return trailer;
}

/** Whether the end of some object is a trailer of ours, of whatever version: only such an object is overwritten or deleted as an index. */
export function isTrailer(end: Uint8Array): boolean {
  return (
    end.length === trailerLength &&
    magic.equals(end.subarray(0, magic.length)) &&
    checksum(end).equals(end.subarray(checksumAt, gmacAt))
  );
}

/**
 * Reads a trailer without believing it.
 * @param end the last 64 bytes of the stored index
 * @param storedLength bytes of the whole of it
 * @returns what is wrong with it, in words, where it is none
 */
export function parseTrailer(end: Uint8Array, storedLength: number): IndexTrailer | string {
  if (storedLength < trailerLength || end.length !== trailerLength)
    return `it has ${storedLength} bytes, an index has at least ${trailerLength}`;
  if (!isTrailer(end)) return 'its trailer is none';
  const bytes = Buffer.from(end.buffer, end.byteOffset, end.byteLength);
  const found = bytes.readUInt32BE(8);
  if (found !== version) return `it is of version ${found}, expected ${version}`;
  const segmentSize = bytes.readUInt32BE(12);
  const contentLength = Number(bytes.readBigUInt64BE(16));
  if (!segmentSizes.includes(segmentSize)) return `its segment size is ${segmentSize}`;
  if (contentLength > maxPlaintextLength) return `its content length is ${contentLength}`;
  const expected = indexLength(contentLength, segmentSize);
  if (storedLength !== expected)
    return `it has ${storedLength} bytes, expected ${expected} for ${contentLength} of content in segments of ${segmentSize}`;
  return { segmentSize, contentLength, fingerprint: Uint8Array.from(bytes.subarray(24, checksumAt)) };
}

/** Whether the trailer was made with this key. */
export function isTrailerAuthentic(key: IndexKey, end: Uint8Array): boolean {
  return timingSafeEqual(
    gmac(key, { type: entryTypes.trailer, index: 0 }, end.subarray(0, gmacAt)),
    end.subarray(gmacAt),
  );
}

function checksum(trailer: Uint8Array): Buffer {
  return createHash('sha256').update(trailer.subarray(0, checksumAt)).digest().subarray(0, 8);
}
