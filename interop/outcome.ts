import { type Digest, PeerError, type PeerErrorKind } from './peer.ts';
import type { Plaintext } from './plaintexts.ts';

/** What came of a job. */
export interface Outcome {
  /** `done`: written, or read to the right bytes. `other bytes`: read without an error, and wrong. */
  readonly kind: 'done' | 'other bytes' | PeerErrorKind;
  /** For a failure what the client said, otherwise empty. */
  readonly message: string;
}

/** Runs a job; only what is no answer of a client comes out as an error. */
export async function outcomeOf(job: Promise<Digest | undefined>, expected?: Plaintext): Promise<Outcome> {
  try {
    const digest = await job;
    if (digest === undefined || expected === undefined || isSame(digest, expected))
      return { kind: 'done', message: '' };
    return { kind: 'other bytes', message: `${digest.length} bytes, ${digest.sha256}` };
  } catch (error) {
    if (error instanceof PeerError) return { kind: error.kind, message: error.message };
    throw error;
  }
}

function isSame(digest: Digest, expected: Digest): boolean {
  return digest.length === expected.length && digest.sha256 === expected.sha256;
}
