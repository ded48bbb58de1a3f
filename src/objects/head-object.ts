import { HeadBucketCommand, HeadObjectCommand, type HeadObjectCommandOutput } from '@aws-sdk/client-s3';
import { SealpipeError } from '../errors.ts';
import { type Envelope, userMetadata } from '../format/envelope.ts';
import { type PlaintextLength, plaintextLength } from '../format/lengths.ts';
import type { StringMap } from '../format/string-map.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { answerTimeout, withDeadline } from '../retry/send-deadline.ts';
import { describeFailure } from '../service-failure.ts';
import { probeCbcLength } from './exact-length.ts';
import { readObjectEnvelope, refusePlaintext } from './object-envelope.ts';
import { assertAddress, type ObjectAddress, type ObjectSetting } from './object-setting.ts';

/** What a HEAD tells of an object, and its envelope. */
export interface HeadResult {
  readonly bucket: string;
  readonly key: string;
  readonly plaintextSize: number;
  /** Whether `plaintextSize` is exact. CBC content without a believable claim has up to 15 bytes less, unless it was asked for. */
  readonly exact: boolean;
  /** What it rests on. `padding`: the last two blocks, decrypted. */
  readonly basis: PlaintextLength['basis'] | 'padding';
  readonly storedSize: number;
  /** Undefined for a plaintext object that the policy allows. */
  readonly envelope: Envelope | undefined;
  /** User metadata without the envelope. */
  readonly metadata: Record<string, string>;
  readonly etag: string;
  readonly versionId: string | undefined;
  readonly contentType: string | undefined;
  readonly lastModified: Date | undefined;
  /** The answer itself, for all that is not about client-side encryption. */
  readonly answer: HeadObjectCommandOutput;
}

/** How an object is looked at. */
export interface HeadOptions {
  /**
   * Makes the length of CBC content exact where no claim does: one ranged GET more, and the key. `legacy.unauthenticatedModes`
   * has to be on. Default false.
   */
  readonly exact?: boolean | undefined;
  /** The encryption context that the object was written with, where its key is needed. */
  readonly encryptionContext?: StringMap | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Looks at an object: one HEAD, and one GET where the envelope is in an instruction file. No key is asked for, but by `exact`.
 * @throws SealpipeError NOT_ENCRYPTED for a plaintext object, unless the policy allows it
 */
export async function headObject(
  setting: ObjectSetting,
  params: ObjectAddress,
  { exact = false, encryptionContext, signal }: HeadOptions = {},
): Promise<HeadResult> {
  assertAddress(params);
  const command = new HeadObjectCommand(params);
  const answer = await withDeadline((abortSignal) => setting.client.send(command, { abortSignal }), {
    timeout: answerTimeout,
    signal,
    what: `HeadObject of s3://${params.Bucket}/${params.Key}`,
  }).catch(async (cause: unknown) => {
    throw await headFailure(setting, params, cause);
  });
  const head = await describeHead(setting, params, answer, { signal });
  const { envelope, storedSize } = head;
  if (!exact || head.exact || envelope === undefined) return head;
  const etag = answer.ETag;
  const probe = { address: params, envelope, storedSize, etag, encryptionContext, signal };
  return { ...head, plaintextSize: await probeCbcLength(setting, probe), exact: true, basis: 'padding' };
}

/** As {@link headObject}, of a HEAD that has been answered. */
export async function describeHead(
  { client, policy }: Pick<ObjectSetting, 'client' | 'policy'>,
  params: ObjectAddress,
  answer: HeadObjectCommandOutput,
  { signal }: Pick<HeadOptions, 'signal'> = {},
): Promise<HeadResult> {
  const { Bucket, Key } = params;
  const metadata = answer.Metadata ?? {};
  const storedSize = answer.ContentLength ?? 0;
  const envelope = await readObjectEnvelope({ client, address: params, metadata, policy, signal });
  if (envelope === undefined) refusePlaintext(params, policy);
  const length: PlaintextLength | undefined =
    envelope === undefined
      ? { plaintextSize: storedSize, exact: true, basis: 'plaintext' }
      : plaintextLength(envelope.suite, storedSize, envelope.claimedLength);
  if (length === undefined) {
    throw new SealpipeError(
      'TRUNCATED',
      `s3://${Bucket}/${Key} has ${storedSize} bytes, which no ${envelope?.suite.name ?? ''} content has: it was cut`,
      {
        bucket: Bucket,
        key: Key,
      },
    );
  }
  return {
    bucket: Bucket,
    key: Key,
    ...length,
    storedSize,
    envelope,
    metadata: userMetadata(metadata),
    etag: answer.ETag ?? '',
    versionId: answer.VersionId,
    contentType: answer.ContentType,
    lastModified: answer.LastModified,
    answer,
  };
}

/** A HEAD's 404 has no body to say what is missing: the bucket is asked for, so that the error can. */
async function headFailure(
  { client }: ObjectSetting,
  { Bucket, Key, ExpectedBucketOwner }: ObjectAddress,
  cause: unknown,
): Promise<SealpipeError> {
  const { statusCode } = describeFailure(cause);
  if (statusCode === 404) {
    const bucket = await client
      .send(new HeadBucketCommand({ Bucket, ExpectedBucketOwner }))
      .catch((error: unknown) => error);
    if (describeFailure(bucket).statusCode === 404 && bucket instanceof Error)
      return s3Failure(bucket, { operation: 'HeadObject', bucket: Bucket });
  }
  return s3Failure(cause, { operation: 'HeadObject', bucket: Bucket, key: Key });
}
