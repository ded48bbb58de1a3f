/** The envelope of an object that a GET or HEAD has answered for: from its metadata, or from its instruction file. */
import { GetObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { SealpipeError } from '../errors.ts';
import { defaultInstructionSuffix, type Envelope } from '../format/envelope.ts';
import { maxInstructionFileLength, parseInstructionFile } from '../format/instruction-file.ts';
import { locateEnvelope, parseEnvelope } from '../format/parse-envelope.ts';
import type { ReadPolicy } from '../format/read-policy.ts';
import type { StringMap } from '../format/string-map.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { withoutResponseChecksum } from '../s3-command.ts';
import { describeFailure } from '../service-failure.ts';
import type { ObjectAddress } from './object-setting.ts';

export interface ObjectEnvelopeRequest {
  readonly client: S3Client;
  readonly address: ObjectAddress;
  /** User metadata of the object, as answered. */
  readonly metadata: StringMap;
  readonly policy: ReadPolicy;
  readonly signal?: AbortSignal | undefined;
}

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
  { client, address, signal }: Pick<ObjectEnvelopeRequest, 'client' | 'address' | 'signal'>,
  key: string,
): Promise<Uint8Array | undefined> {
  // Without the version: an instruction file has versions of its own.
  const { VersionId, SSECustomerAlgorithm, SSECustomerKey, SSECustomerKeyMD5, ...plain } = address;
  const command = withoutResponseChecksum(new GetObjectCommand({ ...plain, Key: key }));
  try {
    const { Body, ContentLength = 0 } = await client.send(command, { ...(signal && { abortSignal: signal }) });
    if (ContentLength > maxInstructionFileLength) {
      (Body as { destroy?: () => void } | undefined)?.destroy?.();
      throw new SealpipeError(
        'ENVELOPE_INVALID',
        `${key} has ${ContentLength} bytes, an instruction file has at most ${maxInstructionFileLength}`,
      );
    }
    return (await Body?.transformToByteArray()) ?? new Uint8Array(0);
  } catch (cause) {
    if (cause instanceof SealpipeError) throw cause;
    const { statusCode, name } = describeFailure(cause);
    if (statusCode === 404 && name !== 'NoSuchBucket') return undefined;
    throw s3Failure(cause, { operation: 'GetObject', bucket: address.Bucket, key });
  }
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
