/** A keyring chosen object by object, as EMRFS's encryption materials providers do. */
import { SealpipeError } from '../errors.ts';
import { isKmsWrapping } from '../format/envelope.ts';
import type { StringMap } from '../format/string-map.ts';
import type { EncryptionMaterials, GenerateDataKeyRequest, Keyring, UnwrapDataKeyRequest } from './keyring.ts';

/** What a provider is told about the object. */
export interface ProviderRequest {
  readonly bucket: string;
  readonly key: string;
  /** Reading: what the object holds (for KMS its encryption context). Writing: what the caller gave, or empty. */
  readonly materialsDescription: StringMap;
  readonly operation: 'encrypt' | 'decrypt';
  readonly signal: AbortSignal | undefined;
}

/** Returns the keyring of one object. */
export type KeyringProvider = (request: ProviderRequest) => Keyring | Promise<Keyring>;

/**
 * A keyring that asks `provider` for the keyring of each object.
 * What the provider throws becomes ERR_SEALPIPE_PROVIDER_FAILED with that as its cause.
 */
export function providerKeyring(provider: KeyringProvider): Keyring {
  if (typeof provider !== 'function') throw new TypeError('provider is no function');
  const ask = async (request: ProviderRequest): Promise<Keyring> => {
    let keyring: unknown;
    try {
      keyring = await provider(request);
    } catch (cause) {
      if (cause instanceof SealpipeError) throw cause;
      throw new SealpipeError(
        'PROVIDER_FAILED',
        `the materials provider failed for s3://${request.bucket}/${request.key}: see the cause`,
        {
          cause,
          bucket: request.bucket,
          key: request.key,
        },
      );
    }
    if (!isKeyring(keyring)) {
      throw new SealpipeError(
        'PROVIDER_FAILED',
        `the materials provider returned no keyring for s3://${request.bucket}/${request.key}`,
        {
          bucket: request.bucket,
          key: request.key,
        },
      );
    }
    return keyring;
  };
  return {
    async generateDataKey(request: GenerateDataKeyRequest): Promise<EncryptionMaterials> {
      const keyring = await ask({
        bucket: request.bucket ?? '',
        key: request.key ?? '',
        materialsDescription: request.materialsDescription ?? request.encryptionContext ?? {},
        operation: 'encrypt',
        signal: request.signal,
      });
      return keyring.generateDataKey(request);
    },
    async unwrapDataKey(request: UnwrapDataKeyRequest): Promise<Uint8Array> {
      const kms = isKmsWrapping(request.wrappingAlgorithm);
      const keyring = await ask({
        bucket: request.bucket ?? '',
        key: request.key ?? '',
        materialsDescription: kms ? request.encryptionContext : request.materialsDescription,
        operation: 'decrypt',
        signal: request.signal,
      });
      return keyring.unwrapDataKey(request);
    },
  };
}

/** Whether a value has the two methods of a keyring. */
export function isKeyring(value: unknown): value is Keyring {
  const candidate = value as Partial<Keyring> | null | undefined;
  return typeof candidate?.generateDataKey === 'function' && typeof candidate.unwrapDataKey === 'function';
}

/** @throws TypeError when what should be a keyring is none */
export function assertKeyring(keyring: unknown): asserts keyring is Keyring {
  if (isKeyring(keyring)) return;
  throw new TypeError('keyring is missing: expected kmsKeyring(…), aesKeyring(…), rsaKeyring(…) or one of your own');
}
