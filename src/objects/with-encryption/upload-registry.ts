/** The multipart uploads that an encrypting client has begun. Limited in number and age; what is forgotten is overwritten. */
import { SealpipeError } from '../../errors.ts';
import type { StringMap } from '../../format/string-map.ts';
import type { ClientMultipart } from '../../multipart/client-multipart.ts';
import type { InstructionFileSwap } from '../../multipart/instruction-file-swap.ts';
import type { Semaphore } from '../../multipart/semaphore.ts';
import type { ObjectAddress } from '../object-setting.ts';
import type { SegmentIndexFile } from '../segment-index-file.ts';

/** One upload in progress. */
export interface ClientUpload {
  readonly multipart: ClientMultipart;
  readonly instructions: InstructionFileSwap | undefined;
  /** Where the segment index goes, if one is made. */
  readonly indexFile: SegmentIndexFile | undefined;
  readonly fullObjectChecksum: boolean;
  /** The envelope's share of the metadata: tells the object as ours. */
  readonly identity: StringMap;
  /** For the parts that are not the caller's (SSE-C). */
  readonly customerKey: Pick<ObjectAddress, 'SSECustomerAlgorithm' | 'SSECustomerKey' | 'SSECustomerKeyMD5'>;
  /** One Complete at a time. */
  readonly completing: Semaphore;
  /** Fires when the upload is aborted or forgotten: bodies are not read on for it. */
  readonly ended: AbortController;
}

export interface UploadRegistryOptions {
  readonly maxUploads: number;
  readonly maxAgeMs: number;
}

interface Address {
  readonly Bucket?: string | undefined;
  readonly Key?: string | undefined;
  readonly UploadId?: string | undefined;
}

export class UploadRegistry {
  readonly #options: UploadRegistryOptions;
  readonly #uploads = new Map<string, { upload: ClientUpload; timer: NodeJS.Timeout }>();

  constructor(options: UploadRegistryOptions) {
    this.#options = options;
  }

  add(address: Address, upload: ClientUpload): void {
    const name = nameOf(address);
    const timer = setTimeout(() => this.#forget(name), Math.min(this.#options.maxAgeMs, 2 ** 31 - 1)).unref();
    this.#uploads.set(name, { upload, timer });
    while (this.#uploads.size > this.#options.maxUploads) this.#forget(this.#leastNeeded());
  }

  /** Those that are completed go before those in progress, and what was begun first goes first. */
  #leastNeeded(): string {
    const names = [...this.#uploads.keys()];
    return names.find((name) => this.#uploads.get(name)?.upload.multipart.isDone === true) ?? (names[0] as string);
  }

  /**
   * @throws SealpipeError UPLOAD_UNKNOWN for an upload of another client or process: a new key would make two messages of it
   */
  get(address: Address, operation: string): ClientUpload {
    const known = this.#uploads.get(nameOf(address));
    if (known !== undefined) return known.upload;
    throw new SealpipeError(
      'UPLOAD_UNKNOWN',
      `${operation} was called for the upload ${address.UploadId} to s3://${address.Bucket}/${address.Key}, which this client has not begun (or has forgotten): ` +
        'only the client that created an encrypted upload holds its key. Abort it, and start a new one',
      { uploadId: address.UploadId, bucket: address.Bucket, key: address.Key },
    );
  }

  /** Overwrites the secrets of an upload and forgets it, known or not. */
  remove(address: Address): void {
    this.#forget(nameOf(address));
  }

  #forget(name: string): void {
    const known = this.#uploads.get(name);
    if (known === undefined) return;
    clearTimeout(known.timer);
    known.upload.multipart.wipe();
    known.upload.ended.abort();
    this.#uploads.delete(name);
  }
}

function nameOf({ Bucket, Key, UploadId }: Address): string {
  return JSON.stringify([Bucket, Key, UploadId]);
}
