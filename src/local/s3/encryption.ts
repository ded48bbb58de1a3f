/** Server-side encryption as far as requests and answers show it. The bytes on the disk are not encrypted. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { authorizeKeyUse } from '../kms/access.ts';
import type { KmsKey } from '../kms/keys.ts';
import { KmsError } from '../kms/kms-error.ts';
import { checkUsable } from '../kms/request.ts';
import type { Bucket } from '../storage/bucket.ts';
import type { StoredEncryption } from '../storage/records.ts';
import type { S3Call, S3Service } from './call.ts';
import { S3Error } from './s3-error.ts';

const sse = 'x-amz-server-side-encryption';
const customerHeaders = 'x-amz-server-side-encryption-customer';
export const copySourceCustomerHeaders = 'x-amz-copy-source-server-side-encryption-customer';

/** The customer's key of a request. */
export interface CustomerKey {
  readonly key: Buffer;
  /** Base64. */
  readonly md5: string;
}

function invalid(message: string): S3Error {
  return new S3Error('InvalidArgument', { message });
}

/** @throws S3Error for a key that is incomplete, wrong in itself, or not to be sent this way */
export function readCustomerKey(
  service: S3Service,
  call: S3Call,
  prefix: string = customerHeaders,
): CustomerKey | undefined {
  const algorithm = call.header(`${prefix}-algorithm`);
  const encoded = call.header(`${prefix}-key`);
  const md5 = call.header(`${prefix}-key-md5`);
  if (algorithm === undefined && encoded === undefined && md5 === undefined) return undefined;
  if (!call.head.secure && !(service.settings.allowInsecureLoopback && call.head.loopback)) {
    throw new S3Error('InvalidRequest', {
      message:
        'Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection.',
    });
  }
  if (algorithm === undefined) {
    throw invalid(
      'Requests specifying Server Side Encryption with Customer provided keys must provide a valid encryption algorithm.',
    );
  }
  if (algorithm !== 'AES256') {
    throw new S3Error('InvalidEncryptionAlgorithmError', {
      fields: { ArgumentName: `${prefix}-algorithm`, ArgumentValue: algorithm },
    });
  }
  if (encoded === undefined) {
    throw invalid(
      'Requests specifying Server Side Encryption with Customer provided keys must provide an appropriate secret key.',
    );
  }
  const key = Buffer.from(encoded, 'base64');
  if (key.length !== 32) throw invalid('The secret key was invalid for the specified algorithm.');
  if (md5 === undefined) {
    throw invalid(
      'Requests specifying Server Side Encryption with Customer provided keys must provide the client calculated MD5 of the secret key.',
    );
  }
  if (createHash('md5').update(key).digest('base64') !== md5) {
    throw invalid('The calculated MD5 hash of the key did not match the hash that was provided.');
  }
  return { key, md5 };
}

function hashKey(key: Buffer, salt: string): string {
  return createHash('sha256').update(salt).update(key).digest('base64');
}

/**
 * Holds a read to an object's encryption: SSE-C wants the key, the same one, and nothing else wants any.
 *
 * @throws S3Error
 */
export function checkReadable(
  service: S3Service,
  call: S3Call,
  encryption: StoredEncryption,
  prefix: string = customerHeaders,
): void {
  const given = readCustomerKey(service, call, prefix);
  if (encryption.type !== 'SSE-C') {
    if (given !== undefined) {
      throw new S3Error('InvalidRequest', { message: 'The encryption parameters are not applicable to this object.' });
    }
    if (encryption.type !== 'AES256') useKmsKey(service, call, encryption.keyId, 'kms:Decrypt');
    return;
  }
  if (given === undefined) {
    throw new S3Error('InvalidRequest', {
      message:
        'The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.',
    });
  }
  if (!sameKey(given, encryption)) throw new S3Error('AccessDenied');
}

function sameKey(given: CustomerKey, stored: { readonly keyHash: string; readonly salt: string }): boolean {
  return timingSafeEqual(Buffer.from(hashKey(given.key, stored.salt)), Buffer.from(stored.keyHash));
}

/** Holds a part to the encryption that its upload was begun with. @throws S3Error */
export function checkPartEncryption(service: S3Service, call: S3Call, encryption: StoredEncryption): void {
  const given = readCustomerKey(service, call);
  if (encryption.type !== 'SSE-C') {
    if (given === undefined) return;
    throw new S3Error('InvalidRequest', {
      message:
        'The multipart upload initiate did not request encryption. Please resend the request without specifying encryption parameters.',
    });
  }
  if (given === undefined) {
    throw new S3Error('InvalidRequest', {
      message:
        'The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters.',
    });
  }
  if (!sameKey(given, encryption)) {
    throw new S3Error('InvalidRequest', {
      message: 'The provided encryption parameters did not match the ones used originally.',
    });
  }
}

// What KMS refuses, S3 passes on with a prefix and 400; a missing permission is S3's own 403.
function useKmsKey(service: S3Service, call: S3Call, name: string | undefined, action: string): KmsKey {
  try {
    const region = service.settings.region;
    const key = name === undefined ? service.kms.s3Default(region) : service.kms.find(region, name);
    if (key.spec !== 'SYMMETRIC_DEFAULT') {
      throw new KmsError('InvalidKeyUsageException', 'You cannot generate a data key with an asymmetric CMK');
    }
    authorizeKeyUse(service.kms, call.identity, { action, key });
    checkUsable(service.kms, key);
    return key;
  } catch (problem) {
    if (!(problem instanceof KmsError)) throw problem;
    if (problem.code === 'AccessDeniedException')
      throw new S3Error('AccessDenied', { message: problem.message, cause: problem });
    throw new S3Error(`KMS.${problem.code}`, { message: problem.message, cause: problem });
  }
}

function readContext(call: S3Call): string | undefined {
  const context = call.header(`${sse}-context`);
  if (context === undefined) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(context, 'base64').toString('utf8'));
  } catch {
    parsed = undefined;
  }
  const isMap =
    typeof parsed === 'object' &&
    parsed !== null &&
    !Array.isArray(parsed) &&
    Object.values(parsed).every((value) => typeof value === 'string');
  if (!isMap)
    throw invalid(
      'The header x-amz-server-side-encryption-context shall be Base64-encoded UTF-8 string holding JSON which represents a string-string map',
    );
  return context;
}

/** How a new object is to be encrypted: as its request says, else as its bucket does. @throws S3Error */
export function encryptionForWrite(service: S3Service, call: S3Call, bucket: Bucket): StoredEncryption {
  const customer = readCustomerKey(service, call);
  const type = call.header(sse);
  const keyId = call.header(`${sse}-aws-kms-key-id`);
  const defaults = bucket.settings.encryption;
  if (customer !== undefined) {
    if (type !== undefined || keyId !== undefined) {
      throw invalid(
        'Server Side Encryption with Customer provided key is incompatible with the encryption method specified',
      );
    }
    if (defaults?.blockSseC === true)
      throw new S3Error('AccessDenied', {
        message: 'This bucket does not allow Server Side Encryption with Customer provided keys (SSE-C).',
      });
    const salt = randomBytes(16).toString('base64');
    return { type: 'SSE-C', keyMd5: customer.md5, keyHash: hashKey(customer.key, salt), salt };
  }
  const context = readContext(call);
  if (type === undefined || type === 'AES256') {
    if (keyId !== undefined || context !== undefined) {
      throw invalid(
        keyId === undefined
          ? 'The header x-amz-server-side-encryption-context is only valid with aws:kms and aws:kms:dsse'
          : 'Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms',
      );
    }
    if (type === 'AES256' || defaults === undefined || defaults.type === 'AES256') return { type: 'AES256' };
    const key = useKmsKey(service, call, defaults.keyId, 'kms:GenerateDataKey');
    return {
      type: defaults.type,
      keyId: service.kms.arn(key),
      ...(defaults.bucketKey === true ? { bucketKey: true } : {}),
    };
  }
  if (type !== 'aws:kms' && type !== 'aws:kms:dsse') {
    throw new S3Error('InvalidArgument', {
      message: 'The encryption method specified is not supported',
      fields: { ArgumentName: sse, ArgumentValue: type },
    });
  }
  const bucketKey = call.header(`${sse}-bucket-key-enabled`);
  const key = useKmsKey(service, call, keyId, 'kms:GenerateDataKey');
  const useBucketKey =
    bucketKey === undefined ? defaults?.bucketKey === true && type === 'aws:kms' : bucketKey === 'true';
  return {
    type,
    keyId: service.kms.arn(key),
    ...(context === undefined ? {} : { context }),
    ...(useBucketKey ? { bucketKey: true } : {}),
  };
}

/** What an answer says about encryption. The context is echoed to the writer alone. */
export function encryptionHeaders(
  encryption: StoredEncryption,
  options: { readonly context?: boolean } = {},
): Record<string, string> {
  if (encryption.type === 'SSE-C') {
    return { [`${customerHeaders}-algorithm`]: 'AES256', [`${customerHeaders}-key-md5`]: encryption.keyMd5 };
  }
  if (encryption.type === 'AES256') return { [sse]: 'AES256' };
  return {
    [sse]: encryption.type,
    [`${sse}-aws-kms-key-id`]: encryption.keyId,
    ...(encryption.bucketKey === true ? { [`${sse}-bucket-key-enabled`]: 'true' } : {}),
    ...(options.context === true && encryption.context !== undefined ? { [`${sse}-context`]: encryption.context } : {}),
  };
}

/** Whether ETags of such objects are the MD5 of their content. */
export function hasContentEtag(encryption: StoredEncryption): boolean {
  return encryption.type === 'AES256';
}
