/** The operations that make, describe, change and end keys. */
import { PolicyProblem, PolicyUnsupported, parsePolicy } from '../policy/document.ts';
import { authorizeKeyUse, isDenied, principalArn, supportsKmsConditionKey } from './access.ts';
import { encryptionAlgorithms, generateRsaKey } from './cryptography.ts';
import type { KmsKey, KmsKeys } from './keys.ts';
import { KmsError, validation } from './kms-error.ts';
import { type Json, type KmsCall, type KmsOperation, page, seconds } from './request.ts';

const day = 24 * 3600 * 1000; // ms
const keySpecs: readonly KmsKey['spec'][] = ['SYMMETRIC_DEFAULT', 'RSA_2048', 'RSA_3072', 'RSA_4096'];

function keyState(key: KmsKey): string {
  if (key.deletion !== undefined) return 'PendingDeletion';
  return key.enabled ? 'Enabled' : 'Disabled';
}

function describe(keys: KmsKeys, key: KmsKey): Json {
  return {
    AWSAccountId: keys.accountId,
    Arn: keys.arn(key),
    CreationDate: seconds(key.created),
    CustomerMasterKeySpec: key.spec,
    ...(key.deletion === undefined ? {} : { DeletionDate: seconds(key.deletion) }),
    Description: key.description,
    Enabled: key.enabled && key.deletion === undefined,
    EncryptionAlgorithms: encryptionAlgorithms(keys, key),
    KeyId: key.id,
    KeyManager: key.manager,
    KeySpec: key.spec,
    KeyState: keyState(key),
    KeyUsage: 'ENCRYPT_DECRYPT',
    MultiRegion: key.primaryRegion !== undefined,
    ...(key.primaryRegion === undefined ? {} : { MultiRegionConfiguration: multiRegion(keys, key) }),
    Origin: 'AWS_KMS',
  };
}

function multiRegion(keys: KmsKeys, key: KmsKey): Json {
  const entry = (one: KmsKey): Json => ({ Arn: keys.arn(one), Region: one.region });
  const all = keys.related(key);
  const primary = all.find((one) => one.region === key.primaryRegion) ?? key;
  return {
    MultiRegionKeyType: key.region === key.primaryRegion ? 'PRIMARY' : 'REPLICA',
    PrimaryKey: entry(primary),
    ReplicaKeys: all.filter((one) => one !== primary).map(entry),
  };
}

function unsupported(what: string): KmsError {
  return new KmsError('UnsupportedOperationException', `${what} is not implemented by this local endpoint.`, {
    status: 501,
  });
}

function checkPolicy(text: string): string {
  try {
    parsePolicy(text, supportsKmsConditionKey);
  } catch (problem) {
    if (problem instanceof PolicyUnsupported) throw unsupported(`A key policy with ${problem.message}`);
    if (problem instanceof PolicyProblem) throw new KmsError('MalformedPolicyDocumentException', problem.message);
    throw problem;
  }
  return text;
}

/** The key of `KeyId`, for an operation on the key itself. */
export function findForManagement(call: KmsCall, action: string): KmsKey {
  const key = call.keys.find(call.region, call.parameters.requiredString('KeyId'));
  authorizeKeyUse(call.keys, call.identity, { action: `kms:${action}`, key });
  return key;
}

export function checkIdentity(call: KmsCall, action: string): void {
  if (!isDenied(call.identity, `kms:${action}`)) return;
  throw new KmsError(
    'AccessDeniedException',
    `User: ${principalArn(call.identity, call.keys.accountId)} is not authorized to perform: kms:${action} with an explicit deny in an identity-based policy`,
  );
}

const createKey: KmsOperation = (call) => {
  const { parameters, keys } = call;
  checkIdentity(call, 'CreateKey');
  const specName = parameters.string('KeySpec') ?? parameters.string('CustomerMasterKeySpec') ?? 'SYMMETRIC_DEFAULT';
  const spec = keySpecs.find((known) => known === specName);
  if (spec === undefined) throw unsupported(`A key of the spec ${specName}`);
  const usage = parameters.string('KeyUsage');
  if (spec !== 'SYMMETRIC_DEFAULT' && usage === undefined)
    throw validation('You must specify a KeyUsage value for an asymmetric CMK.');
  if (usage !== undefined && usage !== 'ENCRYPT_DECRYPT') throw unsupported(`A key for ${usage}`);
  const origin = parameters.string('Origin') ?? 'AWS_KMS';
  if (origin !== 'AWS_KMS') throw unsupported(`A key of the origin ${origin}`);
  const base = keys.createSymmetric(call.region, {
    description: parameters.string('Description') ?? '',
    multiRegion: parameters.boolean('MultiRegion'),
  });
  const policy = parameters.string('Policy');
  const key: KmsKey = {
    ...base,
    spec,
    ...(spec === 'SYMMETRIC_DEFAULT' ? {} : { materials: [], privateKey: generateRsaKey(spec) }),
    policy: policy === undefined ? base.policy : checkPolicy(policy),
    tags: parameters.tags(),
  };
  keys.add(key);
  return { KeyMetadata: describe(keys, key) };
};

const describeKey: KmsOperation = (call) => {
  return { KeyMetadata: describe(call.keys, findForManagement(call, 'DescribeKey')) };
};

const listKeys: KmsOperation = (call) => {
  checkIdentity(call, 'ListKeys');
  const { entries, rest } = page(call, call.keys.list(call.region), 100);
  return { Keys: entries.map((key) => ({ KeyArn: call.keys.arn(key), KeyId: key.id })), ...rest };
};

/** Changes the key of `KeyId` and keeps that. */
export function changeKey(call: KmsCall, action: string, change: (key: KmsKey) => void): undefined {
  const key = findForManagement(call, action);
  if (key.manager === 'AWS') throw new KmsError('AccessDeniedException', 'An AWS managed key cannot be changed.');
  change(key);
  call.keys.save();
  return undefined;
}

/** @throws KmsError KMSInvalidStateException for a key that is to be deleted */
export function refusePending(call: KmsCall, key: KmsKey): void {
  if (key.deletion !== undefined) {
    throw new KmsError('KMSInvalidStateException', `${call.keys.arn(key)} is pending deletion.`);
  }
}

const enableKey: KmsOperation = (call) =>
  changeKey(call, 'EnableKey', (key) => {
    refusePending(call, key);
    key.enabled = true;
  });

const disableKey: KmsOperation = (call) =>
  changeKey(call, 'DisableKey', (key) => {
    refusePending(call, key);
    key.enabled = false;
  });

const updateKeyDescription: KmsOperation = (call) => {
  const description = call.parameters.requiredString('Description');
  return changeKey(call, 'UpdateKeyDescription', (key) => {
    refusePending(call, key);
    key.description = description;
  });
};

const scheduleKeyDeletion: KmsOperation = (call) => {
  const days = call.parameters.integer('PendingWindowInDays', 7, 30) ?? 30;
  const key = findForManagement(call, 'ScheduleKeyDeletion');
  refusePending(call, key);
  key.deletion = Date.now() + days * day;
  key.enabled = false;
  call.keys.save();
  return {
    DeletionDate: seconds(key.deletion),
    KeyId: call.keys.arn(key),
    KeyState: 'PendingDeletion',
    PendingWindowInDays: days,
  };
};

const cancelKeyDeletion: KmsOperation = (call) => {
  const key = findForManagement(call, 'CancelKeyDeletion');
  if (key.deletion === undefined) {
    throw new KmsError('KMSInvalidStateException', `${call.keys.arn(key)} is not pending deletion.`);
  }
  key.deletion = undefined; // and it stays disabled until it is enabled
  call.keys.save();
  return { KeyId: call.keys.arn(key) };
};

const replicateKey: KmsOperation = (call) => {
  const { parameters, keys } = call;
  const key = findForManagement(call, 'ReplicateKey');
  const region = parameters.requiredString('ReplicaRegion');
  if (key.primaryRegion !== key.region) {
    throw new KmsError('UnsupportedOperationException', `${keys.arn(key)} is not a multi-Region primary key.`);
  }
  if (keys.byId(region, key.id) !== undefined) {
    throw new KmsError('AlreadyExistsException', `A replica of ${keys.arn(key)} already exists in ${region}.`);
  }
  const policy = parameters.string('Policy');
  const fresh = keys.createSymmetric(region);
  const replica: KmsKey = {
    ...key,
    region,
    created: fresh.created,
    description: parameters.string('Description') ?? '',
    materials: [...key.materials],
    policy: policy === undefined ? fresh.policy : checkPolicy(policy),
    tags: parameters.tags(),
    grants: [],
  };
  keys.add(replica);
  return { ReplicaKeyMetadata: describe(keys, replica), ReplicaPolicy: replica.policy, ReplicaTags: replica.tags };
};

const getKeyPolicy: KmsOperation = (call) => {
  return { Policy: findForManagement(call, 'GetKeyPolicy').policy, PolicyName: 'default' };
};

const putKeyPolicy: KmsOperation = (call) => {
  const policy = checkPolicy(call.parameters.requiredString('Policy'));
  // Not judged by the policy that is to be replaced: a mistake in one could not be mended here.
  checkIdentity(call, 'PutKeyPolicy');
  const key = call.keys.find(call.region, call.parameters.requiredString('KeyId'));
  key.policy = policy;
  call.keys.save();
  return undefined;
};

const listKeyPolicies: KmsOperation = (call) => {
  findForManagement(call, 'ListKeyPolicies');
  return { PolicyNames: ['default'], Truncated: false };
};

const tagResource: KmsOperation = (call) => {
  const tags = call.parameters.tags();
  return changeKey(call, 'TagResource', (key) => {
    const names = new Set(tags.map((tag) => tag.TagKey));
    key.tags = [...key.tags.filter((tag) => !names.has(tag.TagKey)), ...tags];
  });
};

const untagResource: KmsOperation = (call) => {
  const names = call.parameters.strings('TagKeys');
  return changeKey(call, 'UntagResource', (key) => {
    key.tags = key.tags.filter((tag) => !names.includes(tag.TagKey));
  });
};

const listResourceTags: KmsOperation = (call) => {
  const { entries, rest } = page(call, findForManagement(call, 'ListResourceTags').tags, 50);
  return { Tags: entries, ...rest };
};

export const managementOperations: Readonly<Record<string, KmsOperation>> = {
  CreateKey: createKey,
  DescribeKey: describeKey,
  ListKeys: listKeys,
  EnableKey: enableKey,
  DisableKey: disableKey,
  UpdateKeyDescription: updateKeyDescription,
  ScheduleKeyDeletion: scheduleKeyDeletion,
  CancelKeyDeletion: cancelKeyDeletion,
  ReplicateKey: replicateKey,
  GetKeyPolicy: getKeyPolicy,
  PutKeyPolicy: putKeyPolicy,
  ListKeyPolicies: listKeyPolicies,
  TagResource: tagResource,
  UntagResource: untagResource,
  ListResourceTags: listResourceTags,
};
