/** The envelope of an object that a GET or HEAD has answered for: from its metadata, or from its instruction file. */
import { GetObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { SealpipeError } from '../errors.ts';
import { defaultInstructionSuffix, type Envelope } from '../format/envelope.ts';
import { maxInstructionFileLength, maxKeyLength, parseInstructionFile } from '../format/instruction-file.ts';
import { locateEnvelope, parseEnvelope } from '../format/parse-envelope.ts';
import type { ReadPolicy } from '../format/read-policy.ts';
import type { StringMap } from '../format/string-map.ts';
import { retrySends } from '../retry/retry-sends.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { answerTimeout, withDeadline } from '../retry/send-deadline.ts';
import { withoutResponseChecksum, withoutSdkRetries } from '../s3-command.ts';
import { describeFailure } from '../service-failure.ts';
import type { ObjectAddress } from './object-setting.ts';

export interface ObjectEnvelopeRequest {
  readonly client: S3Client;
  readonly address: ObjectAddress;
  /** User metadata of the object, as answered. */
  readonly metadata: StringMap;
  readonly policy: ReadPolicy;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until a request for the instruction file counts as lost and is sent again. Default 60 000. */
  readonly timeout?: number | undefined;
}

/** How often an instruction file is asked for. It is a few hundred bytes, so a broken one is asked for anew, not for its rest. */
const attempts = 5;

/**
 * Finds and parses the envelope. Costs one GET more where it is in an instruction file.
 * @returns undefined for an object that is not encrypted
 * @throws SealpipeError ENVELOPE_INVALID, and whatever S3 fails with; a denied instruction file is an error, never "none"
 */
export async function readObjectEnvelope(request: ObjectEnvelopeRequest): Promise<Envelope | undefined> {
  const { metadata, policy, address } = request;
  const located = locateEnvelope(metadata);
  if (located.place === 'metadata') return inObject(address, () => parseEnvelope(metadata));
  const suffix = policy.instructionSuffix ?? defaultInstructionSuffix;
  const file =
    policy.instructionFiles === false ? undefined : await fetchInstructionFile(request, `${address.Key}${suffix}`);
  if (file !== undefined) return inObject(address, () => parseEnvelope(metadata, parseInstructionFile(file)));
  if (!located.required) return undefined;
  throw new SealpipeError(
    'ENVELOPE_INVALID',
    `s3://${address.Bucket}/${address.Key} holds only the content part of an envelope, and ${
      policy.instructionFiles === false
        ? 'instruction files are switched off'
        : `its instruction file ${address.Key}${suffix} does not exist`
    }: without the wrapped key it cannot be read`,
    { bucket: address.Bucket, key: address.Key },
  );
}

/** Whether the envelope, or that there is none, takes a look at the instruction file. */
export function mayNeedInstructionFile(metadata: StringMap, { instructionFiles }: ReadPolicy): boolean {
  return instructionFiles !== false && locateEnvelope(metadata).place !== 'metadata';
}

/** Refuses an object without an envelope, unless the policy takes it as it is. */
export function refusePlaintext({ Bucket, Key }: ObjectAddress, policy: ReadPolicy): void {
  if (policy.plaintext === 'allow') return;
  throw new SealpipeError(
    'NOT_ENCRYPTED',
    `s3://${Bucket}/${Key} has no encryption envelope${policy.instructionFiles === false ? ' in its metadata (instruction files are switched off)' : ', nor an instruction file'}: ` +
      "if it is meant to be plaintext, say so (plaintext: 'allow', --plaintext allow)",
    { bucket: Bucket, key: Key },
  );
}

/** The bytes of an instruction file; undefined where there is none. */
export async function fetchInstructionFile(
  request: Pick<ObjectEnvelopeRequest, 'client' | 'address' | 'signal' | 'timeout'>,
  key: string,
): Promise<Uint8Array | undefined> {
  // S3 has no object of a longer key, and would refuse to look.
  if (Buffer.byteLength(key) > maxKeyLength) return undefined;
  const { address, signal, timeout = answerTimeout } = request;
  const what = `GetObject of s3://${address.Bucket}/${key}`;
  try {
    return await retrySends(
      () => withDeadline((until) => requestFile(request, key, until), { timeout, signal, what }),
      {
        attempts,
        signal,
      },
    );
  } catch (cause) {
    if (cause instanceof SealpipeError) throw cause;
    const { statusCode, name } = describeFailure(cause);
    if (statusCode === 404 && name !== 'NoSuchBucket') return undefined;
    throw s3Failure(cause, { operation: 'GetObject', bucket: address.Bucket, key });
  }
}

async function requestFile(
  { client, address }: Pick<ObjectEnvelopeRequest, 'client' | 'address'>,
  key: string,
  abortSignal: AbortSignal,
): Promise<Uint8Array> {
  // Without the version: an instruction file has versions of its own.
  const { Bucket, RequestPayer, ExpectedBucketOwner } = address;
  const command = withoutResponseChecksum(
    new GetObjectCommand({ Bucket, RequestPayer, ExpectedBucketOwner, Key: key }),
  );
  const { Body, ContentLength = 0 } = await client.send(withoutSdkRetries(command), { abortSignal });
  if (ContentLength > maxInstructionFileLength) {
    (Body as { destroy?: () => void } | undefined)?.destroy?.();
    throw new SealpipeError(
      'ENVELOPE_INVALID',
      `${key} has ${ContentLength} bytes, an instruction file has at most ${maxInstructionFileLength}`,
    );
  }
  return (await Body?.transformToByteArray()) ?? new Uint8Array(0);
}

/** Adds which object it was to an error of parsing. */
function inObject<T>({ Bucket, Key }: ObjectAddress, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof SealpipeError)) throw error;
    throw new SealpipeError('ENVELOPE_INVALID', `s3://${Bucket}/${Key}: ${error.message}`, {
      cause: error.cause,
      bucket: Bucket,
      key: Key,
    });
  }
}
