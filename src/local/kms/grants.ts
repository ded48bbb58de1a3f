/** The operations on grants. */
import { randomBytes } from 'node:crypto';
import { findForManagement } from './key-management.ts';
import type { KmsGrant, KmsKey } from './keys.ts';
import { KmsError, notFound, validation } from './kms-error.ts';
import { type Json, type KmsCall, type KmsOperation, page, seconds } from './request.ts';

const grantable = [
  'Decrypt',
  'Encrypt',
  'GenerateDataKey',
  'GenerateDataKeyWithoutPlaintext',
  'ReEncryptFrom',
  'ReEncryptTo',
  'CreateGrant',
  'RetireGrant',
  'DescribeKey',
  'GetPublicKey',
];

function readConstraints(value: Json | undefined): KmsGrant['constraints'] {
  if (value === undefined) return undefined;
  for (const [name, context] of Object.entries(value)) {
    if (name !== 'EncryptionContextEquals' && name !== 'EncryptionContextSubset') {
      throw new KmsError(
        'UnsupportedOperationException',
        `The grant constraint ${name} is not implemented by this local endpoint.`,
        { status: 501 },
      );
    }
    if (typeof context !== 'object' || context === null) throw validation(`${name} must be a map of strings`);
  }
  return value;
}

const createGrant: KmsOperation = (call) => {
  const { parameters } = call;
  const key = findForManagement(call, 'CreateGrant');
  const operations = parameters.strings('Operations');
  const unknown = operations.find((name) => !grantable.includes(name));
  if (unknown !== undefined) throw validation(`The operation ${unknown} cannot be granted here.`);
  if (operations.length === 0) throw validation('Operations must name at least one operation.');
  const retiring = parameters.string('RetiringPrincipal');
  const name = parameters.string('Name');
  const constraints = readConstraints(parameters.object('Constraints'));
  const grant: KmsGrant = {
    id: randomBytes(32).toString('hex'),
    token: randomBytes(48).toString('base64'),
    grantee: parameters.requiredString('GranteePrincipal'),
    operations,
    created: Date.now(),
    ...(name === undefined ? {} : { name }),
    ...(retiring === undefined ? {} : { retiringPrincipal: retiring }),
    ...(constraints === undefined ? {} : { constraints }),
  };
  key.grants.push(grant);
  call.keys.save();
  return { GrantId: grant.id, GrantToken: grant.token };
};

const listGrants: KmsOperation = (call) => {
  const key = findForManagement(call, 'ListGrants');
  const id = call.parameters.string('GrantId');
  const grantee = call.parameters.string('GranteePrincipal');
  const chosen = key.grants.filter(
    (grant) => (id === undefined || grant.id === id) && (grantee === undefined || grant.grantee === grantee),
  );
  const { entries, rest } = page(call, chosen, 50);
  return {
    Grants: entries.map((grant) => ({
      CreationDate: seconds(grant.created),
      GrantId: grant.id,
      GranteePrincipal: grant.grantee,
      IssuingAccount: `arn:aws:iam::${call.keys.accountId}:root`,
      KeyId: call.keys.arn(key),
      Name: grant.name ?? '',
      Operations: grant.operations,
      ...(grant.retiringPrincipal === undefined ? {} : { RetiringPrincipal: grant.retiringPrincipal }),
      ...(grant.constraints === undefined ? {} : { Constraints: grant.constraints }),
    })),
    ...rest,
  };
};

function removeGrant(call: KmsCall, key: KmsKey, fits: (grant: KmsGrant) => boolean): undefined {
  if (!key.grants.some(fits)) throw notFound('The grant does not exist.');
  key.grants = key.grants.filter((grant) => !fits(grant));
  call.keys.save();
  return undefined;
}

const revokeGrant: KmsOperation = (call) => {
  const key = findForManagement(call, 'RevokeGrant');
  const id = call.parameters.requiredString('GrantId');
  return removeGrant(call, key, (grant) => grant.id === id);
};

const retireGrant: KmsOperation = (call) => {
  const token = call.parameters.string('GrantToken');
  const id = call.parameters.string('GrantId');
  const keyId = call.parameters.string('KeyId');
  if (token === undefined) {
    if (id === undefined || keyId === undefined)
      throw validation('RetireGrant needs a grant token, or both key id and grant id.');
    return removeGrant(call, call.keys.find(call.region, keyId), (grant) => grant.id === id);
  }
  const fits = (grant: KmsGrant): boolean => grant.token === token;
  const key = call.keys.list(call.region).find((one) => one.grants.some(fits));
  if (key === undefined) throw new KmsError('InvalidGrantTokenException', 'The grant token is not valid.');
  return removeGrant(call, key, fits);
};

export const grantOperations: Readonly<Record<string, KmsOperation>> = {
  CreateGrant: createGrant,
  ListGrants: listGrants,
  RevokeGrant: revokeGrant,
  RetireGrant: retireGrant,
};
