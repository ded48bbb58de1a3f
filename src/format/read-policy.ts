/** What a reader accepts and a writer writes. Every check here costs nothing and comes before any key is asked for. */
import { SealpipeError } from '../errors.ts';
import { type Envelope, isKmsWrapping, isLegacyWrapping, kmsKeyIdContextKey, reservedContextKey } from './envelope.ts';
import { equalMaps, type StringMap, withoutNames } from './string-map.ts';
import { type ContentSuite, committingSuite, gcmSuite, suiteByName, type WritableSuiteName } from './suites.ts';

/** The three commitment policies of the S3 Encryption Clients. */
export type CommitmentPolicy =
  | 'FORBID_ENCRYPT_ALLOW_DECRYPT'
  | 'REQUIRE_ENCRYPT_ALLOW_DECRYPT'
  | 'REQUIRE_ENCRYPT_REQUIRE_DECRYPT';

export const commitmentPolicies: readonly CommitmentPolicy[] = [
  'FORBID_ENCRYPT_ALLOW_DECRYPT',
  'REQUIRE_ENCRYPT_ALLOW_DECRYPT',
  'REQUIRE_ENCRYPT_REQUIRE_DECRYPT',
];

const defaultCommitmentPolicy: CommitmentPolicy = 'REQUIRE_ENCRYPT_REQUIRE_DECRYPT';

/** Which objects a reader opens. Everything weaker than the format's current version is off until asked for, each on its own. */
export interface ReadPolicy {
  /** Default `REQUIRE_ENCRYPT_REQUIRE_DECRYPT`: only objects of format V3 are read. */
  commitmentPolicy?: CommitmentPolicy | undefined;
  legacy?:
    | {
        /** Read data keys wrapped by `kms`, `AESWrap`, `AES`, `RSA` and OAEP with SHA-256. Default false. */
        wrappingAlgorithms?: boolean | undefined;
        /** Read CBC content, which nothing authenticates: whoever can write the object can change what is read. Default false. */
        unauthenticatedModes?: boolean | undefined;
      }
    | undefined;
  /**
   * `allow` also returns objects without an envelope, as they are. Whoever can write to the bucket can then strip an envelope
   * and put bytes of their own: authenticity is given up for the whole call. Default `refuse`.
   */
  plaintext?: 'refuse' | 'allow' | undefined;
  /** Whether an instruction file is looked for where the metadata holds no envelope. Default true. */
  instructionFiles?: boolean | undefined;
  /** The suffix of the instruction file's key. Default `.instruction`. */
  instructionSuffix?: string | undefined;
}

/**
 * Checks what a caller gives for a policy. A switch that is neither true nor false would be taken for off, or an instruction file
 * for the object itself, without a word.
 * @throws TypeError that names the option
 */
export function assertReadPolicy(policy: ReadPolicy): void {
  const { commitmentPolicy, legacy, plaintext, instructionFiles, instructionSuffix } = policy;
  if (commitmentPolicy !== undefined) assertCommitmentPolicy(commitmentPolicy);
  if (legacy !== undefined && (typeof legacy !== 'object' || (legacy as unknown) === null))
    throw new TypeError('legacy is no object, expected { wrappingAlgorithms, unauthenticatedModes }');
  assertSwitch('legacy.wrappingAlgorithms', legacy?.wrappingAlgorithms);
  assertSwitch('legacy.unauthenticatedModes', legacy?.unauthenticatedModes);
  assertSwitch('instructionFiles', instructionFiles);
  if (plaintext !== undefined && plaintext !== 'refuse' && plaintext !== 'allow')
    throw new TypeError(`plaintext is ${JSON.stringify(plaintext)}, expected 'refuse' or 'allow'`);
  if (instructionSuffix !== undefined && (typeof instructionSuffix !== 'string' || instructionSuffix === ''))
    throw new TypeError(
      "instructionSuffix is empty or no string, expected how instruction files' keys end: '.instruction'",
    );
}

function assertSwitch(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'boolean')
    throw new TypeError(`${name} is ${JSON.stringify(value)}, expected true or false`);
}

/** @throws TypeError when the policy is none of the three */
export function assertCommitmentPolicy(policy: string): asserts policy is CommitmentPolicy {
  if (!commitmentPolicies.some((known) => known === policy)) {
    throw new TypeError(
      `commitmentPolicy is ${JSON.stringify(policy)}, expected one of ${commitmentPolicies.join(', ')}`,
    );
  }
}

/**
 * The suite to write with. `gcm` alone implies nothing about the policy: only FORBID_ENCRYPT_ALLOW_DECRYPT writes it.
 * @throws TypeError when the policy is none of the three
 * @throws SealpipeError COMMITMENT_POLICY when suite and policy contradict each other
 */
export function writingSuite(policy: CommitmentPolicy | undefined, suite: WritableSuiteName | undefined): ContentSuite {
  if (policy !== undefined) assertCommitmentPolicy(policy);
  const forbids = policy === 'FORBID_ENCRYPT_ALLOW_DECRYPT';
  if (suite === undefined) return forbids ? gcmSuite : committingSuite;
  const chosen = suiteByName(suite);
  if (policy !== undefined && chosen.committing === forbids) {
    throw new SealpipeError(
      'COMMITMENT_POLICY',
      `the policy ${policy} ${forbids ? 'forbids' : 'requires'} a committing suite for writing, but the suite is ${suite}: change one of the two`,
    );
  }
  return chosen;
}

/**
 * Refuses an envelope that the policy does not allow, before a key is asked for.
 * @throws TypeError when the commitment policy is none of the three
 * @throws SealpipeError LEGACY_DISABLED or COMMITMENT_POLICY
 */
export function checkReadPolicy(envelope: Envelope, policy: ReadPolicy): void {
  const { suite, wrappingAlgorithm } = envelope;
  if (!suite.authenticated && policy.legacy?.unauthenticatedModes !== true) {
    throw new SealpipeError(
      'LEGACY_DISABLED',
      `the content is ${suite.name}, which nothing authenticates: reading it must be asked for ` +
        '(legacy: { unauthenticatedModes: true }, --legacy unauthenticated)',
    );
  }
  if (isLegacyWrapping(wrappingAlgorithm) && policy.legacy?.wrappingAlgorithms !== true) {
    const mail =
      wrappingAlgorithm === 'kms' && suite.authenticated ? ' (mail that Amazon SES stores is of this kind)' : '';
    throw new SealpipeError(
      'LEGACY_DISABLED',
      `the data key is wrapped by ${wrappingAlgorithm}${mail}: reading it must be asked for ` +
        '(legacy: { wrappingAlgorithms: true }, --legacy wrapping)',
    );
  }
  const commitment = policy.commitmentPolicy ?? defaultCommitmentPolicy;
  // Anything else would pass for a policy that requires nothing.
  assertCommitmentPolicy(commitment);
  if (commitment === 'REQUIRE_ENCRYPT_REQUIRE_DECRYPT' && !suite.committing) {
    throw new SealpipeError(
      'COMMITMENT_POLICY',
      `the object is of format ${envelope.format} without key commitment, and the policy ${commitment} reads format V3 alone: ` +
        'to read older objects set commitmentPolicy (--commitment-policy) to REQUIRE_ENCRYPT_ALLOW_DECRYPT',
    );
  }
}

/**
 * Compares the stored encryption context with the caller's, before KMS is asked.
 *
 * A caller who gives none means the empty one. `kms` knows no caller's context (its description is passed on as it is):
 * one that was given all the same must be the stored one.
 * @throws SealpipeError CONTEXT_MISMATCH
 */
export function checkContext(envelope: Envelope, context: StringMap | undefined): void {
  if (!isKmsWrapping(envelope.wrappingAlgorithm)) return;
  if (envelope.wrappingAlgorithm === 'kms' && (context === undefined || Object.keys(context).length === 0)) return;
  const stored = withoutNames(envelope.description, [reservedContextKey, kmsKeyIdContextKey]);
  if (equalMaps(stored, context ?? {})) return;
  const names = (map: StringMap): string => JSON.stringify(Object.keys(map).sort());
  throw new SealpipeError(
    'CONTEXT_MISMATCH',
    `the object's encryption context (names ${names(stored)}) is not the one given (names ${names(context ?? {})}): ` +
      'give exactly the context it was written with (encryptionContext, --encryption-context)',
  );
}
