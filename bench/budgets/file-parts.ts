import { Readable } from 'node:stream';

/** A file as the pieces it is made of: most of them views of the same zeros, so that a file of any size costs no memory. */
export type FileParts = readonly Buffer[];

const zeros = Buffer.alloc(1024 * 1024);

/** That many zero bytes, in pieces. */
export function zeroParts(length: number): Buffer[] {
  const parts: Buffer[] = [];
  for (let left = length; left > 0; left -= zeros.length) parts.push(zeros.subarray(0, Math.min(left, zeros.length)));
  return parts;
}

export function lengthOf(parts: FileParts): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}

/** The file as a stream, anew each time. */
export function streamOf(parts: FileParts): Readable {
  return Readable.from(parts, { objectMode: false });
}
