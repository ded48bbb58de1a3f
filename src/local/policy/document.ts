/** Policy documents of IAM's language, as far as they can be judged here: what cannot be is refused when the policy is put. */

export interface PolicyStatement {
  readonly effect: 'Allow' | 'Deny';
  /** ARNs, account ids or `*`. Undefined where the statement names none. */
  readonly principals: readonly string[] | undefined;
  readonly actions: readonly string[];
  readonly notActions: boolean;
  readonly resources: readonly string[];
  readonly notResources: boolean;
  readonly conditions: readonly PolicyCondition[];
}

export interface PolicyCondition {
  readonly operator: ConditionOperator;
  readonly ifExists: boolean;
  /** In lower case, as keys are compared so. */
  readonly key: string;
  readonly values: readonly string[];
}

const operators = [
  'StringEquals',
  'StringNotEquals',
  'StringEqualsIgnoreCase',
  'StringNotEqualsIgnoreCase',
  'StringLike',
  'StringNotLike',
  'ArnEquals',
  'ArnLike',
  'ArnNotEquals',
  'ArnNotLike',
  'Bool',
  'Null',
] as const;
export type ConditionOperator = (typeof operators)[number];

/** The document is no policy. */
export class PolicyProblem extends Error {}
/** The document is a policy, but holds what is not judged here. */
export class PolicyUnsupported extends Error {}

type Json = { readonly [name: string]: unknown };

function asObject(value: unknown, what: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new PolicyProblem(`${what} must be an object`);
  return value as Json;
}

function asStrings(value: unknown, what: string): string[] {
  const list = Array.isArray(value) ? value : [value];
  return list.map((entry) => {
    if (typeof entry === 'boolean' || typeof entry === 'number') return String(entry);
    if (typeof entry !== 'string') throw new PolicyProblem(`${what} must be a string or a list of them`);
    return entry;
  });
}

function readPrincipals(value: unknown): string[] {
  if (value === '*') return ['*'];
  const principals = asObject(value, 'Principal');
  for (const kind of Object.keys(principals)) {
    if (kind !== 'AWS') throw new PolicyUnsupported(`a Principal of the kind ${kind}`);
  }
  return asStrings(principals['AWS'], 'Principal');
}

function readConditions(value: unknown, supportsKey: (key: string) => boolean): PolicyCondition[] {
  if (value === undefined) return [];
  return Object.entries(asObject(value, 'Condition')).flatMap(([name, byKey]) => {
    const ifExists = name.endsWith('IfExists');
    const bare = ifExists ? name.slice(0, -'IfExists'.length) : name;
    const operator = operators.find((known) => known === bare);
    if (operator === undefined) throw new PolicyUnsupported(`the condition operator ${name}`);
    return Object.entries(asObject(byKey, `Condition ${name}`)).map(([key, values]) => {
      if (!supportsKey(key.toLowerCase())) throw new PolicyUnsupported(`the condition key ${key}`);
      return { operator, ifExists, key: key.toLowerCase(), values: asStrings(values, `Condition ${name} ${key}`) };
    });
  });
}

const knownElements = new Set([
  'Sid',
  'Effect',
  'Principal',
  'Action',
  'NotAction',
  'Resource',
  'NotResource',
  'Condition',
]);

/**
 * Reads a policy.
 *
 * @param supportsKey whether requests can be asked for a condition key (given in lower case)
 * @throws PolicyProblem, PolicyUnsupported
 */
export function parsePolicy(text: string, supportsKey: (key: string) => boolean): PolicyStatement[] {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (cause) {
    throw new PolicyProblem('the policy is no JSON', { cause });
  }
  const statements = asObject(document, 'the policy')['Statement'];
  const list: unknown[] = Array.isArray(statements) ? (statements as unknown[]) : [statements];
  return list.map((entry) => {
    const statement = asObject(entry, 'Statement');
    for (const name of Object.keys(statement)) {
      if (name === 'NotPrincipal') throw new PolicyUnsupported('NotPrincipal');
      if (!knownElements.has(name)) throw new PolicyProblem(`a statement has no element ${name}`);
    }
    const effect = statement['Effect'];
    if (effect !== 'Allow' && effect !== 'Deny') throw new PolicyProblem('Effect must be Allow or Deny');
    const action = statement['Action'] ?? statement['NotAction'];
    const resource = statement['Resource'] ?? statement['NotResource'];
    if (action === undefined) throw new PolicyProblem('a statement must have an Action');
    if (resource === undefined) throw new PolicyProblem('a statement must have a Resource');
    return {
      effect,
      principals: statement['Principal'] === undefined ? undefined : readPrincipals(statement['Principal']),
      actions: asStrings(action, 'Action'),
      notActions: statement['NotAction'] !== undefined,
      resources: asStrings(resource, 'Resource'),
      notResources: statement['NotResource'] !== undefined,
      conditions: readConditions(statement['Condition'], supportsKey),
    };
  });
}
