/**
 * The entries of a segment index: one GMAC for each segment of the ciphertext. Pure but for OpenSSL.
 *
 *   entry = tag of AES-256-GCM with K_idx, nonce = be32(type) ‖ be64(i), no plaintext, AAD = ciphertext segment i
 *
 * The type says whether a segment is the last, so that a cut object shows. Who makes an index of a stream does not know which is the
 * last before the stream has ended; but a tag is GHASH ⊕ AES(nonce ‖ 1), so exchanging that mask turns one type into the other.
 */
import { type CipherGCM, createCipheriv, type KeyObject, timingSafeEqual } from 'node:crypto';

/** K_idx: 32 bytes, or a handle on them. */
export type IndexKey = Uint8Array | KeyObject;

const cipherOptions = { authTagLength: 16 } as const;

/** What a nonce begins with. */
export const entryTypes = { inner: 0, last: 1, trailer: 2 } as const;

/** Which GMAC of a key it is: no two have the same. */
export interface EntryName {
  readonly type: (typeof entryTypes)[keyof typeof entryTypes];
  readonly index: number;
}

/** Bytes of an entry. */
export const entryLength = 16;

const nonceLength = 12;

/** The 16 bytes of one GMAC. */
export function gmac(key: IndexKey, name: EntryName, bytes: Uint8Array): Buffer {
  const cipher = createGmac(key, nonceOf(name));
  if (bytes.length > 0) cipher.setAAD(bytes);
  cipher.final();
  return cipher.getAuthTag();
}

/** Computes the entries of consecutive segments from their ciphertext, which comes in pieces of any size. */
export class SegmentMacs {
  readonly #key: IndexKey;
  readonly #segmentSize: number;
  readonly #entries: Buffer[] = [];
  /** Written anew for each segment: OpenSSL copies it. */
  readonly #nonce: Buffer = Buffer.alloc(nonceLength);
  #next: number;
  #current: CipherGCM | undefined;
  #room = 0;

  /** @param firstSegment number of the first segment, from 0 */
  constructor({ key, segmentSize, firstSegment }: { key: IndexKey; segmentSize: number; firstSegment: number }) {
    this.#key = key;
    this.#segmentSize = segmentSize;
    this.#next = firstSegment;
  }

  /** Takes the next ciphertext bytes. */
  update(ciphertext: Uint8Array): void {
    for (let at = 0; at < ciphertext.length; ) {
      if (this.#current === undefined) {
        const name = { type: entryTypes.inner, index: this.#next };
        this.#current = createGmac(this.#key, writeNonce(this.#nonce, name));
        this.#next += 1;
        this.#room = this.#segmentSize;
      }
      const taken = Math.min(this.#room, ciphertext.length - at);
      this.#current.setAAD(taken === ciphertext.length ? ciphertext : ciphertext.subarray(at, at + taken));
      at += taken;
      this.#room -= taken;
      if (this.#room === 0) this.#endSegment();
    }
  }

  /** The entries of all segments that were begun, none of them as the last: see {@link lastEntry}. */
  final(): Uint8Array {
    this.#endSegment();
    const entries = new Uint8Array(this.#entries.length * entryLength);
    for (const [i, entry] of this.#entries.entries()) entries.set(entry, i * entryLength);
    return entries;
  }

  /** Gives up: OpenSSL frees what it holds of the key at once. */
  close(): void {
    this.#current?.final();
    this.#current = undefined;
  }

  #endSegment(): void {
    if (this.#current === undefined) return;
    this.#current.final();
    this.#entries.push(this.#current.getAuthTag());
    this.#current = undefined;
  }
}

/** The entry of the last segment, from what it would be if another one followed. */
export function lastEntry(key: IndexKey, index: number, inner: Uint8Array): Uint8Array {
  const masks = Buffer.alloc(2 * entryLength);
  for (const [i, type] of [entryTypes.inner, entryTypes.last].entries()) {
    masks.set(nonceOf({ type, index }), i * entryLength);
    masks.writeUInt32BE(1, i * entryLength + 12);
  }
  const ecb = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
  const [from, to] = halves(ecb.update(masks));
  ecb.final();
  const entry = inner.map((byte, i) => byte ^ (from[i] ?? 0) ^ (to[i] ?? 0));
  from.fill(0);
  to.fill(0);
  return entry;
}

/** Some segments of an object's ciphertext, and what has to hold of them. */
export interface SegmentsToVerify {
  readonly key: IndexKey;
  readonly segmentSize: number;
  /** Plaintext bytes of the whole object. */
  readonly contentLength: number;
  /** Number of the first segment. */
  readonly firstSegment: number;
  /** Whole segments; the last one of the object ends with the content. */
  readonly ciphertext: Uint8Array;
  /** Their entries, 16 bytes each. */
  readonly entries: Uint8Array;
}

/** The number of the first segment that does not match its entry; undefined when all do. */
export function findForgedSegment(segments: SegmentsToVerify): number | undefined {
  const { key, segmentSize, contentLength, firstSegment, ciphertext, entries } = segments;
  const last = Math.ceil(contentLength / segmentSize) - 1;
  for (let at = 0, i = 0; at < ciphertext.length; at += segmentSize, i++) {
    const index = firstSegment + i;
    const segment = ciphertext.subarray(at, Math.min(at + segmentSize, ciphertext.length));
    const entry = entries.subarray(i * entryLength, (i + 1) * entryLength);
    const type = index === last ? entryTypes.last : entryTypes.inner;
    if (entry.length !== entryLength || !timingSafeEqual(gmac(key, { type, index }, segment), entry)) return index;
  }
  return undefined;
}

function createGmac(key: IndexKey, nonce: Buffer): CipherGCM {
  return createCipheriv('aes-256-gcm', key, nonce, cipherOptions);
}

function nonceOf(name: EntryName): Buffer {
  return writeNonce(Buffer.alloc(nonceLength), name);
}

function writeNonce(nonce: Buffer, { type, index }: EntryName): Buffer {
  nonce.writeUInt32BE(type, 0);
  // Segment numbers stay far below 2^32: 64 GiB in segments of 4 KiB are 2^24. The four bytes between stay zero.
  nonce.writeUInt32BE(index, 8);
  return nonce;
}

function halves(bytes: Buffer): [Buffer, Buffer] {
  return [bytes.subarray(0, entryLength), bytes.subarray(entryLength)];
}
