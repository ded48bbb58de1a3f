/** DeleteObject, DeleteObjects and CopyObject: companions go along, and copies keep their envelope. */
import type { Readable } from 'node:stream';
import {
  type CopyObjectCommandInput,
  type CopyObjectCommandOutput,
  DeleteObjectCommand,
  type DeleteObjectCommandInput,
  type DeleteObjectCommandOutput,
  DeleteObjectsCommand,
  type DeleteObjectsCommandInput,
  type DeleteObjectsCommandOutput,
  GetObjectCommand,
  type GetObjectCommandInput,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { SealpipeError } from '../../errors.ts';
import { claimedLengthKey, defaultInstructionSuffix, envelopeKeys } from '../../format/envelope.ts';
import { parseInstructionFile } from '../../format/instruction-file.ts';
import { decodeMetadataValue } from '../../format/metadata-encoding.ts';
import { parseMap, type StringMap, stringifyMap } from '../../format/string-map.ts';
import { joinMetadata } from '../../format/write-envelope.ts';
import { InstructionFileSwap } from '../../multipart/instruction-file-swap.ts';
import { lookForWritten, mayBeWritten, outcomeUnknown } from '../../multipart/upload-outcome.ts';
import type { UploadParams } from '../../multipart/upload-requests.ts';
import { companionsOf, findCompanions, findCompanionsOfMany, keysAtOnce } from '../delete-objects.ts';
import { fetchInstructionFile, readObjectEnvelope } from '../object-envelope.ts';
import { assertAddress } from '../object-setting.ts';
import { SegmentIndexCopy } from '../segment-index-copy.ts';
import { type CommandCall, type EncryptingClient, withoutChecksums } from './command-call.ts';
import { assertWritable } from './written-object.ts';

export async function deleteObject(
  { plain, setting }: EncryptingClient,
  { input, forward, signal }: CommandCall<DeleteObjectCommandInput, DeleteObjectCommandOutput>,
): Promise<DeleteObjectCommandOutput> {
  const { Bucket, Key, VersionId, RequestPayer, ExpectedBucketOwner } = input as typeof input & {
    Bucket: string;
    Key: string;
  };
  const address = { Bucket, Key, RequestPayer, ExpectedBucketOwner };
  assertAddress(address);
  // A version's companions have versions of their own.
  const companions =
    VersionId === undefined ? await findCompanions(plain, address, setting.policy.instructionSuffix, signal) : [];
  const output = await forward(input);
  for (const companion of companions) {
    await plain.send(new DeleteObjectCommand({ ...address, Key: companion }), {
      ...(signal && { abortSignal: signal }),
    });
  }
  return output;
}

export async function deleteObjects(
  { plain, setting }: EncryptingClient,
  { input, forward, signal }: CommandCall<DeleteObjectsCommandInput, DeleteObjectsCommandOutput>,
): Promise<DeleteObjectsCommandOutput> {
  const { RequestPayer, ExpectedBucketOwner, Delete } = input;
  const Bucket = input.Bucket ?? '';
  const keys = (Delete?.Objects ?? []).flatMap(({ Key, VersionId }) =>
    Key === undefined || VersionId !== undefined ? [] : [Key],
  );
  const given = new Set(keys);
  const address = { Bucket, RequestPayer, ExpectedBucketOwner };
  const suffix = setting.policy.instructionSuffix;
  const found = await findCompanionsOfMany(plain, address, { keys, suffix, signal });
  const output = await forward(input);
  const kept = new Set(output.Errors?.map(({ Key }) => Key));
  const companions = companionsOf(found, { kept }).filter((key) => !given.has(key));
  const Errors = [...(output.Errors ?? [])];
  for (let at = 0; at < companions.length; at += keysAtOnce) {
    const Objects = companions.slice(at, at + keysAtOnce).map((Key) => ({ Key }));
    const removed = await plain.send(new DeleteObjectsCommand({ ...address, Delete: { Objects, Quiet: true } }), {
      ...(signal && { abortSignal: signal }),
    });
    Errors.push(...(removed.Errors ?? []));
  }
  return { ...output, ...(Errors.length > 0 && { Errors }) };
}

/** Copies ciphertext. Under REPLACE the envelope of the source is merged into the new metadata; an instruction file is copied first. */
export async function copyObject(
  { plain, setting }: EncryptingClient,
  { input, forward, signal }: CommandCall<CopyObjectCommandInput, CopyObjectCommandOutput>,
): Promise<CopyObjectCommandOutput> {
  assertWritable({ Bucket: input.Bucket, Key: input.Key });
  const source = parseCopySource(input.CopySource ?? '');
  const address = {
    ...source,
    RequestPayer: input.RequestPayer,
    ExpectedBucketOwner: input.ExpectedSourceBucketOwner,
    SSECustomerAlgorithm: input.CopySourceSSECustomerAlgorithm,
    SSECustomerKey: input.CopySourceSSECustomerKey,
    SSECustomerKeyMD5: input.CopySourceSSECustomerKeyMD5,
  };
  const options = { ...(signal && { abortSignal: signal }) };
  const look = new HeadObjectCommand({ ...address, ChecksumMode: 'ENABLED' });
  const head = await plain.send(look, options).catch(async (error: { readonly name?: string }) => {
    // The answer to a HEAD has no body that says what is missing: that to a GET says it as CopyObject's would.
    if (error.name === 'NotFound') await tellMissing(plain, address, options);
    throw error;
  });
  const metadata = head.Metadata ?? {};
  const envelope = await readObjectEnvelope({ client: plain, address, metadata, policy: setting.policy, signal });
  if (envelope === undefined) {
    throw new SealpipeError(
      'NOT_ENCRYPTED',
      `s3://${source.Bucket}/${source.Key} is not encrypted, and its copy would not be either: read it and put it`,
      {
        bucket: source.Bucket,
        key: source.Key,
      },
    );
  }
  // What was looked at is what is copied.
  const pinned =
    source.VersionId === undefined && input.CopySourceIfMatch === undefined ? { CopySourceIfMatch: head.ETag } : {};
  const replaced =
    input.MetadataDirective === 'REPLACE'
      ? { Metadata: joinMetadata(input.Metadata ?? {}, envelopeMetadata(metadata)) }
      : {};
  const changed = { ...input, ...pinned, ...replaced };
  const index = new SegmentIndexCopy({ client: plain, source, input, signal });
  const copy = async (): Promise<CopyObjectCommandOutput> => {
    const { CopyObjectResult, ...output } = await index.around(() => forward(changed));
    return { ...output, CopyObjectResult: CopyObjectResult && withoutChecksums(CopyObjectResult) };
  };
  if (envelope.storage === 'metadata') return copy();
  // The suffix of the file that was read: another one can hold the key for somebody else.
  const suffix = setting.policy.instructionSuffix ?? defaultInstructionSuffix;
  const file = await fetchInstructionFile({ client: plain, address, signal }, `${source.Key}${suffix}`);
  const content = { ...parseInstructionFile(file ?? new Uint8Array(0)) };
  const swap = new InstructionFileSwap({
    client: plain,
    params: input as UploadParams,
    key: `${input.Key}${suffix}`,
    content,
    signal: signal ?? new AbortController().signal,
  });
  const written = {
    identity: envelopeMetadata(metadata),
    storedLength: head.ContentLength ?? 0,
    crc32: fullCrc32(head),
  };
  // One that was there before (or is the source) does not tell whether this copy was made.
  const before = await lookForWritten(plain, input as UploadParams, written);
  await swap.prepare();
  await swap.publish();
  try {
    return await copy();
  } catch (error) {
    // With a lost answer the copy may be in place, and would be lost with its instruction file.
    const outcome = mayBeWritten(error)
      ? await lookForWritten(plain, input as UploadParams, written)
      : ({ kind: 'absent' } as const);
    if (outcome.kind === 'unknown' || (outcome.kind === 'written' && before.kind === 'unknown'))
      throw outcomeUnknown(input as UploadParams, {
        failure: error,
        cause: outcome.kind === 'unknown' ? outcome.cause : 'what was there before could not be seen',
      });
    if (outcome.kind === 'absent' || before.kind === 'written') {
      await swap.rollBack();
      throw error;
    }
    const { etag: ETag, versionId: VersionId } = outcome.object;
    return { $metadata: { httpStatusCode: 200 }, CopyObjectResult: { ETag }, VersionId };
  }
}

async function tellMissing(
  plain: S3Client,
  input: GetObjectCommandInput,
  options: { abortSignal?: AbortSignal },
): Promise<void> {
  const { Body } = await plain.send(new GetObjectCommand(input), options);
  (Body as Readable | undefined)?.destroy();
}

/** The CRC-32 of a whole stored object, where S3 has one. */
function fullCrc32({ ChecksumCRC32, ChecksumType }: HeadObjectCommandOutput): number | undefined {
  if (ChecksumCRC32 === undefined || ChecksumType === 'COMPOSITE') return undefined;
  return Buffer.from(ChecksumCRC32, 'base64').readUInt32BE();
}

/** The envelope's part of some metadata, in a form that can be written: what S3 encoded twice goes out as ASCII again. */
function envelopeMetadata(metadata: StringMap): StringMap {
  const own = Object.entries(metadata).filter(([name]) => envelopeKeys.includes(name) || name === claimedLengthKey);
  return Object.fromEntries(
    own.map(([name, value]) => [
      name,
      ['x-amz-t', 'x-amz-m', 'x-amz-matdesc'].includes(name)
        ? stringifyMap(parseMap(decodeMetadataValue(value), name))
        : value,
    ]),
  );
}

/** `bucket/key`, `/bucket/key`, with `?versionId=`, percent-encoded; many encode the slash between the two, too. */
function parseCopySource(copySource: string): { Bucket: string; Key: string; VersionId?: string } {
  const [encoded = '', query = ''] = copySource.split('?');
  const path = decoded(encoded)?.replace(/^\//, '') ?? '';
  const slash = path.indexOf('/');
  if (slash < 1 || slash === path.length - 1 || path.startsWith('arn:')) {
    throw new SealpipeError(
      'COMMAND_REFUSED',
      `CopySource is ${JSON.stringify(copySource)}, expected bucket/key: its envelope could not be looked at`,
    );
  }
  const version = new URLSearchParams(query).get('versionId');
  return {
    Bucket: path.slice(0, slash),
    Key: path.slice(slash + 1),
    ...(version !== null && { VersionId: version }),
  };
}

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}
