import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { PutObjectCommand, type PutObjectCommandInput, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { base64Crc } from '../../src/multipart/upload-requests.ts';
import type { CaughtRequest, RequestParts } from '../../src/requests/request-template.ts';
import {
  type TunableCommand,
  withFirstAnswer,
  withLeanBody,
  withLookAtRequest,
  withoutSdkRetries,
} from '../../src/s3-command.ts';

export const credentials = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
};

export function s3(config: S3ClientConfig = {}): S3Client {
  return new S3Client({ region: 'us-east-1', credentials, ...config });
}

/** What the SDK would send for a command. Nothing leaves. */
export async function caughtRequest(
  client: { send(command: never): Promise<unknown> },
  command: TunableCommand,
): Promise<CaughtRequest> {
  let caught: CaughtRequest | undefined;
  const looking = withLookAtRequest(command, (request) => {
    const { headers } = request as CaughtRequest;
    caught = { ...(request as CaughtRequest), headers: { ...headers } };
  });
  const answer = { statusCode: 200, headers: {}, body: Readable.from([]) };
  await client.send(withFirstAnswer(looking, async () => answer) as never);
  if (caught === undefined) throw new Error('the SDK signed nothing');
  return caught;
}

/** A PutObject as uploads make it. */
export function leanPut(input: Partial<PutObjectCommandInput> & { readonly Body: Buffer }): PutObjectCommand {
  const { Body } = input;
  const whole = {
    Bucket: 'bucket',
    Key: 'key',
    ContentLength: Body.length,
    ChecksumCRC32: base64Crc(crc32(Body)),
    ...input,
  };
  return withoutSdkRetries(withLeanBody(new PutObjectCommand(whole)));
}

/** What such a request has of its own. */
export function partsOf({
  Key = 'key',
  Metadata = {},
  Body,
}: Partial<PutObjectCommandInput> & { readonly Body: Buffer }): RequestParts {
  const metadata = Object.entries(Metadata).map(([name, value]) => [`x-amz-meta-${name}`, value] as const);
  return { objectKey: Key, headers: [['x-amz-checksum-crc32', base64Crc(crc32(Body))], ...metadata], body: Body };
}

export const sha256 = (text: string | Uint8Array): string => createHash('sha256').update(text).digest('hex');
