/**
 * `Content-Encoding: aws-chunked`, undone as the bytes come in:
 *
 *     hex-size [;chunk-signature=hex] CRLF  data CRLF       repeated
 *     0 [;chunk-signature=hex] CRLF                         the end
 *     [ name:value CRLF ]*                                  trailers, e.g. x-amz-checksum-crc32
 *     [ x-amz-trailer-signature:hex CRLF ]
 *     CRLF
 *
 * A store that keeps the framing keeps garbage: an SDK sends every stream this way.
 */
import { createHash, type Hash } from 'node:crypto';
import type { ChunkSignatures } from '../auth/chunk-signatures.ts';

export type FramingProblemCode =
  | 'IncompleteBody'
  | 'InvalidChunkSizeError'
  | 'MalformedTrailerError'
  | 'SignatureDoesNotMatch';

/** The framing, or a signature in it, is wrong. `code` is the one S3 answers with. */
export class FramingProblem extends Error {
  readonly code: FramingProblemCode;

  constructor(code: FramingProblemCode, message: string) {
    super(message);
    this.code = code;
  }
}

const minimumChunk = 8192; // bytes, of every chunk but the last (S3 API reference, "Signature Calculations … Chunked Upload")
const maximumLine = 16 * 1024; // bytes; a chunk header is about 100, a trailer less

type State = 'header' | 'data' | 'data-end' | 'trailer' | 'done';

export class AwsChunkedDecoder {
  /** Trailers, names in lower case. Complete once {@link done}. */
  readonly trailers: Map<string, string> = new Map();
  /** Whether chunks carry signatures to check; set before the first byte. */
  signatures: ChunkSignatures | undefined;
  #state: State = 'header';
  #line = '';
  #remaining = 0; // bytes of the current chunk still to come
  #short = false; // a chunk below the minimum was seen: only the empty one may follow
  #hash: Hash | undefined;
  #claimed = '';
  #trailerLines = '';

  get done(): boolean {
    return this.#state === 'done';
  }

  /** Decodes the next bytes of the body. What it yields are views of `bytes`. @throws FramingProblem */
  *decode(bytes: Buffer): Generator<Buffer> {
    let at = 0;
    while (at < bytes.length) {
      if (this.#state === 'data') {
        const slice = bytes.subarray(at, at + this.#remaining);
        at += slice.length;
        this.#remaining -= slice.length;
        this.#hash?.update(slice);
        if (this.#remaining === 0) this.#state = 'data-end';
        yield slice;
        continue;
      }
      const newline = bytes.indexOf(0x0a, at);
      const end = newline < 0 ? bytes.length : newline + 1;
      this.#line += bytes.toString('latin1', at, end);
      at = end;
      if (this.#line.length > maximumLine) throw new FramingProblem('IncompleteBody', 'a chunk header is too long');
      if (newline < 0) return;
      const line = this.#line.endsWith('\r\n') ? this.#line.slice(0, -2) : this.#line.slice(0, -1);
      this.#line = '';
      this.#takeLine(line);
    }
  }

  /** To be called at the end of the body. @throws FramingProblem where it ended within a chunk */
  finish(): void {
    // The blank line after the last chunk is missing from some clients' bodies when there is no trailer.
    if (this.#state === 'trailer' && this.#line === '') this.#endTrailer();
    if (this.#state !== 'done') throw new FramingProblem('IncompleteBody', 'the request body terminated unexpectedly');
  }

  #takeLine(line: string): void {
    if (this.#state === 'header') this.#startChunk(line);
    else if (this.#state === 'data-end') {
      if (line !== '') throw new FramingProblem('IncompleteBody', 'a chunk is longer than its header says');
      this.#checkChunk();
      this.#state = 'header';
    } else if (this.#state === 'trailer') {
      if (line !== '') this.#takeTrailer(line);
      // AWS's own example puts a blank line between the trailers and their signature.
      else if (!this.#awaitsTrailerSignature()) this.#endTrailer();
    }
  }

  #startChunk(line: string): void {
    const match = /^([0-9a-fA-F]{1,13})(?:;chunk-signature=([0-9a-f]*))?\s*$/.exec(line);
    if (match === null)
      throw new FramingProblem('IncompleteBody', `${JSON.stringify(line.slice(0, 80))} is no chunk header`);
    const size = Number.parseInt(match[1]!, 16);
    this.#claimed = match[2] ?? '';
    if (size > 0 && this.#short) {
      throw new FramingProblem(
        'InvalidChunkSizeError',
        'Only the last chunk is allowed to have a size less than 8192 bytes',
      );
    }
    this.#short = size < minimumChunk;
    this.#hash = this.signatures === undefined ? undefined : createHash('sha256');
    this.#remaining = size;
    if (size > 0) this.#state = 'data';
    else {
      this.#checkChunk();
      this.#state = 'trailer';
    }
  }

  #checkChunk(): void {
    if (this.signatures === undefined || this.#hash === undefined) return;
    if (!this.signatures.acceptsChunk(this.#hash.digest('hex'), this.#claimed)) {
      throw new FramingProblem('SignatureDoesNotMatch', 'the signature of a chunk does not match its data');
    }
  }

  #takeTrailer(line: string): void {
    const colon = line.indexOf(':');
    if (colon < 1) {
      throw new FramingProblem(
        'MalformedTrailerError',
        'The request contained trailing data that was not well-formed or did not conform to our published schema.',
      );
    }
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    this.trailers.set(name, value);
    if (name !== 'x-amz-trailer-signature') this.#trailerLines += `${name}:${value}\n`;
  }

  #awaitsTrailerSignature(): boolean {
    return this.signatures !== undefined && this.#trailerLines !== '' && !this.trailers.has('x-amz-trailer-signature');
  }

  #endTrailer(): void {
    const signature = this.trailers.get('x-amz-trailer-signature');
    if (this.signatures !== undefined && this.#trailerLines !== '') {
      if (signature === undefined || !this.signatures.acceptsTrailer(this.#trailerLines, signature)) {
        throw new FramingProblem('SignatureDoesNotMatch', 'the signature of the trailer does not match it');
      }
    }
    this.trailers.delete('x-amz-trailer-signature');
    this.#state = 'done';
  }
}
