/** Data keys wrapped by an AES key of the caller's own. */
import { createCipheriv, createDecipheriv, createSecretKey, KeyObject, randomFillSync } from 'node:crypto';
import { secretBytes } from '../crypto/secret-memory.ts';
import { SealpipeError } from '../errors.ts';
import { assertStringMap, type StringMap } from '../format/string-map.ts';
import { dataKeyLength } from '../format/suites.ts';
import { type AdditionalKey, additionalKey, rawDescription, rawUnwrapFailure } from './additional-keys.ts';
import type { EncryptionMaterials, GenerateDataKeyRequest, Keyring, UnwrapDataKeyRequest } from './keyring.ts';

/** The key of an AES keyring. */
export interface AesKeyringOptions {
  /** 16, 24 or 32 bytes. Without it the keyring only decrypts, with the `additional` keys. */
  readonly key?: KeyObject | Uint8Array | undefined;
  /** Stored beside every object, in the clear: says which key it is, for those who hold several. */
  readonly materialsDescription?: StringMap | undefined;
  /** Keys for decryption alone, each chosen where its description equals the object's exactly. The match wins over `key`. */
  readonly additional?: readonly AdditionalKey<KeyObject | Uint8Array>[] | undefined;
}

/** A keyring over one AES wrapping key. Writes `AES/GCM`; reads that, and `AESWrap` and `AES` where the policy allows legacy. */
export function aesKeyring(options: AesKeyringOptions): Keyring {
  const own = options.key === undefined ? undefined : secretKey(options.key, 'key');
  const description = options.materialsDescription ?? {};
  assertStringMap(description, 'materialsDescription');
  const additional = (options.additional ?? []).map((entry, index) => {
    assertStringMap(entry.materialsDescription, `additional[${index}].materialsDescription`);
    return { key: secretKey(entry.key, `additional[${index}].key`), materialsDescription: entry.materialsDescription };
  });
  if (own === undefined && additional.length === 0)
    throw new TypeError('key is missing: expected an AES key of 16, 24 or 32 bytes');
  return {
    async generateDataKey(request: GenerateDataKeyRequest): Promise<EncryptionMaterials> {
      const { binding } = request.suite;
      if (binding === null) throw new Error('internal error: CBC is never written');
      if (own === undefined) throw new TypeError('the AES keyring has no key of its own: give one for writing');
      const stored = rawDescription(request, description, 'AES');
      const dataKey = randomFillSync(secretBytes(dataKeyLength));
      const iv = randomFillSync(new Uint8Array(12));
      const cipher = createCipheriv(`aes-${keyBits(own)}-gcm`, own, iv, { authTagLength: 16 });
      cipher.setAAD(Buffer.from(binding, 'latin1'));
      const wrappedKey = Buffer.concat([iv, cipher.update(dataKey), cipher.final(), cipher.getAuthTag()]);
      return { dataKey, wrappedKey, wrappingAlgorithm: 'AES/GCM', description: stored };
    },

    async unwrapDataKey(request: UnwrapDataKeyRequest): Promise<Uint8Array> {
      const unwrap = unwrappers[request.wrappingAlgorithm];
      if (unwrap === undefined) {
        throw new SealpipeError(
          'KEY_MISMATCH',
          `the data key is wrapped by ${request.wrappingAlgorithm}, the keyring given is AES: give the ${request.wrappingAlgorithm.startsWith('kms') ? 'KMS' : 'RSA'} key that the object was written with`,
        );
      }
      const key = additionalKey(additional, request.materialsDescription) ?? own;
      if (key === undefined) {
        throw new SealpipeError(
          'KEY_MISMATCH',
          `none of the ${additional.length} AES keys is for the object's materials description: give the key that it was written with`,
        );
      }
      let dataKey: Uint8Array;
      try {
        dataKey = unwrap(key, request);
      } catch (cause) {
        throw rawUnwrapFailure(cause);
      }
      if (dataKey.length !== dataKeyLength) throw rawUnwrapFailure(undefined);
      return dataKey;
    },
  };
}

type Unwrap = (key: KeyObject, request: UnwrapDataKeyRequest) => Uint8Array;

const unwrappers: Partial<Record<string, Unwrap>> = {
  'AES/GCM': (key, { wrappedKey, suite }) => {
    if (wrappedKey.length !== 12 + dataKeyLength + 16) throw new Error('wrong length');
    const decipher = createDecipheriv(`aes-${keyBits(key)}-gcm`, key, wrappedKey.subarray(0, 12), {
      authTagLength: 16,
    });
    decipher.setAAD(Buffer.from(suite.binding ?? '', 'latin1'));
    decipher.setAuthTag(wrappedKey.subarray(-16));
    return joined(decipher.update(wrappedKey.subarray(12, -16)), decipher.final());
  },
  // RFC 3394 with its default initial value.
  AESWrap: (key, { wrappedKey }) => {
    const decipher = createDecipheriv(`id-aes${keyBits(key)}-wrap`, key, Buffer.alloc(8, 0xa6));
    return joined(decipher.update(wrappedKey), decipher.final());
  },
  AES: (key, { wrappedKey }) => {
    const decipher = createDecipheriv(`aes-${keyBits(key)}-ecb`, key, null);
    return joined(decipher.update(wrappedKey), decipher.final());
  },
};

/** One unpooled array of two pieces, which are overwritten. */
function joined(head: Buffer, tail: Buffer): Uint8Array {
  const whole = secretBytes(head.length + tail.length);
  whole.set(head);
  whole.set(tail, head.length);
  head.fill(0);
  tail.fill(0);
  return whole;
}

function keyBits(key: KeyObject): 128 | 192 | 256 {
  return ((key.symmetricKeySize ?? 0) * 8) as 128 | 192 | 256;
}

function secretKey(key: KeyObject | Uint8Array, name: string): KeyObject {
  const object = key instanceof KeyObject ? key : key instanceof Uint8Array ? createSecretKey(key) : undefined;
  if (object?.type !== 'secret')
    throw new TypeError(`${name} is no AES key: expected a Uint8Array or a secret KeyObject`);
  if (![16, 24, 32].includes(object.symmetricKeySize ?? 0)) {
    throw new RangeError(`${name} has ${object.symmetricKeySize} bytes: an AES key has 16, 24 or 32`);
  }
  return object;
}
