/** What KMS answered, as an error of ours. */
import { SealpipeError, type SealpipeErrorFields } from '../errors.ts';
import { describeFailure } from '../service-failure.ts';

/** Translates what `KMSClient.send` threw. The original stays as the cause. */
export function kmsFailure(
  cause: unknown,
  { operation, keyId }: { operation: string; keyId: string | undefined },
): SealpipeError {
  const failure = describeFailure(cause);
  const fields: SealpipeErrorFields = { cause, requestId: failure.requestId, statusCode: failure.statusCode };
  const key = keyId === undefined ? 'the key of this object' : `the key ${keyId}`;
  const said = failure.message === '' ? '' : ` (${failure.message})`;
  switch (failure.name) {
    case 'NotFoundException':
      return new SealpipeError(
        'KEY_NOT_FOUND',
        `KMS does not know ${key}${said}: check the id, and that account and region are the key's`,
        fields,
      );
    case 'AccessDeniedException':
      return new SealpipeError(
        'KEY_DENIED',
        `KMS denied ${operation} with ${key}${said}: allow kms:${operation} in the key policy or IAM`,
        fields,
      );
    case 'IncorrectKeyException':
      return new SealpipeError(
        'KEY_MISMATCH',
        `the data key was wrapped by another KMS key than ${keyId ?? 'the one given'}: give the key the object was written with`,
        fields,
      );
    case 'InvalidCiphertextException':
      return new SealpipeError(
        'AUTHENTICATION_FAILED',
        'KMS cannot open the wrapped data key: it or its encryption context was altered, or it is of another account or region',
        fields,
      );
    case 'DisabledException':
      return new SealpipeError('KEY_UNUSABLE', `${key} is disabled: enable it, or give another`, fields);
    case 'KMSInvalidStateException':
      return new SealpipeError(
        'KEY_UNUSABLE',
        `${key} cannot be used in its state${said}: a key that is pending deletion can still be kept by CancelKeyDeletion`,
        fields,
      );
    case 'InvalidKeyUsageException':
      return new SealpipeError(
        'KEY_UNUSABLE',
        `${key} is not a symmetric encryption key${said}: give a symmetric one (SYMMETRIC_DEFAULT)`,
        fields,
      );
    case 'KeyUnavailableException':
      return new SealpipeError('KMS_UNAVAILABLE', `KMS could not use ${key} for now${said}: try again`, {
        ...fields,
        retryable: true,
      });
    case 'ValidationException':
      // Decrypt without a key id (discovery) can only be wrong in what the envelope gave it.
      if (keyId === undefined) break;
      return new SealpipeError(
        'KEY_NOT_FOUND',
        `KMS cannot read the key id ${keyId}${said}: expected a key id, key ARN, alias/name or alias ARN`,
        fields,
      );
    default:
  }
  if (failure.kind === 'aborted') return new SealpipeError('ABORTED', `${operation} was aborted`, fields);
  if (failure.kind === 'throttled') {
    return new SealpipeError(
      'THROTTLED',
      `KMS throttled ${operation}${said}: try again later, or raise the account's request quota`,
      { ...fields, retryable: true },
    );
  }
  if (failure.kind === 'credentials') {
    return new SealpipeError(
      'CREDENTIALS',
      `KMS did not accept the credentials${said}: renew them or choose another profile`,
      fields,
    );
  }
  if (failure.kind === 'network' || failure.kind === 'server') {
    return new SealpipeError(
      'KMS_UNAVAILABLE',
      `KMS could not be reached for ${operation}${said}: check network, region and endpoint`,
      { ...fields, retryable: true },
    );
  }
  return new SealpipeError('REQUEST_REJECTED', `KMS refused ${operation}: ${failure.name}${said}`, fields);
}
