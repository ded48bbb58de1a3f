/** Who wraps data keys. The one seam for key management: KMS, raw keys, or whatever a caller brings. */
import type { WrappingAlgorithm } from '../format/envelope.ts';
import type { StringMap } from '../format/string-map.ts';
import type { ContentSuite } from '../format/suites.ts';

/** Asks for a fresh data key for one object. */
export interface GenerateDataKeyRequest {
  /** The suite that the data key must be bound to (`suite.binding`). */
  readonly suite: ContentSuite;
  /** The caller's context, without reserved entries. */
  readonly encryptionContext: StringMap | undefined;
  /** The caller's description for this object. Undefined: the keyring's own. */
  readonly materialsDescription: StringMap | undefined;
  readonly bucket: string | undefined;
  readonly key: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A fresh data key and what the envelope has to say about it. */
export interface EncryptionMaterials {
  /** 32 bytes, in memory of its own: it is overwritten once the content key is made. */
  readonly dataKey: Uint8Array;
  readonly wrappedKey: Uint8Array;
  readonly wrappingAlgorithm: WrappingAlgorithm;
  /** What is stored: for KMS the whole encryption context, reserved entry included; for others the materials description. */
  readonly description: StringMap;
}

/** Asks for the data key of a stored object. Policy, context and binding in the envelope have been checked already. */
export interface UnwrapDataKeyRequest {
  readonly suite: ContentSuite;
  readonly wrappedKey: Uint8Array;
  readonly wrappingAlgorithm: WrappingAlgorithm;
  /** KMS: the stored context, whole. Others: empty. */
  readonly encryptionContext: StringMap;
  /** AES, RSA: the stored description. KMS: empty. */
  readonly materialsDescription: StringMap;
  readonly bucket: string | undefined;
  readonly key: string | undefined;
  /** Bytes of the stored object, where known; a cache counts them. */
  readonly storedLength?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Who wraps and unwraps data keys. One of your own needs these two methods and no more. */
export interface Keyring {
  /**
   * Makes a data key that encrypts one object.
   * @throws SealpipeError when the keyring cannot encrypt, or its key service refuses
   */
  generateDataKey(request: GenerateDataKeyRequest): Promise<EncryptionMaterials>;
  /**
   * Returns the 32-byte data key in memory of its own (the caller overwrites it).
   * @throws SealpipeError KEY_MISMATCH when the wrapping is not this keyring's, AUTHENTICATION_FAILED when it does not open
   */
  unwrapDataKey(request: UnwrapDataKeyRequest): Promise<Uint8Array>;
}
