import {
  PutObjectCommand,
  type PutObjectCommandInput,
  type PutObjectCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { withLeanBody, withoutSdkRetries } from '../s3-command.ts';
import { sendWhole } from './direct-requests.ts';
import type { Header } from './signature.ts';

/** A PutObject whose body is in memory, its CRC-32 given. */
export type PutRequest = PutObjectCommandInput & { readonly Body: Uint8Array; readonly ChecksumCRC32: string };

export interface PutRequestOptions {
  readonly signal: AbortSignal;
  /** As for uploads: `client` for a request that has to go through the client. */
  readonly transport: 'auto' | 'client' | 'workers';
}

/** Sends an object as one request. A failure is not repeated here. */
export async function sendPut(
  client: S3Client,
  input: PutRequest,
  { signal, transport }: PutRequestOptions,
): Promise<Pick<PutObjectCommandOutput, 'ETag' | 'VersionId'>> {
  const command = (): PutObjectCommand => withoutSdkRetries(withLeanBody(new PutObjectCommand(input)));
  const kind = transport === 'client' ? undefined : kindOf(input);
  if (kind === undefined) return client.send(command(), { abortSignal: signal });
  const { Key, Metadata, Body, ChecksumCRC32 } = input;
  const headers: Header[] = [['x-amz-checksum-crc32', ChecksumCRC32]];
  for (const name in Metadata) headers.push([`x-amz-meta-${name.toLowerCase()}`, Metadata[name] as string]);
  return sendWhole(client, {
    kind,
    parts: { objectKey: Key, headers, body: Body },
    command,
    read: ({ headers: { etag, 'x-amz-version-id': version }, body }) =>
      // By its end, as the SDK does, which then names the error.
      endsWithError(body) ? undefined : { ETag: etag, VersionId: version },
    signal,
  });
}

/** Whether the body of a success says after all that there was none: its status had left before that was known. */
export function endsWithError(body: Buffer | string): boolean {
  return body.toString().endsWith('</Error>');
}

/** Parameters that each request has its own of. */
const own = new Set(['Key', 'Metadata', 'Body', 'ContentLength', 'ChecksumCRC32']);

/** Parameters that become a header each, and are no secrets. The rest is for the SDK. */
const common = new Set([
  'ACL',
  'Bucket',
  'BucketKeyEnabled',
  'CacheControl',
  'ContentDisposition',
  'ContentEncoding',
  'ContentLanguage',
  'ContentType',
  'ExpectedBucketOwner',
  'IfNoneMatch',
  'RequestPayer',
  'SSEKMSKeyId',
  'ServerSideEncryption',
  'StorageClass',
  'Tagging',
]);

/** Undefined for a request that has to go through the client. */
function kindOf(input: PutRequest): string | undefined {
  const kind: unknown[] = ['PutObject'];
  for (const name of Object.keys(input).sort()) {
    const value = (input as unknown as Record<string, unknown>)[name];
    if (value === undefined || own.has(name)) continue;
    if (!common.has(name) || (typeof value !== 'string' && typeof value !== 'boolean')) return undefined;
    kind.push(name, value);
  }
  return JSON.stringify(kind);
}
