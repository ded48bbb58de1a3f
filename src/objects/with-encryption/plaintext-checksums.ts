/**
 * Checksums that a caller gives of the plaintext: verified here and never sent. S3 would compare them with ciphertext, and they
 * would be hashes of the plaintext in clear headers.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { checksumAlgorithms, createChecksum } from '../../checksums/checksum.ts';
import { SealpipeError } from '../../errors.ts';

interface CheckedInput {
  ContentMD5?: string | undefined;
  ChecksumAlgorithm?: string | undefined;
  ChecksumType?: string | undefined;
  [name: `Checksum${string}`]: string | undefined;
}

/** Whether a caller has given any. */
export function hasPlaintextChecksum(input: object): boolean {
  const given = input as CheckedInput;
  return given.ContentMD5 !== undefined || checksumAlgorithms.some((name) => given[`Checksum${name}`] !== undefined);
}

/**
 * Compares every checksum given with the plaintext.
 * @throws SealpipeError SOURCE_CHANGED for the first that does not match
 */
export function verifyPlaintextChecksums(input: object, plaintext: Uint8Array): void {
  const given = input as CheckedInput;
  if (given.ContentMD5 !== undefined)
    compare('ContentMD5', given.ContentMD5, createHash('md5').update(plaintext).digest());
  for (const algorithm of checksumAlgorithms) {
    const value = given[`Checksum${algorithm}`];
    if (value === undefined) continue;
    const checksum = createChecksum(algorithm);
    checksum.update(plaintext);
    compare(`Checksum${algorithm}`, value, checksum.digest());
  }
}

/** The input without them. */
export function withoutPlaintextChecksums<Input extends object>(input: Input): Input {
  return Object.fromEntries(
    Object.entries(input).filter(([name]) => name !== 'ContentMD5' && !name.startsWith('Checksum')),
  ) as Input;
}

function compare(name: string, value: string, found: Buffer): void {
  const expected = Buffer.from(value, 'base64');
  if (expected.length === found.length && timingSafeEqual(expected, found)) return;
  throw new SealpipeError(
    'SOURCE_CHANGED',
    `${name} is not that of the body: the body changed after it was computed, or it is of something else`,
  );
}
