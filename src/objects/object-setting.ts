import type { S3Client } from '@aws-sdk/client-s3';
import { assertStorage, type EnvelopeStorage } from '../format/envelope.ts';
import { assertReadPolicy, type ReadPolicy, writingSuite } from '../format/read-policy.ts';
import { assertStringMap, type StringMap } from '../format/string-map.ts';
import type { ContentSuite, WritableSuiteName } from '../format/suites.ts';
import type { Keyring } from '../keyrings/keyring.ts';
import { assertKeyring } from '../keyrings/provider.ts';

/** What the operations on objects share: the caller's client, keyring and policy. */
export interface ObjectSetting {
  readonly client: S3Client;
  readonly keyring: Keyring;
  readonly suite: ContentSuite;
  readonly storage: EnvelopeStorage;
  readonly policy: ReadPolicy;
  /** Used where a call gives none. */
  readonly encryptionContext: StringMap | undefined;
}

/** What a caller gives for it. */
export interface ObjectSettingOptions extends ReadPolicy {
  readonly client: S3Client;
  readonly keyring: Keyring;
  readonly suite?: WritableSuiteName | undefined;
  readonly storage?: EnvelopeStorage | undefined;
  readonly encryptionContext?: StringMap | undefined;
}

/**
 * Checks what a caller gives.
 * @throws TypeError when something is missing or none of its values
 * @throws SealpipeError COMMITMENT_POLICY when suite and policy contradict each other
 */
export function objectSetting(options: ObjectSettingOptions): ObjectSetting {
  const { client, keyring, suite, storage = 'metadata', encryptionContext, ...policy } = options ?? {};
  if (typeof (client as Partial<S3Client> | undefined)?.send !== 'function') {
    throw new TypeError('client is missing: expected an S3Client of @aws-sdk/client-s3');
  }
  assertKeyring(keyring);
  assertReadPolicy(policy);
  assertStorage(storage);
  if (encryptionContext !== undefined) assertStringMap(encryptionContext, 'encryptionContext');
  return { client, keyring, suite: writingSuite(policy.commitmentPolicy, suite), storage, policy, encryptionContext };
}

/** Which object a request is for, with what S3 may want to know beside. */
export interface ObjectAddress {
  readonly Bucket: string;
  readonly Key: string;
  readonly VersionId?: string | undefined;
  readonly ExpectedBucketOwner?: string | undefined;
  readonly RequestPayer?: 'requester' | undefined;
  readonly SSECustomerAlgorithm?: string | undefined;
  readonly SSECustomerKey?: string | undefined;
  readonly SSECustomerKeyMD5?: string | undefined;
}

/** @throws TypeError when bucket or key is missing */
export function assertAddress({ Bucket, Key }: ObjectAddress): void {
  if (typeof Bucket !== 'string' || Bucket === '') throw new TypeError('Bucket is missing');
  if (typeof Key !== 'string' || Key === '') throw new TypeError('Key is missing');
}
