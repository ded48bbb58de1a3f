import type { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import { defaultInstructionSuffix, type EnvelopeStorage } from '../format/envelope.ts';
import type { ReadPolicy } from '../format/read-policy.ts';
import type { StringMap } from '../format/string-map.ts';
import type { WritableSuiteName } from '../format/suites.ts';
import type { Keyring } from '../keyrings/keyring.ts';
import { EncryptedUpload, type EncryptedUploadParams, type UploadOptions } from '../multipart/encrypted-upload.ts';
import { type UploadWriteStream, uploadWriteStream } from '../multipart/upload-write-stream.ts';
import {
  type DeleteManyParams,
  type DeleteOptions,
  type DeleteParams,
  type DeleteResult,
  deleteObject,
  deleteObjects,
} from './delete-objects.ts';
import { type DownloadOptions, type DownloadResult, downloadObject } from './download-object.ts';
import type { EncryptedObject } from './encrypted-object.ts';
import type { GetOptions, GetParams, GetResult } from './get-object.ts';
import { type HeadOptions, type HeadResult, headObject } from './head-object.ts';
import { type ListEntry, type ListOptions, type ListParams, listObjects } from './list-objects.ts';
import { ObjectReadStream } from './object-read-stream.ts';
import { type ObjectAddress, type ObjectSetting, objectSetting } from './object-setting.ts';
import { type OpenOptions, type OpenParams, openObject } from './open-object.ts';
import { ProbedLengths } from './probed-lengths.ts';
import {
  type CreateSegmentIndexOptions,
  createSegmentIndex,
  type SegmentIndexParams,
  type SegmentIndexResult,
} from './segment-index-creation.ts';
import { describeSegmentIndex, type SegmentIndexDescription } from './segment-index-description.ts';
import { startSegmentIndex } from './segment-index-reader.ts';
import { getAuthenticated } from './segment-index-stream.ts';

/** Where the objects are, whose keys wrap theirs, and what is accepted on reading. */
export interface EncryptedS3Options extends ReadPolicy {
  /**
   * Makes the requests, or the examples that they are made after: `transport: 'client'` of a call has all of it go through the client
   * (docs/uploading.md). It is not changed, and not destroyed.
   */
  readonly client: S3Client;
  /** Wraps and unwraps the data keys. */
  readonly keyring: Keyring;
  /** `gcm-commit` writes format V3, `gcm` V2. Default: what the commitment policy asks for, V3. */
  readonly suite?: WritableSuiteName | undefined;
  /** Where the envelope of a written object goes. Default: the object's metadata. */
  readonly storage?: EnvelopeStorage | undefined;
  /** The encryption context of all objects, where a call gives none. */
  readonly encryptionContext?: StringMap | undefined;
}

/**
 * Encrypted objects in S3: what is written is encrypted on the way, what is read is decrypted and authenticated, and
 * lengths are those of the plaintext. The objects are those of the official S3 Encryption Clients.
 */
export class EncryptedS3 {
  readonly #setting: ObjectSetting;
  /** What `list` has found out so far. */
  readonly #lengths = new ProbedLengths();

  /**
   * @throws TypeError when client or keyring is missing
   * @throws SealpipeError COMMITMENT_POLICY when suite and policy contradict each other
   */
  constructor(options: EncryptedS3Options) {
    this.#setting = objectSetting(options);
  }

  /**
   * Prepares the upload of one object; `done()` runs it. See {@link EncryptedUpload}.
   * @throws TypeError or RangeError for parameters that cannot be right
   */
  upload(params: EncryptedUploadParams, options: UploadOptions = {}): EncryptedUpload {
    const { client, keyring, suite, storage, encryptionContext } = this.#setting;
    const setting = { client, keyring, suite, storage, instructionSuffix: defaultInstructionSuffix };
    return new EncryptedUpload(setting, params, {
      ...options,
      encryptionContext: options.encryptionContext ?? encryptionContext,
    });
  }

  /** A Writable that becomes one object. It finishes when the object is in place; `result` has what `upload().done()` returns. */
  createWriteStream(params: Omit<EncryptedUploadParams, 'Body'>, options: UploadOptions = {}): UploadWriteStream {
    return uploadWriteStream((Body) => this.upload({ ...(params as EncryptedUploadParams), Body }, options));
  }

  /**
   * Reads one object: one GET, no HEAD, one unwrapped key. Rejects when there is no such object or its key does not open; that
   * the content is authentic is known at the end of `body`, or before its first byte (`release`), or before that of each segment where
   * an object has an index and does not fit `maxBuffered`: that costs a GET more, and one of the index.
   * @throws SealpipeError
   */
  get(params: GetParams, options: GetOptions = {}): Promise<GetResult> {
    return getAuthenticated(this.#setting, params, options);
  }

  /** A Readable over one object's plaintext. It asks S3 when it is first read; its signal ends it at any time. */
  createReadStream(params: GetParams, options: GetOptions = {}): Readable {
    return new ObjectReadStream((signal) => this.get(params, { ...options, signal }), options.signal);
  }

  /** Downloads one object to a file, which appears when its content has been authenticated, and not before. */
  download(params: GetParams, path: string, options: DownloadOptions = {}): Promise<DownloadResult> {
    return downloadObject(this.#setting, params, path, options);
  }

  /**
   * Makes a segment index of an object that has none, for authenticated random access: reads it once and verifies it by its own tag.
   * @throws SealpipeError COMMAND_REFUSED for content that no tag authenticates
   */
  createSegmentIndex(params: SegmentIndexParams, options: CreateSegmentIndexOptions = {}): Promise<SegmentIndexResult> {
    return createSegmentIndex(this.#setting, params, options);
  }

  /**
   * Opens one object for random access: envelope, exact length, ETag and tail from one GET, one unwrapped key however many reads.
   * @throws SealpipeError
   */
  open(params: OpenParams, options: OpenOptions = {}): Promise<EncryptedObject> {
    return openObject(this.#setting, params, options, startSegmentIndex);
  }

  /** What can be told without a key of the index of an object that was looked at: one GET of 64 bytes. Undefined: it has none. */
  describeSegmentIndex(head: HeadResult, { signal }: HeadOptions = {}): Promise<SegmentIndexDescription | undefined> {
    return describeSegmentIndex(this.#setting, head, signal);
  }

  /** Lengths, envelope and metadata of one object, at one HEAD. */
  head(params: ObjectAddress, options: HeadOptions = {}): Promise<HeadResult> {
    return headObject(this.#setting, params, options);
  }

  /** The objects under a prefix, with plaintext lengths; instruction files and segment indexes are hidden beside their objects. */
  list(params: ListParams, options: ListOptions = {}): AsyncIterable<ListEntry> {
    return listObjects(this.#setting, params, options, this.#lengths);
  }

  /** Deletes one object with its instruction file and segment index. */
  delete(params: DeleteParams, options: DeleteOptions = {}): Promise<DeleteResult> {
    return deleteObject(this.#setting, params, options);
  }

  /** Deletes many objects with their instruction files and segment indexes. */
  deleteMany(params: DeleteManyParams, options: DeleteOptions = {}): Promise<DeleteResult> {
    return deleteObjects(this.#setting, params, options);
  }
}
