/** What the two raw keyrings share: descriptions, keys chosen by them, and one error for every failed unwrapping. */
import { SealpipeError } from '../errors.ts';
import { assertStringMap, equalMaps, type StringMap } from '../format/string-map.ts';
import type { GenerateDataKeyRequest } from './keyring.ts';

/** A decryption key and the exact materials description of the objects that it opens. */
export interface AdditionalKey<Key> {
  readonly key: Key;
  readonly materialsDescription: StringMap;
}

/** The key whose description equals the object's. A subset is no match. */
export function additionalKey<Key>(keys: readonly AdditionalKey<Key>[], description: StringMap): Key | undefined {
  return keys.find((entry) => equalMaps(entry.materialsDescription, description))?.key;
}

/** The description to store: the caller's for this object, else the keyring's. */
export function rawDescription(request: GenerateDataKeyRequest, own: StringMap, kind: string): StringMap {
  const { encryptionContext, materialsDescription } = request;
  if (encryptionContext !== undefined && Object.keys(encryptionContext).length > 0) {
    throw new TypeError(
      `an encryption context was given with an ${kind} keyring, which has none: give materialsDescription`,
    );
  }
  if (materialsDescription === undefined) return own;
  assertStringMap(materialsDescription, 'materialsDescription');
  return materialsDescription;
}

/** Every failed unwrapping of a raw key looks the same, so that nothing can be learned from which step failed. */
export function rawUnwrapFailure(cause: unknown): SealpipeError {
  // The cause would tell the steps apart.
  void cause;
  return new SealpipeError(
    'AUTHENTICATION_FAILED',
    'the wrapped data key does not open with the key given: another key, or the envelope was altered',
  );
}
