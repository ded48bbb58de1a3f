import {
  DeleteObjectCommand,
  type DeleteObjectCommandInput,
  DeleteObjectsCommand,
  HeadObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import pMap from 'p-map';
import type { SealpipeError } from '../errors.ts';
import { defaultInstructionSuffix, instructionFileMarker } from '../format/envelope.ts';
import { maxKeyLength } from '../format/instruction-file.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { answerTimeout, withDeadline } from '../retry/send-deadline.ts';
import { describeFailure } from '../service-failure.ts';
import { assertAddress, type ObjectSetting } from './object-setting.ts';
import { findSegmentIndex } from './segment-index-file.ts';
import { indexedObjectKey, segmentIndexKey } from './segment-index-key.ts';

/** Which object to delete. With a VersionId only that version, and no companions. */
export type DeleteParams = Pick<
  DeleteObjectCommandInput,
  'VersionId' | 'MFA' | 'RequestPayer' | 'BypassGovernanceRetention' | 'ExpectedBucketOwner' | 'IfMatch'
> & {
  Bucket: string;
  Key: string;
};

/** Which objects of a bucket to delete, any number of them. */
export type DeleteManyParams = Omit<DeleteParams, 'Key' | 'VersionId' | 'IfMatch'> & {
  readonly Keys: readonly string[];
};

/** How objects are deleted. */
export interface DeleteOptions {
  readonly signal?: AbortSignal | undefined;
}

/** What a deletion removed. */
export interface DeleteResult {
  /** Keys, companions included. S3 does not say which of them were there. */
  readonly deleted: readonly string[];
  /** The keys among them that were companions. */
  readonly companions: readonly string[];
  /** Only from deleteMany: keys that S3 refused to delete. */
  readonly failed: readonly { readonly key: string; readonly error: SealpipeError }[];
}

/** Keys in one DeleteObjects request: S3's limit. */
export const keysAtOnce = 1000;
/** HEAD requests at the same time. */
const concurrency = 16;

/**
 * Deletes an object, its instruction file and its segment index. Without the file first the object could no longer be read if the second
 * deletion failed, so the object goes first. A delete of a version leaves companions alone: they have versions of their own.
 */
export async function deleteObject(
  { client, policy }: ObjectSetting,
  params: DeleteParams,
  { signal }: DeleteOptions = {},
): Promise<DeleteResult> {
  assertAddress(params);
  const { Bucket, Key } = params;
  const companions =
    params.VersionId === undefined ? await findCompanions(client, params, policy.instructionSuffix, signal) : [];
  const send = (input: DeleteParams): Promise<unknown> =>
    withDeadline((abortSignal) => client.send(new DeleteObjectCommand(input), { abortSignal }), {
      timeout: answerTimeout,
      signal,
      what: `DeleteObject of s3://${Bucket}/${input.Key}`,
    }).catch((cause: unknown) => {
      throw s3Failure(cause, {
        operation: 'DeleteObject',
        bucket: Bucket,
        key: input.Key,
        precondition: 'conditional-write',
      });
    });
  await send(params);
  const { IfMatch, ...rest } = params;
  for (const companion of companions) await send({ ...rest, Key: companion });
  return { deleted: [Key, ...companions], companions, failed: [] };
}

/** Deletes many objects and their companions: one HEAD and one GET of 64 bytes a key, one DeleteObjects a thousand, the objects first. */
export async function deleteObjects(
  { client, policy }: ObjectSetting,
  params: DeleteManyParams,
  { signal }: DeleteOptions = {},
): Promise<DeleteResult> {
  const { Keys, ...rest } = params;
  if (!isList(Keys)) throw new TypeError('Keys is missing: expected a list of keys');
  for (const Key of Keys) assertAddress({ Bucket: params.Bucket, Key });
  const given = new Set(Keys);
  const found = await findCompanionsOfMany(client, rest, { keys: Keys, suffix: policy.instructionSuffix, signal });
  const failed: { key: string; error: SealpipeError }[] = [];
  const refused = new Set<string>();
  const send = async (all: readonly string[]): Promise<void> => {
    for (let at = 0; at < all.length; at += keysAtOnce) {
      const command = new DeleteObjectsCommand({
        ...rest,
        Delete: { Objects: all.slice(at, at + keysAtOnce).map((Key) => ({ Key })), Quiet: true },
      });
      const answer = await withDeadline((abortSignal) => client.send(command, { abortSignal }), {
        timeout: answerTimeout,
        signal,
        what: `DeleteObjects of s3://${params.Bucket}`,
      }).catch((cause: unknown) => {
        throw s3Failure(cause, { operation: 'DeleteObjects', bucket: params.Bucket });
      });
      for (const { Key = '', Code = 'Error', Message = '' } of answer.Errors ?? []) {
        refused.add(Key);
        failed.push({
          key: Key,
          error: s3Failure(Object.assign(new Error(Message), { name: Code }), {
            operation: 'DeleteObjects',
            bucket: params.Bucket,
            key: Key,
          }),
        });
      }
    }
  };
  const objects = [...given];
  await send(objects);
  const companions = companionsOf(found, { kept: refused });
  await send(companions.filter((key) => !given.has(key)));
  return {
    deleted: [...new Set([...objects, ...companions])].filter((key) => !refused.has(key)),
    companions: companions.filter((key) => !refused.has(key)),
    failed,
  };
}

/**
 * The companions that go with an object when it is deleted.
 * @param given keys that are deleted anyway, whose companions need not be looked for
 */
export async function findCompanions(
  client: S3Client,
  address: Pick<DeleteParams, 'Bucket' | 'Key' | 'RequestPayer' | 'ExpectedBucketOwner'>,
  suffix: string | undefined,
  signal: AbortSignal | undefined,
  given: ReadonlySet<string> = new Set(),
): Promise<string[]> {
  const { Key } = address;
  // An index has no index.
  const indexed = indexedObjectKey(Key) === undefined && !given.has(segmentIndexKey(Key) ?? '');
  const [instructions, index] = await Promise.all([
    findInstructionFile(client, address, suffix, signal),
    indexed ? findSegmentIndex(client, address, signal) : undefined,
  ]);
  return [instructions, index].filter((key) => key !== undefined);
}

/** Companions by the key of their object. */
type FoundCompanions = readonly { readonly key: string; readonly companions: readonly string[] }[];

/** The companions that go with many objects when they are deleted. */
export function findCompanionsOfMany(
  client: S3Client,
  address: Pick<DeleteParams, 'Bucket' | 'RequestPayer' | 'ExpectedBucketOwner'>,
  {
    keys,
    suffix,
    signal,
  }: {
    readonly keys: readonly string[];
    readonly suffix: string | undefined;
    readonly signal: AbortSignal | undefined;
  },
): Promise<FoundCompanions> {
  const given = new Set(keys);
  return pMap(
    keys,
    async (key) => ({
      key,
      companions: await findCompanions(client, { ...address, Key: key }, suffix, signal, given),
    }),
    { concurrency },
  );
}

/**
 * Which companions to delete once their objects are, each once.
 * @param kept what S3 did not delete: it is still read with its companions
 */
export function companionsOf(
  found: FoundCompanions,
  { kept }: { readonly kept: ReadonlySet<string | undefined> },
): string[] {
  return [...new Set(found.flatMap(({ key, companions }) => (kept.has(key) ? [] : companions)))];
}

/** The key of an object's instruction file, if there is one: only what is marked as such is taken for one. */
async function findInstructionFile(
  client: S3Client,
  {
    Bucket,
    Key,
    RequestPayer,
    ExpectedBucketOwner,
  }: Pick<DeleteParams, 'Bucket' | 'Key' | 'RequestPayer' | 'ExpectedBucketOwner'>,
  suffix: string = defaultInstructionSuffix,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const key = `${Key}${suffix}`;
  // S3 has no object of a longer key, and would refuse to look.
  if (Buffer.byteLength(key) > maxKeyLength) return undefined;
  const command = new HeadObjectCommand({ Bucket, Key: key, RequestPayer, ExpectedBucketOwner });
  try {
    const head = await withDeadline((abortSignal) => client.send(command, { abortSignal }), {
      timeout: answerTimeout,
      signal,
      what: `HeadObject of s3://${Bucket}/${key}`,
    });
    return head.Metadata !== undefined && Object.hasOwn(head.Metadata, instructionFileMarker) ? key : undefined;
  } catch (cause) {
    if (describeFailure(cause).statusCode === 404) return undefined;
    const failure = s3Failure(cause, { operation: 'HeadObject', bucket: Bucket, key });
    // So S3 answers of what is not there, too, to whoever may not list the bucket. One that stays says nothing without its object.
    if (failure.code === 'ERR_SEALPIPE_ACCESS_DENIED') return undefined;
    throw failure;
  }
}

function isList(value: unknown): boolean {
  return Array.isArray(value);
}
