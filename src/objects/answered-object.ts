import type { GetObjectCommandInput, GetObjectCommandOutput, S3Client } from '@aws-sdk/client-s3';
import type { ContentKey } from '../crypto/content-key.ts';
import { SealpipeError } from '../errors.ts';
import { type Envelope, userMetadata } from '../format/envelope.ts';
import { plaintextLength } from '../format/lengths.ts';
import { checkReadPolicy } from '../format/read-policy.ts';
import { openContentKey } from '../keyrings/open-content-key.ts';
import { sendGet } from '../requests/get-request.ts';
import { withReason } from '../retry/retry-sends.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { withDeadline } from '../retry/send-deadline.ts';
import { describeFailure } from '../service-failure.ts';
import { checkContentLength } from '../streams/decrypt-stream.ts';
import { defaultIdleTimeout } from './broken-off.ts';
import type { GetOptions, GetParams, GetResult } from './get-object.ts';
import { whileHeld } from './held-bodies.ts';
import { mayNeedInstructionFile, readObjectEnvelope, refusePlaintext } from './object-envelope.ts';
import { assertAddress, type ObjectAddress, type ObjectSetting } from './object-setting.ts';
import { firstRangeLength } from './range-plan.ts';
import { changed, discardAnswer } from './stored-ranges.ts';

export interface AnsweredObject {
  readonly client: S3Client;
  /** Its body has not been read. */
  readonly answer: GetObjectCommandOutput;
  /** The request for more of the same version. */
  readonly pinned: ObjectAddress & { readonly IfMatch: string };
  readonly etag: string | undefined;
  readonly storedSize: number;
  /** Whether S3 said how long it is. */
  readonly sized: boolean;
  /** Stored bytes that the answer's body has, from the object's beginning. */
  readonly arrived: number;
  /** Undefined for a plaintext object that the policy allows. */
  readonly envelope: Envelope | undefined;
  readonly contentKey: ContentKey | undefined;
  readonly result: Omit<GetResult, 'body'>;
}

/**
 * Asks for an object and opens its key: one GET, no HEAD, one unwrapped key. Under a concurrency above 1 the GET is for the
 * first range, whose answer tells the envelope and the length just as well.
 */
export async function requestObject(
  setting: ObjectSetting,
  params: GetParams,
  options: GetOptions,
): Promise<AnsweredObject> {
  return request(setting, params, options).catch((error: unknown) => {
    throw withReason(error, options.signal);
  });
}

async function request(setting: ObjectSetting, params: GetParams, options: GetOptions): Promise<AnsweredObject> {
  assertAddress(params);
  refuseRanges(params);
  const { client } = setting;
  const { signal, concurrency = 1, idleTimeout = defaultIdleTimeout } = options;
  const what = `GetObject of s3://${params.Bucket}/${params.Key}`;
  const send = (input: GetObjectCommandInput): Promise<GetObjectCommandOutput> => {
    const { transport } = options;
    const timeout = idleTimeout;
    return withDeadline((ended) => sendGet(client, input, { signal: ended, transport }), { timeout, signal, what });
  };
  const failed = (cause: unknown): never => {
    // The first request is held to what the caller asks for alone.
    const precondition = 'conditional-read';
    throw s3Failure(cause, { operation: 'GetObject', bucket: params.Bucket, key: params.Key, precondition });
  };
  const again = (input: GetObjectCommandInput): Promise<GetObjectCommandOutput> =>
    send(input).catch((cause: unknown) => {
      throw s3Failure(cause, { operation: 'GetObject', bucket: params.Bucket, key: params.Key });
    });
  if (concurrency === 1) return openAnswered(setting, params, await send(params).catch(failed), { ...options, again });
  const expected = firstRangeLength(options.partSize);
  const answer = await send({ ...params, Range: `bytes=0-${expected - 1}` }).catch((cause: unknown) =>
    // An object of no bytes has no first range.
    describeFailure(cause).statusCode === 416 ? send(params).catch(failed) : failed(cause),
  );
  return openAnswered(setting, params, answer, { ...options, firstRange: expected, again });
}

/** How the GET was made that an answer came to. */
export interface AnsweringRequest {
  /** Bytes of the range that it was for. */
  readonly firstRange?: number;
  /** Makes it once more, for what is given. */
  readonly again: (input: GetObjectCommandInput) => Promise<GetObjectCommandOutput>;
}

/**
 * Opens what a GET answered. A failure frees its connection.
 * @throws SealpipeError
 */
export async function openAnswered(
  setting: ObjectSetting,
  params: GetParams,
  first: GetObjectCommandOutput,
  options: GetOptions & AnsweringRequest,
): Promise<AnsweredObject> {
  const { client, policy } = setting;
  const { signal, idleTimeout: timeout } = options;
  let answer = first;
  try {
    const metadata = first.Metadata ?? {};
    const readEnvelope = async (): Promise<Envelope | undefined> => {
      const found = await readObjectEnvelope({ client, address: params, metadata, policy, signal, timeout });
      if (found === undefined) refusePlaintext(params, policy);
      return found;
    };
    let envelope: Envelope | undefined;
    if (mayNeedInstructionFile(metadata, policy)) {
      const again = (): Promise<GetObjectCommandOutput> => askAgain(params, first, options);
      ({ result: envelope, answer } = await whileHeld(client, first, { work: readEnvelope, again }));
    } else envelope = await readEnvelope();
    const { arrived, storedSize } = arrivedOf(params, answer, options.firstRange);
    const length =
      envelope === undefined
        ? { plaintextSize: storedSize, exact: true }
        : plaintextLength(envelope.suite, storedSize, envelope.claimedLength);
    const sized = answer.ContentLength !== undefined;
    const contentKey =
      envelope && (await openKey(setting, { envelope, params, options, storedSize: sized ? storedSize : undefined }));
    return {
      client,
      answer,
      pinned: pinnedRequest(params, answer),
      etag: answer.ETag,
      storedSize,
      sized,
      arrived,
      envelope,
      contentKey,
      result: {
        plaintextSize: length?.plaintextSize ?? 0,
        exact: length?.exact ?? false,
        storedSize,
        envelope,
        metadata: userMetadata(metadata),
        etag: answer.ETag ?? '',
        versionId: answer.VersionId,
        contentType: answer.ContentType,
        lastModified: answer.LastModified,
      },
    };
  } catch (error) {
    discardAnswer(answer);
    throw error;
  }
}

/** The same object once more, in the same range. */
async function askAgain(
  params: GetParams,
  first: GetObjectCommandOutput,
  { firstRange = 0, again }: AnsweringRequest,
): Promise<GetObjectCommandOutput> {
  const range = first.ContentRange === undefined ? {} : { Range: `bytes=0-${firstRange - 1}` };
  const answer = await again({ ...pinnedRequest(params, first), ...range });
  if (answer.ETag === first.ETag) return answer;
  discardAnswer(answer);
  const { Bucket, Key } = params;
  throw changed(`s3://${Bucket}/${Key} was overwritten while it was being read`, { Bucket, Key, start: 0 });
}

/** How much of the object the answer's body has, and how long the object is. */
function arrivedOf(
  { Bucket, Key }: GetParams,
  { ContentRange, ContentLength = 0 }: GetObjectCommandOutput,
  firstRange: number | undefined,
): { arrived: number; storedSize: number } {
  // A store that knows no ranges answers with the whole, which is as good.
  if (ContentRange === undefined) return { arrived: ContentLength, storedSize: ContentLength };
  const [, last, total] = /^bytes 0-(\d{1,15})\/(\d{1,15})$/.exec(ContentRange) ?? [];
  const arrived = Number(last) + 1;
  const storedSize = Number(total);
  if (firstRange !== undefined && arrived === Math.min(firstRange, storedSize) && arrived === ContentLength) {
    return { arrived, storedSize };
  }
  throw new SealpipeError(
    'OBJECT_CHANGED',
    `S3 answered with the range ${ContentRange}, though ${firstRange === undefined ? 'the whole' : `the first ${firstRange} bytes`} of s3://${Bucket}/${Key} ${firstRange === undefined ? 'was' : 'were'} asked for`,
    { bucket: Bucket, key: Key },
  );
}

function pinnedRequest(
  params: GetParams,
  { ETag = '', VersionId }: GetObjectCommandOutput,
): ObjectAddress & { readonly IfMatch: string } {
  const { IfNoneMatch, ...rest } = params;
  return { ...rest, ...(VersionId !== undefined && VersionId !== 'null' && { VersionId }), IfMatch: ETag };
}

async function openKey(
  setting: ObjectSetting,
  read: { envelope: Envelope; params: GetParams; options: GetOptions; storedSize: number | undefined },
): Promise<ContentKey> {
  const { envelope, params, options, storedSize } = read;
  const { keyring, policy } = setting;
  const { signal, release, maxBuffered } = options;
  // The policy first: which option to set matters more than that the object would not fit.
  checkReadPolicy(envelope, policy);
  if (storedSize !== undefined) checkContentLength(envelope, storedSize, { release, maxBuffered });
  return openContentKey({
    keyring,
    envelope,
    policy,
    encryptionContext: options.encryptionContext ?? setting.encryptionContext,
    bucket: params.Bucket,
    key: params.Key,
    storedLength: storedSize,
    signal,
  });
}

function refuseRanges(params: object): void {
  for (const name of ['Range', 'PartNumber']) {
    if ((params as Record<string, unknown>)[name] !== undefined) {
      throw new SealpipeError(
        'COMMAND_REFUSED',
        `${name} was given for reading a whole object: a part of it cannot be authenticated by the object's tag. Leave it out, or read ranges by EncryptedS3.open`,
      );
    }
  }
}
