/** One command on its way through an encrypting client. */
import type { S3Client, UploadPartCommandInput, UploadPartCommandOutput } from '@aws-sdk/client-s3';
import type { GetOptions } from '../get-object.ts';
import type { ObjectSetting } from '../object-setting.ts';
import type { UploadRegistry } from './upload-registry.ts';

/** What all commands of one encrypting client share. */
export interface EncryptingClient {
  /** Its client is the one that was passed in: companions and the rest of broken downloads go through it. */
  readonly setting: ObjectSetting;
  readonly plain: S3Client;
  /** Sends a part as it is by the client that encrypts, as its middleware is meant for all parts. */
  readonly sendPart: (
    input: UploadPartCommandInput,
    signal: AbortSignal | undefined,
  ) => Promise<UploadPartCommandOutput>;
  readonly uploads: UploadRegistry;
  readonly partSize: number | undefined;
  /** Bytes of a segment, where a segment index is written. */
  readonly segmentSize: number | undefined;
  readonly contents: 'gcm' | undefined;
  readonly reading: Pick<GetOptions, 'release' | 'maxBuffered' | 'idleTimeout'>;
}

/** A command's input, and the way on. */
export interface CommandCall<Input, Output> {
  readonly input: Input;
  /** Sends a changed input through the rest of the client's middleware. */
  readonly forward: (input: Input) => Promise<Output>;
  readonly signal: AbortSignal | undefined;
}

/** An answer without what stands for the stored bytes: their checksums, and that S3 would give ranges of them. */
export function ofPlaintext<Output extends object>(output: Output): Output {
  return Object.fromEntries(
    Object.entries(withoutChecksums(output)).filter(([name]) => name !== 'AcceptRanges'),
  ) as Output;
}

/** An answer without the checksums of ciphertext, which would only be compared with plaintext. */
export function withoutChecksums<Output extends object>(output: Output): Output {
  return Object.fromEntries(Object.entries(output).filter(([name]) => !name.startsWith('Checksum'))) as Output;
}
