import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream';
import { GetObjectCommand, type GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { SealpipeError } from '../errors.ts';
import { type Envelope, userMetadata } from '../format/envelope.ts';
import { plaintextLength } from '../format/lengths.ts';
import { checkReadPolicy } from '../format/read-policy.ts';
import type { StringMap } from '../format/string-map.ts';
import { openContentKey } from '../keyrings/open-content-key.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { withoutResponseChecksum } from '../s3-command.ts';
import { checkContentLength, decryptStreamWith, type ReleaseRule } from '../streams/decrypt-stream.ts';
import { destroyOnAbort } from '../streams/destroy-on-abort.ts';
import { readObjectEnvelope, refusePlaintext } from './object-envelope.ts';
import { assertAddress, type ObjectAddress, type ObjectSetting } from './object-setting.ts';
import { ResumableBody } from './resumable-body.ts';

/** Which object to read. */
export type GetParams = ObjectAddress & {
  readonly IfMatch?: string | undefined;
  readonly IfNoneMatch?: string | undefined;
};

export interface GetOptions {
  /** The encryption context that the object was written with. Default: that of the EncryptedS3, else the empty one. */
  readonly encryptionContext?: StringMap | undefined;
  /** When plaintext comes out. Default `authenticated`: after the tag of the whole object, held in memory up to `maxBuffered`. */
  readonly release?: ReleaseRule | undefined;
  /** Default 64 MiB. */
  readonly maxBuffered?: number | undefined;
  /** Milliseconds without a byte, while one is waited for, until a connection counts as broken. Default 60 000. */
  readonly idleTimeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An object that is being read. */
export interface GetResult {
  /** Plaintext. It fails when authentication fails; only its end says that all was right. */
  readonly body: Readable;
  /** Bytes; the upper bound where not exact (CBC). */
  readonly plaintextSize: number;
  readonly exact: boolean;
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

/** Starts to read an object: one GET, no HEAD, one unwrapped key. Resolves when the key is open and bytes can flow. */
export async function getObject(
  setting: ObjectSetting,
  params: GetParams,
  options: GetOptions = {},
): Promise<GetResult> {
  assertAddress(params);
  refuseRanges(params);
  const { client } = setting;
  const { signal } = options;
  const answer = await client
    .send(withoutResponseChecksum(new GetObjectCommand(params)), { ...(signal && { abortSignal: signal }) })
    .catch((cause: unknown) => {
      const precondition = params.IfNoneMatch === undefined ? 'changed' : 'conditional-write';
      throw s3Failure(cause, { operation: 'GetObject', bucket: params.Bucket, key: params.Key, precondition });
    });
  return openAnswer(setting, params, answer, options);
}

/**
 * As {@link getObject}, of a GET that has been answered. A failure frees its connection.
 * @param params the request that was answered: it is repeated for the rest of a body that breaks off
 */
export async function openAnswer(
  setting: ObjectSetting,
  params: GetParams,
  answer: GetObjectCommandOutput,
  options: GetOptions,
): Promise<GetResult> {
  const { client, policy } = setting;
  const { signal, idleTimeout = 60_000 } = options;
  const { Bucket, Key } = params;
  try {
    if (answer.ContentRange !== undefined) {
      throw new SealpipeError(
        'OBJECT_CHANGED',
        `S3 answered with the range ${answer.ContentRange}, though the whole of s3://${Bucket}/${Key} was asked for`,
      );
    }
    const metadata = answer.Metadata ?? {};
    const envelope = await readObjectEnvelope({ client, address: params, metadata, policy, signal });
    if (envelope === undefined) refusePlaintext(params, policy);
    const storedSize = answer.ContentLength ?? 0;
    const length =
      envelope === undefined
        ? { plaintextSize: storedSize, exact: true }
        : plaintextLength(envelope.suite, storedSize, envelope.claimedLength);
    const decrypt =
      envelope && (await startDecrypting(setting, { envelope, params, options, contentLength: answer.ContentLength }));
    const stored = new ResumableBody({ client, input: params, answer, idleTimeout });
    const body = decrypt === undefined ? stored : pipeline(stored, decrypt, () => undefined);
    if (decrypt === undefined) destroyOnAbort(stored, signal, 'download');
    return {
      body,
      plaintextSize: length?.plaintextSize ?? 0,
      exact: length?.exact ?? false,
      storedSize,
      envelope,
      metadata: userMetadata(metadata),
      etag: answer.ETag ?? '',
      versionId: answer.VersionId,
      contentType: answer.ContentType,
      lastModified: answer.LastModified,
    };
  } catch (error) {
    discard(answer);
    throw error;
  }
}

async function startDecrypting(
  setting: ObjectSetting,
  read: { envelope: Envelope; params: GetParams; options: GetOptions; contentLength: number | undefined },
): Promise<ReturnType<typeof decryptStreamWith>> {
  const { envelope, params, options, contentLength } = read;
  const { keyring, policy } = setting;
  const { signal, release, maxBuffered } = options;
  const opened = {
    keyring,
    envelope,
    policy,
    encryptionContext: options.encryptionContext ?? setting.encryptionContext,
    bucket: params.Bucket,
    key: params.Key,
    storedLength: contentLength,
    signal,
  };
  // The policy first: which option to set matters more than that the object would not fit.
  checkReadPolicy(envelope, policy);
  if (contentLength !== undefined) checkContentLength(envelope, contentLength, { release, maxBuffered });
  const contentKey = await openContentKey(opened);
  return decryptStreamWith(envelope, contentKey, { contentLength, release, maxBuffered, signal });
}

/** Frees the connection of an answer that is not read. */
function discard({ Body }: GetObjectCommandOutput): void {
  const body = Body as Readable | undefined;
  body?.once?.('error', () => undefined);
  body?.destroy?.();
}

function refuseRanges(params: object): void {
  for (const name of ['Range', 'PartNumber']) {
    if ((params as Record<string, unknown>)[name] !== undefined) {
      throw new SealpipeError(
        'COMMAND_REFUSED',
        `${name} was given for reading a whole object: a part of it cannot be authenticated by the object's tag`,
      );
    }
  }
}
