/** From stored length to plaintext length and back (design page "The object format", section 6). Pure. */
import { type ContentSuite, gcmSuite, maxPlaintextLength } from './suites.ts';

/** Bytes of a GCM tag at the end of the stored object. */
export const tagLength = 16;
const blockLength = 16;

/** A plaintext length, or a bound of it. */
export interface PlaintextLength {
  /** Bytes. When not exact, the upper bound: the content has this many or up to 15 fewer. */
  readonly plaintextSize: number;
  readonly exact: boolean;
  /** What it rests on. `claimed`: the writer's `x-amz-unencrypted-content-length`, found plausible. */
  readonly basis: 'gcm' | 'cbc-bound' | 'claimed' | 'plaintext';
}

/** Bytes that a plaintext of `length` bytes takes in S3. */
export function storedLength(suite: ContentSuite, length: number): number {
  return suite.authenticated ? length + suite.tagLength : length - (length % blockLength) + blockLength;
}

/**
 * The plaintext length of a stored object, as far as its stored length and the writer's claim tell it.
 * @returns undefined when no object of this suite has that stored length.
 */
export function plaintextLength(suite: ContentSuite, stored: number, claimed?: number): PlaintextLength | undefined {
  if (suite.authenticated) {
    return stored < tagLength ? undefined : { plaintextSize: stored - tagLength, exact: true, basis: 'gcm' };
  }
  if (stored < blockLength || stored % blockLength !== 0) return undefined;
  // A claim is believed only where it agrees with the padding: one to sixteen bytes less than what is stored.
  if (claimed !== undefined && claimed < stored && claimed >= stored - blockLength) {
    return { plaintextSize: claimed, exact: true, basis: 'claimed' };
  }
  return { plaintextSize: stored - 1, exact: false, basis: 'cbc-bound' };
}

/**
 * The bound that a listing gives without knowing formats: that of GCM content.
 * Exact only under the caller's promise that all content is GCM (DECISIONS section 6).
 */
export function assumedGcmLength(stored: number): number {
  return Math.max(0, stored - gcmSuite.tagLength);
}

/** Whether a plaintext of this many bytes fits one message. */
export function fitsOneMessage(length: number): boolean {
  return length <= maxPlaintextLength;
}
