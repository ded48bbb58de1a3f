import { ListObjectsV2Command, type ListObjectsV2CommandInput } from '@aws-sdk/client-s3';
import { defaultInstructionSuffix } from '../format/envelope.ts';
import { assumedGcmLength } from '../format/lengths.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { CompanionFilter } from './companion-filter.ts';
import type { ObjectSetting } from './object-setting.ts';
import { SegmentIndexFilter } from './segment-index-filter.ts';

export type ListParams = Pick<
  ListObjectsV2CommandInput,
  'Prefix' | 'Delimiter' | 'StartAfter' | 'MaxKeys' | 'RequestPayer' | 'ExpectedBucketOwner'
> & {
  Bucket: string;
};

export interface ListOptions {
  /** The caller's promise that all content is GCM: makes the lengths exact at no further request. Default: none. */
  readonly contents?: 'gcm' | undefined;
  /**
   * Also list companions (instruction files, segment indexes). Default false: a companion is hidden beside its object. A segment index
   * without its object is listed at the end of its folder then.
   */
  readonly companions?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One object of a listing. */
export interface ListEntry {
  readonly key: string;
  readonly storedSize: number;
  /** Bytes. From a listing alone it is the length if the content is GCM, an assumption unless `exact`. */
  readonly plaintextSize: number;
  readonly exact: boolean;
  readonly basis: 'assumed-gcm' | 'gcm';
  readonly lastModified: Date | undefined;
  readonly etag: string;
}

/** A common prefix of a listing with a delimiter. */
export interface ListPrefix {
  readonly prefix: string;
}

/**
 * Lists objects with plaintext lengths, page after page, in S3's order; at one LIST a page and nothing else.
 *
 * A listing shows no metadata, so what an object is cannot be known from it (DECISIONS section 6).
 */
export async function* listObjects(
  { client, policy }: ObjectSetting,
  params: ListParams,
  options: ListOptions = {},
): AsyncGenerator<ListEntry> {
  for await (const entry of listEntries({ client, policy }, params, options)) if ('key' in entry) yield entry;
}

/** As {@link listObjects}, with the common prefixes that a delimiter makes. */
export async function* listEntries(
  { client, policy }: Pick<ObjectSetting, 'client' | 'policy'>,
  params: ListParams,
  { contents, companions = false, signal }: ListOptions = {},
): AsyncGenerator<ListEntry | ListPrefix> {
  const filter = new CompanionFilter(policy.instructionSuffix ?? defaultInstructionSuffix);
  const indexes = new SegmentIndexFilter<ListEntry>();
  let token: string | undefined;
  do {
    const command = new ListObjectsV2Command({ ...params, ContinuationToken: token });
    const page = await client.send(command, { ...(signal && { abortSignal: signal }) }).catch((cause: unknown) => {
      throw s3Failure(cause, { operation: 'ListObjectsV2', bucket: params.Bucket });
    });
    for (const { Prefix } of page.CommonPrefixes ?? []) if (Prefix !== undefined) yield { prefix: Prefix };
    for (const { Key = '', Size = 0, ETag = '', LastModified } of page.Contents ?? []) {
      if (filter.isCompanion(Key) && !companions) continue;
      const gcm = contents === 'gcm';
      const entry: ListEntry = {
        key: Key,
        storedSize: Size,
        plaintextSize: assumedGcmLength(Size),
        exact: gcm,
        basis: gcm ? 'gcm' : 'assumed-gcm',
        lastModified: LastModified,
        etag: ETag,
      };
      if (companions) yield entry;
      else yield* indexes.take(Key, entry);
    }
    token = page.NextContinuationToken;
  } while (token !== undefined);
  yield* indexes.rest();
}
