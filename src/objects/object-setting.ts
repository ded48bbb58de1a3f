import type { S3Client } from '@aws-sdk/client-s3';
import type { EnvelopeStorage } from '../format/envelope.ts';
import type { ReadPolicy } from '../format/read-policy.ts';
import type { StringMap } from '../format/string-map.ts';
import type { ContentSuite } from '../format/suites.ts';
import type { Keyring } from '../keyrings/keyring.ts';

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
