/** The five checksums of S3, computed over a stream, and put together from those of parts. */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { combineCrc, crc32cPolynomial, crc32Polynomial } from '../multipart/crc32-combine.ts';
import { crc32c } from './crc32c.ts';
import { Crc64Nvme, combineCrc64Nvme } from './crc64nvme.ts';

export type ChecksumAlgorithm = 'CRC32' | 'CRC32C' | 'CRC64NVME' | 'SHA1' | 'SHA256';
export type ChecksumType = 'COMPOSITE' | 'FULL_OBJECT';

/** Length of each checksum in bytes, before base64. */
export const checksumBytes: Readonly<Record<ChecksumAlgorithm, number>> = {
  CRC32: 4,
  CRC32C: 4,
  CRC64NVME: 8,
  SHA1: 20,
  SHA256: 32,
};

export const checksumAlgorithms = Object.keys(checksumBytes) as readonly ChecksumAlgorithm[];

/** The header that carries a checksum, e.g. `x-amz-checksum-crc32`. */
export function checksumHeader(algorithm: ChecksumAlgorithm): string {
  return `x-amz-checksum-${algorithm.toLowerCase()}`;
}

export function isChecksumAlgorithm(name: string): name is ChecksumAlgorithm {
  return Object.hasOwn(checksumBytes, name);
}

/** Whether `text` is the base64 form of a checksum of this algorithm. */
export function isChecksumValue(algorithm: ChecksumAlgorithm, text: string): boolean {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length === checksumBytes[algorithm] && bytes.toString('base64') === text;
}

/** A checksum in progress. */
export interface RunningChecksum {
  update(bytes: Uint8Array): void;
  digest(): Buffer;
}

function running32(step: (bytes: Uint8Array, previous: number) => number): RunningChecksum {
  let value = 0;
  return {
    update: (bytes) => {
      value = step(bytes, value);
    },
    digest: () => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(value >>> 0);
      return bytes;
    },
  };
}

export function createChecksum(algorithm: ChecksumAlgorithm): RunningChecksum {
  switch (algorithm) {
    case 'CRC32':
      return running32((bytes, previous) => crc32(bytes, previous));
    case 'CRC32C':
      return running32((bytes, previous) => crc32c(bytes, previous));
    case 'CRC64NVME':
      return new Crc64Nvme();
    case 'SHA1':
      return createHash('sha1');
    case 'SHA256':
      return createHash('sha256');
  }
}

/** One part of an object: its checksum in base64, its length in bytes. */
export interface PartChecksum {
  readonly value: string;
  readonly size: number;
}

/** COMPOSITE: the checksum of the parts' checksums, with the number of parts. In order of the parts. */
export function compositeChecksum(algorithm: ChecksumAlgorithm, parts: readonly PartChecksum[]): string {
  const checksum = createChecksum(algorithm);
  for (const part of parts) checksum.update(Buffer.from(part.value, 'base64'));
  return `${checksum.digest().toString('base64')}-${parts.length}`;
}

/** FULL_OBJECT: the checksum of the whole object, combined from those of its parts. For CRCs alone. */
export function fullObjectChecksum(
  algorithm: 'CRC32' | 'CRC32C' | 'CRC64NVME',
  parts: readonly PartChecksum[],
): string {
  if (algorithm === 'CRC64NVME') {
    const whole = parts.reduce(
      (crc, part) => combineCrc64Nvme(crc, Buffer.from(part.value, 'base64').readBigUInt64BE(), part.size),
      0n,
    );
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(whole);
    return bytes.toString('base64');
  }
  const polynomial = algorithm === 'CRC32' ? crc32Polynomial : crc32cPolynomial;
  const whole = parts.reduce(
    (crc, part) => combineCrc(polynomial, crc, Buffer.from(part.value, 'base64').readUInt32BE(), part.size),
    0,
  );
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(whole);
  return bytes.toString('base64');
}
