import { ListObjectsV2Command, type ListObjectsV2CommandInput } from '@aws-sdk/client-s3';
import type { SealpipeError } from '../errors.ts';
import { defaultInstructionSuffix } from '../format/envelope.ts';
import { assumedGcmLength } from '../format/lengths.ts';
import type { StringMap } from '../format/string-map.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { answerTimeout, withDeadline } from '../retry/send-deadline.ts';
import { CompanionFilter } from './companion-filter.ts';
import { listExactly } from './list-exactly.ts';
import type { ObjectSetting } from './object-setting.ts';
import { type ObjectKind, type ProbedLength, ProbedLengths } from './probed-lengths.ts';
import { SegmentIndexFilter } from './segment-index-filter.ts';

/** What to list: the parameters of ListObjectsV2; pages follow by themselves. */
export type ListParams = Pick<
  ListObjectsV2CommandInput,
  'Prefix' | 'Delimiter' | 'StartAfter' | 'MaxKeys' | 'RequestPayer' | 'ExpectedBucketOwner'
> & {
  Bucket: string;
};

/** How much is found out of each object. */
export interface ListOptions {
  /** The caller's promise that all content is GCM: makes the lengths exact at no further request. Default: none. */
  readonly contents?: 'gcm' | undefined;
  /**
   * Looks at every object, so that lengths are exact and kinds are known: one HEAD each, a GET more for an instruction file (or
   * where none is found in place of an envelope), a GET and the key for CBC content whose length nothing else tells. What was found
   * out is kept by ETag. Default false.
   */
  readonly exact?: boolean | undefined;
  /** Objects that `exact` looks at at a time. Default 16. */
  readonly concurrency?: number | undefined;
  /** The encryption context that CBC objects were written with, for `exact`. Default: that of the EncryptedS3. */
  readonly encryptionContext?: StringMap | undefined;
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
  /** What `plaintextSize` rests on. `padding`: the last two blocks of CBC, decrypted; `cbc-bound`: an upper bound. */
  readonly basis: 'assumed-gcm' | ProbedLength['basis'];
  readonly lastModified: Date | undefined;
  readonly etag: string;
  /** What the object is. Undefined where it was not looked at. */
  readonly kind?: ObjectKind | undefined;
  /** What `exact` failed with for this object; its length is what is known without. */
  readonly problem?: SealpipeError | undefined;
}

/** A common prefix of a listing with a delimiter. */
export interface ListPrefix {
  readonly prefix: string;
}

/**
 * Lists objects with plaintext lengths, page after page, in S3's order; at one LIST a page and nothing else.
 *
 * A listing shows no metadata, so what an object is cannot be known from it (DECISIONS section 6); `exact` looks at each.
 */
export async function* listObjects(
  setting: ObjectSetting,
  params: ListParams,
  options: ListOptions = {},
  known: ProbedLengths = new ProbedLengths(),
): AsyncGenerator<ListEntry> {
  const { exact = false, concurrency = 16, encryptionContext, signal } = options;
  if (!(Number.isSafeInteger(concurrency) && concurrency >= 1))
    throw new RangeError(`concurrency is ${concurrency}, expected a whole number of at least 1`);
  const entries = listEntries(setting, params, options);
  // Promised content needs no look.
  if (!exact || options.contents === 'gcm') {
    for await (const entry of entries) if ('key' in entry) yield entry;
    return;
  }
  const { Bucket, ExpectedBucketOwner, RequestPayer } = params;
  const address = { Bucket, ExpectedBucketOwner, ...(RequestPayer !== undefined && { RequestPayer }) };
  const listing = { setting, address, known, concurrency, encryptionContext, signal };
  for await (const entry of listExactly(entries, listing)) if ('key' in entry) yield entry;
}

/** As {@link listObjects}, with the common prefixes that a delimiter makes. */
async function* listEntries(
  { client, policy }: Pick<ObjectSetting, 'client' | 'policy'>,
  params: ListParams,
  { contents, companions = false, signal }: ListOptions = {},
): AsyncGenerator<ListEntry | ListPrefix> {
  const filter = new CompanionFilter(policy.instructionSuffix ?? defaultInstructionSuffix);
  const indexes = new SegmentIndexFilter<ListEntry>();
  let token: string | undefined;
  do {
    const command = new ListObjectsV2Command({ ...params, ContinuationToken: token });
    const what = `ListObjectsV2 of s3://${params.Bucket}/${params.Prefix ?? ''}`;
    const page = await withDeadline((abortSignal) => client.send(command, { abortSignal }), {
      timeout: answerTimeout,
      signal,
      what,
    }).catch((cause: unknown) => {
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
