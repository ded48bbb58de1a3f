/** What the answer to a suffix range tells of an object, and brings of its content. */
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { createContentDecryptor, slices } from '../crypto/content-cipher.ts';
import type { ContentKey } from '../crypto/content-key.ts';
import { blockLength, cbcPaddingLength, decryptGcmRange } from '../crypto/range-cipher.ts';
import { SealpipeError } from '../errors.ts';
import type { Envelope } from '../format/envelope.ts';
import { fitsOneMessage, plaintextLength, tagLength } from '../format/lengths.ts';
import type { Authentication, PinnedRange } from './encrypted-object.ts';
import type { ObjectAddress } from './object-setting.ts';
import { decryptCbcRange } from './plaintext-ranges.ts';
import { rangesIgnored, type StoredObject } from './stored-ranges.ts';

/** What the first answer and the keyring have brought. */
export interface FirstAnswer {
  readonly answer: GetObjectCommandOutput;
  readonly stored: StoredObject;
  /** Requests that had to be repeated. */
  readonly tally: { readonly retries: number };
  readonly envelope: Envelope | undefined;
  /** Stored bytes from `start` to the end. */
  readonly tail: { readonly start: number; readonly bytes: Buffer };
  readonly contentKey: ContentKey | undefined;
  readonly derived: readonly Uint8Array[];
}

export interface AnsweredRange {
  readonly start: number;
  readonly end: number;
  /** Bytes of the whole stored object. */
  readonly size: number;
}

/**
 * Which bytes a first answer brings.
 * @param suffix how many were asked for
 * @throws SealpipeError REQUEST_REJECTED for an answer to something else
 */
export function answeredRange(address: ObjectAddress, answer: GetObjectCommandOutput, suffix: number): AnsweredRange {
  const { Bucket, Key } = address;
  const { ContentRange, ContentLength, $metadata } = answer;
  if ($metadata.httpStatusCode === 200 && ContentRange === undefined && ContentLength !== undefined) {
    // The whole is right for what is not longer than the range, as some stores answer.
    if (ContentLength > suffix) throw rangesIgnored(address);
    return { start: 0, end: ContentLength, size: ContentLength };
  }
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(ContentRange ?? '');
  const [start = -1, last = -1, size = -1] = (match ?? []).slice(1).map(Number);
  // A suffix of a store that mistakes it for a range from 0 would pass for the end of the object.
  const isSuffix = last === size - 1 && start === Math.max(0, size - suffix) && start <= last;
  if (isSuffix && (ContentLength === undefined || ContentLength === size - start)) return { start, end: size, size };
  throw new SealpipeError(
    'REQUEST_REJECTED',
    `the store answered the request for the last ${suffix} bytes of s3://${Bucket}/${Key} with status ${$metadata.httpStatusCode}, range ${ContentRange ?? 'none'} and ${ContentLength ?? 'unknown'} bytes, which are not these`,
    { bucket: Bucket, key: Key, statusCode: $metadata.httpStatusCode },
  );
}

/** Refuses what no content of the suite can be as long as, before a key is asked for. */
export function checkStoredSize({ suite }: Envelope, size: number, { Bucket, Key }: ObjectAddress): void {
  const length = plaintextLength(suite, size);
  const fields = { bucket: Bucket, key: Key };
  if (length === undefined) {
    throw new SealpipeError(
      'TRUNCATED',
      `s3://${Bucket}/${Key} has ${size} bytes, which no ${suite.name} content has: it was cut`,
      fields,
    );
  }
  if (suite.authenticated && !fitsOneMessage(length.plaintextSize)) {
    throw new SealpipeError(
      'TOO_LARGE',
      `s3://${Bucket}/${Key} has ${size} bytes, more than ${suite.name} content can have: its envelope belongs to another object`,
      fields,
    );
  }
}

/** Exact: of CBC from its padding, whatever the writer claims. */
export function plaintextSize({ stored, envelope, tail, contentKey }: FirstAnswer): number {
  if (envelope === undefined || contentKey === undefined) return stored.size;
  if (envelope.suite.authenticated) return stored.size - tagLength;
  const { bytes } = tail;
  const previous = bytes.length < 2 * blockLength ? contentKey.iv : bytes.subarray(-2 * blockLength, -blockLength);
  return stored.size - cbcPaddingLength(contentKey, previous, bytes.subarray(-blockLength));
}

/** The part of the content that came with the first answer, decrypted; authenticated where the object can be. */
export async function plaintextTail(
  { envelope, tail, contentKey, stored }: FirstAnswer,
  { size, authentication, signal }: { size: number; authentication: Authentication; signal: AbortSignal },
): Promise<PinnedRange> {
  const { start, bytes } = tail;
  if (envelope === undefined || contentKey === undefined) return { start, bytes };
  if (!envelope.suite.authenticated) {
    const skipped = (blockLength - (start % blockLength)) % blockLength;
    const from = start + skipped;
    const plaintext = decryptCbcRange(contentKey, bytes.subarray(skipped), { isFirst: from === 0 });
    const first = from === 0 ? 0 : from + blockLength;
    return { start: first, bytes: plaintext.subarray(0, Math.max(0, size - first)) };
  }
  if (authentication.by === 'tag') return { start, bytes: verifiedByTag(contentKey, bytes, stored.size) };
  const content = bytes.subarray(0, size - start);
  if (authentication.by === false) return { start, bytes: decryptGcmRange(contentKey, content, start) };
  const { verifier } = authentication;
  const from = Math.ceil(start / verifier.segmentSize) * verifier.segmentSize;
  if (from >= size) return { start: size, bytes: new Uint8Array(0) };
  const ciphertext = content.subarray(from - start);
  await verifier.verify({ start: from, ciphertext }, { signal });
  return { start: from, bytes: decryptGcmRange(contentKey, ciphertext, from) };
}

function verifiedByTag(contentKey: ContentKey, bytes: Uint8Array, storedSize: number): Uint8Array {
  const decryptor = createContentDecryptor(contentKey, storedSize);
  try {
    const plaintext: Uint8Array[] = [];
    for (const slice of slices(bytes)) plaintext.push(decryptor.update(slice));
    plaintext.push(decryptor.final());
    return Buffer.concat(plaintext);
  } finally {
    decryptor.close();
  }
}
