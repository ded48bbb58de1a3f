import type { Readable } from 'node:stream';
import {
  GetObjectCommand,
  type GetObjectCommandInput,
  type GetObjectCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { withoutResponseChecksum, withoutSdkRetries } from '../s3-command.ts';
import { sendForStream } from './direct-requests.ts';
import type { HttpAnswer } from './http-exchange.ts';
import { divertFrom } from './receiving-agent.ts';
import { sentByReceivingConnections } from './receiving-handler.ts';
import type { Header } from './signature.ts';

export interface GetRequestOptions {
  /** Ends it until the head of the answer is there. */
  readonly signal: AbortSignal;
  /** Whether the SDK asks again as the client was told to. Default true. */
  readonly sdkRetries?: boolean | undefined;
  /** As for uploads: `client` for a request that has to go through the client. Default `auto`. */
  readonly transport?: 'auto' | 'client' | 'workers' | undefined;
}

/**
 * Asks for an object, or a range of one. No checksum of the store's is asked for: a tag proves more. A request to the end of an object may
 * have a long body: where it goes through the client, it comes over a connection that can be diverted.
 */
export async function sendGet(
  client: S3Client,
  input: GetObjectCommandInput,
  { signal, sdkRetries = true, transport = 'auto' }: GetRequestOptions,
): Promise<GetObjectCommandOutput> {
  const { Bucket, Key, Range, IfMatch, ExpectedBucketOwner, RequestPayer } = input;
  const toTheEnd = transport !== 'client' && (Range === undefined || Range.endsWith('-'));
  const command = (): GetObjectCommand => {
    const get = withoutResponseChecksum(new GetObjectCommand(input));
    if (!sdkRetries) withoutSdkRetries(get);
    return toTheEnd ? sentByReceivingConnections(get, client, signal) : get;
  };
  const send = (): Promise<GetObjectCommandOutput> => {
    const isLong = toTheEnd && (lastLengths.get(client) ?? 0) >= divertFrom;
    const isUnusual = Object.keys(input).some((name) => input[name as never] !== undefined && !known.has(name));
    if (transport === 'client' || isLong || isUnusual) return client.send(command(), { abortSignal: signal });
    const headers: Header[] = [];
    if (Range !== undefined) headers.push(['range', Range]);
    if (IfMatch !== undefined) headers.push(['if-match', IfMatch]);
    return sendForStream(client, {
      kind: JSON.stringify(['GetObject', Bucket, ExpectedBucketOwner, RequestPayer]),
      parts: { objectKey: Key, headers },
      command,
      read: outputOf,
      signal,
    });
  };
  const answer = await send();
  if (toTheEnd) lastLengths.set(client, answer.ContentLength ?? 0);
  return answer;
}

/** Of the last answer to a request to the end: who asks for long objects most often asks for another one. */
const lastLengths = new WeakMap<S3Client, number>();

/** Parameters that become the path, or one header each. The rest is for the SDK. */
const known = new Set(['Bucket', 'Key', 'Range', 'IfMatch', 'ExpectedBucketOwner', 'RequestPayer']);

const metadataPrefix = 'x-amz-meta-';

/** What sealpipe reads of an answer, under the SDK's names. */
function outputOf({ status, headers, body }: HttpAnswer<Readable>): GetObjectCommandOutput {
  const metadata: Record<string, string> = {};
  for (const name in headers) {
    if (name.startsWith(metadataPrefix)) metadata[name.slice(metadataPrefix.length)] = headers[name] as string;
  }
  const length = Number.parseInt(headers['content-length'] ?? '', 10);
  const modified = Date.parse(headers['last-modified'] ?? '');
  return {
    $metadata: { httpStatusCode: status, requestId: headers['x-amz-request-id'] ?? '', attempts: 1 },
    Body: body as never,
    ContentLength: Number.isNaN(length) ? undefined : length,
    ContentRange: headers['content-range'],
    ContentType: headers['content-type'],
    ETag: headers.etag,
    LastModified: Number.isNaN(modified) ? undefined : new Date(modified),
    Metadata: metadata,
    VersionId: headers['x-amz-version-id'],
  };
}
