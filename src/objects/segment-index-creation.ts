/** Making a segment index of an object that is there already. */
import type { Readable } from 'node:stream';
import { GetObjectCommand, type GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { createContentDecryptor, slices } from '../crypto/content-cipher.ts';
import { wipe } from '../crypto/content-key.ts';
import { releaseMemory } from '../crypto/release-memory.ts';
import {
  assertSegmentSize,
  defaultSegmentSize,
  fittingSegmentSize,
  segmentIndexKeyInfo,
} from '../crypto/segment-index.ts';
import { SegmentIndexBuilder } from '../crypto/segment-index-builder.ts';
import { SealpipeError } from '../errors.ts';
import type { Envelope } from '../format/envelope.ts';
import { plaintextLength } from '../format/lengths.ts';
import { checkReadPolicy } from '../format/read-policy.ts';
import type { StringMap } from '../format/string-map.ts';
import { type OpenedKeys, openKeys } from '../keyrings/open-content-key.ts';
import { throwIfAborted } from '../retry/retry-sends.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { withoutResponseChecksum } from '../s3-command.ts';
import { destroyOnAbort } from '../streams/destroy-on-abort.ts';
import { readObjectEnvelope, refusePlaintext } from './object-envelope.ts';
import { assertAddress, type ObjectAddress, type ObjectSetting } from './object-setting.ts';
import { ResumableBody } from './resumable-body.ts';
import { type IndexedParams, SegmentIndexFile } from './segment-index-file.ts';
import { assertNoIndexKey } from './segment-index-key.ts';

/** Which object to index, and how S3 is to store the index. There is no index of a version that is not the latest. */
export type SegmentIndexParams = Omit<ObjectAddress, 'VersionId'> &
  Pick<IndexedParams, 'ServerSideEncryption' | 'SSEKMSKeyId' | 'SSEKMSEncryptionContext' | 'BucketKeyEnabled'> & {
    /** The ETag that the object has to have. */
    readonly IfMatch?: string | undefined;
  };

/** How a segment index is made of an object that is there. */
export interface CreateSegmentIndexOptions {
  /** As in `UploadOptions.segmentIndex`. Default 64 KiB. */
  readonly segmentSize?: number | undefined;
  /** The encryption context that the object was written with. Default: that of the EncryptedS3, else the empty one. */
  readonly encryptionContext?: StringMap | undefined;
  /** Milliseconds without a byte, while one is waited for, until a connection counts as broken. Default 60 000. */
  readonly idleTimeout?: number | undefined;
  /** Told of the bytes that have been read so far. */
  readonly onProgress?: ((progress: { readonly loaded: number; readonly total: number }) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An index that was made. */
export interface SegmentIndexResult {
  readonly bucket: string;
  /** Key of the object. */
  readonly key: string;
  readonly indexKey: string;
  readonly segmentSize: number;
  readonly plaintextSize: number;
  /** Bytes of the index. */
  readonly indexSize: number;
  /** Of the object. */
  readonly etag: string;
}

/**
 * Reads an object once, verifies it by its own tag, and stores its index, unless the object was overwritten in the meantime.
 * @throws SealpipeError COMMAND_REFUSED for CBC and plaintext, AUTHENTICATION_FAILED, OBJECT_CHANGED, and what keyring and S3 fail with
 */
export async function createSegmentIndex(
  setting: ObjectSetting,
  params: SegmentIndexParams,
  options: CreateSegmentIndexOptions = {},
): Promise<SegmentIndexResult> {
  assertAddress(params);
  assertNoIndexKey(params);
  if (options.segmentSize !== undefined) assertSegmentSize(options.segmentSize);
  const { signal } = options;
  const { IfMatch, ...rest } = params;
  const file = new SegmentIndexFile({ client: setting.client, params: rest, attempts: 5, timeout: 300_000, signal });
  await file.prepare();
  const { address, answer } = await requestObject(setting, params, signal);
  try {
    const envelope = await readableEnvelope(setting, address, answer, signal);
    const contentLength = (answer.ContentLength ?? 0) - envelope.suite.tagLength;
    const segmentSize = fittingSegmentSize(options.segmentSize ?? defaultSegmentSize, contentLength);
    const keys = await openKeys({
      keyring: setting.keyring,
      envelope,
      policy: setting.policy,
      encryptionContext: options.encryptionContext ?? setting.encryptionContext,
      bucket: params.Bucket,
      key: params.Key,
      storedLength: answer.ContentLength,
      derive: [segmentIndexKeyInfo(segmentSize)],
      signal,
    });
    const { idleTimeout = 60_000 } = options;
    const body = new ResumableBody({ client: setting.client, input: address, answer, idleTimeout });
    destroyOnAbort(body, signal, 'reading');
    const index = await indexOf(body, keys, { contentLength, segmentSize, iv: envelope.iv, options });
    throwIfAborted(signal);
    const etag = answer.ETag ?? '';
    await file.publishBeside(index, etag);
    return {
      bucket: params.Bucket,
      key: params.Key,
      indexKey: file.key,
      segmentSize,
      plaintextSize: contentLength,
      indexSize: index.length,
      etag,
    };
  } catch (error) {
    discard(answer);
    throw error;
  }
}

async function requestObject(
  { client }: ObjectSetting,
  params: SegmentIndexParams,
  signal: AbortSignal | undefined,
): Promise<{ address: ObjectAddress & { IfMatch?: string | undefined }; answer: GetObjectCommandOutput }> {
  const { ServerSideEncryption, SSEKMSKeyId, SSEKMSEncryptionContext, BucketKeyEnabled, ...address } = params;
  const command = withoutResponseChecksum(new GetObjectCommand(address));
  const answer = await client.send(command, { ...(signal && { abortSignal: signal }) }).catch((cause: unknown) => {
    throw s3Failure(cause, { operation: 'GetObject', bucket: params.Bucket, key: params.Key });
  });
  return { address, answer };
}

/** The envelope of an object that can have an index. Refused before a key is asked for. */
async function readableEnvelope(
  { client, policy }: ObjectSetting,
  address: ObjectAddress,
  answer: GetObjectCommandOutput,
  signal: AbortSignal | undefined,
): Promise<Envelope> {
  const { Bucket, Key } = address;
  const metadata = answer.Metadata ?? {};
  const envelope = await readObjectEnvelope({ client, address, metadata, policy, signal });
  if (envelope === undefined) refusePlaintext(address, policy);
  if (envelope?.suite.authenticated !== true) {
    throw new SealpipeError(
      'COMMAND_REFUSED',
      `s3://${Bucket}/${Key} ${envelope === undefined ? 'is not encrypted' : 'has AES-256-CBC content, which no tag authenticates'}: an index would certify bytes that nobody vouches for. Read it and upload it anew`,
      { bucket: Bucket, key: Key },
    );
  }
  checkReadPolicy(envelope, policy);
  if (plaintextLength(envelope.suite, answer.ContentLength ?? 0) !== undefined) return envelope;
  throw new SealpipeError(
    'TRUNCATED',
    `s3://${Bucket}/${Key} has ${answer.ContentLength} bytes, which no ${envelope.suite.name} content has: it was cut`,
    { bucket: Bucket, key: Key },
  );
}

/** Decrypts for the sake of the tag alone. */
async function indexOf(
  body: Readable,
  { contentKey, derived }: OpenedKeys,
  {
    contentLength,
    segmentSize,
    iv,
    options: { onProgress },
  }: { contentLength: number; segmentSize: number; iv: Uint8Array; options: CreateSegmentIndexOptions },
): Promise<Buffer> {
  const [key = new Uint8Array(0)] = derived;
  const index = new SegmentIndexBuilder({ key, segmentSize, iv, contentLength });
  const macs = index.macs(0);
  const decryptor = createContentDecryptor(contentKey, contentLength + 16);
  wipe(contentKey.key);
  let loaded = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      for (const slice of slices(chunk, 64 * 1024)) {
        releaseMemory(decryptor.update(slice));
        macs.update(slice.subarray(0, Math.max(0, contentLength - loaded)));
        loaded += slice.length;
      }
      onProgress?.({ loaded: Math.min(loaded, contentLength), total: contentLength });
    }
    decryptor.final();
    index.add(0, macs.final());
    return index.finish(contentLength);
  } finally {
    decryptor.close();
    macs.close();
    index.close();
  }
}

function discard({ Body }: GetObjectCommandOutput): void {
  const body = Body as Readable | undefined;
  body?.once?.('error', () => undefined);
  body?.destroy?.();
}
