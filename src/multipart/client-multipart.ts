/**
 * A multipart upload that somebody else drives (lib-storage, or calls of their own): what is claimed, encrypted, acknowledged and
 * completed, by the rule of one message under one data key. No I/O. See "lib-storage over withEncryption" in docs/with-encryption.md.
 *
 * open → frozen → done, and failed from anywhere.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { type ContentKey, wipe } from '../crypto/content-key.ts';
import { elementOf } from '../crypto/field.ts';
import { encryptRagged, RaggedFold, type RaggedSegment } from '../crypto/ragged-segment.ts';
import { assertWithinCounter, MessageSecrets } from '../crypto/segment.ts';
import type { SegmentIndexBuilder } from '../crypto/segment-index-builder.ts';
import { SealpipeError } from '../errors.ts';
import { maxParts, minPartSize } from './part-sizes.ts';

/** A part number with its place in the message: taken when a call begins, before anything is awaited. */
export interface PartClaim {
  readonly number: number;
  readonly length: number;
  readonly offset: number;
}

/** What goes to S3 for a part, now or at Complete. */
export interface OutgoingPart {
  readonly number: number;
  readonly bytes: Buffer;
  readonly crc32: number;
}

/** A part as the caller lists it at Complete. */
export interface ListedPart {
  readonly PartNumber?: number | undefined;
  readonly ETag?: string | undefined;
}

/** A part as S3 has it. */
export interface CompletedPart {
  readonly number: number;
  readonly etag: string;
  readonly crc32: number;
  readonly length: number;
}

/** Of a completed upload only its list is kept, which can be ten thousand parts long. */
const spent: RaggedSegment = {
  length: 0,
  head: new Uint8Array(0),
  whole: 0,
  z: elementOf(new Uint8Array(0)),
  tail: new Uint8Array(0),
};

interface PartState {
  readonly claim: PartClaim;
  /** Calls that may still encrypt under the claim. */
  holders: number;
  /** Whether anything was encrypted at its counters: they are taken for good then. */
  used: boolean;
  segment: RaggedSegment | undefined;
  crc32: number;
  /** What the caller was answered. */
  etag: string | undefined;
  /** Ciphertext that waits for Complete; room for the tag behind it. */
  held: Buffer | undefined;
}

export interface ClientMultipartOptions {
  readonly contentKey: ContentKey;
  /** Fixed size of all parts but the last; then parts may be sent in any order. */
  readonly partSize: number | undefined;
  readonly place: string;
  /** Takes the entries of the segment index, where one is made. */
  readonly index?: SegmentIndexBuilder | undefined;
}

export class ClientMultipart {
  readonly #contentKey: ContentKey;
  readonly #secrets: MessageSecrets;
  readonly #partSize: number | undefined;
  readonly #place: string;
  readonly #index: SegmentIndexBuilder | undefined;
  readonly #parts = new Map<number, PartState>();
  #state: 'open' | 'frozen' | 'done' | 'failed' = 'open';
  #failure: SealpipeError | undefined;
  #last: { part: OutgoingPart; stored: CompletedPart | undefined } | undefined;

  constructor({ contentKey, partSize, place, index }: ClientMultipartOptions) {
    this.#contentKey = contentKey;
    this.#secrets = new MessageSecrets(contentKey);
    this.#partSize = partSize;
    this.#place = place;
    this.#index = index;
  }

  /** Plaintext bytes of all parts claimed. */
  get length(): number {
    return [...this.#parts.values()].reduce((sum, { claim }) => sum + claim.length, 0);
  }

  /** Whether the object is in place: what is left is its list of parts. */
  get isDone(): boolean {
    return this.#state === 'done';
  }

  /** The envelope's content key is not needed any more: overwrites everything secret. The upload is unusable then. */
  wipe(): void {
    wipe(this.#contentKey.key);
    this.#secrets.wipe();
    this.#index?.close();
    for (const { segment, held } of this.#parts.values()) {
      segment?.z.fill(0);
      held?.fill(0);
    }
    if (this.#state !== 'done') this.#state = 'failed';
  }

  /**
   * Takes a part number for a body of `length` bytes, to be given back by {@link release}. Synchronous, so that calls side by side cannot
   * take one place twice.
   * @throws SealpipeError COMMAND_REFUSED, PART_CHANGED, TOO_LARGE
   */
  claim(number: number, length: number): PartClaim {
    this.#assertOpen('UploadPart');
    if (!Number.isSafeInteger(number) || number < 1 || number > maxParts)
      throw this.#refused(`part number ${number} is not one from 1 to ${maxParts}`);
    const known = this.#parts.get(number);
    if (known !== undefined) {
      if (known.claim.length !== length) {
        if (!isFree(known)) throw this.#changed(number, `it had ${known.claim.length} bytes and has ${length} now`);
        throw this.#refused(
          `part ${number} was begun with ${known.claim.length} bytes, and higher parts after it: with ${length} bytes those would have to move`,
        );
      }
      known.holders += 1;
      return known.claim;
    }
    const offset = this.#offsetOf(number, length);
    assertWithinCounter(offset + length);
    if (this.#index !== undefined && offset % this.#index.segmentSize !== 0)
      throw this.#refused(
        `part ${number} begins at byte ${offset}, inside a segment of its index: let all parts but the last have a multiple of ${this.#index.segmentSize} bytes, or make the index afterwards (createSegmentIndex)`,
      );
    const claim = { number, length, offset };
    this.#parts.set(number, {
      claim,
      holders: 1,
      used: false,
      segment: undefined,
      crc32: 0,
      etag: undefined,
      held: undefined,
    });
    return claim;
  }

  /**
   * Ends a call's hold on its claim. A part that nothing was encrypted for, as its body failed, is one that was never begun: unless
   * higher parts have their places behind it, and then it keeps its length.
   */
  release({ number }: PartClaim): void {
    const part = this.#parts.get(number);
    if (part === undefined) return;
    part.holders -= 1;
    if (!isFree(part)) return;
    const free = [...this.#parts.values()].filter(isFree).sort((a, b) => b.claim.number - a.claim.number);
    for (const { claim } of free)
      if (this.#partSize !== undefined || claim.number === Math.max(...this.#parts.keys()))
        this.#parts.delete(claim.number);
  }

  /**
   * Encrypts a part's body into memory of its own. The same number again has to give the very same ciphertext.
   * @returns what to send, or nothing for a part that is held until Complete
   * @throws SealpipeError PART_CHANGED: the upload has failed then
   */
  encrypt(claim: PartClaim, plaintext: Uint8Array): { send: OutgoingPart } | { held: { etag: string } } {
    this.#assertOpen('UploadPart');
    const { number, length, offset } = claim;
    const part = this.#parts.get(number);
    // Its counters may be another part's by now.
    if (part?.claim !== claim) throw new Error('internal error: a part was encrypted whose claim was released');
    if (plaintext.length !== length)
      throw this.#changed(number, `its body has ${plaintext.length} bytes, announced were ${length}`);
    part.used = true;
    // Once only: under one key, a segment has one entry.
    const macs = part.segment === undefined ? this.#index?.macs(offset / this.#index.segmentSize) : undefined;
    const { ciphertext, crc32, segment } = encryptRagged(this.#contentKey, this.#secrets, {
      plaintext,
      offset,
      room: 16,
      macs,
    });
    if (macs !== undefined) this.#index?.add(offset, macs.final());
    if (part.segment === undefined) {
      part.segment = segment;
      part.crc32 = crc32;
    } else {
      const same = sameSegment(part.segment, segment);
      segment.z.fill(0);
      if (!same) throw this.#changed(number, 'its content is not what it was');
    }
    if (!this.#isHeld(claim)) return { send: { number, bytes: ciphertext, crc32 } };
    part.held ??= ciphertext;
    part.etag ??= `"${randomBytes(16).toString('hex')}"`;
    return { held: { etag: part.etag } };
  }

  /** S3 has acknowledged a part. */
  acknowledge({ number }: PartClaim, etag: string): void {
    const part = this.#parts.get(number);
    if (part !== undefined) part.etag = etag;
  }

  /**
   * Checks the caller's list, freezes the upload and makes its tag, once. Called again with the same list it gives the same bytes.
   * @returns the part that carries the tag, unless it is stored already
   * @throws SealpipeError COMMAND_REFUSED before anything is frozen
   */
  freeze(listed: readonly ListedPart[]): OutgoingPart | undefined {
    if (this.#state === 'failed') throw this.#failure ?? this.#refused('it has failed');
    this.#assertListed(listed);
    if (this.#last === undefined) {
      this.#state = 'frozen';
      this.#last = { part: this.#makeLast(), stored: undefined };
    }
    return this.#last.stored === undefined ? this.#last.part : undefined;
  }

  /** The part with the tag is on S3: its bytes are not needed any more. */
  lastStored(etag: string): void {
    if (this.#last === undefined || this.#last.stored !== undefined) return;
    const { number, bytes, crc32 } = this.#last.part;
    const part = { number, bytes: Buffer.alloc(0), crc32 };
    this.#last = { part, stored: { number, etag, crc32, length: bytes.length } };
    for (const state of this.#parts.values()) state.held = undefined;
  }

  /** The list that S3 has to be given: real ETags and checksums, and the part that we added. */
  completedParts(): CompletedPart[] {
    const stored = this.#last?.stored;
    if (stored === undefined) throw new Error('internal error: the last part is not stored');
    const others = [...this.#parts.values()].filter(({ claim }) => claim.number !== stored.number);
    return [
      ...others.map(({ claim, crc32, etag }) => ({
        number: claim.number,
        etag: etag as string,
        crc32,
        length: claim.length,
      })),
      stored,
    ].sort((a, b) => a.number - b.number);
  }

  /** The segment index of the frozen upload, where one is made. */
  segmentIndex(): Buffer | undefined {
    return this.#index?.finish(this.length);
  }

  /** The object is in place. The list stays, for a Complete that is sent again; secrets go. */
  done(): void {
    this.#state = 'done';
    this.wipe();
    for (const part of this.#parts.values()) part.segment = spent;
  }

  #offsetOf(number: number, length: number): number {
    const highest = Math.max(0, ...this.#parts.keys());
    const held = [...this.#parts.values()].find(
      ({ claim }) => claim.number < number && this.#isHeld(claim) && !this.#mayStillBeFull(claim),
    );
    if (held !== undefined) {
      throw this.#refused(
        `part ${held.claim.number} (${held.claim.length} bytes) has to be the last one, as it is under 5 MiB or differs in size from part 1: part ${number} cannot follow it`,
      );
    }
    if (this.#partSize !== undefined) {
      if (length !== this.#partSize && number < highest)
        throw this.#refused(`part ${number} has ${length} bytes, all but the last have ${this.#partSize}`);
      const short = [...this.#parts.values()].find(
        ({ claim }) => claim.number < number && claim.length !== this.#partSize,
      );
      if (short !== undefined)
        throw this.#refused(
          `part ${short.claim.number} has ${short.claim.length} bytes and so is the last: part ${number} cannot follow it`,
        );
      return (number - 1) * this.#partSize;
    }
    let offset = 0;
    for (let lower = 1; lower < number; lower++) {
      const part = this.#parts.get(lower);
      if (part === undefined) {
        // Waiting for it would be a deadlock where the caller sends one part after the other.
        throw this.#refused(
          `part ${number} was begun before part ${lower}: begin parts in order, or give withEncryption the partSize of all parts but the last`,
        );
      }
      offset += part.claim.length;
    }
    return offset;
  }

  /** A part that can only be the last: S3 wants 5 MiB of all others, and part 1 sets the size of the rest. */
  #isHeld({ number, length }: PartClaim): boolean {
    const first = this.#partSize ?? this.#parts.get(1)?.claim.length ?? length;
    return length < minPartSize || length !== first || number === maxParts;
  }

  /** With a given part size that is under S3's minimum nothing could ever follow; S3 refuses that itself, at Complete. */
  #mayStillBeFull({ length }: PartClaim): boolean {
    return this.#partSize !== undefined && length === this.#partSize && length >= minPartSize;
  }

  #makeLast(): OutgoingPart {
    const parts = [...this.#parts.values()].sort((a, b) => a.claim.number - b.claim.number);
    const fold = new RaggedFold(this.#contentKey, this.#secrets);
    for (const { segment } of parts) fold.append(segment as RaggedSegment);
    const tag = fold.tag();
    fold.wipe();
    const last = parts.at(-1);
    if (last?.held === undefined) return withCrc((last?.claim.number ?? 0) + 1, Buffer.from(tag));
    // The room for the tag is behind the ciphertext, in the same memory.
    const whole = Buffer.from(last.held.buffer, last.held.byteOffset, last.held.length + tag.length);
    whole.set(tag, last.held.length);
    return withCrc(last.claim.number, whole);
  }

  #assertListed(listed: readonly ListedPart[]): void {
    const { size } = this.#parts;
    if (size === 0 || listed.length !== size) {
      throw this.#refused(
        `Complete lists ${listed.length} parts, ${size} were uploaded: an encrypted upload is completed with all of its parts, in order`,
      );
    }
    for (const [i, { PartNumber, ETag }] of listed.entries()) {
      const part = this.#parts.get(i + 1);
      if (PartNumber !== i + 1 || part?.etag === undefined || part.segment === undefined) {
        throw this.#refused(
          `Complete lists part ${String(PartNumber)} in place ${i + 1}: an encrypted upload is completed with all of its parts, 1 to ${size}, in order`,
        );
      }
      if (unquoted(ETag) !== unquoted(part.etag))
        throw this.#refused(`Complete lists part ${i + 1} with an ETag that it was not answered with`);
    }
  }

  #assertOpen(operation: string): void {
    if (this.#state === 'failed') throw this.#failure ?? this.#refused('it has failed');
    if (this.#state !== 'open') throw this.#refused(`${operation} was called when it was being completed`);
  }

  #changed(part: number, how: string): SealpipeError {
    this.#state = 'failed';
    this.#failure = new SealpipeError(
      'PART_CHANGED',
      `part ${part} of the multipart upload to ${this.#place} was sent again and ${how}: under one data key that must not be encrypted. Abort the upload and start a new one`,
      { part },
    );
    return this.#failure;
  }

  #refused(why: string): SealpipeError {
    return new SealpipeError('COMMAND_REFUSED', `the multipart upload to ${this.#place} cannot take this: ${why}`);
  }
}

function isFree({ holders, used }: PartState): boolean {
  return holders === 0 && !used;
}

function sameSegment(a: RaggedSegment, b: RaggedSegment): boolean {
  return (
    a.length === b.length &&
    a.whole === b.whole &&
    timingSafeEqual(a.z, b.z) &&
    Buffer.compare(a.head, b.head) === 0 &&
    Buffer.compare(a.tail, b.tail) === 0
  );
}

function withCrc(number: number, bytes: Buffer): OutgoingPart {
  return { number, bytes, crc32: crc32(bytes) };
}

function unquoted(etag: string | undefined): string {
  return (etag ?? '').replace(/^"|"$/g, '');
}
