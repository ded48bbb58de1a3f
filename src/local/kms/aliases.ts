/** The operations on aliases. */
import { checkIdentity, refusePending } from './key-management.ts';
import type { KmsAlias, KmsKey } from './keys.ts';
import { KmsError, notFound, validation } from './kms-error.ts';
import { type KmsCall, type KmsOperation, page, seconds } from './request.ts';

function aliasName(call: KmsCall): string {
  const name = call.parameters.requiredString('AliasName');
  if (!/^alias\/[a-zA-Z0-9/_-]{1,250}$/.test(name)) {
    throw validation(
      `1 validation error detected: Value '${name}' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$`,
    );
  }
  if (name.startsWith('alias/aws/'))
    throw new KmsError('NotAuthorizedException', 'Aliases that begin with alias/aws/ are reserved.');
  return name;
}

function targetKey(call: KmsCall): KmsKey {
  const target = call.parameters.requiredString('TargetKeyId');
  if (target.includes('alias/')) throw validation('Aliases must refer to keys. Not aliases');
  const key = call.keys.find(call.region, target);
  refusePending(call, key);
  return key;
}

function existingAlias(call: KmsCall, name: string): KmsAlias {
  const alias = call.keys.alias(call.region, name);
  if (alias === undefined) throw notFound(`Alias ${call.keys.aliasArn({ region: call.region, name })} is not found.`);
  return alias;
}

const createAlias: KmsOperation = (call) => {
  checkIdentity(call, 'CreateAlias');
  const name = aliasName(call);
  const key = targetKey(call);
  if (call.keys.alias(call.region, name) !== undefined) {
    throw new KmsError(
      'AlreadyExistsException',
      `An alias with the name ${call.keys.aliasArn({ region: call.region, name })} already exists`,
    );
  }
  call.keys.addAlias(call.region, name, key.id);
  return undefined;
};

const updateAlias: KmsOperation = (call) => {
  checkIdentity(call, 'UpdateAlias');
  const alias = existingAlias(call, aliasName(call));
  alias.keyId = targetKey(call).id;
  alias.updated = Date.now();
  call.keys.save();
  return undefined;
};

const deleteAlias: KmsOperation = (call) => {
  checkIdentity(call, 'DeleteAlias');
  call.keys.removeAlias(existingAlias(call, aliasName(call)));
  return undefined;
};

const listAliases: KmsOperation = (call) => {
  checkIdentity(call, 'ListAliases');
  const keyId = call.parameters.string('KeyId');
  const key = keyId === undefined ? undefined : call.keys.find(call.region, keyId);
  const aliases = call.keys.aliases(call.region).filter((alias) => key === undefined || alias.keyId === key.id);
  const { entries, rest } = page(call, aliases, 50);
  return {
    Aliases: entries.map((alias) => ({
      AliasArn: call.keys.aliasArn(alias),
      AliasName: alias.name,
      CreationDate: seconds(alias.created),
      LastUpdatedDate: seconds(alias.updated),
      TargetKeyId: alias.keyId,
    })),
    ...rest,
  };
};

export const aliasOperations: Readonly<Record<string, KmsOperation>> = {
  CreateAlias: createAlias,
  UpdateAlias: updateAlias,
  DeleteAlias: deleteAlias,
  ListAliases: listAliases,
};
