/** The operations that use keys. */
import {
  constants,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { authorizeKeyUse, isDenied, principalArn } from './access.ts';
import { type EncryptionContext, openCiphertext, readCiphertextHead, sealCiphertext } from './ciphertext.ts';
import type { KmsKey, KmsKeys } from './keys.ts';
import { KmsError, validation } from './kms-error.ts';
import { checkUsable, type KmsCall, type KmsOperation } from './request.ts';

const rsaAlgorithms = ['RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256'];

function isSymmetric(key: KmsKey): boolean {
  return key.spec === 'SYMMETRIC_DEFAULT';
}

/** What a request says beside key and bytes; the same for most operations. */
function readUse(call: KmsCall): { grantTokens: readonly string[]; dryRun: boolean } {
  if (call.parameters.object('Recipient') !== undefined) {
    throw new KmsError(
      'UnsupportedOperationException',
      'Recipient (Nitro Enclaves) is not implemented by this local endpoint.',
      {
        status: 501,
      },
    );
  }
  return { grantTokens: call.parameters.strings('GrantTokens'), dryRun: call.parameters.boolean('DryRun') };
}

function finishDryRun(dryRun: boolean): void {
  if (dryRun) {
    throw new KmsError('DryRunOperationException', 'The request would have succeeded, but the DryRun option is set.', {
      status: 412,
    });
  }
}

function algorithmOf(name: string | undefined, key: KmsKey): string {
  const algorithm = name ?? 'SYMMETRIC_DEFAULT';
  const fits = isSymmetric(key) ? algorithm === 'SYMMETRIC_DEFAULT' : rsaAlgorithms.includes(algorithm);
  if (!fits) {
    throw new KmsError('InvalidKeyUsageException', `Algorithm ${algorithm} is incompatible with key spec ${key.spec}.`);
  }
  return algorithm;
}

function rsaHash(algorithm: string): string {
  return algorithm === 'RSAES_OAEP_SHA_256' ? 'sha256' : 'sha1';
}

function seal(key: KmsKey, algorithm: string, context: EncryptionContext, plaintext: Buffer): Buffer {
  if (isSymmetric(key)) {
    const material = key.materials.length - 1;
    return sealCiphertext(
      { keyId: key.id, material },
      Buffer.from(key.materials[material]!.key, 'base64'),
      context,
      plaintext,
    );
  }
  try {
    return publicEncrypt(
      {
        key: createPublicKey(key.privateKey!),
        padding: constants.RSA_PKCS1_OAEP_PADDING,
        oaepHash: rsaHash(algorithm),
      },
      plaintext,
    );
  } catch (cause) {
    throw new KmsError('ValidationException', `Plaintext is too long for ${key.spec} with ${algorithm}.`, { cause });
  }
}

/** The key that a ciphertext names, checked against the one that the request names. */
function sourceKey(
  call: KmsCall,
  blob: Buffer,
  named: KmsKey | undefined,
): { key: KmsKey; material: number; prefixLength: number } {
  const head = readCiphertextHead(blob);
  if (head === undefined) throw new KmsError('InvalidCiphertextException');
  const key = call.keys.byId(call.region, head.keyId);
  if (named !== undefined && named.id !== head.keyId) {
    throw new KmsError(
      'IncorrectKeyException',
      'The key ID in the request does not identify a CMK that can perform this operation.',
    );
  }
  if (key === undefined) {
    throw new KmsError(
      'AccessDeniedException',
      'The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.',
    );
  }
  return { key, material: head.material, prefixLength: head.prefixLength };
}

function open(
  call: KmsCall,
  options: {
    readonly blob: Buffer;
    readonly keyId: string | undefined;
    readonly algorithm: string | undefined;
    readonly context: EncryptionContext;
    readonly action: string;
    readonly grantTokens: readonly string[];
  },
): { key: KmsKey; algorithm: string; plaintext: Buffer } {
  const { blob, context, action, grantTokens } = options;
  const named = options.keyId === undefined ? undefined : call.keys.find(call.region, options.keyId);
  if (named !== undefined && !isSymmetric(named)) {
    const algorithm = algorithmOf(options.algorithm, named);
    authorizeKeyUse(call.keys, call.identity, { action, key: named, grantTokens });
    checkUsable(call.keys, named);
    return { key: named, algorithm, plaintext: openRsa(named, algorithm, blob) };
  }
  if (options.algorithm !== undefined && options.algorithm !== 'SYMMETRIC_DEFAULT') {
    if (named === undefined) throw validation('KeyId is required for an asymmetric encryption algorithm.');
    algorithmOf(options.algorithm, named);
  }
  const { key, material, prefixLength } = sourceKey(call, blob, named);
  authorizeKeyUse(call.keys, call.identity, { action, key, context, grantTokens });
  checkUsable(call.keys, key);
  const stored = key.materials[material];
  const plaintext =
    stored === undefined ? undefined : openCiphertext(blob, prefixLength, Buffer.from(stored.key, 'base64'), context);
  // KMS does not tell a wrong context from a changed ciphertext, and its exception has no message.
  if (plaintext === undefined) throw new KmsError('InvalidCiphertextException');
  return { key, algorithm: 'SYMMETRIC_DEFAULT', plaintext };
}

function openRsa(key: KmsKey, algorithm: string, blob: Buffer): Buffer {
  try {
    return privateDecrypt(
      {
        key: createPrivateKey(key.privateKey!),
        padding: constants.RSA_PKCS1_OAEP_PADDING,
        oaepHash: rsaHash(algorithm),
      },
      blob,
    );
  } catch {
    throw new KmsError('InvalidCiphertextException');
  }
}

const encrypt: KmsOperation = (call) => {
  const { parameters, keys } = call;
  const { grantTokens, dryRun } = readUse(call);
  const plaintext = parameters.bytes('Plaintext', 4096);
  const context = parameters.context();
  const key = keys.find(call.region, parameters.requiredString('KeyId'));
  const algorithm = algorithmOf(parameters.string('EncryptionAlgorithm'), key);
  authorizeKeyUse(keys, call.identity, { action: 'kms:Encrypt', key, context, grantTokens });
  checkUsable(keys, key);
  finishDryRun(dryRun);
  return {
    CiphertextBlob: seal(key, algorithm, context, plaintext).toString('base64'),
    EncryptionAlgorithm: algorithm,
    KeyId: keys.arn(key),
  };
};

const decrypt: KmsOperation = (call) => {
  const { parameters } = call;
  const { grantTokens, dryRun } = readUse(call);
  const { key, algorithm, plaintext } = open(call, {
    blob: parameters.bytes('CiphertextBlob', 6144),
    keyId: parameters.string('KeyId'),
    algorithm: parameters.string('EncryptionAlgorithm'),
    context: parameters.context(),
    action: 'kms:Decrypt',
    grantTokens,
  });
  finishDryRun(dryRun);
  return { EncryptionAlgorithm: algorithm, KeyId: call.keys.arn(key), Plaintext: plaintext.toString('base64') };
};

const reEncrypt: KmsOperation = (call) => {
  const { parameters, keys } = call;
  const { grantTokens, dryRun } = readUse(call);
  const source = open(call, {
    blob: parameters.bytes('CiphertextBlob', 6144),
    keyId: parameters.string('SourceKeyId'),
    algorithm: parameters.string('SourceEncryptionAlgorithm'),
    context: parameters.context('SourceEncryptionContext'),
    action: 'kms:ReEncryptFrom',
    grantTokens,
  });
  const context = parameters.context('DestinationEncryptionContext');
  const key = keys.find(call.region, parameters.requiredString('DestinationKeyId'));
  const algorithm = algorithmOf(parameters.string('DestinationEncryptionAlgorithm'), key);
  authorizeKeyUse(keys, call.identity, { action: 'kms:ReEncryptTo', key, context, grantTokens });
  checkUsable(keys, key);
  finishDryRun(dryRun);
  return {
    CiphertextBlob: seal(key, algorithm, context, source.plaintext).toString('base64'),
    DestinationEncryptionAlgorithm: algorithm,
    KeyId: keys.arn(key),
    SourceEncryptionAlgorithm: source.algorithm,
    SourceKeyId: keys.arn(source.key),
  };
};

function dataKeyLength(call: KmsCall): number {
  const spec = call.parameters.string('KeySpec');
  const length = call.parameters.integer('NumberOfBytes', 1, 1024);
  if ((spec === undefined) === (length === undefined)) {
    throw validation('Please specify either number of bytes or key spec.');
  }
  if (length !== undefined) return length;
  if (spec === 'AES_256') return 32;
  if (spec === 'AES_128') return 16;
  throw validation(
    `1 validation error detected: Value '${spec}' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [AES_256, AES_128]`,
  );
}

function newDataKey(call: KmsCall, action: string): { plaintext: Buffer; answer: Record<string, unknown> } {
  const { parameters, keys } = call;
  const { grantTokens, dryRun } = readUse(call);
  const length = dataKeyLength(call);
  const context = parameters.context();
  const key = keys.find(call.region, parameters.requiredString('KeyId'));
  if (!isSymmetric(key)) {
    throw new KmsError('InvalidKeyUsageException', 'You cannot generate a data key with an asymmetric CMK');
  }
  authorizeKeyUse(keys, call.identity, { action, key, context, grantTokens });
  checkUsable(keys, key);
  finishDryRun(dryRun);
  const plaintext = randomBytes(length);
  const blob = seal(key, 'SYMMETRIC_DEFAULT', context, plaintext);
  return { plaintext, answer: { CiphertextBlob: blob.toString('base64'), KeyId: keys.arn(key) } };
}

const generateDataKey: KmsOperation = (call) => {
  const { plaintext, answer } = newDataKey(call, 'kms:GenerateDataKey');
  return { ...answer, Plaintext: plaintext.toString('base64') };
};

const generateDataKeyWithoutPlaintext: KmsOperation = (call) =>
  newDataKey(call, 'kms:GenerateDataKeyWithoutPlaintext').answer;

const generateRandom: KmsOperation = (call) => {
  readUse(call);
  const length = call.parameters.integer('NumberOfBytes', 1, 1024);
  if (length === undefined) throw validation('NumberOfBytes is required.');
  if (isDenied(call.identity, 'kms:GenerateRandom')) {
    throw new KmsError(
      'AccessDeniedException',
      `User: ${principalArn(call.identity, call.keys.accountId)} is not authorized to perform: kms:GenerateRandom with an explicit deny in an identity-based policy`,
    );
  }
  return { Plaintext: randomBytes(length).toString('base64') };
};

const getPublicKey: KmsOperation = (call) => {
  const { parameters, keys } = call;
  const grantTokens = parameters.strings('GrantTokens');
  const key = keys.find(call.region, parameters.requiredString('KeyId'));
  if (isSymmetric(key)) {
    throw new KmsError(
      'UnsupportedOperationException',
      `${keys.arn(key)} is a symmetric key, which has no public key.`,
    );
  }
  authorizeKeyUse(keys, call.identity, { action: 'kms:GetPublicKey', key, grantTokens });
  checkUsable(keys, key);
  const der = createPublicKey(key.privateKey!).export({ type: 'spki', format: 'der' });
  return {
    CustomerMasterKeySpec: key.spec,
    EncryptionAlgorithms: rsaAlgorithms,
    KeyId: keys.arn(key),
    KeySpec: key.spec,
    KeyUsage: 'ENCRYPT_DECRYPT',
    PublicKey: der.toString('base64'),
  };
};

/** A fresh RSA private key, PKCS#8 PEM. */
export function generateRsaKey(spec: KmsKey['spec']): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: Number(spec.slice('RSA_'.length)) });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
}

/** Names of the algorithms of a key, for its description. */
export function encryptionAlgorithms(keys: KmsKeys, key: KmsKey): readonly string[] {
  return isSymmetric(keys.byId(key.region, key.id) ?? key) ? ['SYMMETRIC_DEFAULT'] : rsaAlgorithms;
}

export const cryptographicOperations: Readonly<Record<string, KmsOperation>> = {
  Encrypt: encrypt,
  Decrypt: decrypt,
  ReEncrypt: reEncrypt,
  GenerateDataKey: generateDataKey,
  GenerateDataKeyWithoutPlaintext: generateDataKeyWithoutPlaintext,
  GenerateRandom: generateRandom,
  GetPublicKey: getPublicKey,
};
