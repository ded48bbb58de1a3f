import { committingSuite } from '../../src/format/suites.ts';
import type { GenerateDataKeyRequest, UnwrapDataKeyRequest } from '../../src/keyrings/keyring.ts';

/** A request for a data key with nothing special about it, but for what is given. */
export function generateRequest(given: Partial<GenerateDataKeyRequest> = {}): GenerateDataKeyRequest {
  return {
    suite: committingSuite,
    encryptionContext: undefined,
    materialsDescription: undefined,
    bucket: undefined,
    key: undefined,
    ...given,
  };
}

/** A request to open a data key, as made for a raw keyring's object but for what is given. */
export function unwrapRequest(given: Partial<UnwrapDataKeyRequest> = {}): UnwrapDataKeyRequest {
  return {
    suite: committingSuite,
    wrappedKey: new Uint8Array(60),
    wrappingAlgorithm: 'AES/GCM',
    encryptionContext: {},
    materialsDescription: {},
    bucket: undefined,
    key: undefined,
    ...given,
  };
}
