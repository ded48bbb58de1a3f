/** A large encrypted object that costs the sending of a small one: the store copies its parts from one piece. */
import { createDecipheriv } from 'node:crypto';
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { committingSuite } from '../../src/format/suites.ts';
import { createContentKey } from '../../src/keyrings/open-content-key.ts';
import { authenticTag } from '../authentic-tag.ts';
import { type RepeatedContent, repeatedLength, storedContent } from '../repeated-content.ts';
import type { BudgetPlace } from './place.ts';

/** A multiple of what the content repeats, so that every copy is the right bytes for its place. */
const pieceLength = 64 * repeatedLength;

export interface RepeatedObject {
  /** Whether these are the content's bytes from `start` on, by OpenSSL's CTR and no code of ours. */
  has(start: number, bytes: Uint8Array): boolean;
}

/** Puts an authentic object of format V3 with that many bytes of plaintext, whatever they are. */
export async function putRepeatedObject(place: BudgetPlace, name: string, length: number): Promise<RepeatedObject> {
  const { contentKey, envelope } = await createContentKey({ keyring: place.keyring, suite: committingSuite });
  const content = storedContent(length);
  const copies = Math.floor(length / pieceLength);
  const rest = Buffer.concat([
    ...storedContent(length % pieceLength).chunks(repeatedLength),
    authenticTag(contentKey, content),
  ]);
  const { client } = place;
  const target = place.at(name);
  if (copies === 0) await client.send(new PutObjectCommand({ ...target, Body: rest, Metadata: envelope }));
  else {
    const piece = place.at(`${name}-piece`);
    const Body = Buffer.concat([...storedContent(pieceLength).chunks(repeatedLength)]);
    await client.send(new PutObjectCommand({ ...piece, Body }));
    const created = await client.send(new CreateMultipartUploadCommand({ ...target, Metadata: envelope }));
    const upload = { ...target, UploadId: created.UploadId };
    const CopySource = `${piece.Bucket}/${encodeURIComponent(piece.Key)}`;
    const numbers = Array.from({ length: copies }, (_, index) => index + 1);
    const parts = await Promise.all(
      numbers.map(async (PartNumber) => {
        const { CopyPartResult } = await client.send(new UploadPartCopyCommand({ ...upload, CopySource, PartNumber }));
        return { PartNumber, ETag: CopyPartResult?.ETag };
      }),
    );
    const last = { PartNumber: copies + 1 };
    const { ETag } = await client.send(new UploadPartCommand({ ...upload, ...last, Body: rest }));
    const MultipartUpload = { Parts: [...parts, { ...last, ETag }] };
    await client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload }));
  }
  return { has: (start, bytes) => decrypted(contentKey, content, { start, length: bytes.length }).equals(bytes) };
}

function decrypted(
  { key, iv }: { readonly key: Uint8Array; readonly iv: Uint8Array },
  content: RepeatedContent,
  { start, length }: { start: number; length: number },
): Buffer {
  const skip = start % 16;
  // Block 0 of the content has GCM's counter 2.
  const counter = Buffer.alloc(16);
  counter.set(iv);
  counter.writeUInt32BE(2 + (start - skip) / 16, 12);
  const decipher = createDecipheriv('aes-256-ctr', key, counter);
  const plaintext: Buffer[] = [];
  for (let at = start - skip; at < start + length; ) {
    const stored = content.slice(at, start + length - at);
    plaintext.push(decipher.update(stored));
    at += stored.length;
  }
  return Buffer.concat(plaintext).subarray(skip);
}
