import type { ContentKey } from '../crypto/content-key.ts';
import { blockLength, decryptCbcBlocks, decryptGcmRange } from '../crypto/range-cipher.ts';
import type { ByteRange } from '../readers/byte-range.ts';
import type { RangeFetcher } from '../readers/cached-ranges.ts';
import type { SegmentVerifier } from '../readers/segment-verifier.ts';
import { fetchStoredRange, type StoredObject } from './stored-ranges.ts';

export interface PlaintextRangesOptions {
  readonly stored: StoredObject;
  /** Undefined for an object that is not encrypted. */
  readonly contentKey: ContentKey | undefined;
  /** Bytes of plaintext. */
  readonly size: number;
  /** Verifies every segment before it is decrypted; undefined: what comes out is not authenticated. */
  readonly verifier: SegmentVerifier | undefined;
}

/** Ranges of an object's plaintext, one GET each. */
export class PlaintextRanges implements RangeFetcher {
  readonly size: number;
  readonly alignment: number;
  readonly #options: PlaintextRangesOptions;

  constructor(options: PlaintextRangesOptions) {
    const { contentKey, size, verifier } = options;
    this.#options = options;
    this.size = size;
    this.alignment =
      verifier?.segmentSize ?? (contentKey === undefined || contentKey.suite.authenticated ? 1 : blockLength);
  }

  async fetch({ start, end }: ByteRange, signal: AbortSignal): Promise<Uint8Array> {
    const { stored, contentKey, verifier } = this.#options;
    if (contentKey === undefined) return fetchStoredRange(stored, { start, end }, { signal });
    if (!contentKey.suite.authenticated) return this.#fetchCbc(contentKey, { start, end }, signal);
    const ciphertext = await fetchStoredRange(stored, { start, end }, { signal });
    await verifier?.verify({ start, ciphertext }, { signal });
    // The key may have been overwritten since, and would make rubbish of it.
    signal.throwIfAborted();
    return decryptGcmRange(contentKey, ciphertext, start);
  }

  /** A block takes the one before it to be decrypted. */
  async #fetchCbc(contentKey: ContentKey, { start, end }: ByteRange, signal: AbortSignal): Promise<Uint8Array> {
    const range = { start: Math.max(0, start - blockLength), end: Math.ceil(end / blockLength) * blockLength };
    const bytes = await fetchStoredRange(this.#options.stored, range, { signal });
    signal.throwIfAborted();
    return decryptCbcRange(contentKey, bytes, { isFirst: start === 0 }).subarray(0, end - start);
  }
}

/**
 * The plaintext of stored CBC blocks.
 * @param isFirst whether they begin with the object's first one; else their own first one is only there to decrypt the next
 */
export function decryptCbcRange(contentKey: ContentKey, stored: Buffer, { isFirst }: { isFirst: boolean }): Uint8Array {
  return isFirst
    ? decryptCbcBlocks(contentKey, contentKey.iv, stored)
    : decryptCbcBlocks(contentKey, stored.subarray(0, blockLength), stored.subarray(blockLength));
}
