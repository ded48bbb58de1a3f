/** Data keys from AWS KMS: GenerateDataKey and Decrypt, under an encryption context that binds them to the content suite. */
import type { KMSClient } from '@aws-sdk/client-kms';
import { secretCopy } from '../crypto/secret-memory.ts';
import { SealpipeError } from '../errors.ts';
import { kmsKeyIdContextKey, reservedContextKey } from '../format/envelope.ts';
import { assertStringMap } from '../format/string-map.ts';
import { dataKeyLength } from '../format/suites.ts';
import { sendDecrypt, sendGenerateDataKey } from '../requests/kms-request.ts';
import { answerTimeout, withDeadline } from '../retry/send-deadline.ts';
import type { EncryptionMaterials, GenerateDataKeyRequest, Keyring, UnwrapDataKeyRequest } from './keyring.ts';
import { kmsFailure } from './kms-failure.ts';

/** The key of a KMS keyring, and how KMS is asked. */
export interface KmsKeyringOptions {
  /** Key id, key ARN, alias name (`alias/…`) or alias ARN. Sent with Decrypt too, so that KMS refuses any other key. */
  readonly keyId: string;
  /** It is not changed, and not destroyed. */
  readonly client: KMSClient;
  /** Sent with each call. Default: none. */
  readonly grantTokens?: readonly string[] | undefined;
  /** Milliseconds until a call that KMS does not answer is given up, the client's own repeats included. Default 60 000. */
  readonly timeout?: number | undefined;
  /**
   * `client`: every call goes through the client. Default `auto`: those after the first leave without it while nothing but the SDK's
   * own is in it, which costs a fraction of the time.
   */
  readonly transport?: KmsTransport | undefined;
}

export type KmsTransport = 'auto' | 'client';

/** A keyring over one KMS key. One GenerateDataKey per written object, one Decrypt per opened one. */
export function kmsKeyring({ keyId, client, grantTokens, timeout, transport }: KmsKeyringOptions): Keyring {
  if (typeof keyId !== 'string' || keyId === '')
    throw new TypeError('keyId is missing: expected a KMS key id, key ARN, alias or alias ARN');
  assertKmsClient(client);
  assertTimeout(timeout);
  assertTransport(transport);
  const tokens = grantTokens === undefined ? {} : { GrantTokens: [...grantTokens] };
  return {
    async generateDataKey(request: GenerateDataKeyRequest): Promise<EncryptionMaterials> {
      const { suite, signal } = request;
      const context = request.encryptionContext ?? {};
      assertWritableContext(request);
      if (suite.binding === null) throw new Error('internal error: CBC is never written');
      const description = { ...context, [reservedContextKey]: suite.binding };
      const input = { KeyId: keyId, KeySpec: 'AES_256', EncryptionContext: description, ...tokens } as const;
      const answer = await withDeadline((ended) => sendGenerateDataKey(client, input, { signal: ended, transport }), {
        timeout: timeout ?? answerTimeout,
        signal,
        what: 'GenerateDataKey',
      }).catch((cause: unknown) => {
        throw kmsFailure(cause, { operation: 'GenerateDataKey', keyId });
      });
      const dataKey = takeKey(answer.Plaintext, 'GenerateDataKey');
      if (answer.CiphertextBlob === undefined || answer.CiphertextBlob.length === 0) {
        throw new SealpipeError(
          'KMS_UNAVAILABLE',
          'KMS answered GenerateDataKey without a wrapped key: this is no usable KMS',
        );
      }
      return { dataKey, wrappedKey: answer.CiphertextBlob, wrappingAlgorithm: 'kms+context', description };
    },

    async unwrapDataKey(request: UnwrapDataKeyRequest): Promise<Uint8Array> {
      assertKmsWrapping(request);
      const input = {
        CiphertextBlob: request.wrappedKey,
        EncryptionContext: { ...request.encryptionContext },
        KeyId: keyId,
        ...tokens,
      };
      const answer = await withDeadline((ended) => sendDecrypt(client, input, { signal: ended, transport }), {
        timeout: timeout ?? answerTimeout,
        signal: request.signal,
        what: 'Decrypt',
      }).catch((cause: unknown) => {
        throw kmsFailure(cause, { operation: 'Decrypt', keyId });
      });
      return takeKey(answer.Plaintext, 'Decrypt');
    },
  };
}

/** @throws TypeError when it is no client */
export function assertKmsClient(client: unknown): asserts client is KMSClient {
  if (typeof (client as Partial<KMSClient> | undefined)?.send !== 'function')
    throw new TypeError('client is missing: expected a KMSClient of @aws-sdk/client-kms');
}

/** @throws RangeError when it is no number of milliseconds */
export function assertTimeout(timeout: number | undefined): void {
  if (timeout !== undefined && !(timeout > 0))
    throw new RangeError(`timeout is ${timeout}, expected a number of milliseconds`);
}

/** @throws TypeError when it is none */
export function assertTransport(transport: KmsTransport | undefined): void {
  if (transport !== undefined && transport !== 'auto' && transport !== 'client')
    throw new TypeError(`transport is ${JSON.stringify(transport)}, expected 'auto' or 'client'`);
}

/** @throws TypeError when a caller sets what only we may set, or a description that KMS envelopes have no place for */
function assertWritableContext({ encryptionContext, materialsDescription }: GenerateDataKeyRequest): void {
  if (materialsDescription !== undefined && Object.keys(materialsDescription).length > 0) {
    throw new TypeError(
      'a materials description was given with a KMS keyring, whose envelopes hold an encryption context instead: give encryptionContext',
    );
  }
  if (encryptionContext === undefined) return;
  assertStringMap(encryptionContext, 'encryptionContext');
  for (const name of [reservedContextKey, kmsKeyIdContextKey]) {
    if (Object.hasOwn(encryptionContext, name))
      throw new TypeError(`encryptionContext holds ${name}, which is reserved: leave it out`);
  }
}

/** @throws SealpipeError KEY_MISMATCH when the data key was not wrapped by KMS */
export function assertKmsWrapping({ wrappingAlgorithm }: UnwrapDataKeyRequest): void {
  if (wrappingAlgorithm === 'kms' || wrappingAlgorithm === 'kms+context') return;
  throw new SealpipeError(
    'KEY_MISMATCH',
    `the data key is wrapped by ${wrappingAlgorithm}, the keyring given is KMS: give the ${wrappingAlgorithm.startsWith('RSA') ? 'RSA' : 'AES'} key that the object was written with`,
  );
}

/** The key of an answer, moved into memory of our own; the SDK's copy is overwritten. */
export function takeKey(plaintext: Uint8Array | undefined, operation: string): Uint8Array {
  if (plaintext?.length !== dataKeyLength) {
    throw new SealpipeError(
      'KEY_MISMATCH',
      `KMS answered ${operation} with a key of ${plaintext?.length ?? 0} bytes, expected ${dataKeyLength}`,
    );
  }
  const key = secretCopy(plaintext);
  plaintext.fill(0);
  return key;
}
