import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PolicyProblem, PolicyUnsupported, parsePolicy } from '../../../src/local/policy/document.ts';
import { evaluatePolicy, fitsPattern } from '../../../src/local/policy/evaluate.ts';

const me = 'arn:aws:iam::111122223333:user/me';

function judge(statement: object, values: Readonly<Record<string, string>> = {}, action = 's3:PutObject'): string {
  const full = { Effect: 'Deny', Principal: '*', Action: 's3:*', Resource: '*', ...statement };
  return evaluatePolicy(
    parsePolicy(JSON.stringify({ Statement: full }), () => true),
    {
      principal: me,
      accountId: '111122223333',
      action,
      resource: 'arn:aws:s3:::b/dir/k',
      value: (key) => values[key],
    },
  );
}

test('a key that a request does not have fails what wants equality, and passes what wants the opposite', () => {
  const table: [operator: string, absent: string, same: string, other: string][] = [
    ['StringEquals', 'none', 'deny', 'none'],
    ['StringNotEquals', 'deny', 'none', 'deny'],
    ['StringEqualsIfExists', 'deny', 'deny', 'none'],
    ['StringNotEqualsIfExists', 'deny', 'none', 'deny'],
    ['StringEqualsIgnoreCase', 'none', 'deny', 'none'],
    ['StringNotEqualsIgnoreCase', 'deny', 'none', 'deny'],
    ['StringLike', 'none', 'deny', 'none'],
    ['StringNotLike', 'deny', 'none', 'deny'],
    ['ArnEquals', 'none', 'deny', 'none'],
    ['ArnNotLike', 'deny', 'none', 'deny'],
    ['Bool', 'none', 'deny', 'none'],
    ['BoolIfExists', 'deny', 'deny', 'none'],
  ];
  for (const [operator, absent, same, other] of table) {
    const Condition = { [operator]: { 'some:Key': 'value' } };
    assert.equal(judge({ Condition }), absent, `${operator}, absent`);
    assert.equal(judge({ Condition }, { 'some:key': 'value' }), same, `${operator}, same`);
    assert.equal(judge({ Condition }, { 'some:key': 'other' }), other, `${operator}, other`);
  }
  assert.equal(judge({ Condition: { Null: { k: 'true' } } }), 'deny');
  assert.equal(judge({ Condition: { Null: { k: true } } }, { k: 'x' }), 'none');
  assert.equal(judge({ Condition: { Null: { k: 'false' } } }, { k: 'x' }), 'deny');
});

test('of several values one must fit, and for a negated operator none', () => {
  assert.equal(judge({ Condition: { StringEquals: { k: ['a', 'b'] } } }, { k: 'b' }), 'deny');
  assert.equal(judge({ Condition: { StringNotEquals: { k: ['a', 'b'] } } }, { k: 'b' }), 'none');
  assert.equal(judge({ Condition: { StringNotEquals: { k: ['a', 'b'] } } }, { k: 'c' }), 'deny');
});

test('actions are compared without case, resources with it, both with wildcards', () => {
  assert.equal(judge({ Action: 'S3:putobject' }), 'deny');
  assert.equal(judge({ Action: ['s3:Get*', 's3:P?tObject'] }), 'deny');
  assert.equal(judge({ Action: undefined, NotAction: 's3:Get*' }), 'deny');
  assert.equal(judge({ Action: undefined, NotAction: 's3:Put*' }), 'none');
  assert.equal(judge({ Resource: 'arn:aws:s3:::b/*' }), 'deny');
  assert.equal(judge({ Resource: 'arn:aws:s3:::B/*' }), 'none');
  assert.equal(judge({ Resource: undefined, NotResource: 'arn:aws:s3:::b/dir/*' }), 'none');
});

test('principals are users, accounts or everybody', () => {
  for (const AWS of [me, '111122223333', 'arn:aws:iam::111122223333:root', '*', ['x', me]]) {
    assert.equal(judge({ Principal: { AWS } }), 'deny', JSON.stringify(AWS));
  }
  assert.equal(judge({ Principal: { AWS: 'arn:aws:iam::111122223333:user/other' } }), 'none');
});

test('a Deny wins over an Allow', () => {
  const statements = ['Allow', 'Deny'].map((Effect) => ({ Effect, Principal: '*', Action: 's3:*', Resource: '*' }));
  const policy = parsePolicy(JSON.stringify({ Statement: statements }), () => true);
  const request = { principal: me, accountId: '1', action: 's3:X', resource: 'r', value: () => undefined };
  assert.equal(evaluatePolicy(policy, request), 'deny');
  assert.equal(evaluatePolicy(policy.slice(0, 1), request), 'allow');
});

test('patterns match the whole text, and signs in them mean themselves', () => {
  assert.ok(fitsPattern('a.c', 'a.c'));
  assert.ok(!fitsPattern('a.c', 'abc'));
  assert.ok(fitsPattern('*', 'any\nthing'));
  assert.ok(!fitsPattern('a', 'ab'));
  assert.ok(fitsPattern('(a)[b]+?', '(a)[b]+x'));
});

test('what cannot be judged is told apart from what is no policy', () => {
  const parse = (statement: object) =>
    parsePolicy(
      JSON.stringify({ Statement: [{ Effect: 'Deny', Principal: '*', Action: '*', Resource: '*', ...statement }] }),
      (key) => key === 'known',
    );
  assert.throws(() => parse({ Condition: { DateLessThan: { known: '1' } } }), PolicyUnsupported);
  assert.throws(() => parse({ Condition: { StringEquals: { unknown: '1' } } }), PolicyUnsupported);
  assert.throws(() => parse({ Condition: { 'ForAllValues:StringEquals': { known: '1' } } }), PolicyUnsupported);
  assert.throws(() => parse({ Effect: 'Perhaps' }), PolicyProblem);
  assert.throws(() => parse({ Extra: 1 }), PolicyProblem);
  assert.throws(() => parse({ Action: undefined }), PolicyProblem);
});
