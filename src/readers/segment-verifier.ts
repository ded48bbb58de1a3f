/**
 * The seam between random access and the segment index: what a reader of ranges has to know of an index, and nothing of how
 * one is laid out, fetched or computed.
 *
 *   open ──► StartSegmentIndex(request)      the index is asked for while the tail arrives
 *        ──► pending.derive                  what keys to derive when the data key is unwrapped
 *        ──► pending.resolve(object)         once envelope, length and keys are known: is there a usable index?
 *   read ──► verifier.verify(segments)       before a byte of those segments is decrypted
 *   close ─► verifier.close()
 */
import type { GetObjectCommandInput, S3Client } from '@aws-sdk/client-s3';
import type { Envelope } from '../format/envelope.ts';

/** Whole segments of an object's ciphertext, as they were fetched. */
export interface CiphertextSegments {
  /** Offset in the content; a multiple of the segment size. */
  readonly start: number;
  /** The bytes from there to the end of a segment, or to the end of the content (the tag is not part of it). */
  readonly ciphertext: Uint8Array;
}

/** Makes ranges of one GCM object authentic. It belongs to the object as it was opened, and to nothing else. */
export interface SegmentVerifier {
  /**
   * Bytes of a segment, a power of two. A reader widens a range to whole segments before it fetches it; the last one ends with
   * the content.
   */
  readonly segmentSize: number;
  /**
   * Resolves when every one of the segments is authentic. May fetch the entries that it needs and does not have.
   * @throws SealpipeError AUTHENTICATION_FAILED for a segment that does not match its entry, INDEX_DAMAGED for an index that
   *   is none; OBJECT_CHANGED when the index was replaced; ABORTED
   */
  verify(segments: CiphertextSegments, options?: { signal?: AbortSignal | undefined }): Promise<void>;
  /** Overwrites its key. Nothing is verified afterwards. */
  close(): void;
}

/** What was found in the place of an index. Damaged is neither: it is an error of {@link PendingSegmentIndex.resolve}. */
export type SegmentIndexState =
  | { readonly state: 'usable'; readonly verifier: SegmentVerifier }
  /** `stale`: the index of an earlier object of this key. */
  | { readonly state: 'absent' | 'stale' };

/** The object that an index has to belong to, once that is known. */
export interface IndexedObject {
  readonly envelope: Envelope;
  /** Plaintext bytes: what Content-Range gave as the total, less the tag. */
  readonly contentLength: number;
  /** The keys of {@link PendingSegmentIndex.derive}, in its order. Handed over: whoever takes them overwrites all of them. */
  readonly keys: readonly Uint8Array[];
}

/** An index that has been asked for, of an object that is not known yet. */
export interface PendingSegmentIndex {
  /** What keys are needed, whatever the index turns out to hold (one for each segment size). */
  readonly derive: readonly Uint8Array[];
  /**
   * Called at most once, and only for GCM content.
   * @throws SealpipeError INDEX_DAMAGED or AUTHENTICATION_FAILED for a damaged index, ACCESS_DENIED where it may not be read
   */
  resolve(object: IndexedObject, options?: { signal?: AbortSignal | undefined }): Promise<SegmentIndexState>;
  /** In place of `resolve`: the object needs none, or cannot have one. Ends the request. */
  discard(): void;
}

export interface SegmentIndexRequest {
  readonly client: S3Client;
  /** The object's address: of its index, bucket, owner and payer are the same, the key differs, and there is no version. */
  readonly address: Pick<
    GetObjectCommandInput,
    | 'Bucket'
    | 'Key'
    | 'VersionId'
    | 'ExpectedBucketOwner'
    | 'RequestPayer'
    | 'SSECustomerAlgorithm'
    | 'SSECustomerKey'
    | 'SSECustomerKeyMD5'
  >;
  /** Fires when the open is given up. */
  readonly signal: AbortSignal;
}

/** Starts to fetch an object's index. Returns at once and throws nothing: failures are those of `resolve`. */
export type StartSegmentIndex = (request: SegmentIndexRequest) => PendingSegmentIndex;
