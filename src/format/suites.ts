/**
 * Content algorithm suites of the S3 Encryption Client format (design page "The object format", section 2).
 * Ids and parameters: awslabs/aws-encryption-sdk-specification, s3-encryption/.
 */

/** How the content of an object is encrypted. */
export interface ContentSuite {
  /** The suite's id in the specification. Also the AAD of the committing suite, as two bytes. */
  readonly id: 0x0070 | 0x0072 | 0x0073;
  readonly name: 'AES-256-CBC' | 'AES-256-GCM' | 'AES-256-GCM-HKDF-SHA512-COMMIT';
  /** Whether the content carries a tag that covers all of it. */
  readonly authenticated: boolean;
  /** Whether the envelope binds the object to exactly one data key. */
  readonly committing: boolean;
  /** Bytes that follow the ciphertext. */
  readonly tagLength: 0 | 16;
  /** Bytes of `x-amz-iv`, or of the IV that the suite fixes. */
  readonly ivLength: 12 | 16;
  /** What the wrapping of a data key is bound to: the reserved context entry, AAD or suffix. Legacy CBC is bound to nothing. */
  readonly binding: 'AES/GCM/NoPadding' | '115' | null;
}

export const cbcSuite: ContentSuite = Object.freeze({
  id: 0x0070,
  name: 'AES-256-CBC',
  authenticated: false,
  committing: false,
  tagLength: 0,
  ivLength: 16,
  binding: null,
});

export const gcmSuite: ContentSuite = Object.freeze({
  id: 0x0072,
  name: 'AES-256-GCM',
  authenticated: true,
  committing: false,
  tagLength: 16,
  ivLength: 12,
  binding: 'AES/GCM/NoPadding',
});

export const committingSuite: ContentSuite = Object.freeze({
  id: 0x0073,
  name: 'AES-256-GCM-HKDF-SHA512-COMMIT',
  authenticated: true,
  committing: true,
  tagLength: 16,
  ivLength: 12,
  binding: '115',
});

/** The names that options use for the two suites that can be written. */
export type WritableSuiteName = 'gcm-commit' | 'gcm';

/** The suite behind an option's name: `gcm-commit` writes format V3, `gcm` format V2. */
export function suiteByName(name: WritableSuiteName): ContentSuite {
  if (name === 'gcm-commit') return committingSuite;
  if (name === 'gcm') return gcmSuite;
  throw new TypeError(`suite is ${JSON.stringify(name)}, expected 'gcm-commit' or 'gcm'`);
}

/** Bytes of a data key, always: every suite is AES-256. */
export const dataKeyLength = 32;

/** Bytes of the message id and of the commitment in format V3. */
export const messageIdLength = 28;
export const commitmentLength = 28;

/**
 * The most plaintext that one GCM message may have, in bytes: 2^36 − 32, as the 32-bit block counter must not wrap
 * (NIST SP 800-38D, section 5.2.1.1). Just under 64 GiB.
 */
export const maxPlaintextLength: number = 2 ** 36 - 32;
