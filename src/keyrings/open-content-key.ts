/**
 * From a keyring to a content key: the one place where an envelope is made or opened, in the order of the format
 * (section 5): envelope, legacy switches, commitment policy, context; only then the keyring; then the commitment.
 */
import { type ContentKey, deriveKey, newContentKey, storedContentKey, wipe } from '../crypto/content-key.ts';
import { type Envelope, isKmsWrapping } from '../format/envelope.ts';
import { checkContext, checkReadPolicy, type ReadPolicy } from '../format/read-policy.ts';
import { assertStringMap, type StringMap } from '../format/string-map.ts';
import type { ContentSuite } from '../format/suites.ts';
import { writeEnvelope } from '../format/write-envelope.ts';
import type { Keyring } from './keyring.ts';

/** Which object a key is for. */
export interface ObjectName {
  readonly bucket?: string | undefined;
  readonly key?: string | undefined;
}

export interface CreateContentKeyOptions extends ObjectName {
  readonly keyring: Keyring;
  readonly suite: ContentSuite;
  readonly encryptionContext?: StringMap | undefined;
  readonly materialsDescription?: StringMap | undefined;
  /** Plaintext bytes, where known. */
  readonly length?: number | undefined;
  /** What further keys are for; they come back in this order. */
  readonly derive?: readonly Uint8Array[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A content key, and keys for other uses derived beside it. Whoever takes them overwrites them. */
export interface OpenedKeys {
  readonly contentKey: ContentKey;
  readonly derived: readonly Uint8Array[];
}

/** A fresh content key with the envelope that will open it again. */
export async function createContentKey(
  options: CreateContentKeyOptions,
): Promise<OpenedKeys & { envelope: Record<string, string> }> {
  const { keyring, suite, encryptionContext, materialsDescription, bucket, key, length, derive = [], signal } = options;
  const materials = await keyring.generateDataKey({
    suite,
    encryptionContext,
    materialsDescription,
    bucket,
    key,
    signal,
  });
  try {
    const { contentKey, iv, commitment } = newContentKey(suite, materials.dataKey);
    const { wrappedKey, wrappingAlgorithm, description } = materials;
    return {
      contentKey,
      derived: derive.map((info) => deriveKey(materials.dataKey, iv, info)),
      envelope: writeEnvelope({ suite, wrappedKey, wrappingAlgorithm, iv, commitment, description, length }),
    };
  } finally {
    wipe(materials.dataKey);
  }
}

export interface OpenContentKeyOptions extends ObjectName {
  readonly keyring: Keyring;
  readonly envelope: Envelope;
  readonly policy: ReadPolicy;
  /** The context that the caller expects; none means the empty one. */
  readonly encryptionContext?: StringMap | undefined;
  readonly storedLength?: number | undefined;
  /** What further keys are for; they come back in this order. */
  readonly derive?: readonly Uint8Array[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The content key of a stored object.
 * @throws SealpipeError LEGACY_DISABLED, COMMITMENT_POLICY, CONTEXT_MISMATCH before the keyring is asked; then the keyring's
 */
export async function openContentKey(options: OpenContentKeyOptions): Promise<ContentKey> {
  return (await openKeys(options)).contentKey;
}

/** As {@link openContentKey}, with keys for other uses. */
export async function openKeys(options: OpenContentKeyOptions): Promise<OpenedKeys> {
  const { keyring, envelope, policy, encryptionContext, bucket, key, storedLength, derive = [], signal } = options;
  checkReadPolicy(envelope, policy);
  if (encryptionContext !== undefined) assertStringMap(encryptionContext, 'encryptionContext');
  checkContext(envelope, encryptionContext);
  const kms = isKmsWrapping(envelope.wrappingAlgorithm);
  const dataKey = await keyring.unwrapDataKey({
    suite: envelope.suite,
    wrappedKey: envelope.wrappedKey,
    wrappingAlgorithm: envelope.wrappingAlgorithm,
    encryptionContext: kms ? envelope.description : {},
    materialsDescription: kms ? {} : envelope.description,
    bucket,
    key,
    storedLength,
    signal,
  });
  try {
    const contentKey = storedContentKey(envelope, dataKey);
    return { contentKey, derived: derive.map((info) => deriveKey(dataKey, envelope.iv, info)) };
  } finally {
    wipe(dataKey);
  }
}
