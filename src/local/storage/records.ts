/** What is kept of buckets, objects and uploads, as it stands in their journals. */
import type { ChecksumAlgorithm, ChecksumType } from '../../checksums/checksum.ts';
import type { Segment } from './blobs.ts';

export interface StoredChecksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly type: ChecksumType;
  /** Base64; a composite one ends in `-<parts>`. */
  readonly value: string;
}

export type Tag = readonly [key: string, value: string];

/** How an object is encrypted at rest, as far as its answers show. */
export type StoredEncryption =
  | { readonly type: 'AES256' }
  | {
      readonly type: 'aws:kms' | 'aws:kms:dsse';
      /** ARN. */
      readonly keyId: string;
      /** Base64 of JSON, as it came. */
      readonly context?: string;
      readonly bucketKey?: boolean;
    }
  | {
      readonly type: 'SSE-C';
      /** Base64 MD5 of the key, as the answers have it. */
      readonly keyMd5: string;
      /** Salted hash of the key: the key itself is not kept. */
      readonly keyHash: string;
      readonly salt: string;
    };

/** What a request says about an object beside its bytes. */
export interface ObjectProperties {
  /** Content-Type and its like, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** User metadata without the prefix; one character per byte (Latin-1). */
  readonly metadata: Readonly<Record<string, string>>;
  readonly storageClass: string;
  readonly encryption: StoredEncryption;
  readonly tags: readonly Tag[];
}

export interface PartOfObject {
  readonly number: number;
  readonly size: number;
  /** Base64. */
  readonly checksum?: string;
}

/** A version of an object; the only one, with the id `null`, in a bucket without versioning. */
export interface ObjectVersion extends ObjectProperties {
  readonly key: string;
  readonly versionId: string;
  /** Milliseconds since 1970, a whole second: S3 keeps no more. */
  readonly modified: number;
  readonly size: number;
  /** Without quotes. */
  readonly etag: string;
  readonly segments: readonly Segment[];
  readonly checksum?: StoredChecksum;
  /** Only of objects that came by multipart upload. */
  readonly parts?: readonly PartOfObject[];
  readonly deleteMarker?: true;
}

export interface StoredUpload extends ObjectProperties {
  readonly id: string;
  readonly key: string;
  /** Milliseconds since 1970. */
  readonly initiated: number;
  readonly checksumAlgorithm?: ChecksumAlgorithm;
  readonly checksumType?: ChecksumType;
}

export interface StoredPart {
  readonly number: number;
  readonly modified: number;
  readonly size: number;
  /** Without quotes. */
  readonly etag: string;
  readonly segments: readonly Segment[];
  readonly checksum?: { readonly algorithm: ChecksumAlgorithm; readonly value: string };
}

/** What a completed upload answered, to answer the same again when its completion is asked for once more. */
export interface CompletedUpload {
  readonly id: string;
  readonly key: string;
  /** Of the list of parts. */
  readonly partsHash: string;
  readonly etag: string;
  readonly versionId: string;
}

export interface BucketSettings {
  readonly name: string;
  readonly region: string;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly versioning?: 'Enabled' | 'Suspended';
  readonly encryption?: BucketEncryption;
  /** JSON text, as it came. */
  readonly policy?: string;
}

export interface BucketEncryption {
  readonly type: 'AES256' | 'aws:kms' | 'aws:kms:dsse';
  readonly keyId?: string;
  readonly bucketKey?: boolean;
  readonly blockSseC?: boolean;
}

export type JournalEntry =
  | { readonly put: ObjectVersion }
  | { readonly set: ObjectVersion }
  | { readonly drop: readonly [key: string, versionId: string] }
  | { readonly upload: StoredUpload }
  | { readonly part: readonly [uploadId: string, part: StoredPart] }
  | { readonly abort: string }
  | { readonly complete: readonly [ObjectVersion, CompletedUpload] }
  | { readonly completed: CompletedUpload };
