/** How a stored body is cut into parts. Pure. */
import { gcmSuite, maxPlaintextLength } from '../format/suites.ts';

const MiB = 1024 * 1024;

/** S3's limits on multipart uploads: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const minPartSize: number = 5 * MiB;
export const maxPartSize: number = 5 * 1024 * MiB;
export const maxParts = 10_000;

/** Default size of a part, in bytes: 10 000 of them pass the 64 GiB that one encrypted object can have. */
export const defaultPartSize: number = 16 * MiB;

/** Bytes of the largest object: 2^36 − 32 of plaintext and the tag. */
export const maxStoredLength: number = maxPlaintextLength + gcmSuite.tagLength;

/**
 * Checks a part size that a caller asks for.
 * @throws RangeError that names the nearest size that is right
 */
export function assertPartSize(partSize: number): void {
  if (!Number.isSafeInteger(partSize) || partSize < minPartSize || partSize > maxPartSize) {
    throw new RangeError(`partSize is ${partSize} bytes, expected ${minPartSize} (5 MiB) to ${maxPartSize} (5 GiB)`);
  }
  // Part boundaries are block boundaries of the cipher, so that a part can be encrypted on its own.
  if (partSize % 16 !== 0) {
    const nearest = Math.min(maxPartSize, Math.round(partSize / 16) * 16);
    throw new RangeError(`partSize is ${partSize} bytes, expected a multiple of 16: the nearest is ${nearest}`);
  }
}

/**
 * The size of every part, the last excepted, of an object whose length is known: the size asked for, or as much more as
 * keeps the number of parts within 10 000. All equal, as some stores demand.
 * @param stored bytes of the stored object, tag included
 */
export function knownPartSize(stored: number, partSize: number): number {
  const least = Math.ceil(stored / maxParts);
  return least <= partSize ? partSize : roundUp(least);
}

/**
 * The size of part `number` (from 1) of an object whose length is not known: `partSize` for the first half of the 10 000
 * parts, twice that for the next quarter, and so on, wherever equal parts would end before the largest possible object
 * does. Sizes that suffice stay equal.
 */
export function growingPartSize(number: number, partSize: number): number {
  if (partSize * maxParts >= maxStoredLength) return partSize;
  let size = partSize;
  let used = 0;
  let covered = 0;
  for (let step = maxParts / 2; number > used + step && step >= 1; step = Math.floor(step / 2)) {
    used += step;
    covered += step * size;
    // Once the rest at twice the size is enough, more growth would only cost memory.
    if (covered + (maxParts - used) * size >= maxStoredLength) return size;
    size = Math.min(size * 2, maxPartSize);
  }
  return size;
}

function roundUp(bytes: number): number {
  const grain = MiB;
  return Math.ceil(bytes / grain) * grain;
}

/**
 * Objects from this size on are worth waking workers for: starting a thread costs tens of milliseconds, in which the calling
 * thread has encrypted some tens of megabytes by itself. Bytes.
 */
export const parallelFrom: number = 64 * 1024 * 1024;
