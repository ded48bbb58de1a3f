/** Who may use a key: the deny list of a key pair, the key's policy, its grants. */
import type { Identity } from '../auth/authenticator.ts';
import { type PolicyStatement, parsePolicy } from '../policy/document.ts';
import { evaluatePolicy, fitsPattern } from '../policy/evaluate.ts';
import type { EncryptionContext } from './ciphertext.ts';
import type { KmsGrant, KmsKey, KmsKeys } from './keys.ts';
import { KmsError } from './kms-error.ts';

/** ARN of the user that a key pair stands for. */
export function principalArn(identity: Pick<Identity, 'credentials'>, accountId: string): string {
  const { userName, accessKeyId } = identity.credentials;
  return `arn:aws:iam::${accountId}:user/${userName ?? accessKeyId}`;
}

/** Whether a key pair's deny list refuses an action. */
export function isDenied(identity: Pick<Identity, 'credentials'>, action: string): boolean {
  return (identity.credentials.deny ?? []).some((pattern) => fitsPattern(pattern, action, { ignoreCase: true }));
}

/** Condition keys that a key policy may use; those of the encryption context end in a name of the caller's. */
export function supportsKmsConditionKey(key: string): boolean {
  return (
    key === 'aws:principalarn' ||
    key === 'aws:principalaccount' ||
    key === 'kms:calleraccount' ||
    (key.startsWith('kms:encryptioncontext:') && key.length > 'kms:encryptioncontext:'.length)
  );
}

export interface KeyUse {
  /** E.g. `kms:Decrypt`. */
  readonly action: string;
  readonly key: KmsKey;
  readonly context?: EncryptionContext;
  readonly grantTokens?: readonly string[];
}

function grantAllows(grant: KmsGrant, principal: string, use: KeyUse): boolean {
  if (grant.grantee !== principal && use.grantTokens?.includes(grant.token) !== true) return false;
  if (!grant.operations.includes(use.action.slice('kms:'.length))) return false;
  const context = use.context ?? {};
  const { EncryptionContextEquals: equals, EncryptionContextSubset: subset } = grant.constraints ?? {};
  const holds = (wanted: Readonly<Record<string, string>>): boolean =>
    Object.entries(wanted).every(([name, value]) => context[name] === value);
  if (equals !== undefined) return holds(equals) && Object.keys(context).length === Object.keys(equals).length;
  return subset === undefined || holds(subset);
}

const parsed = new Map<string, PolicyStatement[]>();

function statementsOf(key: KmsKey): PolicyStatement[] {
  let statements = parsed.get(key.policy);
  if (statements === undefined) {
    statements = parsePolicy(key.policy, supportsKmsConditionKey);
    if (parsed.size > 1000) parsed.clear();
    parsed.set(key.policy, statements);
  }
  return statements;
}

/** Lets a use of a key pass. @throws KmsError AccessDeniedException with KMS's texts */
export function authorizeKeyUse(keys: KmsKeys, identity: Pick<Identity, 'credentials'>, use: KeyUse): void {
  const principal = principalArn(identity, keys.accountId);
  const arn = keys.arn(use.key);
  const refuse = (reason: string): KmsError =>
    new KmsError(
      'AccessDeniedException',
      `User: ${principal} is not authorized to perform: ${use.action} on resource: ${arn} ${reason}`,
    );
  if (isDenied(identity, use.action)) throw refuse('with an explicit deny in an identity-based policy');
  const verdict = evaluatePolicy(statementsOf(use.key), {
    principal,
    accountId: keys.accountId,
    action: use.action,
    resource: arn,
    value: (key) => {
      if (key === 'aws:principalarn') return principal;
      if (key === 'aws:principalaccount' || key === 'kms:calleraccount') return keys.accountId;
      const name = key.slice('kms:encryptioncontext:'.length);
      return Object.entries(use.context ?? {}).find(([entry]) => entry.toLowerCase() === name)?.[1];
    },
  });
  if (verdict === 'deny') throw refuse('with an explicit deny in a resource-based policy');
  if (verdict === 'allow' || use.key.grants.some((grant) => grantAllows(grant, principal, use))) return;
  throw refuse(`because no resource-based policy allows the ${use.action} action`);
}
