/** The four commands of a multipart upload that the caller drives. */
import type {
  CompleteMultipartUploadCommandInput,
  CompleteMultipartUploadCommandOutput,
  CreateMultipartUploadCommandInput,
  CreateMultipartUploadCommandOutput,
  UploadPartCommandInput,
  UploadPartCommandOutput,
} from '@aws-sdk/client-s3';
import { SealpipeError } from '../../errors.ts';
import { defaultInstructionSuffix } from '../../format/envelope.ts';
import { divideEnvelope, joinMetadata } from '../../format/write-envelope.ts';
import { createContentKey } from '../../keyrings/open-content-key.ts';
import { ClientMultipart, type OutgoingPart } from '../../multipart/client-multipart.ts';
import { combineCrc32 } from '../../multipart/crc32-combine.ts';
import { InstructionFileSwap } from '../../multipart/instruction-file-swap.ts';
import { Semaphore } from '../../multipart/semaphore.ts';
import { lookForWritten, mayBeWritten, outcomeUnknown, type WriteOutcome } from '../../multipart/upload-outcome.ts';
import { base64Crc, customerKeyOf, type UploadParams } from '../../multipart/upload-requests.ts';
import { type CommandCall, type EncryptingClient, withoutChecksums } from './command-call.ts';
import { indexBuilder, prepareIndex } from './index-writing.ts';
import { verifyPlaintextChecksums, withoutPlaintextChecksums } from './plaintext-checksums.ts';
import { bodyLength, readBody } from './request-body.ts';
import type { ClientUpload } from './upload-registry.ts';
import { assertWritable } from './written-object.ts';

/** CreateMultipartUpload: makes the data key; only this client can go on with the upload. */
export async function createMultipartUpload(
  client: EncryptingClient,
  { input, forward, signal }: CommandCall<CreateMultipartUploadCommandInput, CreateMultipartUploadCommandOutput>,
): Promise<CreateMultipartUploadCommandOutput> {
  const { keyring, suite, storage, encryptionContext } = client.setting;
  const { Bucket, Key } = input;
  assertWritable(input);
  // The upload outlives this call, and so its signal.
  const writing = await prepareIndex(client, input, {});
  const { contentKey, derived, envelope } = await createContentKey({
    keyring,
    suite,
    encryptionContext,
    bucket: Bucket,
    key: Key,
    derive: writing?.derive,
    signal,
  });
  const index = writing && indexBuilder(writing, { derived, envelope });
  const place = `s3://${Bucket}/${Key}`;
  const multipart = new ClientMultipart({ contentKey, partSize: client.partSize, place, index });
  try {
    const { metadata, instructionFile } = divideEnvelope(envelope, storage);
    const changed: CreateMultipartUploadCommandInput = {
      ...withoutPlaintextChecksums(input),
      Metadata: joinMetadata(input.Metadata ?? {}, metadata),
      ChecksumAlgorithm: 'CRC32',
      ChecksumType: 'FULL_OBJECT',
    };
    const key = `${Key}${defaultInstructionSuffix}`;
    const instructions =
      instructionFile &&
      // Without its signal, too.
      new InstructionFileSwap({
        client: client.plain,
        params: input as UploadParams,
        key,
        content: instructionFile,
        signal: new AbortController().signal,
      });
    await instructions?.prepare();
    const output = await forward(changed);
    client.uploads.add(
      { Bucket, Key, UploadId: output.UploadId },
      {
        multipart,
        instructions,
        indexFile: writing?.file,
        fullObjectChecksum: output.ChecksumType === 'FULL_OBJECT',
        identity: metadata,
        customerKey: customerKeyOf(input),
        completing: new Semaphore(1),
        ended: new AbortController(),
      },
    );
    return output;
  } catch (error) {
    multipart.wipe();
    throw error;
  }
}

/** UploadPart. Synchronous up to the claim: calls side by side take their places in the order in which they are made. */
export function uploadPart(
  client: EncryptingClient,
  { input, forward, signal }: CommandCall<UploadPartCommandInput, UploadPartCommandOutput>,
): Promise<UploadPartCommandOutput> {
  const { multipart, ended } = client.uploads.get(input, 'UploadPart');
  const length = bodyLength(input.Body, input.ContentLength);
  if (length === undefined)
    throw new SealpipeError(
      'COMMAND_REFUSED',
      'UploadPart was given a stream whose length is not known: give ContentLength',
    );
  const claim = multipart.claim(input.PartNumber ?? 0, length);
  const encryptPart = async (): Promise<ReturnType<typeof multipart.encrypt>> => {
    try {
      const plaintext = await readBody(input.Body, length, signal, ended.signal);
      verifyPlaintextChecksums(input, plaintext);
      return multipart.encrypt(claim, plaintext);
    } finally {
      multipart.release(claim);
    }
  };
  return (async () => {
    const outcome = await encryptPart();
    if ('held' in outcome) return { $metadata: { httpStatusCode: 200 }, ETag: outcome.held.etag };
    const { bytes, crc32 } = outcome.send;
    const output = await forward({
      ...withoutPlaintextChecksums(input),
      Body: bytes,
      ContentLength: bytes.length,
      ChecksumCRC32: base64Crc(crc32),
    });
    multipart.acknowledge(claim, output.ETag ?? '');
    return withoutChecksums(output);
  })();
}

/**
 * CompleteMultipartUpload: checks the caller's list, makes the tag, sends what carries it, and completes with what S3 has. Of two at the
 * same time one waits: the companions that it would take back are those of the other's object.
 */
export function completeMultipartUpload(
  client: EncryptingClient,
  call: CommandCall<CompleteMultipartUploadCommandInput, CompleteMultipartUploadCommandOutput>,
): Promise<CompleteMultipartUploadCommandOutput> {
  const upload = client.uploads.get(call.input, 'CompleteMultipartUpload');
  return upload.completing.run(() => complete(client, upload, call));
}

async function complete(
  client: EncryptingClient,
  { multipart, instructions, indexFile, fullObjectChecksum, identity, customerKey }: ClientUpload,
  { input, forward, signal }: CommandCall<CompleteMultipartUploadCommandInput, CompleteMultipartUploadCommandOutput>,
): Promise<CompleteMultipartUploadCommandOutput> {
  const { MpuObjectSize, ...plain } = withoutPlaintextChecksums(input);
  if (MpuObjectSize !== undefined && MpuObjectSize !== multipart.length)
    throw new SealpipeError(
      'COMMAND_REFUSED',
      `MpuObjectSize is ${MpuObjectSize}, the parts have ${multipart.length} bytes: complete the upload with all of its parts`,
    );
  const last = multipart.freeze(input.MultipartUpload?.Parts ?? []);
  // S3 wants the customer's key with a part and with a HEAD, of a Complete it does not.
  const keyed = { ...input, ...customerKey };
  if (last !== undefined) multipart.lastStored(await sendLast(client, keyed, last, signal));
  const parts = multipart.completedParts();
  const crc32 = parts.reduce((sum, part) => combineCrc32(sum, part.crc32, part.length), 0);
  const changed: CompleteMultipartUploadCommandInput = {
    ...plain,
    MultipartUpload: {
      Parts: parts.map((part) => ({ PartNumber: part.number, ETag: part.etag, ChecksumCRC32: base64Crc(part.crc32) })),
    },
    ...(fullObjectChecksum ? { ChecksumCRC32: base64Crc(crc32), ChecksumType: 'FULL_OBJECT' } : {}),
  };
  // Of an object that is in place already the companions are, too, or by now those of somebody else's.
  const again = multipart.isDone;
  if (!again) {
    // Others may have written the object since the upload was begun.
    await instructions?.prepare();
    await instructions?.publish(input);
  }
  const index = again ? undefined : multipart.segmentIndex();
  let output: CompleteMultipartUploadCommandOutput;
  let sent = false;
  try {
    if (index !== undefined) await indexFile?.publish(index, input);
    sent = true;
    output = await forward(changed);
  } catch (error) {
    const storedLength = parts.reduce((sum, { length }) => sum + length, 0);
    const outcome: WriteOutcome =
      sent && (again || mayBeWritten(error))
        ? await lookForWritten(client.plain, keyed as UploadParams, { identity, storedLength, crc32 })
        : { kind: 'absent' };
    if (outcome.kind === 'unknown' && !again)
      throw outcomeUnknown(keyed as UploadParams, { failure: error, cause: outcome.cause });
    if (outcome.kind !== 'written') {
      if (again) throw error;
      await indexFile?.withdraw();
      await instructions?.rollBack();
      throw error;
    }
    const { etag: ETag, versionId: VersionId } = outcome.object;
    output = { $metadata: { httpStatusCode: 200 }, Bucket: input.Bucket, Key: input.Key, ETag, VersionId };
  }
  multipart.done();
  return withoutChecksums(output);
}

/** This part is none of the caller's. The SDK's own retries send the same bytes. */
async function sendLast(
  { sendPart }: EncryptingClient,
  input: CompleteMultipartUploadCommandInput,
  { number, bytes, crc32 }: OutgoingPart,
  signal: AbortSignal | undefined,
): Promise<string> {
  const {
    Bucket,
    Key,
    UploadId,
    RequestPayer,
    ExpectedBucketOwner,
    SSECustomerAlgorithm,
    SSECustomerKey,
    SSECustomerKeyMD5,
  } = input;
  const address = {
    Bucket,
    Key,
    UploadId,
    RequestPayer,
    ExpectedBucketOwner,
    SSECustomerAlgorithm,
    SSECustomerKey,
    SSECustomerKeyMD5,
  };
  const body = { Body: bytes, ContentLength: bytes.length, ChecksumCRC32: base64Crc(crc32) };
  const { ETag } = await sendPart({ ...address, PartNumber: number, ...body }, signal);
  return ETag ?? '';
}
