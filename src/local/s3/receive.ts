/** Taking in a request's body, and holding it to every promise that came with it. */
import { createHash } from 'node:crypto';
import {
  type ChecksumAlgorithm,
  checksumAlgorithms,
  checksumHeader,
  createChecksum,
  isChecksumAlgorithm,
  isChecksumValue,
} from '../../checksums/checksum.ts';
import { BodyTooLarge } from '../http/request-body.ts';
import type { Segment } from '../storage/blobs.ts';
import type { S3Call, S3Service } from './call.ts';
import { S3Error } from './s3-error.ts';

/** 5 GiB, of a PUT and of a part. */
export const maximumPutBytes: number = 5 * 1024 ** 3;
/** Of a request document. The longest, Complete with 10 000 parts and their checksums, has about 3 MB. */
const maximumDocumentBytes = 16 * 1024 ** 2;

/** The checksum that a request carries, in a header or to come in the trailer. */
export interface PromisedChecksum {
  readonly algorithm: ChecksumAlgorithm;
  /** Base64; undefined while it is to come in the trailer. */
  readonly value: string | undefined;
}

/** @throws S3Error InvalidRequest */
export function promisedChecksum(call: S3Call): PromisedChecksum | undefined {
  const inHeaders = checksumAlgorithms.filter((algorithm) => call.header(checksumHeader(algorithm)) !== undefined);
  const inTrailer = (call.header('x-amz-trailer') ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name.startsWith('x-amz-checksum-'));
  if (inHeaders.length + inTrailer.length > 1) {
    throw new S3Error('InvalidRequest', {
      message: 'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.',
    });
  }
  const claimed = call.header('x-amz-sdk-checksum-algorithm')?.toUpperCase();
  const trailing = inTrailer[0]?.slice('x-amz-checksum-'.length).toUpperCase();
  if (trailing !== undefined && !isChecksumAlgorithm(trailing)) {
    throw new S3Error('InvalidRequest', {
      message: 'The value specified in the x-amz-trailer header is not supported',
    });
  }
  const algorithm = inHeaders[0] ?? trailing;
  if (algorithm === undefined) {
    if (claimed === undefined) return undefined;
    throw new S3Error('InvalidRequest', {
      message:
        'x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.',
    });
  }
  if (claimed !== undefined && claimed !== algorithm) {
    throw new S3Error('InvalidRequest', { message: 'Value for x-amz-sdk-checksum-algorithm header is invalid.' });
  }
  const value = inHeaders[0] === undefined ? undefined : call.header(checksumHeader(algorithm));
  if (value !== undefined) checkForm(algorithm, value);
  return { algorithm, value };
}

function checkForm(algorithm: ChecksumAlgorithm, value: string): void {
  if (isChecksumValue(algorithm, value)) return;
  throw new S3Error('InvalidRequest', { message: `Value for ${checksumHeader(algorithm)} header is invalid.` });
}

/** The body's length as promised. @throws S3Error where S3 wants one and there is none */
function promisedLength(call: S3Call): number {
  const { headers } = call.head;
  const stated =
    call.body.chunked === undefined ? headers.get('content-length') : headers.get('x-amz-decoded-content-length');
  if (stated !== undefined && /^\d+$/.test(stated)) return Number(stated);
  if (call.body.chunked === undefined && headers.has('transfer-encoding')) {
    throw new S3Error('NotImplemented', {
      message: 'A header you provided implies functionality that is not implemented',
      fields: { Header: 'Transfer-Encoding' },
    });
  }
  throw new S3Error('MissingContentLength');
}

/** Everything that must be computed over a body to hold it to its promises. */
class Verification {
  readonly #call: S3Call;
  readonly #length: number | undefined;
  readonly #checksum: PromisedChecksum | undefined;
  readonly #running: ReturnType<typeof createChecksum> | undefined;
  readonly #algorithm: ChecksumAlgorithm | undefined;
  readonly #md5: ReturnType<typeof createHash> | undefined;
  readonly #contentMd5: string | undefined;

  constructor(
    call: S3Call,
    options: {
      readonly length: number | undefined;
      readonly md5: boolean;
      /** What to compute where the request promises none. */
      readonly algorithm: ChecksumAlgorithm | undefined;
      /** Whether checksum headers are of this body; else they are the caller's to check. */
      readonly ownChecksum?: boolean;
    },
  ) {
    this.#call = call;
    this.#length = options.length;
    this.#contentMd5 = call.header('content-md5');
    if (this.#contentMd5 !== undefined && Buffer.from(this.#contentMd5, 'base64').length !== 16) {
      throw new S3Error('InvalidDigest', { fields: { 'Content-MD5': this.#contentMd5 } });
    }
    this.#checksum = options.ownChecksum === false ? undefined : promisedChecksum(call);
    this.#algorithm = this.#checksum?.algorithm ?? options.algorithm;
    this.#running = this.#algorithm === undefined ? undefined : createChecksum(this.#algorithm);
    this.#md5 = options.md5 || this.#contentMd5 !== undefined ? createHash('md5') : undefined;
  }

  update(bytes: Buffer): void {
    this.#running?.update(bytes);
    this.#md5?.update(bytes);
  }

  /** @throws S3Error for the first promise that is not kept */
  finish(): {
    md5: Buffer | undefined;
    checksum: { algorithm: ChecksumAlgorithm; value: string; promised: boolean } | undefined;
  } {
    const { body } = this.#call;
    if (this.#length !== undefined && body.received !== this.#length) throw new S3Error('IncompleteBody');
    this.#checkPayloadHash();
    const md5 = this.#md5?.digest();
    if (this.#contentMd5 !== undefined && md5?.toString('base64') !== this.#contentMd5) {
      throw new S3Error('BadDigest', {
        fields: { ExpectedDigest: this.#contentMd5, CalculatedDigest: md5?.toString('base64') ?? '' },
      });
    }
    return { md5, checksum: this.#finishChecksum() };
  }

  #checkPayloadHash(): void {
    const claimed = this.#call.header('x-amz-content-sha256');
    if (claimed === undefined || !/^[0-9a-f]{64}$/.test(claimed)) return;
    const computed = this.#call.body.sha256();
    if (computed === claimed) return;
    throw new S3Error('XAmzContentSHA256Mismatch', {
      fields: { ClientComputedContentSHA256: claimed, S3ComputedContentSHA256: computed ?? '' },
    });
  }

  #finishChecksum(): { algorithm: ChecksumAlgorithm; value: string; promised: boolean } | undefined {
    if (this.#algorithm === undefined || this.#running === undefined) return undefined;
    const algorithm = this.#algorithm;
    const value = this.#running.digest().toString('base64');
    const promised = this.#checksum;
    if (promised === undefined) return { algorithm, value, promised: false };
    let claimed = promised.value;
    if (claimed === undefined) {
      claimed = this.#call.body.chunked?.trailers.get(checksumHeader(algorithm));
      if (claimed === undefined) throw new S3Error('MalformedTrailerError');
      checkForm(algorithm, claimed);
    }
    if (claimed !== value) {
      throw new S3Error('BadDigest', {
        message: `The ${algorithm} you specified did not match the calculated checksum.`,
      });
    }
    return { algorithm, value, promised: true };
  }
}

/** A body on disk, not yet part of anything. */
export interface Received {
  readonly segments: readonly Segment[];
  readonly size: number;
  /** Undefined where ETags are not made of it and the request did not ask for it. */
  readonly md5: Buffer | undefined;
  readonly checksum:
    | { readonly algorithm: ChecksumAlgorithm; readonly value: string; readonly promised: boolean }
    | undefined;
  /** For when nothing comes of it. */
  discard(): Promise<void>;
}

/**
 * Receives a body of any length into a blob.
 *
 * @param options.algorithm checksum to compute where the request brings none
 * @throws S3Error; nothing is left on the disk then
 */
export async function receiveBody(
  service: S3Service,
  call: S3Call,
  options: { readonly algorithm?: ChecksumAlgorithm | undefined } = {},
): Promise<Received> {
  const length = promisedLength(call);
  if (length > maximumPutBytes) {
    throw new S3Error('EntityTooLarge', { fields: { ProposedSize: length, MaxSizeAllowed: maximumPutBytes } });
  }
  const verification = new Verification(call, {
    length,
    md5: service.settings.etags === 'md5',
    algorithm: options.algorithm,
  });
  const writer = service.store.blobs.writer();
  try {
    for await (const bytes of call.body) {
      verification.update(bytes);
      await writer.write(bytes);
    }
    const { md5, checksum } = verification.finish();
    const segments = await writer.finish();
    return { segments, size: writer.length, md5, checksum, discard: () => writer.discard() };
  } catch (problem) {
    await writer.discard();
    throw problem;
  }
}

/**
 * Receives the body of a request that carries a document.
 *
 * @param options.ownChecksum false where the request's checksum headers are not of its body
 */
export async function receiveSmall(call: S3Call, options: { readonly ownChecksum?: boolean } = {}): Promise<Buffer> {
  const verification = new Verification(call, { ...options, length: undefined, md5: false, algorithm: undefined });
  let bytes: Buffer;
  try {
    bytes = await call.body.bytes(maximumDocumentBytes);
  } catch (problem) {
    if (problem instanceof BodyTooLarge) throw new S3Error('MaxMessageLengthExceeded', { cause: problem });
    throw problem;
  }
  verification.update(bytes);
  verification.finish();
  return bytes;
}
