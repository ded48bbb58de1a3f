import type { S3Client } from '@aws-sdk/client-s3';
import { defaultInstructionSuffix } from '../format/envelope.ts';
import { committingSuite } from '../format/suites.ts';
import { EncryptedUpload, type EncryptedUploadParams, type UploadOptions } from './encrypted-upload.ts';

/** What to upload without client-side encryption, and how. */
export interface PlaintextUploadOptions
  extends Omit<UploadOptions, 'encryptionContext' | 'materialsDescription' | 'storage' | 'journal' | 'segmentIndex'> {
  readonly client: S3Client;
  readonly params: EncryptedUploadParams;
}

/**
 * Prepares an upload **without** client-side encryption, with the same parts, repeats, restarts and cleaning up as an encrypted
 * one: for objects that S3 alone encrypts (`ServerSideEncryption`, `SSECustomerKey`). S3 sees the plaintext, nothing
 * authenticates what is read back, and readers have to allow plaintext by name. The result's `envelope` is empty.
 * @throws TypeError or RangeError for parameters that cannot be right
 */
export function plaintextUpload({ client, params, ...options }: PlaintextUploadOptions): EncryptedUpload {
  const setting = {
    client,
    keyring: undefined,
    suite: committingSuite,
    storage: 'metadata' as const,
    instructionSuffix: defaultInstructionSuffix,
  };
  return new EncryptedUpload(setting, params, options);
}
