/** GetObject, HeadObject and the two listings: plaintext and its lengths. */
import type {
  GetObjectCommandInput,
  GetObjectCommandOutput,
  HeadObjectCommandInput,
  HeadObjectCommandOutput,
  ListObjectsCommandInput,
  ListObjectsCommandOutput,
  ListObjectsV2CommandInput,
  ListObjectsV2CommandOutput,
} from '@aws-sdk/client-s3';
import { SealpipeError } from '../../errors.ts';
import { defaultInstructionSuffix } from '../../format/envelope.ts';
import { assumedGcmLength } from '../../format/lengths.ts';
import { CompanionFilter } from '../companion-filter.ts';
import { type GetParams, openAnswer } from '../get-object.ts';
import { describeHead } from '../head-object.ts';
import type { ObjectAddress } from '../object-setting.ts';
import { indexedObjectKey } from '../segment-index-key.ts';
import { getAuthenticated } from '../segment-index-stream.ts';
import { type CommandCall, type EncryptingClient, ofPlaintext } from './command-call.ts';
import { responseBody } from './response-body.ts';

export async function getObject(
  client: EncryptingClient,
  { input, forward, signal }: CommandCall<GetObjectCommandInput, GetObjectCommandOutput>,
): Promise<GetObjectCommandOutput> {
  refusePartNumber(input);
  if (input.Range !== undefined) {
    throw new SealpipeError(
      'RANGE_UNAUTHENTICATED',
      `the range ${input.Range} was asked for: a part of an object cannot be authenticated by the object's tag. Read the whole object, or open it with EncryptedS3.open, which verifies ranges by a segment index`,
    );
  }
  // Checksums of the store's choosing can cost more than the decryption; the tag proves more.
  const send = (wanted: GetObjectCommandInput): Promise<GetObjectCommandOutput> =>
    forward({ ...wanted, ChecksumMode: 'DISABLED' as never });
  const answer = await send(input);
  const { setting, reading } = client;
  const options = { ...reading, signal };
  const { body, plaintextSize, exact, metadata } = await getAuthenticated(
    setting,
    answered(input, answer),
    options,
    // The rest of a body that breaks off comes as its beginning did.
    () => openAnswer(setting, input as GetParams, answer, { ...options, transport: 'client', again: send }),
  );
  return {
    ...ofPlaintext(answer),
    Body: responseBody(body),
    ContentLength: exact ? plaintextSize : undefined,
    Metadata: metadata,
  };
}

/** The object of an answer, to be read by segments: no other, as the answer's headers are handed on. */
function answered(input: GetObjectCommandInput, { ETag }: GetObjectCommandOutput): GetParams {
  const { Bucket, Key, VersionId, ExpectedBucketOwner, RequestPayer } = input as GetParams;
  const { SSECustomerAlgorithm, SSECustomerKey, SSECustomerKeyMD5 } = input;
  const customerKey = { SSECustomerAlgorithm, SSECustomerKey, SSECustomerKeyMD5 };
  return { Bucket, Key, VersionId, ExpectedBucketOwner, RequestPayer, ...customerKey, IfMatch: ETag };
}

export async function headObject(
  client: EncryptingClient,
  { input, forward, signal }: CommandCall<HeadObjectCommandInput, HeadObjectCommandOutput>,
): Promise<HeadObjectCommandOutput> {
  refusePartNumber(input);
  if (input.Range !== undefined)
    throw new SealpipeError('COMMAND_REFUSED', 'HeadObject was given a Range: ask for the object as a whole');
  const answer = await forward(input);
  const { plaintextSize, exact, metadata } = await describeHead(client.setting, input as ObjectAddress, answer, {
    signal,
  });
  return { ...ofPlaintext(answer), ContentLength: exact ? plaintextSize : undefined, Metadata: metadata };
}

type ListInput = ListObjectsCommandInput | ListObjectsV2CommandInput;
type ListOutput = ListObjectsCommandOutput | ListObjectsV2CommandOutput;

/** A listing shows no envelopes, so its lengths can be right only under the caller's promise. Companions on the same page are hidden. */
export async function listObjects(
  client: EncryptingClient,
  { input, forward }: CommandCall<ListInput, ListOutput>,
): Promise<ListOutput> {
  if (client.contents !== 'gcm') {
    throw new SealpipeError(
      'COMMAND_REFUSED',
      "a listing cannot tell the plaintext lengths of objects: promise that all content is GCM (withEncryption's contents: 'gcm'), use EncryptedS3.list, or another client",
    );
  }
  const answer = await forward(input);
  const filter = new CompanionFilter(client.setting.policy.instructionSuffix ?? defaultInstructionSuffix);
  const page = new Set(answer.Contents?.map(({ Key }) => Key));
  const kept = answer.Contents?.filter(({ Key = '' }) => {
    const indexed = indexedObjectKey(Key);
    return !filter.isCompanion(Key) && (indexed === undefined || !page.has(indexed));
  });
  const Contents = kept?.map((entry) => ({
    ...entry,
    Size: entry.Size === undefined ? undefined : assumedGcmLength(entry.Size),
  }));
  const hidden = (answer.Contents?.length ?? 0) - (Contents?.length ?? 0);
  const count = 'KeyCount' in answer && answer.KeyCount !== undefined ? { KeyCount: answer.KeyCount - hidden } : {};
  return { ...answer, ...(Contents && { Contents }), ...count };
}

function refusePartNumber({ PartNumber }: { PartNumber?: number | undefined }): void {
  if (PartNumber === undefined) return;
  throw new SealpipeError(
    'COMMAND_REFUSED',
    `part number ${PartNumber} was asked for: parts of the stored object are not parts of the plaintext, and cannot be authenticated by themselves: leave PartNumber out, or open the object with EncryptedS3.open for ranges of it`,
  );
}
