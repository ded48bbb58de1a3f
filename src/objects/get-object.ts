import type { Readable } from 'node:stream';
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';
import type { Envelope } from '../format/envelope.ts';
import type { StringMap } from '../format/string-map.ts';
import { destroyOnAbort } from '../streams/destroy-on-abort.ts';
import { assertReleaseOptions, type ReleaseRule } from '../streams/plaintext-release.ts';
import { type AnsweredObject, type AnsweringRequest, openAnswered, requestObject } from './answered-object.ts';
import type { OnRetry } from './broken-off.ts';
import { DecryptedBody } from './decrypted-body.ts';
import type { ObjectAddress, ObjectSetting } from './object-setting.ts';
import { ParallelBody } from './parallel-body.ts';
import { checkParallelOptions, idleTimeoutOf, isParallel, parallelOptions } from './parallel-options.ts';
import { ResumableBody } from './resumable-body.ts';

/** Which object to read. */
export type GetParams = ObjectAddress & {
  readonly IfMatch?: string | undefined;
  readonly IfNoneMatch?: string | undefined;
};

/** How an object is read. */
export interface GetOptions {
  /** The encryption context that the object was written with. Default: that of the EncryptedS3, else the empty one. */
  readonly encryptionContext?: StringMap | undefined;
  /**
   * When plaintext comes out. Default `authenticated`: after the tag of the whole object, held in memory up to `maxBuffered`; of a larger
   * one with a segment index, each segment once it is verified.
   */
  readonly release?: ReleaseRule | undefined;
  /** Bytes of plaintext that `authenticated` holds in memory; a larger object is the error BUFFER_LIMIT. Default 64 MiB. */
  readonly maxBuffered?: number | undefined;
  /** Milliseconds without an answer, or without a byte while one is waited for, until a connection counts as broken. Default 60 000. */
  readonly idleTimeout?: number | undefined;
  /**
   * Connections that fetch ranges of the object side by side. Default 1: one GET. More are worth it where one connection is slower
   * than the network. At most 256. A stream keeps (concurrency + 2) × `partSize` in memory.
   */
  readonly concurrency?: number | undefined;
  /**
   * Bytes of a range under `concurrency`: a multiple of 16, from 64 KiB to 1 GiB. Default 8 MiB; of a download to a file an even share,
   * from 8 to 64 MiB.
   */
  readonly partSize?: number | undefined;
  /**
   * Threads that decrypt under `concurrency`, and downloads to a file from 64 MiB on in any case; up to 64, and to `concurrency` where
   * that is above 1. Default: one a core, at most 3. 0: the calling thread.
   */
  readonly workers?: number | undefined;
  /**
   * Who fetches. `client`: the S3Client, on the calling thread. `workers`: under `concurrency` the threads that decrypt. Default `auto`:
   * the latter for a plain client, and single GETs without it (docs/uploading.md).
   */
  readonly transport?: 'auto' | 'client' | 'workers' | undefined;
  /** Told of each broken connection, or failed range, that is asked for again. */
  readonly onRetry?: OnRetry | undefined;
  /** Ends the reading, the stream of plaintext included, with ERR_SEALPIPE_ABORTED. */
  readonly signal?: AbortSignal | undefined;
}

/** An object that is being read. */
export interface GetResult {
  /** Plaintext. It fails when authentication fails; only its end says that all was right. */
  readonly body: Readable;
  /** Bytes; the upper bound where not exact (CBC). */
  readonly plaintextSize: number;
  /** Whether `plaintextSize` is. */
  readonly exact: boolean;
  /** Bytes in S3. */
  readonly storedSize: number;
  /** Undefined for a plaintext object that the policy allows. */
  readonly envelope: Envelope | undefined;
  /** User metadata without the envelope. */
  readonly metadata: Record<string, string>;
  readonly etag: string;
  readonly versionId: string | undefined;
  readonly contentType: string | undefined;
  readonly lastModified: Date | undefined;
}

/**
 * Starts to read an object: one GET, no HEAD, one unwrapped key. Resolves when the key is open and bytes can flow. With a
 * concurrency above 1 the first GET is for a range, and others follow.
 */
export async function getObject(
  setting: ObjectSetting,
  params: GetParams,
  options: GetOptions = {},
): Promise<GetResult> {
  checkParallelOptions(options);
  assertReleaseOptions(options);
  const object = await requestObject(setting, params, options);
  return bodyOf(object, options);
}

/**
 * As {@link getObject}, of a GET that has been answered. A failure frees its connection.
 * @param params the request that was answered: it is repeated for the rest of a body that breaks off
 */
export async function openAnswer(
  setting: ObjectSetting,
  params: GetParams,
  answer: GetObjectCommandOutput,
  options: GetOptions & AnsweringRequest,
): Promise<GetResult> {
  return bodyOf(await openAnswered(setting, params, answer, options), options);
}

/** An opened object with the stream of its plaintext. */
export function bodyOf(object: AnsweredObject, options: GetOptions): GetResult {
  const { signal, release, maxBuffered, transport, onRetry } = options;
  const { contentKey, result } = object;
  if (contentKey !== undefined && isParallel(object, options)) {
    return { ...result, body: new ParallelBody(object, contentKey, { ...parallelOptions(options), release }) };
  }
  const { client, pinned, answer, storedSize, sized } = object;
  const whole = sized ? storedSize : undefined;
  const idleTimeout = idleTimeoutOf(options);
  const receiving = { client, input: pinned, answer, idleTimeout, transport, storedSize: whole, onRetry };
  if (contentKey !== undefined)
    return { ...result, body: new DecryptedBody(contentKey, { ...receiving, release, maxBuffered, signal }) };
  const body = new ResumableBody(receiving);
  destroyOnAbort(body, signal, 'download');
  return { ...result, body };
}
