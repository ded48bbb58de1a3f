import { SealpipeError } from '../errors.ts';

/**
 * When plaintext comes out.
 * - `authenticated`: only after the tag of the whole object has been verified; held in memory up to `maxBuffered`.
 * - `delayed`: as it is decrypted. The tag is verified at the end: until the stream has ended without an error, what came out
 *   may have been altered. The right choice where the sink can undo (a temporary file, a transaction).
 */
export type ReleaseRule = 'authenticated' | 'delayed';

/** Default of `maxBuffered`: 64 MiB, as in the Java client's buffered mode. */
export const defaultMaxBuffered: number = 64 * 1024 * 1024;

const releaseRules: readonly ReleaseRule[] = ['authenticated', 'delayed'];

export interface ReleaseOptions {
  readonly release?: ReleaseRule | undefined;
  readonly maxBuffered?: number | undefined;
}

/** @throws TypeError or RangeError for what is neither rule nor limit: compared with no number, nothing would ever be too much */
export function assertReleaseOptions({ release, maxBuffered }: ReleaseOptions): void {
  if (release !== undefined && !releaseRules.includes(release))
    throw new TypeError(`release is ${JSON.stringify(release)}, expected 'authenticated' or 'delayed'`);
  if (maxBuffered !== undefined && !(typeof maxBuffered === 'number' && maxBuffered >= 0))
    throw new RangeError(`maxBuffered is ${String(maxBuffered)}, expected a number of bytes`);
}

/** What is decrypted on its way out: at once, or when all of it is authentic. */
export class PlaintextRelease {
  readonly #push: (plaintext: Uint8Array) => boolean;
  readonly #maxBuffered: number;
  /** Plaintext that waits for the tag; undefined under `delayed`. */
  #waiting: Uint8Array[] | undefined;
  #waitingLength = 0;

  constructor({ release, maxBuffered }: ReleaseOptions, push: (plaintext: Uint8Array) => boolean) {
    this.#push = push;
    this.#maxBuffered = maxBuffered ?? defaultMaxBuffered;
    this.#waiting = release === 'delayed' ? undefined : [];
  }

  /**
   * @returns whether more is wanted
   * @throws SealpipeError BUFFER_LIMIT
   */
  take(plaintext: Uint8Array): boolean {
    if (plaintext.length === 0) return true;
    if (this.#waiting === undefined) return this.#push(plaintext);
    this.#waitingLength += plaintext.length;
    if (this.#waitingLength > this.#maxBuffered) throw bufferLimit(this.#waitingLength, this.#maxBuffered);
    this.#waiting.push(plaintext);
    return true;
  }

  /** The tag has been verified. */
  end(): void {
    for (const plaintext of this.#waiting ?? []) this.#push(plaintext);
    this.#waiting = [];
  }

  /** Overwrites what nobody may see. */
  discard(): void {
    for (const plaintext of this.#waiting ?? []) plaintext.fill(0);
    this.#waiting = [];
  }
}

export function bufferLimit(length: number, limit: number): SealpipeError {
  return new SealpipeError(
    'BUFFER_LIMIT',
    `the object has ${length} bytes or more, and at most ${limit} are held back until the tag is verified: ` +
      "download it to a file, make a segment index of it (sealpipe index), raise maxBuffered, or take plaintext before its authentication by name (release: 'delayed', --release delayed)",
  );
}
