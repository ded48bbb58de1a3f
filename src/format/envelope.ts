/**
 * The envelope: what an object's metadata (or instruction file) says about its encryption.
 *
 *   V1  x-amz-key     x-amz-iv                                              x-amz-matdesc            CBC
 *   V2  x-amz-key-v2  x-amz-iv  x-amz-cek-alg  x-amz-wrap-alg  [tag-len]    x-amz-matdesc            GCM or CBC
 *   V3  x-amz-3       x-amz-i   x-amz-c        x-amz-w         x-amz-d      x-amz-t or x-amz-m       committing GCM
 *
 * Names are without the prefix `x-amz-meta-`, which is S3's.
 */
import type { StringMap } from './string-map.ts';
import type { ContentSuite } from './suites.ts';

/** How a data key is wrapped, by the names of the format. */
export type WrappingAlgorithm =
  | 'kms+context'
  | 'AES/GCM'
  | 'RSA-OAEP-SHA1'
  | 'kms'
  | 'AESWrap'
  | 'AES'
  | 'RSA/ECB/OAEPWithSHA-256AndMGF1Padding'
  | 'RSA';

/** Where an envelope lies. */
export type EnvelopeStorage = 'metadata' | 'instruction-file';

/** @throws TypeError when it is neither */
export function assertStorage(storage: unknown): asserts storage is EnvelopeStorage {
  if (storage !== 'metadata' && storage !== 'instruction-file')
    throw new TypeError(`storage is ${JSON.stringify(storage)}, expected 'metadata' or 'instruction-file'`);
}

/** A parsed envelope. Everything in it is public: it stands in the clear beside the object. */
export interface Envelope {
  readonly format: 'V1' | 'V2' | 'V3';
  readonly suite: ContentSuite;
  readonly storage: EnvelopeStorage;
  readonly wrappedKey: Uint8Array;
  readonly wrappingAlgorithm: WrappingAlgorithm;
  /** V1 and V2: the content IV. V3: the message id, from which content key and commitment are derived. */
  readonly iv: Uint8Array;
  /** V3 only. */
  readonly commitment: Uint8Array | undefined;
  /** KMS: the encryption context as stored, reserved entries included. AES and RSA: the materials description. */
  readonly description: StringMap;
  /** The writer's claim about the plaintext's length in bytes; see {@link plaintextLength}. */
  readonly claimedLength: number | undefined;
}

/** The reserved entry of an encryption context: binds a data key to the content suite. */
export const reservedContextKey = 'aws:x-amz-cek-alg';
/** Written by the SDK for Java v1 into the context of `kms`; never part of what a caller means by the context. */
export const kmsKeyIdContextKey = 'kms_cmk_id';

/** The key of a user metadata entry that marks an object as an instruction file. */
export const instructionFileMarker = 'x-amz-crypto-instr-file';
/** The suffix of an instruction file's key, unless a reader names another. */
export const defaultInstructionSuffix = '.instruction';
/** The writer's claim about the plaintext length. Not counted as part of an envelope: it proves nothing. */
export const claimedLengthKey = 'x-amz-unencrypted-content-length';

/** Names that only ever stand in an envelope. */
export const envelopeKeys: readonly string[] = [
  'x-amz-key',
  'x-amz-key-v2',
  'x-amz-iv',
  'x-amz-matdesc',
  'x-amz-cek-alg',
  'x-amz-wrap-alg',
  'x-amz-tag-len',
  'x-amz-3',
  'x-amz-c',
  'x-amz-d',
  'x-amz-i',
  'x-amz-w',
  'x-amz-t',
  'x-amz-m',
];

/** The part of a V3 envelope that stays in the object's metadata when the rest goes to an instruction file. */
export const contentKeysV3: readonly string[] = ['x-amz-c', 'x-amz-d', 'x-amz-i'];

/** The wrapping codes of format V3. */
export const wrappingCodesV3: ReadonlyMap<string, WrappingAlgorithm> = new Map([
  ['02', 'AES/GCM'],
  ['12', 'kms+context'],
  ['22', 'RSA-OAEP-SHA1'],
]);

const modernWrapping: ReadonlySet<WrappingAlgorithm> = new Set(['kms+context', 'AES/GCM', 'RSA-OAEP-SHA1']);

/** Whether a wrapping algorithm may be read only behind `legacy.wrappingAlgorithms`. */
export function isLegacyWrapping(algorithm: WrappingAlgorithm): boolean {
  return !modernWrapping.has(algorithm);
}

/** Whether KMS wraps the data key. */
export function isKmsWrapping(algorithm: WrappingAlgorithm): boolean {
  return algorithm === 'kms' || algorithm === 'kms+context';
}

/** User metadata without the envelope: what the writer's caller stored there. */
export function userMetadata(metadata: StringMap): Record<string, string> {
  const own = new Set([...envelopeKeys, claimedLengthKey]);
  return Object.fromEntries(Object.entries(metadata).filter(([name]) => !own.has(name)));
}
