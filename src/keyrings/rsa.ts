/** Data keys wrapped by an RSA key of the caller's own. With the public key alone: encrypts, cannot decrypt. */
import {
  constants,
  createPrivateKey,
  createPublicKey,
  KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomFillSync,
} from 'node:crypto';
import { secretBytes, secretCopy } from '../crypto/secret-memory.ts';
import { SealpipeError } from '../errors.ts';
import { assertStringMap, type StringMap } from '../format/string-map.ts';
import { dataKeyLength } from '../format/suites.ts';
import { type AdditionalKey, additionalKey, rawDescription, rawUnwrapFailure } from './additional-keys.ts';
import type { EncryptionMaterials, GenerateDataKeyRequest, Keyring, UnwrapDataKeyRequest } from './keyring.ts';
import { removeOaepSha256Mgf1Sha1Padding, removePkcs1Padding } from './rsa-legacy-padding.ts';

/** A key as PEM text, PEM or DER bytes (SPKI, PKCS#8), or a KeyObject. */
export type RsaKeyInput = KeyObject | string | Uint8Array;

/** The keys of an RSA keyring: at least one of the two halves, or `additional`. */
export interface RsaKeyringOptions {
  /** Encrypts. Derived from the private key when left out. From 2 048 bits. */
  readonly publicKey?: RsaKeyInput | undefined;
  /** Decrypts. Without it the keyring only encrypts. */
  readonly privateKey?: RsaKeyInput | undefined;
  /** Stored beside every object, in the clear: says which key it is, for those who hold several. */
  readonly materialsDescription?: StringMap | undefined;
  /** Private keys for decryption alone, each chosen where its description equals the object's exactly. The match wins. */
  readonly additional?: readonly AdditionalKey<RsaKeyInput>[] | undefined;
}

/** A keyring over one RSA key pair. Writes `RSA-OAEP-SHA1`; reads that, and the two legacy RSA wrappings where the policy allows. */
export function rsaKeyring(options: RsaKeyringOptions): Keyring {
  const privateKey = options.privateKey === undefined ? undefined : rsaKey(options.privateKey, 'private', 'privateKey');
  const publicKey =
    options.publicKey !== undefined
      ? rsaKey(options.publicKey, 'public', 'publicKey')
      : privateKey !== undefined
        ? createPublicKey(privateKey)
        : undefined;
  const description = options.materialsDescription ?? {};
  assertStringMap(description, 'materialsDescription');
  const additional = (options.additional ?? []).map((entry, index) => {
    assertStringMap(entry.materialsDescription, `additional[${index}].materialsDescription`);
    return {
      key: rsaKey(entry.key, 'private', `additional[${index}].key`),
      materialsDescription: entry.materialsDescription,
    };
  });
  if (publicKey === undefined && additional.length === 0)
    throw new TypeError('publicKey and privateKey are both missing: give at least one');
  return {
    async generateDataKey(request: GenerateDataKeyRequest): Promise<EncryptionMaterials> {
      const { binding } = request.suite;
      if (binding === null) throw new Error('internal error: CBC is never written');
      if (publicKey === undefined) throw new TypeError('the RSA keyring has no public key: give one for writing');
      const stored = rawDescription(request, description, 'RSA');
      const dataKey = randomFillSync(secretBytes(dataKeyLength));
      // One byte length of the key ‖ key ‖ the suite's name: the format binds the wrapping to the suite this way.
      const message = secretBytes(1 + dataKeyLength + binding.length);
      message[0] = dataKeyLength;
      message.set(dataKey, 1);
      message.set(Buffer.from(binding, 'latin1'), 1 + dataKeyLength);
      const wrappedKey = publicEncrypt(
        { key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
        message,
      );
      message.fill(0);
      return { dataKey, wrappedKey, wrappingAlgorithm: 'RSA-OAEP-SHA1', description: stored };
    },

    async unwrapDataKey(request: UnwrapDataKeyRequest): Promise<Uint8Array> {
      const unwrap = unwrappers[request.wrappingAlgorithm];
      if (unwrap === undefined) {
        throw new SealpipeError(
          'KEY_MISMATCH',
          `the data key is wrapped by ${request.wrappingAlgorithm}, the keyring given is RSA: give the ${request.wrappingAlgorithm.startsWith('kms') ? 'KMS' : 'AES'} key that the object was written with`,
        );
      }
      const key = additionalKey(additional, request.materialsDescription) ?? privateKey;
      if (key === undefined) {
        throw new SealpipeError(
          'KEY_MISMATCH',
          'the keyring has only an RSA public key, which encrypts but cannot decrypt: give the private key',
        );
      }
      // The length is public, and OpenSSL would tell it by an error of its own.
      if (request.wrappedKey.length !== modulusLength(key)) throw rawUnwrapFailure(undefined);
      try {
        return unwrap(key, request);
      } catch (cause) {
        throw rawUnwrapFailure(cause);
      }
    },
  };
}

type Unwrap = (key: KeyObject, request: UnwrapDataKeyRequest) => Uint8Array;

const unwrappers: Partial<Record<string, Unwrap>> = {
  'RSA-OAEP-SHA1': (key, { wrappedKey, suite }) => {
    const message = privateDecrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }, wrappedKey);
    const binding = Buffer.from(suite.binding ?? '', 'latin1');
    const good =
      message.length === 1 + dataKeyLength + binding.length &&
      message[0] === dataKeyLength &&
      message.subarray(1 + dataKeyLength).equals(binding);
    const dataKey = secretCopy(message.subarray(1, 1 + dataKeyLength));
    message.fill(0);
    if (!good) throw new Error('wrong content');
    return dataKey;
  },
  'RSA/ECB/OAEPWithSHA-256AndMGF1Padding': (key, { wrappedKey }) =>
    withoutPadding(key, wrappedKey, removeOaepSha256Mgf1Sha1Padding),
  RSA: (key, { wrappedKey }) => withoutPadding(key, wrappedKey, removePkcs1Padding),
};

function withoutPadding(
  key: KeyObject,
  wrappedKey: Uint8Array,
  remove: (encoded: Uint8Array, length: number) => Uint8Array,
): Uint8Array {
  const encoded = privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, wrappedKey);
  const dataKey = remove(encoded, dataKeyLength);
  encoded.fill(0);
  return dataKey;
}

function modulusLength(key: KeyObject): number {
  return Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
}

function rsaKey(input: RsaKeyInput, type: 'public' | 'private', name: string): KeyObject {
  const key = input instanceof KeyObject ? input : parseKey(input, type, name);
  if (key.type !== type || key.asymmetricKeyType !== 'rsa') throw new TypeError(`${name} is no RSA ${type} key`);
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits < 2048) throw new RangeError(`${name} has ${bits} bits: an RSA key needs at least 2048`);
  return key;
}

function parseKey(input: string | Uint8Array, type: 'public' | 'private', name: string): KeyObject {
  const pem =
    typeof input === 'string' ||
    Buffer.from(input.subarray(0, 64)).toString('latin1').trimStart().startsWith('-----BEGIN');
  // A view: a copy would leave the private key in the pool that all small Buffers share.
  const bytes = typeof input === 'string' ? input : Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  try {
    if (type === 'public')
      return createPublicKey(
        pem ? { key: bytes, format: 'pem' } : { key: bytes as Buffer, format: 'der', type: 'spki' },
      );
    return createPrivateKey(
      pem ? { key: bytes, format: 'pem' } : { key: bytes as Buffer, format: 'der', type: 'pkcs8' },
    );
  } catch {
    // OpenSSL's message may quote the input.
    throw new TypeError(
      `${name} cannot be read: expected an RSA ${type} key in PEM or DER (${type === 'public' ? 'SPKI' : 'PKCS#8, not encrypted'})`,
    );
  }
}
