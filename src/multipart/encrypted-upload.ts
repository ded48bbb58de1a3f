import { EventEmitter } from 'node:events';
import { resolve } from 'node:path';
import type { S3Client } from '@aws-sdk/client-s3';
import { assertSegmentSize, defaultSegmentSize } from '../crypto/segment-index.ts';
import { SealpipeError } from '../errors.ts';
import { assertStorage, type EnvelopeStorage } from '../format/envelope.ts';
import { maxKeyLength } from '../format/instruction-file.ts';
import { assertStringMap, type StringMap } from '../format/string-map.ts';
import type { ContentSuite } from '../format/suites.ts';
import { assertUserMetadata } from '../format/user-metadata.ts';
import type { Keyring } from '../keyrings/keyring.ts';
import { assertNoIndexKey, requiredIndexKey } from '../objects/segment-index-key.ts';
import { assertPartSize, defaultPartSize, maxParts } from './part-sizes.ts';
import { runUploadAttempt, type UploadJob, type UploadObserver } from './upload-attempt.ts';
import { assertUploadBody, isRestartable, type UploadBody } from './upload-body.ts';
import type { UploadParams } from './upload-requests.ts';
import { assertWorkerCount, defaultWorkerCount } from './workers/worker-pool.ts';

/** What to upload, and where: the parameters of PutObject, with more kinds of body. */
export type EncryptedUploadParams = UploadParams & { Body: UploadBody };

/** How to upload. The names are those of `Upload` in @aws-sdk/lib-storage where it has them. */
export interface UploadOptions {
  /** Bytes of a part; a multiple of 16, at least 5 MiB. Default 16 MiB. It grows where 10 000 such parts would not suffice. */
  readonly partSize?: number | undefined;
  /** Parts in flight at the same time, 10 000 at most. Default 4. Memory is that of these and a quarter more, rounded up: 5 × part size by default. */
  readonly queueSize?: number | undefined;
  /**
   * Worker threads that encrypt, of the pool that all uploads and downloads of the process share; up to 64. Default: one a core, at most
   * 8. 0: the calling thread.
   */
  readonly workers?: number | undefined;
  /**
   * How parts are sent. `client`: through the S3Client, on the calling thread. `workers`: signed as the S3Client signs the first, sent
   * by the worker that made them, which is faster. Default `auto`: the latter, unless the client has a request handler, an agent or
   * middleware of its own, which would then not see the parts; and single PUTs leave without the client where docs/uploading.md says so.
   */
  readonly transport?: 'auto' | 'client' | 'workers' | undefined;
  /** Sends of each part, the first included, all with the same bytes. Default 5. */
  readonly partAttempts?: number | undefined;
  /** How often a whole upload starts over under a fresh data key when a part cannot be stored; needs a body that can be read again. Default 1. */
  readonly restarts?: number | undefined;
  /** Milliseconds until a part that is not acknowledged counts as lost and is sent again. Default 5 minutes. */
  readonly partTimeout?: number | undefined;
  /** For KMS keyrings: authenticated beside the data key, stored in the clear, needed again for reading. */
  readonly encryptionContext?: StringMap | undefined;
  /** For AES and RSA keyrings: stored in the clear, says which key it was. Default: the keyring's. */
  readonly materialsDescription?: StringMap | undefined;
  /** Where the envelope goes. Default: the object's metadata. */
  readonly storage?: EnvelopeStorage | undefined;
  /**
   * Path of a journal: with it an upload of a file goes on where it stopped, in this process or a later one, after a crash too. While
   * there is something to go on with, a failure or an abort leaves the parts on S3 and the journal in place. Default: none.
   */
  readonly journal?: string | undefined;
  /**
   * Writes a segment index beside the object, which makes ranges of it authentic (docs/segment-index.md). The part size is rounded up to
   * whole segments. An upload that goes on by its journal goes on with the index that it was begun with, or is refused if
   * that was none. Default: none.
   */
  readonly segmentIndex?: boolean | SegmentIndexOptions | undefined;
  /** Leaves the parts of a failed upload on S3 (and their cost), those of one that starts over, too. They are of no further use. Default false. */
  readonly leavePartsOnError?: boolean | undefined;
  /** Tags of the object. */
  readonly tags?: readonly { readonly Key: string; readonly Value: string }[] | undefined;
  /** As lib-storage has it; it does what `signal` does. */
  readonly abortController?: AbortController | undefined;
  /** Aborts the upload; `done()` rejects with ERR_SEALPIPE_ABORTED when nothing is left of it, or a journal keeps what is stored. */
  readonly signal?: AbortSignal | undefined;
}

/** How a segment index is made. */
export interface SegmentIndexOptions {
  /**
   * Bytes that are authenticated as one: a power of two from 4 KiB to 1 MiB. Default 64 KiB. Raised where the index would reach 32 MiB,
   * for a body of unknown length to 64 KiB.
   */
  readonly segmentSize?: number | undefined;
}

/** A finished upload. */
export interface UploadResult {
  readonly bucket: string;
  readonly key: string;
  readonly etag: string;
  readonly versionId: string | undefined;
  /** Bytes that were given. */
  readonly plaintextSize: number;
  /** Bytes in S3: 16 more, the tag, where they are encrypted here. */
  readonly storedSize: number;
  /** 1 for an object that was one PUT. */
  readonly parts: number;
  /** Sends beyond the first, of all parts together. */
  readonly retries: number;
  /** How often it started over under a fresh data key. */
  readonly restarts: number;
  /** The whole envelope, wherever it is stored. */
  readonly envelope: Record<string, string>;
}

/** As lib-storage reports it; bytes are of the plaintext. */
export interface UploadProgress {
  /** Stored so far. */
  readonly loaded: number;
  /** Undefined where the length is not known. */
  readonly total: number | undefined;
  /** Number of the part that was stored just now, from 1. */
  readonly part: number;
  readonly Bucket: string;
  readonly Key: string;
}

/** The events of an upload, each with one argument. */
export interface UploadEvents {
  /** A part has been stored. A restart counts anew. */
  httpUploadProgress: [UploadProgress];
  /** A request is about to be sent again; `part` is undefined for those that carry none. */
  partRetry: [{ part: number | undefined; attempt: number; error: unknown }];
  /** The upload starts over under a fresh data key. */
  restart: [{ restart: number; error: SealpipeError }];
}

/** What the object that makes uploads contributes. */
export interface UploadSetting {
  readonly client: S3Client;
  /** Undefined: nothing is encrypted on this side. */
  readonly keyring: Keyring | undefined;
  readonly suite: ContentSuite;
  readonly storage: EnvelopeStorage;
  readonly instructionSuffix: string;
}

/**
 * One encrypted object on its way up. Nothing is sent before `done()`.
 *
 * A part that fails is sent again with the very same bytes. When it cannot be stored, the upload is aborted, with no part left
 * behind, and starts over under a fresh data key where the body can be read again; docs/retry.md has the whole semantics.
 */
export class EncryptedUpload extends EventEmitter<UploadEvents> {
  /** The multipart upload in progress. Undefined before it is created, and for an object that is one PUT. */
  uploadId: string | undefined;
  readonly #setting: UploadSetting;
  readonly #params: EncryptedUploadParams;
  readonly #options: UploadOptions;
  readonly #abortController = new AbortController();
  #result: Promise<UploadResult> | undefined;

  /** @throws TypeError or RangeError for parameters that cannot be right */
  constructor(setting: UploadSetting, params: EncryptedUploadParams, options: UploadOptions = {}) {
    super();
    assertParams(params);
    assertUploadBody(params.Body);
    if (options.storage !== undefined) assertStorage(options.storage);
    if (options.encryptionContext !== undefined) assertStringMap(options.encryptionContext, 'encryptionContext');
    if (options.materialsDescription !== undefined)
      assertStringMap(options.materialsDescription, 'materialsDescription');
    if (!isList(options.tags ?? [])) throw new TypeError('tags is no list, expected [{ Key, Value }]');
    assertKeyLength(params.Key, (options.storage ?? setting.storage) === 'metadata' ? '' : setting.instructionSuffix);
    if (params.Metadata !== undefined) assertUserMetadata(params.Metadata);
    assertPartSize(options.partSize ?? defaultPartSize);
    assertCount('queueSize', options.queueSize ?? 4, { least: 1, most: maxParts });
    assertCount('partAttempts', options.partAttempts ?? 5, { least: 1 });
    assertWorkerCount(options.workers ?? 1);
    assertJournalPath(options.journal);
    if (!['auto', 'client', 'workers', undefined].includes(options.transport)) {
      throw new TypeError(`transport is ${JSON.stringify(options.transport)}, expected 'auto', 'client' or 'workers'`);
    }
    assertCount('restarts', options.restarts ?? 1, { least: 0 });
    const { partTimeout = 1 } = options;
    assertSegmentIndex(setting, params, options);
    if (!(partTimeout > 0)) throw new RangeError(`partTimeout is ${partTimeout}, expected a number of milliseconds`);
    this.#setting = setting;
    this.#params = params;
    this.#options = options;
  }

  /**
   * Uploads, and waits until the object is in place. Called again, it returns the same promise.
   * @throws SealpipeError once, after the cleaning up
   */
  done(): Promise<UploadResult> {
    this.#result ??= this.#run();
    return this.#result;
  }

  /** Aborts the upload and waits until nothing of it is left; `done()` rejects with ERR_SEALPIPE_ABORTED. */
  async abort(): Promise<void> {
    this.#abortController.abort();
    await this.#result?.catch(() => undefined);
  }

  async #run(): Promise<UploadResult> {
    const { restarts: allowed = 1, abortController, signal } = this.#options;
    const signals = [this.#abortController.signal, abortController?.signal, signal].filter(
      (each) => each !== undefined,
    );
    const combined = signals.length === 1 ? this.#abortController.signal : AbortSignal.any(signals);
    const job = this.#job();
    const counts = { retries: 0, restarts: 0 };
    for (;;) {
      try {
        const stored = await runUploadAttempt(job, this.#observer(counts), combined);
        return { bucket: job.params.Bucket, key: job.params.Key, ...stored, ...counts };
      } catch (error) {
        if (!isWorthRestarting(error, job)) throw error;
        if (counts.restarts >= allowed || !(await isRestartable(job.body)))
          throw restartRequired(error, { restarts: counts.restarts, allowed, partsStay: job.leavePartsOnError });
        counts.restarts += 1;
        this.emit('restart', { restart: counts.restarts, error });
      }
    }
  }

  #job(): UploadJob {
    const { Body, ...params } = this.#params;
    const {
      partSize,
      queueSize,
      workers,
      transport,
      partAttempts,
      partTimeout,
      encryptionContext,
      materialsDescription,
      storage,
      leavePartsOnError,
      journal,
      tags,
      segmentIndex,
    } = this.#options;
    const tagging =
      tags === undefined
        ? {}
        : { Tagging: new URLSearchParams(tags.map(({ Key, Value }): [string, string] => [Key, Value])).toString() };
    return {
      ...this.#setting,
      storage: storage ?? this.#setting.storage,
      params: { ...params, ...tagging },
      body: Body,
      encryptionContext,
      materialsDescription,
      partSize: partSize ?? defaultPartSize,
      queueSize: queueSize ?? 4,
      workers: workers ?? defaultWorkerCount(),
      transport: transport ?? 'auto',
      partAttempts: partAttempts ?? 5,
      partTimeout: partTimeout ?? 300_000,
      grace: 30_000,
      leavePartsOnError: leavePartsOnError ?? false,
      // Its place is meant that it has now.
      journal: journal && resolve(journal),
      segmentSize: wantedSegmentSize(segmentIndex),
    };
  }

  /** Fresh for each attempt: what an attempt that failed had loaded does not count. */
  #observer(counts: { retries: number; restarts: number }): UploadObserver {
    let loaded = 0;
    const { Bucket, Key } = this.#params;
    this.uploadId = undefined;
    return {
      started: (uploadId) => {
        this.uploadId = uploadId;
      },
      stored: ({ number, plaintextLength }, total) => {
        loaded += plaintextLength;
        this.emit('httpUploadProgress', { loaded, total, part: number, Bucket, Key });
      },
      retried: (retry) => {
        counts.retries += 1;
        this.emit('partRetry', retry);
      },
    };
  }
}

/** Failures of an attempt that another one under a fresh data key can do without. */
function isWorthRestarting(error: unknown, { journal }: UploadJob): error is SealpipeError {
  if (!(error instanceof SealpipeError)) return false;
  if (error.code === 'ERR_SEALPIPE_UPLOAD_UNKNOWN') return true;
  // With a journal, the parts that are stored are worth more than a new beginning: the same upload goes on when it is run again.
  return journal === undefined && ['ERR_SEALPIPE_PART_FAILED', 'ERR_SEALPIPE_SOURCE_CHANGED'].includes(error.code);
}

function restartRequired(
  cause: SealpipeError,
  { restarts, allowed, partsStay }: { restarts: number; allowed: number; partsStay: boolean },
): SealpipeError {
  const { bucket, key, part, attempts, bytesAcknowledged, uploadId, requestId, statusCode } = cause;
  const what =
    restarts < allowed
      ? 'its source cannot be read again: give a file or a function that returns a fresh source, and it starts over by itself'
      : restarts === 0
        ? 'no restart is allowed: start it over'
        : `it was started over ${restarts === 1 ? 'once' : `${restarts} times`} already: look at the cause and start it again`;
  return new SealpipeError(
    'RESTART_REQUIRED',
    // Whether S3 has confirmed that it is gone, the cause says.
    `the upload failed as a whole (${cause.message})${partsStay && uploadId !== undefined ? ', and its parts were left on S3 (leavePartsOnError)' : ''}; ${what}`,
    {
      cause,
      bucket,
      key,
      part,
      attempts,
      restarts,
      bytesAcknowledged: bytesAcknowledged ?? 0,
      uploadId,
      requestId,
      statusCode,
    },
  );
}

/** The segment size asked for; undefined: no index. */
export function wantedSegmentSize(segmentIndex: UploadOptions['segmentIndex']): number | undefined {
  if (segmentIndex === undefined || segmentIndex === false) return undefined;
  return (segmentIndex === true ? undefined : segmentIndex.segmentSize) ?? defaultSegmentSize;
}

function assertSegmentIndex(
  { keyring }: UploadSetting,
  params: EncryptedUploadParams,
  { segmentIndex }: UploadOptions,
): void {
  assertNoIndexKey(params);
  const segmentSize = wantedSegmentSize(segmentIndex);
  if (segmentSize === undefined) return;
  assertSegmentSize(segmentSize);
  requiredIndexKey(params);
  if (keyring === undefined)
    throw new TypeError(
      'segmentIndex was given for an upload without client-side encryption: there is no key to make one with',
    );
}

function assertParams(params: EncryptedUploadParams): void {
  if (typeof params.Bucket !== 'string' || params.Bucket === '') throw new TypeError('Bucket is missing');
  if (typeof params.Key !== 'string' || params.Key === '') throw new TypeError('Key is missing');
  if ((params.Body as unknown) === undefined || (params.Body as unknown) === null)
    throw new TypeError('Body is missing');
  const checksum = Object.entries(params).find(
    ([name, value]) => value !== undefined && (name === 'ContentMD5' || name.startsWith('Checksum')),
  );
  if (checksum !== undefined) {
    // It would be a hash of the plaintext in a clear header, and S3 would compare it with ciphertext.
    throw new TypeError(
      `${checksum[0]} cannot be given for an encrypted upload: CRC-32 of the ciphertext is computed and verified by itself`,
    );
  }
  const { ContentLength } = params;
  if (ContentLength !== undefined && (!Number.isSafeInteger(ContentLength) || ContentLength < 0)) {
    throw new RangeError(`ContentLength is ${ContentLength}, expected the number of plaintext bytes`);
  }
}

/** @throws RangeError for a key, or that of the instruction file, that S3 would refuse when all parts are stored */
function assertKeyLength(key: string, suffix: string): void {
  const length = Buffer.byteLength(key + suffix);
  if (length <= maxKeyLength) return;
  throw new RangeError(
    suffix === ''
      ? `Key has ${length} bytes, S3 takes ${maxKeyLength} at most`
      : `the key of the instruction file has ${length} bytes (Key and ${suffix}), S3 takes ${maxKeyLength} at most: shorten Key, or store the envelope in the object's metadata`,
  );
}

function assertCount(name: string, value: number, { least, most }: { least: number; most?: number }): void {
  if (Number.isSafeInteger(value) && value >= least && value <= (most ?? value)) return;
  const range = most === undefined ? `from ${least} on` : `from ${least} to ${most}`;
  throw new RangeError(`${name} is ${value}, expected a whole number ${range}`);
}

/** Refused here, the journal is not taken for a file that cannot be written when KMS has been asked already. */
function assertJournalPath(journal: string | undefined): void {
  if (journal === undefined || (typeof journal === 'string' && journal !== '')) return;
  throw new TypeError(
    journal === ''
      ? 'journal is empty: expected the path of a file'
      : 'journal is no string: expected the path of a file',
  );
}

function isList(value: unknown): boolean {
  return Array.isArray(value);
}
