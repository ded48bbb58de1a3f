/** AWS KMS: one JSON document in, one out. The `X-Amz-Target` header names the operation. */
import type { Identity } from '../auth/authenticator.ts';
import type { Answer } from '../http/answer.ts';
import { aliasOperations } from './aliases.ts';
import { cryptographicOperations } from './cryptography.ts';
import { grantOperations } from './grants.ts';
import { managementOperations } from './key-management.ts';
import type { KmsKeys } from './keys.ts';
import { KmsError } from './kms-error.ts';
import { type Json, type KmsOperation, KmsParameters } from './request.ts';
import { rotationOperations } from './rotation.ts';

const operations: Readonly<Record<string, KmsOperation>> = {
  ...cryptographicOperations,
  ...managementOperations,
  ...aliasOperations,
  ...rotationOperations,
  ...grantOperations,
};

export const kmsTargetPrefix = 'TrentService.';
/** Of a request. The longest, Encrypt with a long context, has some 15 kB. */
export const maximumKmsBytes: number = 256 * 1024;

/** The name that the request log has for a request, e.g. `KMS.Decrypt`. */
export function kmsOperationName(target: string): string {
  return `KMS.${target.slice(kmsTargetPrefix.length)}`;
}

/** What the request log says about a request's parameters: never its plaintext. */
export function loggedParameters(
  body: Buffer,
): { readonly keyId?: string; readonly encryptionContext?: Readonly<Record<string, string>> } | undefined {
  let values: Json;
  try {
    values = JSON.parse(body.toString('utf8')) as Json;
  } catch {
    return undefined;
  }
  if (typeof values !== 'object' || values === null) return undefined;
  const keyId = values['KeyId'] ?? values['DestinationKeyId'];
  const context = values['EncryptionContext'] ?? values['DestinationEncryptionContext'];
  return {
    ...(typeof keyId === 'string' ? { keyId } : {}),
    ...(typeof context === 'object' && context !== null
      ? { encryptionContext: context as Readonly<Record<string, string>> }
      : {}),
  };
}

/** Carries out a request. @throws KmsError */
export function answerKms(keys: KmsKeys, identity: Identity, target: string, body: Buffer): Answer {
  const name = target.slice(kmsTargetPrefix.length);
  const operation = Object.hasOwn(operations, name) ? operations[name] : undefined;
  if (operation === undefined) {
    throw new KmsError('NotImplementedException', `${name} is not implemented by this local endpoint.`, {
      status: 501,
    });
  }
  let values: unknown;
  try {
    values = JSON.parse(body.length === 0 ? '{}' : body.toString('utf8'));
  } catch (cause) {
    throw new KmsError('SerializationException', 'The body is no JSON.', { cause });
  }
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw new KmsError('SerializationException', 'The body is no JSON object.');
  }
  // KMS would pass over these; but what is not known here may be something that KMS does know.
  const unknown = Object.keys(values).filter((parameter) => knownParameters[name]?.includes(parameter) !== true);
  if (unknown.length > 0) {
    throw new KmsError(
      'NotImplementedException',
      `${name} with ${unknown.join(', ')} is not implemented by this local endpoint.`,
      { status: 501 },
    );
  }
  const parameters = new KmsParameters(values as Json);
  const answer = operation({ keys, region: identity.claim.region, identity, parameters });
  return {
    status: 200,
    headers: { 'content-type': 'application/x-amz-json-1.1' },
    body: answer === undefined ? '' : JSON.stringify(answer),
  };
}

const useOptions = ['GrantTokens', 'DryRun', 'Recipient'];
const paging = ['Limit', 'Marker'];
const bypass = 'BypassPolicyLockoutSafetyCheck';

const knownParameters: Readonly<Record<string, readonly string[]>> = {
  Encrypt: ['KeyId', 'Plaintext', 'EncryptionContext', 'EncryptionAlgorithm', ...useOptions],
  Decrypt: ['CiphertextBlob', 'KeyId', 'EncryptionContext', 'EncryptionAlgorithm', ...useOptions],
  ReEncrypt: [
    'CiphertextBlob',
    'SourceKeyId',
    'SourceEncryptionContext',
    'SourceEncryptionAlgorithm',
    'DestinationKeyId',
    'DestinationEncryptionContext',
    'DestinationEncryptionAlgorithm',
    ...useOptions,
  ],
  GenerateDataKey: ['KeyId', 'EncryptionContext', 'NumberOfBytes', 'KeySpec', ...useOptions],
  GenerateDataKeyWithoutPlaintext: ['KeyId', 'EncryptionContext', 'NumberOfBytes', 'KeySpec', ...useOptions],
  GenerateRandom: ['NumberOfBytes', 'Recipient'],
  GetPublicKey: ['KeyId', 'GrantTokens'],
  CreateKey: [
    'Policy',
    'Description',
    'KeyUsage',
    'CustomerMasterKeySpec',
    'KeySpec',
    'Origin',
    bypass,
    'Tags',
    'MultiRegion',
  ],
  DescribeKey: ['KeyId', 'GrantTokens'],
  ListKeys: paging,
  EnableKey: ['KeyId'],
  DisableKey: ['KeyId'],
  UpdateKeyDescription: ['KeyId', 'Description'],
  ScheduleKeyDeletion: ['KeyId', 'PendingWindowInDays'],
  CancelKeyDeletion: ['KeyId'],
  CreateAlias: ['AliasName', 'TargetKeyId'],
  UpdateAlias: ['AliasName', 'TargetKeyId'],
  DeleteAlias: ['AliasName'],
  ListAliases: ['KeyId', ...paging],
  EnableKeyRotation: ['KeyId', 'RotationPeriodInDays'],
  DisableKeyRotation: ['KeyId'],
  GetKeyRotationStatus: ['KeyId'],
  RotateKeyOnDemand: ['KeyId'],
  ListKeyRotations: ['KeyId', ...paging],
  ReplicateKey: ['KeyId', 'ReplicaRegion', 'Policy', bypass, 'Description', 'Tags'],
  GetKeyPolicy: ['KeyId', 'PolicyName'],
  PutKeyPolicy: ['KeyId', 'PolicyName', 'Policy', bypass],
  ListKeyPolicies: ['KeyId', ...paging],
  TagResource: ['KeyId', 'Tags'],
  UntagResource: ['KeyId', 'TagKeys'],
  ListResourceTags: ['KeyId', ...paging],
  CreateGrant: ['KeyId', 'GranteePrincipal', 'RetiringPrincipal', 'Operations', 'Constraints', 'GrantTokens', 'Name'],
  ListGrants: ['KeyId', 'GrantId', 'GranteePrincipal', ...paging],
  RevokeGrant: ['KeyId', 'GrantId'],
  RetireGrant: ['GrantToken', 'KeyId', 'GrantId'],
};
