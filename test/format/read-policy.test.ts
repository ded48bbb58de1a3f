import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Envelope, WrappingAlgorithm } from '../../src/format/envelope.ts';
import { isLegacyWrapping, kmsKeyIdContextKey, reservedContextKey } from '../../src/format/envelope.ts';
import { parseEnvelope } from '../../src/format/parse-envelope.ts';
import {
  assertCommitmentPolicy,
  type CommitmentPolicy,
  checkContext,
  checkReadPolicy,
  commitmentPolicies,
  type ReadPolicy,
  writingSuite,
} from '../../src/format/read-policy.ts';
import { cbcSuite, committingSuite, gcmSuite } from '../../src/format/suites.ts';
import { envelopeV2, envelopeV2Kms, envelopeV3Kms } from '../support/envelopes.ts';
import { failure } from '../support/failure.ts';
import { runs, stringMap } from '../support/properties.ts';

const some = parseEnvelope(envelopeV2);
const wrappings: readonly WrappingAlgorithm[] = [
  'kms+context',
  'AES/GCM',
  'RSA-OAEP-SHA1',
  'kms',
  'AESWrap',
  'AES',
  'RSA/ECB/OAEPWithSHA-256AndMGF1Padding',
  'RSA',
];

/** What section 5 of the format says: legacy switches first, then commitment; written down apart from the code. */
function expectation(
  { suite, wrappingAlgorithm }: Envelope,
  { commitmentPolicy = 'REQUIRE_ENCRYPT_REQUIRE_DECRYPT', legacy = {} }: ReadPolicy,
): 'LEGACY_DISABLED' | 'COMMITMENT_POLICY' | undefined {
  if (suite === cbcSuite && legacy.unauthenticatedModes !== true) return 'LEGACY_DISABLED';
  if (isLegacyWrapping(wrappingAlgorithm) && legacy.wrappingAlgorithms !== true) return 'LEGACY_DISABLED';
  if (commitmentPolicy.endsWith('REQUIRE_DECRYPT') && suite !== committingSuite) return 'COMMITMENT_POLICY';
  return undefined;
}

describe('every policy against every suite and wrapping', () => {
  const switches = [undefined, false, true];
  for (const suite of [cbcSuite, gcmSuite, committingSuite]) {
    test(`reads ${suite.name} exactly where all three checks allow it`, () => {
      const counts = { read: 0, refused: 0 };
      for (const wrappingAlgorithm of wrappings) {
        for (const commitmentPolicy of [undefined, ...commitmentPolicies]) {
          for (const wrappingAlgorithms of switches) {
            for (const unauthenticatedModes of switches) {
              const envelope = { ...some, suite, wrappingAlgorithm };
              const policy = { commitmentPolicy, legacy: { wrappingAlgorithms, unauthenticatedModes } };
              const code = expectation(envelope, policy);
              if (code === undefined) checkReadPolicy(envelope, policy);
              else assert.throws(() => checkReadPolicy(envelope, policy), failure(code));
              counts[code === undefined ? 'read' : 'refused'] += 1;
            }
          }
        }
      }
      assert.ok(counts.read > 0 && counts.refused > 0);
    });
  }

  test('by default reads V3 with current wrappings alone', () => {
    checkReadPolicy({ ...some, suite: committingSuite }, {});
    assert.throws(() => checkReadPolicy(some, {}), failure('COMMITMENT_POLICY', /REQUIRE_ENCRYPT_ALLOW_DECRYPT/));
    assert.throws(() => checkReadPolicy({ ...some, suite: cbcSuite }, {}), failure('LEGACY_DISABLED'));
  });

  test('a switch that is merely truthy is off', () => {
    const legacy = { wrappingAlgorithms: 'no' as unknown as boolean, unauthenticatedModes: 1 as unknown as boolean };
    for (const envelope of [
      { ...some, suite: cbcSuite },
      { ...some, wrappingAlgorithm: 'AESWrap' as const },
    ])
      assert.throws(
        () => checkReadPolicy(envelope, { commitmentPolicy: 'REQUIRE_ENCRYPT_ALLOW_DECRYPT', legacy }),
        failure('LEGACY_DISABLED'),
      );
  });

  test('the error for mail that Amazon SES stores says what it is', () => {
    const mail = { ...some, wrappingAlgorithm: 'kms' as const };
    assert.throws(() => checkReadPolicy(mail, {}), failure('LEGACY_DISABLED', /Amazon SES.*wrappingAlgorithms: true/));
  });
});

describe('a policy that is none of the three', () => {
  const typo = 'REQUIRE_ENCRYPT_REQUIRE_DECYRPT' as CommitmentPolicy;
  test('is a mistake of the caller', () => {
    assert.throws(() => assertCommitmentPolicy(typo), TypeError);
    assert.throws(() => assertCommitmentPolicy('toString'), TypeError);
    for (const policy of commitmentPolicies) assertCommitmentPolicy(policy);
  });

  test('never reads or writes anything: a slip of the pen must not weaken what it was to require', () => {
    assert.throws(() => checkReadPolicy(some, { commitmentPolicy: typo }), TypeError);
    assert.throws(() => writingSuite(typo, undefined), TypeError);
    assert.throws(() => writingSuite(typo, 'gcm-commit'), TypeError);
  });
});

describe('the suite to write with', () => {
  test('follows the policy where none is named', () => {
    const chosen = [undefined, ...commitmentPolicies].map((policy) => writingSuite(policy, undefined).id);
    assert.deepEqual(chosen, [0x73, 0x72, 0x73, 0x73]);
  });

  test('named without a policy is taken as named', () => {
    assert.equal(writingSuite(undefined, 'gcm'), gcmSuite);
    assert.equal(writingSuite(undefined, 'gcm-commit'), committingSuite);
  });

  test('must not contradict the policy', () => {
    assert.equal(writingSuite('FORBID_ENCRYPT_ALLOW_DECRYPT', 'gcm'), gcmSuite);
    assert.throws(
      () => writingSuite('FORBID_ENCRYPT_ALLOW_DECRYPT', 'gcm-commit'),
      failure('COMMITMENT_POLICY', /forbids/),
    );
    for (const policy of ['REQUIRE_ENCRYPT_ALLOW_DECRYPT', 'REQUIRE_ENCRYPT_REQUIRE_DECRYPT'] as const) {
      assert.equal(writingSuite(policy, 'gcm-commit'), committingSuite);
      assert.throws(() => writingSuite(policy, 'gcm'), failure('COMMITMENT_POLICY', /requires/));
    }
  });
});

describe('the encryption context on read', () => {
  const stored = parseEnvelope(envelopeV3Kms);

  test('must equal the stored one, reserved entries aside', () => {
    checkContext(stored, { dataset: 'a' });
    checkContext(parseEnvelope(envelopeV2Kms), { dataset: 'a' });
    const both = { ...stored, description: { ...stored.description, [kmsKeyIdContextKey]: 'k' } };
    checkContext(both, { dataset: 'a' });
  });

  test('is a mismatch when it is a subset, a superset, or differs in a value; the error names names, never values', () => {
    for (const context of [
      {},
      { dataset: 'b' },
      { dataset: 'a', more: 'secret-value' },
      { Dataset: 'a' },
      { dataset: 'a', [reservedContextKey]: '115' },
    ]) {
      assert.throws(
        () => checkContext(stored, context),
        (error: Error) => failure('CONTEXT_MISMATCH', /"dataset"/)(error) && !error.message.includes('secret-value'),
      );
    }
  });

  test('that was not given is the empty one: the comparison is not switched off', () => {
    assert.throws(() => checkContext(stored, undefined), failure('CONTEXT_MISMATCH'));
    const empty = { ...stored, description: { [reservedContextKey]: '115' } };
    checkContext(empty, undefined);
    checkContext(empty, {});
    assert.throws(() => checkContext(empty, { dataset: 'a' }), failure('CONTEXT_MISMATCH'));
  });

  test('is compared as a map for any content: equal in another order, unequal with one entry changed', () => {
    fc.assert(
      fc.property(stringMap, fc.nat(), (context, pick) => {
        const description = { ...context, [reservedContextKey]: '115' };
        const reversed = Object.fromEntries(Object.entries(context).reverse());
        checkContext({ ...stored, description }, reversed);
        const names = Object.keys(context);
        if (names.length === 0) return;
        const name = names[pick % names.length] as string;
        const changed = Object.fromEntries(
          Object.entries(context).map(([key, value]) => [key, key === name ? `${value}x` : value]),
        );
        assert.throws(() => checkContext({ ...stored, description }, changed), failure('CONTEXT_MISMATCH'));
      }),
      runs(100),
    );
  });

  test('of kms, which knew no context of the caller, may be left out; one that is given must be the stored one', () => {
    const kms = { ...stored, wrappingAlgorithm: 'kms' as const, description: { [kmsKeyIdContextKey]: 'k', a: '1' } };
    checkContext(kms, undefined);
    checkContext(kms, {});
    checkContext(kms, { a: '1' });
    assert.throws(() => checkContext(kms, { a: '2' }), failure('CONTEXT_MISMATCH'));
  });

  test('means nothing for raw keys, whose envelopes hold a description', () => {
    for (const wrappingAlgorithm of wrappings.filter((name) => !name.startsWith('kms')))
      checkContext({ ...stored, wrappingAlgorithm }, { what: 'ever' });
  });
});
