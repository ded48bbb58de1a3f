import { timingSafeEqual } from 'node:crypto';
import { sha256Hex, sign } from './sigv4.ts';

const emptyHash = sha256Hex('');

/**
 * The signatures of an `aws-chunked` body (STREAMING-AWS4-HMAC-SHA256-PAYLOAD): each covers the one before it, the first
 * that of the request's head, so that chunks can neither be changed, dropped nor reordered.
 */
export class ChunkSignatures {
  readonly #signingKey: Buffer;
  readonly #timestamp: string;
  readonly #scope: string;
  #previous: string;

  constructor(seed: {
    readonly signingKey: Buffer;
    readonly timestamp: string;
    readonly scope: string;
    /** The signature of the head, hex. */
    readonly signature: string;
  }) {
    this.#signingKey = seed.signingKey;
    this.#timestamp = seed.timestamp;
    this.#scope = seed.scope;
    this.#previous = seed.signature;
  }

  /** Whether `signature` is that of the next chunk, whose data has this SHA-256 (hex). */
  acceptsChunk(dataSha256: string, signature: string): boolean {
    return this.#accepts(
      ['AWS4-HMAC-SHA256-PAYLOAD', this.#timestamp, this.#scope, this.#previous, emptyHash, dataSha256],
      signature,
    );
  }

  /** Whether `signature` is that of the trailer, given as `name:value\n` lines. */
  acceptsTrailer(lines: string, signature: string): boolean {
    return this.#accepts(
      ['AWS4-HMAC-SHA256-TRAILER', this.#timestamp, this.#scope, this.#previous, sha256Hex(lines)],
      signature,
    );
  }

  #accepts(lines: readonly string[], signature: string): boolean {
    const expected = sign(this.#signingKey, lines.join('\n'));
    this.#previous = expected;
    const given = Buffer.from(signature);
    return given.length === expected.length && timingSafeEqual(given, Buffer.from(expected));
  }
}
