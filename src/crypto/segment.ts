/**
 * Segments: one GCM message made in pieces, in any order, by any thread (design page "One GCM message, many workers").
 *
 *   c     = AES-CTR(K, counter IV ‖ be32(b + 2)) over the plaintext of the segment that starts at block b
 *   t     = the tag of a GCM call with key K, IV 0⁹⁶, AAD = c, no plaintext
 *   Z_seg = t ⊕ AES_K(0⁹⁶ ‖ 00000001) ⊕ (len(c) ‖ 0⁶⁴)·H
 *
 * OpenSSL hashes AAD at some 10 GB/s, slice after slice, which is what makes Z cheap. With the Z of all segments the tag of
 * the message follows by some products a segment; the ciphertext is byte for byte that of plain GCM.
 *
 * H, Z and t are secrets: one of them with its ciphertext gives H, and H forges tags.
 */
import { type Cipher, type CipherGCM, createCipheriv } from 'node:crypto';
import { SealpipeError } from '../errors.ts';
import { maxPlaintextLength } from '../format/suites.ts';
import type { ContentKey } from './content-key.ts';
import { addTo, blockOf, elementOf, type FieldElement, multiply, multiplyTwice, newElement, power } from './field.ts';

const blockLength = 16;
const zeroIv = new Uint8Array(12);

/** What follows from a content key and is needed to fold segments into a tag. Zero it with {@link MessageSecrets.wipe}. */
export class MessageSecrets {
  /** H = AES_K(0¹²⁸). */
  readonly h: FieldElement;
  /** AES_K(0⁹⁶ ‖ 00000001): what the tag of the hashing GCM call is masked with. */
  readonly hashMask: FieldElement;
  /** AES_K(J0): what the tag of the message is masked with. */
  readonly tagMask: FieldElement;

  constructor({ key, iv }: ContentKey) {
    const one = (prefix: Uint8Array): Buffer => Buffer.concat([prefix, Buffer.of(0, 0, 0, 1)]);
    this.h = encryptedBlock(key, Buffer.alloc(blockLength));
    this.hashMask = encryptedBlock(key, one(zeroIv));
    this.tagMask = encryptedBlock(key, one(iv));
  }

  wipe(): void {
    this.h.fill(0);
    this.hashMask.fill(0);
    this.tagMask.fill(0);
  }
}

/**
 * AES_K(block), as the padding of an empty message in CBC mode: `final` writes to the memory that it returns, where `update` would
 * leave a copy behind in memory that is freed as it is.
 */
function encryptedBlock(key: Uint8Array, block: Uint8Array): FieldElement {
  const padding = blockLength;
  const cipher = createCipheriv(
    'aes-256-cbc',
    key,
    block.map((byte) => byte ^ padding),
  );
  const encrypted = cipher.final();
  const element = elementOf(encrypted);
  encrypted.fill(0);
  return element;
}

/** A cipher for the keystream of a message from a block on: encrypts and decrypts alike. Unauthenticated by itself. */
export function createCtr({ key, iv }: ContentKey, block: number): Cipher {
  const counter = Buffer.alloc(16);
  counter.set(iv);
  counter.writeUInt32BE(block + 2, 12);
  return createCipheriv('aes-256-ctr', key, counter);
}

/**
 * Refuses a segment beyond the counter's end: OpenSSL's CTR would carry into the IV where GCM wraps, and no reader would
 * understand it. Readers enforce it too.
 * @param end plaintext bytes up to the end of the segment
 * @throws SealpipeError TOO_LARGE
 */
export function assertWithinCounter(end: number): void {
  if (end <= maxPlaintextLength) return;
  throw new SealpipeError(
    'TOO_LARGE',
    `the content has at least ${end} bytes, one encrypted object holds at most ${maxPlaintextLength} (2^36 − 32)`,
    {
      offset: maxPlaintextLength,
    },
  );
}

/** Hashes the ciphertext of one segment. One instance, one segment. */
export class SegmentHash {
  readonly #secrets: MessageSecrets;
  readonly #gcm: CipherGCM;
  #length = 0;

  constructor({ key }: ContentKey, secrets: MessageSecrets) {
    this.#secrets = secrets;
    this.#gcm = createCipheriv('aes-256-gcm', key, zeroIv, { authTagLength: 16 });
  }

  /** Ciphertext bytes so far. */
  get length(): number {
    return this.#length;
  }

  /** Takes the next ciphertext bytes, of any number. */
  update(ciphertext: Uint8Array): void {
    if (ciphertext.length === 0) return;
    this.#gcm.setAAD(ciphertext);
    this.#length += ciphertext.length;
  }

  /** Z of the segment; secret. */
  final(): FieldElement {
    this.#gcm.final();
    const tag = this.#gcm.getAuthTag();
    const z = elementOf(tag);
    tag.fill(0);
    addTo(z, this.#secrets.hashMask);
    const lengths = multiply(lengthElement(this.#length, 0), this.#secrets.h);
    addTo(z, lengths);
    lengths.fill(0);
    return z;
  }

  /** Gives up: OpenSSL frees what it holds of the key at once. Instead of {@link final}. */
  close(): void {
    this.#gcm.final();
  }
}

/** Folds the Z of segments, in order, into the tag of the message. */
export class TagFold {
  readonly #secrets: MessageSecrets;
  readonly #aadLength: number;
  readonly #z: FieldElement;
  #length = 0;
  /** H^n for the number of blocks folded last: segments mostly have the same size. */
  #power: { blocks: number; element: FieldElement } | undefined;

  constructor({ aad }: ContentKey, secrets: MessageSecrets) {
    this.#secrets = secrets;
    this.#aadLength = aad.length;
    const { h } = secrets;
    this.#z = aad.length === 0 ? newElement() : multiplyTwice(elementOf(aad), h);
  }

  /** Ciphertext bytes folded so far. */
  get length(): number {
    return this.#length;
  }

  /**
   * Appends the next segment.
   * @param z its Z; not kept
   * @param length its ciphertext bytes; every segment before it had a multiple of 16
   */
  append(z: FieldElement, length: number): void {
    // An empty one changes nothing, wherever it stands: a range may hold nothing but bytes of the tag.
    if (length === 0) return;
    if (this.#length % blockLength !== 0)
      throw new Error('internal error: a segment follows one that does not end on a block');
    const shifted = multiply(this.#z, this.#powerOf(Math.ceil(length / blockLength)));
    this.#z.set(shifted);
    shifted.fill(0);
    addTo(this.#z, z);
    this.#length += length;
  }

  /**
   * The tag of all that was folded. Releasing it freezes the message: under one data key one tag, ever.
   */
  tag(): Uint8Array {
    const element = multiply(lengthElement(this.#aadLength, this.#length), this.#secrets.h);
    addTo(element, this.#z);
    addTo(element, this.#secrets.tagMask);
    return blockOf(element);
  }

  wipe(): void {
    this.#z.fill(0);
    this.#power?.element.fill(0);
    this.#power = undefined;
  }

  #powerOf(blocks: number): FieldElement {
    if (this.#power?.blocks !== blocks) {
      this.#power?.element.fill(0);
      this.#power = { blocks, element: power(this.#secrets.h, blocks) };
    }
    return this.#power.element;
  }
}

/** The block len(A) ‖ len(C), both in bits as 64-bit integers. */
function lengthElement(aadLength: number, length: number): FieldElement {
  const block = Buffer.alloc(blockLength);
  block.writeBigUInt64BE(BigInt(aadLength) * 8n, 0);
  block.writeBigUInt64BE(BigInt(length) * 8n, 8);
  return elementOf(block);
}
