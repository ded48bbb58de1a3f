import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { CreateKeyCommand, type KMSClient, ScheduleKeyDeletionCommand } from '@aws-sdk/client-kms';
import { description, type ObjectSpec } from './objects.ts';
import type { KeyringSpec, KeyringType } from './peer.ts';

/** One key of each kind. */
type KeySet = Readonly<Record<KeyringType, KeyringSpec>>;

/** The wrapping keys of one run: those that objects are written with, and others that must not open them. */
export class KeyringSpecs {
  readonly #own: KeySet;
  readonly #other: KeySet;

  private constructor(own: KeySet, other: KeySet) {
    this.#own = own;
    this.#other = other;
  }

  static async create(kms: KMSClient): Promise<KeyringSpecs> {
    return new KeyringSpecs(await keySet(kms), await keySet(kms));
  }

  /** The keyring of an object, or one of the same kind over another key. */
  of(spec: ObjectSpec, which: 'own' | 'other' = 'own'): KeyringSpec {
    const keyring = (which === 'own' ? this.#own : this.#other)[spec.keyring];
    return spec.described && keyring.type !== 'kms' ? { ...keyring, materialsDescription: description } : keyring;
  }

  /** Has KMS delete its keys, as soon as it does so. */
  async discard(kms: KMSClient): Promise<void> {
    for (const { kms: keyring } of [this.#own, this.#other]) {
      if (keyring.type !== 'kms') continue;
      // By its id: not every double of KMS takes an ARN here.
      const KeyId = keyring.keyId.replace(/^.*\//, '');
      await kms.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
    }
  }
}

async function keySet(kms: KMSClient): Promise<KeySet> {
  const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: 'sealpipe interop' }));
  if (KeyMetadata?.Arn === undefined) throw new Error('KMS created a key without an ARN');
  const rsa = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return {
    kms: { type: 'kms', keyId: KeyMetadata.Arn },
    aes: { type: 'aes', key: randomBytes(32).toString('base64') },
    rsa: { type: 'rsa', ...rsa },
  };
}
