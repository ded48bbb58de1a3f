/**
 * The errors of sealpipe: one class, told apart by a stable `code`.
 *
 * A mistake in a call (a wrong type, a value out of range) is a `TypeError` or `RangeError`, thrown at once.
 * Everything that depends on data, keys, S3, KMS or the network is a {@link SealpipeError}.
 */

/** Every code without its prefix. docs/errors.md explains each; a test keeps the two equal. */
export const errorCodes = [
  'ABORTED',
  'ACCESS_DENIED',
  'AUTHENTICATION_FAILED',
  'BUCKET_NOT_EMPTY',
  'BUCKET_NOT_FOUND',
  'BUCKET_EXISTS',
  'BUFFER_LIMIT',
  'COMMAND_REFUSED',
  'COMMITMENT_POLICY',
  'CONFIG_INVALID',
  'CONTEXT_MISMATCH',
  'CREDENTIALS',
  'ENVELOPE_INVALID',
  'ENVELOPE_TOO_LARGE',
  'FORMAT_INVALID',
  'FORMAT_UNSUPPORTED',
  'INDEX_DAMAGED',
  'INTERNAL',
  'JOURNAL_BUSY',
  'JOURNAL_INVALID',
  'KEY_DENIED',
  'KEY_MISMATCH',
  'KEY_NOT_FOUND',
  'KEY_UNUSABLE',
  'KMS_UNAVAILABLE',
  'LEGACY_DISABLED',
  'LOCAL_BUSY',
  'NETWORK',
  'NOT_ENCRYPTED',
  'OBJECT_CHANGED',
  'OBJECT_NOT_FOUND',
  'OUTCOME_UNKNOWN',
  'PART_CHANGED',
  'PART_FAILED',
  'PRECONDITION_FAILED',
  'PROVIDER_FAILED',
  'RANGE_INVALID',
  'RANGE_UNAUTHENTICATED',
  'REQUEST_REJECTED',
  'RESTART_REQUIRED',
  'S3_UNAVAILABLE',
  'SOURCE_CHANGED',
  'SOURCE_FAILED',
  'TARGET_FAILED',
  'THROTTLED',
  'TOO_LARGE',
  'TRUNCATED',
  'UPLOAD_UNKNOWN',
  'USAGE',
  'WORKER_FAILED',
] as const;

/** The stable identification of an error: match on this, never on the message. */
export type SealpipeErrorCode = `ERR_SEALPIPE_${(typeof errorCodes)[number]}`;

/** What an error may carry beside its message. Never a secret, nor a part of one. */
export interface SealpipeErrorFields {
  /** What led to this error, kept as it was. */
  cause?: unknown;
  /** Whether the same call can succeed when made again without a change. Default false. */
  retryable?: boolean;
  bucket?: string | undefined;
  key?: string | undefined;
  /** Number of the multipart part, from 1. */
  part?: number | undefined;
  /** Offset in bytes at which the failure was met. */
  offset?: number | undefined;
  /** How often the operation was tried. */
  attempts?: number | undefined;
  /** How often a whole upload was started over under a new data key. */
  restarts?: number | undefined;
  /** Bytes (stored form) that S3 had acknowledged when the upload ended. */
  bytesAcknowledged?: number | undefined;
  uploadId?: string | undefined;
  /** AWS's request id, for its support. */
  requestId?: string | undefined;
  /** HTTP status of the answer that led to this error. */
  statusCode?: number | undefined;
}

const brand = Symbol.for('sealpipe.SealpipeError');

/**
 * The error of every failure that is not the caller's mistake in the call itself.
 *
 * `instanceof` holds across copies of the package that an installation may contain; the `code` is the thing to match on.
 */
export class SealpipeError extends Error {
  readonly code: SealpipeErrorCode;
  /** Whether the same call can succeed when made again without a change. Never true for a failed authentication. */
  readonly retryable: boolean;
  declare readonly bucket?: string;
  declare readonly key?: string;
  declare readonly part?: number;
  declare readonly offset?: number;
  declare readonly attempts?: number;
  declare readonly restarts?: number;
  declare readonly bytesAcknowledged?: number;
  declare readonly uploadId?: string;
  declare readonly requestId?: string;
  declare readonly statusCode?: number;

  constructor(code: (typeof errorCodes)[number], message: string, fields: SealpipeErrorFields = {}) {
    const { cause, retryable = false, ...rest } = fields;
    super(message, cause === undefined ? undefined : { cause });
    this.code = `ERR_SEALPIPE_${code}`;
    this.retryable = retryable;
    // Absent fields stay absent, so that printing an error shows what is known and nothing else.
    for (const [name, value] of Object.entries(rest)) {
      if (value !== undefined) Object.defineProperty(this, name, { value, enumerable: true });
    }
  }

  static {
    Object.defineProperty(this.prototype, 'name', { value: 'SealpipeError', configurable: true, writable: true });
    Object.defineProperty(this.prototype, brand, { value: true });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[brand] === true;
  }
}
