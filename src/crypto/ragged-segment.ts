/**
 * Pieces of one GCM message that need not begin or end on a block. Pure but for OpenSSL.
 *
 * CTR skips the bytes of keystream before the piece; GHASH runs over the whole blocks inside it; what lies before the first and
 * behind the last of them (fewer than 16 bytes of ciphertext each) is hashed when the pieces are folded, in order.
 */
import { crc32 } from 'node:zlib';
import type { ContentKey } from './content-key.ts';
import { elementOf, type FieldElement, multiplyTwice } from './field.ts';
import { releaseMemory } from './release-memory.ts';
import { assertWithinCounter, createCtr, type MessageSecrets, SegmentHash, TagFold } from './segment.ts';
import type { SegmentMacs } from './segment-index-macs.ts';

const blockLength = 16;
const sliceLength = 64 * 1024;

/** What a piece contributes to the tag, and what tells whether it is the same one again. `z` is secret. */
export interface RaggedSegment {
  /** Ciphertext bytes. */
  readonly length: number;
  /** Ciphertext before the first whole block of the message inside the piece. */
  readonly head: Uint8Array;
  /** Bytes in whole blocks. */
  readonly whole: number;
  readonly z: FieldElement;
  /** Ciphertext behind the last whole block. */
  readonly tail: Uint8Array;
}

/**
 * Encrypts a piece into memory of its own.
 * @param offset of the piece in the message, any number
 * @param room bytes to leave free behind the ciphertext
 * @param macs is given the ciphertext, for a segment index
 */
export function encryptRagged(
  contentKey: ContentKey,
  secrets: MessageSecrets,
  {
    plaintext,
    offset,
    room = 0,
    macs,
  }: { plaintext: Uint8Array; offset: number; room?: number; macs?: SegmentMacs | undefined },
): { ciphertext: Buffer; crc32: number; segment: RaggedSegment } {
  assertWithinCounter(offset + plaintext.length);
  const memory = Buffer.allocUnsafeSlow(plaintext.length + room);
  const ciphertext = memory.subarray(0, plaintext.length);
  const skipped = offset % blockLength;
  const ctr = createCtr(contentKey, (offset - skipped) / blockLength);
  if (skipped > 0) ctr.update(Buffer.alloc(skipped));
  const headLength = Math.min(plaintext.length, skipped === 0 ? 0 : blockLength - skipped);
  const whole = Math.floor((plaintext.length - headLength) / blockLength) * blockLength;
  const hash = new SegmentHash(contentKey, secrets);
  let crc = 0;
  for (let at = 0; at < plaintext.length; at += sliceLength) {
    const slice = ctr.update(plaintext.subarray(at, Math.min(at + sliceLength, plaintext.length)));
    crc = crc32(slice, crc);
    macs?.update(slice);
    hash.update(
      slice.subarray(Math.max(0, headLength - at), Math.max(0, Math.min(slice.length, headLength + whole - at))),
    );
    ciphertext.set(slice, at);
    releaseMemory(slice);
  }
  ctr.final();
  const head = Uint8Array.from(ciphertext.subarray(0, headLength));
  const tail = Uint8Array.from(ciphertext.subarray(headLength + whole));
  return { ciphertext, crc32: crc, segment: { length: plaintext.length, head, whole, z: hash.final(), tail } };
}

/** Folds pieces in order into the tag of their message. */
export class RaggedFold {
  readonly #fold: TagFold;
  readonly #secrets: MessageSecrets;
  readonly #pending = Buffer.alloc(blockLength);
  #pendingLength = 0;

  constructor(contentKey: ContentKey, secrets: MessageSecrets) {
    this.#fold = new TagFold(contentKey, secrets);
    this.#secrets = secrets;
  }

  append({ head, whole, z, tail }: RaggedSegment): void {
    this.#appendBytes(head);
    if (whole > 0) {
      if (this.#pendingLength > 0)
        throw new Error('internal error: a piece does not begin where the one before it ended');
      this.#fold.append(z, whole);
    }
    this.#appendBytes(tail);
  }

  /** Ends the message. Releasing the tag freezes it: under one data key one tag, ever. */
  tag(): Uint8Array {
    this.#foldPending();
    return this.#fold.tag();
  }

  wipe(): void {
    this.#fold.wipe();
  }

  #appendBytes(bytes: Uint8Array): void {
    this.#pending.set(bytes, this.#pendingLength);
    this.#pendingLength += bytes.length;
    if (this.#pendingLength === blockLength) this.#foldPending();
  }

  /** Z of one block c is c·H·H; a last one that is not full is padded with zeros. */
  #foldPending(): void {
    if (this.#pendingLength === 0) return;
    const { h } = this.#secrets;
    const z = multiplyTwice(elementOf(this.#pending.subarray(0, this.#pendingLength)), h);
    this.#fold.append(z, this.#pendingLength);
    z.fill(0);
    this.#pendingLength = 0;
  }
}
