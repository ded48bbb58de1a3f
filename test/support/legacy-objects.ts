/** A writer of what older clients wrote, which the package only reads. */
import { createCipheriv, randomBytes } from 'node:crypto';
import { GenerateDataKeyCommand, type KMSClient } from '@aws-sdk/client-kms';

/** An object as it is stored. */
export interface LegacyObject {
  readonly body: Buffer;
  readonly metadata: Record<string, string>;
}

/**
 * An object of format V1, its data key wrapped by AES in ECB mode.
 * @param wrappingKey 32 bytes
 * @param options `content` GCM as the client's strict mode wrote it; `claim` the plaintext length that it states
 */
export function legacyObject(
  wrappingKey: Uint8Array,
  plaintext: Uint8Array,
  { content = 'CBC', claim }: { content?: 'CBC' | 'GCM'; claim?: number } = {},
): LegacyObject {
  const dataKey = randomBytes(32);
  const wrap = createCipheriv('aes-256-ecb', wrappingKey, null);
  const wrapped = Buffer.concat([wrap.update(dataKey), wrap.final()]);
  const iv = randomBytes(content === 'CBC' ? 16 : 12);
  const common = {
    'x-amz-key': wrapped.toString('base64'),
    'x-amz-iv': iv.toString('base64'),
    'x-amz-matdesc': '{}',
    ...(claim === undefined ? {} : { 'x-amz-unencrypted-content-length': String(claim) }),
  };
  if (content === 'CBC') {
    const cipher = createCipheriv('aes-256-cbc', dataKey, iv);
    return { body: Buffer.concat([cipher.update(plaintext), cipher.final()]), metadata: common };
  }
  const cipher = createCipheriv('aes-256-gcm', dataKey, iv, { authTagLength: 16 });
  return {
    body: Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]),
    metadata: { ...common, 'x-amz-cek-alg': 'AES/GCM/NoPadding', 'x-amz-tag-len': '128' },
  };
}

/** An object as the SDKs' first encryption clients wrote it with KMS: CBC, the key bound to nothing but the name of its key. */
export async function legacyKmsObject(
  { kms, keyId }: { readonly kms: KMSClient; readonly keyId: string },
  plaintext: Uint8Array,
): Promise<LegacyObject> {
  const context = { kms_cmk_id: keyId };
  const { Plaintext: dataKey, CiphertextBlob: wrapped } = await kms.send(
    new GenerateDataKeyCommand({ KeyId: keyId, KeySpec: 'AES_256', EncryptionContext: context }),
  );
  if (dataKey === undefined || wrapped === undefined) throw new Error('KMS answered without a key');
  const iv = randomBytes(16);
  const cipher = createCipheriv('aes-256-cbc', dataKey, iv);
  return {
    body: Buffer.concat([cipher.update(plaintext), cipher.final()]),
    metadata: {
      'x-amz-key-v2': Buffer.from(wrapped).toString('base64'),
      'x-amz-iv': iv.toString('base64'),
      'x-amz-cek-alg': 'AES/CBC/PKCS5Padding',
      'x-amz-wrap-alg': 'kms',
      'x-amz-matdesc': JSON.stringify(context),
    },
  };
}

/** What a reader of them has to allow. */
export const legacyPolicy = {
  commitmentPolicy: 'REQUIRE_ENCRYPT_ALLOW_DECRYPT',
  legacy: { wrappingAlgorithms: true, unauthenticatedModes: true },
} as const;
