/** Judging a request by a policy, with AWS's rule for condition keys that a request does not have. */
import type { ConditionOperator, PolicyCondition, PolicyStatement } from './document.ts';

export interface PolicyRequest {
  /** ARN of who asks. */
  readonly principal: string;
  readonly accountId: string;
  /** E.g. `s3:PutObject`. */
  readonly action: string;
  /** ARN. */
  readonly resource: string;
  /** Value of a condition key (in lower case), or undefined where the request has none. */
  readonly value: (key: string) => string | undefined;
}

/** Whether `text` fits a pattern with `*` and `?`. */
export function fitsPattern(pattern: string, text: string, options: { readonly ignoreCase?: boolean } = {}): boolean {
  const expression = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.');
  return new RegExp(`^${expression}$`, options.ignoreCase === true ? 'is' : 's').test(text);
}

function namesPrincipal(principals: readonly string[] | undefined, request: PolicyRequest): boolean {
  if (principals === undefined) return true;
  return principals.some(
    (principal) =>
      principal === '*' ||
      principal === request.principal ||
      // The account stands for everyone whom the account allows, and here it allows everyone in it.
      principal === request.accountId ||
      principal === `arn:aws:iam::${request.accountId}:root`,
  );
}

function equals(operator: ConditionOperator, value: string, wanted: string): boolean {
  if (operator.endsWith('Like') || operator.startsWith('Arn')) return fitsPattern(wanted, value);
  if (operator === 'Bool' || operator.endsWith('IgnoreCase')) return value.toLowerCase() === wanted.toLowerCase();
  return value === wanted;
}

function holds(condition: PolicyCondition, value: string | undefined): boolean {
  const { operator, values, ifExists } = condition;
  if (operator === 'Null') return values.some((wanted) => (wanted.toLowerCase() === 'true') === (value === undefined));
  const negated = operator.includes('Not');
  // An absent key is unequal to everything: it fails what wants equality, and passes what wants the opposite.
  if (value === undefined) return negated || ifExists;
  const some = values.some((wanted) => equals(operator, value, wanted));
  return negated ? !some : some;
}

function applies(statement: PolicyStatement, request: PolicyRequest): boolean {
  if (!namesPrincipal(statement.principals, request)) return false;
  const action = statement.actions.some((pattern) => fitsPattern(pattern, request.action, { ignoreCase: true }));
  if (action === statement.notActions) return false;
  const resource = statement.resources.some((pattern) => fitsPattern(pattern, request.resource));
  if (resource === statement.notResources) return false;
  return statement.conditions.every((condition) => holds(condition, request.value(condition.key)));
}

/** What a policy says: a Deny wins over any Allow; `none` where no statement is about the request. */
export function evaluatePolicy(
  statements: readonly PolicyStatement[],
  request: PolicyRequest,
): 'allow' | 'deny' | 'none' {
  const applying = statements.filter((statement) => applies(statement, request));
  if (applying.some((statement) => statement.effect === 'Deny')) return 'deny';
  return applying.length > 0 ? 'allow' : 'none';
}
