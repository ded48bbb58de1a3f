/** The S3 requests of an upload: which of the caller's parameters go where, and what each answer means. */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  type CreateMultipartUploadCommandInput,
  ListPartsCommand,
  type PutObjectCommandInput,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { type errorCodes, SealpipeError, type SealpipeErrorFields } from '../errors.ts';
import { isPlainClient } from '../requests/plain-client.ts';
import { endsWithError, sendPut } from '../requests/put-request.ts';
import { retrySends } from '../retry/retry-sends.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { withDeadline } from '../retry/send-deadline.ts';
import { withLeanBody, withoutSdkRetries } from '../s3-command.ts';
import { describeFailure } from '../service-failure.ts';
import { PartSigner } from './part-signer.ts';
import type { SealedPart } from './parts.ts';
import { answerFailure, SignatureAhead } from './request-signer.ts';
import type { RawAnswer } from './workers/worker-protocol.ts';

/** The caller's parameters: those of PutObject, body and checksums left out. */
export type UploadParams = Omit<
  PutObjectCommandInput,
  'Body' | 'ContentMD5' | `Checksum${string}` | 'Bucket' | 'Key'
> & {
  Bucket: string;
  Key: string;
};

/** A part that S3 has acknowledged. */
export interface StoredPart {
  readonly number: number;
  readonly etag: string;
  readonly crc32: number;
  readonly length: number;
}

/** What S3 said of a finished object. */
export interface StoredObject {
  readonly etag: string;
  readonly versionId: string | undefined;
}

export interface UploadRequestsOptions {
  readonly client: S3Client;
  readonly params: UploadParams;
  /** User metadata with the envelope in it. */
  readonly metadata: Record<string, string>;
  /** Total sends of each request. */
  readonly attempts: number;
  /** How parts go: through the client, or signed by it and sent by the worker that made them. `auto`: the latter where nothing is lost by it. */
  readonly transport: 'auto' | 'client' | 'workers';
  /** Milliseconds until an unanswered send counts as lost. */
  readonly partTimeout: number;
  readonly signal: AbortSignal;
  /**
   * Milliseconds that Create and Complete may still take when the signal has fired: cut off, the one can leave an upload behind whose id
   * nobody knows, and the other leaves open whether the object is there. Not for ever: a network that is gone would keep a process that is
   * to end.
   */
  readonly grace: number;
  readonly onRetry?: ((retry: { part: number | undefined; attempt: number; error: unknown }) => void) | undefined;
}

/** Milliseconds that a PUT under way is still waited for after an abort. */
const putGrace = 10_000;

/** Sends the requests of one upload attempt, each again with the same bytes when its failure may pass. */
export class UploadRequests {
  readonly #options: UploadRequestsOptions;
  readonly #signer: PartSigner;
  #plain: boolean | undefined;

  constructor(options: UploadRequestsOptions) {
    this.#options = options;
    this.#signer = new PartSigner(options.client);
  }

  async put(bytes: Buffer, crc32: number): Promise<StoredObject> {
    const { client, params, metadata, transport } = this.#options;
    const input = {
      ...params,
      Metadata: metadata,
      Body: bytes,
      ContentLength: bytes.length,
      ChecksumCRC32: base64Crc(crc32),
    };
    const answer = await this.#send(
      'PutObject',
      undefined,
      (signal) => sendPut(client, input, { signal, transport }),
      // Cut off at once, it could still take effect, after we have looked whether it did. Its body can be slow, so not for ever.
      { grace: putGrace },
    );
    return { etag: answer.ETag ?? '', versionId: answer.VersionId };
  }

  /** @returns the upload id, and whether the store checks the CRC-32 of the whole object at Complete */
  async create(): Promise<{ uploadId: string; fullObjectChecksum: boolean }> {
    const { client, params, metadata, grace } = this.#options;
    const { IfMatch, IfNoneMatch, ContentLength, ...rest } = params;
    const input: CreateMultipartUploadCommandInput = {
      ...rest,
      Metadata: metadata,
      ChecksumAlgorithm: 'CRC32',
      ChecksumType: 'FULL_OBJECT',
    };
    const answer = await this.#send(
      'CreateMultipartUpload',
      undefined,
      (signal) => client.send(withoutSdkRetries(new CreateMultipartUploadCommand(input)), { abortSignal: signal }),
      { grace },
    );
    if (answer.UploadId === undefined)
      throw new SealpipeError('REQUEST_REJECTED', 'S3 answered CreateMultipartUpload without an upload id');
    return { uploadId: answer.UploadId, fullObjectChecksum: answer.ChecksumType === 'FULL_OBJECT' };
  }

  /**
   * Makes a part ready to be sent: its request is signed while others are still on their way, so that a free connection is not kept
   * waiting for the signature.
   * @returns what sends it
   */
  async preparePart(uploadId: string, part: SealedPart): Promise<() => Promise<StoredPart>> {
    const { client, params } = this.#options;
    const { number, bytes, crc32 } = part;
    const checksum = base64Crc(crc32);
    // Made for the sends that go through the client, or are made by it; most are not.
    const command = (): UploadPartCommand =>
      withLeanBody(
        new UploadPartCommand({
          ...addressOf(params),
          ...customerKeyOf(params),
          UploadId: uploadId,
          PartNumber: number,
          Body: bytes,
          ContentLength: bytes.length,
          ChecksumCRC32: checksum,
        }),
      );
    const fromWorker = this.#fromWorkers() ? part.send : undefined;
    const signature =
      fromWorker && (await SignatureAhead.of(() => this.#signer.sign({ number, bytes, checksum }, command)));
    const send = async (
      signal: AbortSignal,
    ): Promise<{ readonly ETag?: string | undefined; readonly ChecksumCRC32?: string | undefined }> =>
      fromWorker === undefined || signature === undefined
        ? client.send(withoutSdkRetries(command()), { abortSignal: signal })
        : partAnswer(await fromWorker(await signature.take(), { length: bytes.length, signal }));
    return async () => {
      const etag = await this.#send('UploadPart', number, async (signal) => {
        const stored = await send(signal);
        if (stored.ChecksumCRC32 !== undefined && stored.ChecksumCRC32 !== checksum) {
          throw new SealpipeError('NETWORK', `part ${number} arrived with another CRC-32 than it was sent with`, {
            retryable: true,
          });
        }
        if (stored.ETag === undefined) {
          throw new SealpipeError('S3_UNAVAILABLE', `S3 answered part ${number} without an ETag`, { retryable: true });
        }
        return stored.ETag;
      });
      return { number, etag, crc32, length: bytes.length };
    };
  }

  /** Decided once, when the client has made its first request and its agents exist. */
  #fromWorkers(): boolean {
    const { client, transport } = this.#options;
    this.#plain ??= transport === 'workers' || (transport === 'auto' && isPlainClient(client));
    return this.#plain;
  }

  async complete(
    uploadId: string,
    parts: readonly StoredPart[],
    objectCrc32: number | undefined,
  ): Promise<StoredObject> {
    const { client, params, grace } = this.#options;
    const { IfMatch, IfNoneMatch } = params;
    const input = {
      ...addressOf(params),
      ...customerKeyOf(params),
      IfMatch,
      IfNoneMatch,
      UploadId: uploadId,
      MultipartUpload: {
        Parts: parts.map(({ number, etag, crc32 }) => ({
          PartNumber: number,
          ETag: etag,
          ChecksumCRC32: base64Crc(crc32),
        })),
      },
      ...(objectCrc32 === undefined
        ? {}
        : { ChecksumCRC32: base64Crc(objectCrc32), ChecksumType: 'FULL_OBJECT' as const }),
    };
    const answer = await this.#send(
      'CompleteMultipartUpload',
      undefined,
      (signal) => client.send(withoutSdkRetries(new CompleteMultipartUploadCommand(input)), { abortSignal: signal }),
      { grace },
    );
    return { etag: answer.ETag ?? '', versionId: answer.VersionId };
  }

  /**
   * Aborts an upload and makes sure that nothing of it stays: a part that was on its way can arrive after the abort, so it is
   * repeated until S3 does not know the upload any more.
   * @returns whether that was seen within `timeLimit` milliseconds
   */
  async abort(uploadId: string, timeLimit = 30_000): Promise<boolean> {
    const { client, params } = this.#options;
    const input = { ...addressOf(params), UploadId: uploadId };
    const deadline = performance.now() + timeLimit;
    // The upload's own signal has fired by now. One request that is not answered must not use up the time for all.
    const within = <T>(what: string, send: (abortSignal: AbortSignal) => Promise<T>): Promise<T> =>
      withDeadline(send, { timeout: timeLimit / 6, signal: undefined, what });
    for (let round = 0; performance.now() < deadline; round++) {
      try {
        await within('AbortMultipartUpload', (abortSignal) =>
          client.send(new AbortMultipartUploadCommand(input), { abortSignal }),
        );
        await within('ListParts', (abortSignal) =>
          client.send(new ListPartsCommand({ ...input, MaxParts: 1 }), { abortSignal }),
        );
      } catch (error) {
        const { name, kind } = describeFailure(error);
        if (name === 'NoSuchUpload' || name === 'NoSuchBucket') return true;
        // Denied or malformed does not change by asking again.
        if (kind === 'rejected' || kind === 'credentials') return false;
      }
      await new Promise((resolve) => setTimeout(resolve, Math.min(1000, 50 * 2 ** round)));
    }
    return false;
  }

  async #send<T>(
    operation: string,
    part: number | undefined,
    send: (signal: AbortSignal) => Promise<T>,
    { grace = 0 }: { grace?: number } = {},
  ): Promise<T> {
    const { attempts, partTimeout, signal, onRetry, params } = this.#options;
    const deadline = { timeout: partTimeout, signal, grace, what: operation };
    let attempt = 0;
    try {
      return await retrySends(
        (count) => {
          attempt = count;
          return withDeadline(send, deadline);
        },
        { attempts, signal, onRetry: ({ error, attempt: failed }) => onRetry?.({ part, attempt: failed, error }) },
      );
    } catch (cause) {
      const place = { bucket: params.Bucket, key: params.Key };
      const fields = { part, attempts: attempt };
      // A deadline or a checksum of ours knows neither where nor how often.
      if (cause instanceof SealpipeError && cause.retryable) throw withFields(cause, { ...place, ...fields });
      throw s3Failure(cause, { operation, ...place, precondition: 'conditional-write', fields });
    }
  }
}

/** The same error with more known about it. */
function withFields(error: SealpipeError, fields: SealpipeErrorFields): SealpipeError {
  const code = error.code.replace('ERR_SEALPIPE_', '') as (typeof errorCodes)[number];
  return new SealpipeError(code, error.message, { ...fields, ...error, cause: error.cause });
}

/** What a worker was answered, as the SDK would have put it. */
function partAnswer(answer: RawAnswer): { ETag: string | undefined; ChecksumCRC32: string | undefined } {
  if (answer.status < 200 || answer.status >= 300) throw answerFailure(answer);
  // The status that the SDK gives it, by which it is sent again.
  if (endsWithError(answer.body)) throw answerFailure({ ...answer, status: 503 });
  return { ETag: answer.headers.etag, ChecksumCRC32: answer.headers['x-amz-checksum-crc32'] };
}

/** CRC-32 as S3's headers have it: big-endian, base64. */
export function base64Crc(crc32: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc32 >>> 0);
  return bytes.toString('base64');
}

export function addressOf({
  Bucket,
  Key,
  RequestPayer,
  ExpectedBucketOwner,
}: UploadParams): Pick<UploadParams, 'Bucket' | 'Key' | 'RequestPayer' | 'ExpectedBucketOwner'> {
  return { Bucket, Key, RequestPayer, ExpectedBucketOwner };
}

type CustomerKey = Pick<UploadParams, 'SSECustomerAlgorithm' | 'SSECustomerKey' | 'SSECustomerKeyMD5'>;

/** SSE-C has to be repeated on every part, and on Complete where a checksum is sent. */
export function customerKeyOf({ SSECustomerAlgorithm, SSECustomerKey, SSECustomerKeyMD5 }: CustomerKey): CustomerKey {
  return { SSECustomerAlgorithm, SSECustomerKey, SSECustomerKeyMD5 };
}
