import { pipeline, Transform, type TransformCallback } from 'node:stream';
import { crc32 } from 'node:zlib';
import type { PutObjectCommandInput, PutObjectCommandOutput } from '@aws-sdk/client-s3';
import { ContentEncryptor, slices } from '../../crypto/content-cipher.ts';
import { type ContentKey, wipe } from '../../crypto/content-key.ts';
import { releaseMemory } from '../../crypto/release-memory.ts';
import type { SegmentIndexBuilder } from '../../crypto/segment-index-builder.ts';
import { SealpipeError } from '../../errors.ts';
import { defaultInstructionSuffix } from '../../format/envelope.ts';
import { divideEnvelope, joinMetadata } from '../../format/write-envelope.ts';
import { createContentKey } from '../../keyrings/open-content-key.ts';
import { InstructionFileSwap } from '../../multipart/instruction-file-swap.ts';
import { lookForWritten, mayBeWritten, outcomeUnknown } from '../../multipart/upload-outcome.ts';
import { base64Crc, type UploadParams } from '../../multipart/upload-requests.ts';
import { createEncryptStream } from '../../streams/encrypt-stream.ts';
import type { SegmentIndexFile } from '../segment-index-file.ts';
import { type CommandCall, type EncryptingClient, withoutChecksums } from './command-call.ts';
import { indexBuilder, prepareIndex } from './index-writing.ts';
import { hasPlaintextChecksum, verifyPlaintextChecksums, withoutPlaintextChecksums } from './plaintext-checksums.ts';
import { bodyLength, bytesInMemory, readBody, sourceFailure, streamOf } from './request-body.ts';
import { assertWritable } from './written-object.ts';

/** Streams up to this many bytes are collected, so that the SDK can send them again; longer ones are encrypted as they go. */
const collectedLength = 16 * 1024 * 1024;

/** PutObject: the body encrypted, the envelope in metadata or instruction file. */
export async function putObject(
  client: EncryptingClient,
  call: CommandCall<PutObjectCommandInput, PutObjectCommandOutput>,
): Promise<PutObjectCommandOutput> {
  const { input, signal } = call;
  assertWritable(input);
  const length = bodyLength(input.Body, input.ContentLength);
  if (length === undefined) {
    throw new SealpipeError(
      'COMMAND_REFUSED',
      'PutObject was given a stream whose length is not known: give ContentLength, or use Upload of @aws-sdk/lib-storage, or EncryptedS3.upload',
    );
  }
  const { keyring, suite, encryptionContext } = client.setting;
  const names = { bucket: input.Bucket, key: input.Key };
  if (bytesInMemory(input.Body) === undefined && length > collectedLength) return putStream(client, call, length);
  const plaintext = await readBody(input.Body, length, signal);
  verifyPlaintextChecksums(input, plaintext);
  const writing = await prepareIndex(client, input, { length, signal });
  const { contentKey, derived, envelope } = await createContentKey({
    keyring,
    suite,
    encryptionContext,
    length,
    ...names,
    derive: writing?.derive,
    signal,
  });
  const builder = writing && indexBuilder(writing, { derived, envelope, length });
  const { stored, crc } = encryptWhole(contentKey, plaintext, builder);
  const index = writing && builder && { file: writing.file, bytes: builder.finish(length) };
  builder?.close();
  const body = { Body: stored, ContentLength: stored.length, crc };
  return store(client, call, envelope, body, index);
}

/** A long stream is encrypted as it goes. The SDK cannot send it again. */
async function putStream(
  client: EncryptingClient,
  call: CommandCall<PutObjectCommandInput, PutObjectCommandOutput>,
  length: number,
): Promise<PutObjectCommandOutput> {
  const { input, signal } = call;
  if (hasPlaintextChecksum(input)) {
    throw new SealpipeError(
      'COMMAND_REFUSED',
      `a checksum of the plaintext was given for a stream of ${length} bytes, which is not held to be compared: leave it out (the tag proves more), or use EncryptedS3.upload`,
    );
  }
  if (client.segmentSize !== undefined) {
    throw new SealpipeError(
      'COMMAND_REFUSED',
      `a stream of ${length} bytes was to be put with a segment index, which has to be stored before the object, when its bytes are not known yet: use EncryptedS3.upload, or Upload of @aws-sdk/lib-storage`,
    );
  }
  const { keyring, suite, encryptionContext } = client.setting;
  const source = streamOf(input.Body);
  const encrypt = createEncryptStream({
    keyring,
    suite: suite.committing ? 'gcm-commit' : 'gcm',
    encryptionContext,
    length,
    bucket: input.Bucket,
    key: input.Key,
    signal,
  });
  // Heard from the beginning, as an error that nobody hears ends the process: the source may fail while KMS is asked.
  let broken: unknown;
  source.once('error', (error) => {
    broken = error;
  });
  const failed = new Promise<never>((_, reject) => {
    encrypt.once('error', (error: NodeJS.ErrnoException) => {
      const isSources = error === broken || error.code === 'ERR_STREAM_PREMATURE_CLOSE';
      reject(isSources ? sourceFailure(error) : error);
    });
  });
  failed.catch(() => undefined);
  pipeline(source, encrypt, () => undefined);
  try {
    const envelope = await encrypt.envelope.catch(() => failed);
    const forward = (changed: PutObjectCommandInput): Promise<PutObjectCommandOutput> =>
      Promise.race([call.forward(changed), failed]);
    // Of format V2 with an instruction file nothing else tells the object that was written from another.
    const tap = suite.committing || client.setting.storage === 'metadata' ? undefined : new Crc32Tap();
    const Body = tap === undefined ? encrypt : pipeline(encrypt, tap, () => undefined);
    const crc = (): number | undefined => tap?.crc;
    return await store(client, { ...call, forward }, envelope, { Body, ContentLength: length + 16, crc });
  } catch (error) {
    // Lets go of the source, and of a connection that waits for the rest.
    encrypt.destroy(error as Error);
    throw error;
  }
}

/** Passes bytes on, and sums them up. */
class Crc32Tap extends Transform {
  crc = 0;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.crc = crc32(chunk, this.crc);
    callback(null, chunk);
  }
}

async function store(
  { setting, plain }: EncryptingClient,
  { input, forward, signal }: CommandCall<PutObjectCommandInput, PutObjectCommandOutput>,
  envelope: Record<string, string>,
  {
    crc,
    ...body
  }: Pick<PutObjectCommandInput, 'Body' | 'ContentLength'> & {
    /** Of what is stored: known at once, or when all of it has gone out. */
    readonly crc: number | (() => number | undefined);
  },
  index?: { readonly file: SegmentIndexFile; readonly bytes: Buffer },
): Promise<PutObjectCommandOutput> {
  const { metadata, instructionFile } = divideEnvelope(envelope, setting.storage);
  const changed = {
    ...withoutPlaintextChecksums(input),
    ...body,
    ...(typeof crc === 'number' && { ChecksumCRC32: base64Crc(crc) }),
    Metadata: joinMetadata(input.Metadata ?? {}, metadata),
  };
  const key = `${input.Key}${defaultInstructionSuffix}`;
  const instructions =
    instructionFile &&
    new InstructionFileSwap({
      client: plain,
      params: input as UploadParams,
      key,
      content: instructionFile,
      signal: signal ?? new AbortController().signal,
    });
  await instructions?.prepare();
  await instructions?.publish();
  let sent = false;
  try {
    await index?.file.publish(index.bytes);
    sent = true;
    return withoutChecksums(await forward(changed));
  } catch (error) {
    if (instructions === undefined && index === undefined) throw error;
    // With a lost answer the object may be in place, and would be lost with its instruction file.
    if (sent && mayBeWritten(error)) {
      const outcome = await lookForWritten(plain, input as UploadParams, {
        identity: metadata,
        storedLength: body.ContentLength ?? 0,
        crc32: typeof crc === 'number' ? crc : crc(),
      });
      if (outcome.kind === 'unknown')
        throw outcomeUnknown(input as UploadParams, { failure: error, cause: outcome.cause });
      if (outcome.kind === 'written') {
        const { etag: ETag, versionId: VersionId } = outcome.object;
        return { $metadata: { httpStatusCode: 200 }, ETag, VersionId };
      }
    }
    await index?.file.withdraw();
    await instructions?.rollBack();
    throw error;
  }
}

function encryptWhole(
  contentKey: ContentKey,
  plaintext: Uint8Array,
  index: SegmentIndexBuilder | undefined,
): { stored: Buffer; crc: number } {
  const encryptor = new ContentEncryptor(contentKey);
  wipe(contentKey.key);
  const stored = Buffer.allocUnsafeSlow(plaintext.length + 16);
  const macs = index?.macs(0);
  let filled = 0;
  let crc = 0;
  const append = (bytes: Buffer): void => {
    crc = crc32(bytes, crc);
    stored.set(bytes, filled);
    filled += bytes.length;
  };
  for (const slice of slices(plaintext, 64 * 1024)) {
    const ciphertext = encryptor.update(slice);
    append(ciphertext);
    macs?.update(ciphertext);
    releaseMemory(ciphertext);
  }
  append(encryptor.final());
  if (macs !== undefined) index?.add(0, macs.final());
  return { stored, crc };
}
