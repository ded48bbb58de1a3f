/** Decrypts with whatever KMS key wrapped the data key, as long as it lies in an account that the caller trusts. */
import type { KMSClient } from '@aws-sdk/client-kms';
import { wipe } from '../crypto/content-key.ts';
import { SealpipeError } from '../errors.ts';
import { sendDecrypt } from '../requests/kms-request.ts';
import { answerTimeout, withDeadline } from '../retry/send-deadline.ts';
import type { EncryptionMaterials, Keyring, UnwrapDataKeyRequest } from './keyring.ts';
import {
  assertKmsClient,
  assertKmsWrapping,
  assertTimeout,
  assertTransport,
  type KmsTransport,
  takeKey,
} from './kms.ts';
import { kmsFailure } from './kms-failure.ts';

/** Whose keys a discovery keyring trusts, and how KMS is asked. */
export interface KmsDiscoveryKeyringOptions {
  /** It is not changed, and not destroyed. */
  readonly client: KMSClient;
  /** AWS account ids (12 digits) whose keys are trusted; at least one. Without it anybody's key would make content "authenticated". */
  readonly accounts: readonly string[];
  /** Regions whose keys are trusted. Default: any. */
  readonly regions?: readonly string[] | undefined;
  /** Default `aws`. */
  readonly partition?: string | undefined;
  /** Milliseconds until a call that KMS does not answer is given up, the client's own repeats included. Default 60 000. */
  readonly timeout?: number | undefined;
  /** As of {@link kmsKeyring}. Default `auto`. */
  readonly transport?: KmsTransport | undefined;
}

const keyArn = /^arn:([^:]+):kms:([^:]+):(\d{12}):key\/.+$/;

/** A keyring that only decrypts, and takes the key id from the wrapped key itself. The answer's key ARN is checked before use. */
export function kmsDiscoveryKeyring({
  client,
  accounts,
  regions,
  partition = 'aws',
  timeout = answerTimeout,
  transport,
}: KmsDiscoveryKeyringOptions): Keyring {
  if (!(accounts?.length > 0))
    throw new TypeError('accounts is empty: name at least one AWS account whose keys are trusted');
  const wrong = accounts.find((account) => !/^\d{12}$/.test(account));
  if (wrong !== undefined) throw new TypeError(`accounts holds ${JSON.stringify(wrong)}, expected ids of 12 digits`);
  assertKmsClient(client);
  assertTimeout(timeout);
  assertTransport(transport);
  return {
    async generateDataKey(): Promise<EncryptionMaterials> {
      throw new TypeError('a KMS discovery keyring only decrypts: give kmsKeyring({ keyId }) for writing');
    },

    async unwrapDataKey(request: UnwrapDataKeyRequest): Promise<Uint8Array> {
      assertKmsWrapping(request);
      const input = { CiphertextBlob: request.wrappedKey, EncryptionContext: { ...request.encryptionContext } };
      const answer = await withDeadline((ended) => sendDecrypt(client, input, { signal: ended, transport }), {
        timeout,
        signal: request.signal,
        what: 'Decrypt',
      }).catch((cause: unknown) => {
        throw kmsFailure(cause, { operation: 'Decrypt', keyId: undefined });
      });
      const dataKey = takeKey(answer.Plaintext, 'Decrypt');
      const [, keyPartition, keyRegion = '', account = ''] = keyArn.exec(answer.KeyId ?? '') ?? [];
      if (
        keyPartition === partition &&
        accounts.includes(account) &&
        (regions === undefined || regions.includes(keyRegion))
      )
        return dataKey;
      wipe(dataKey);
      throw new SealpipeError(
        'KEY_DENIED',
        `the data key was wrapped by ${answer.KeyId ?? 'a key that KMS did not name'}, which is outside of the accounts and regions that the discovery keyring trusts`,
      );
    },
  };
}
