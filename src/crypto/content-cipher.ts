/**
 * The serial ciphers: plain AES-GCM, one running cipher over the whole message. They are the reference that every other
 * engine is tested against, and what the Transform streams use.
 */
import { type CipherGCM, createCipheriv, createDecipheriv, type Decipher, type DecipherGCM } from 'node:crypto';
import { SealpipeError } from '../errors.ts';
import { maxPlaintextLength } from '../format/suites.ts';
import type { ContentKey } from './content-key.ts';
import { steadyAllocator } from './steady-allocator.ts';

/** Most bytes that are handed to OpenSSL at once: 64 to 256 KiB is where its throughput peaks; whole parts take half as long again. */
export const sliceLength: number = 256 * 1024;

/** Cuts bytes into views of at most {@link sliceLength}. */
export function* slices(bytes: Uint8Array, length: number = sliceLength): Generator<Uint8Array> {
  if (bytes.length <= length) {
    if (bytes.length > 0) yield bytes;
    return;
  }
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, Math.min(at + length, bytes.length));
}

/** Encrypts one message. One instance, one key and IV, one tag: it cannot be reset. */
export class ContentEncryptor {
  readonly #cipher: CipherGCM;
  #length = 0;
  #ended = false;

  constructor({ suite, key, iv, aad }: ContentKey) {
    if (!suite.authenticated) throw new Error('internal error: CBC is never written');
    steadyAllocator();
    this.#cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
    if (aad.length > 0) this.#cipher.setAAD(aad);
  }

  /** Plaintext bytes so far. */
  get length(): number {
    return this.#length;
  }

  /**
   * The ciphertext of the next bytes; same length.
   * @throws SealpipeError TOO_LARGE past 2^36 − 32 bytes
   */
  update(plaintext: Uint8Array): Buffer {
    this.#length += plaintext.length;
    if (this.#length > maxPlaintextLength) throw tooLarge(this.#length);
    return this.#cipher.update(plaintext);
  }

  /** Ends the message and returns its 16-byte tag. */
  final(): Buffer {
    this.#ended = true;
    this.#cipher.final();
    return this.#cipher.getAuthTag();
  }

  /** Gives up an unfinished message: OpenSSL frees (and overwrites) the key schedule at once, not when garbage is collected. */
  close(): void {
    if (!this.#ended) this.#cipher.final();
    this.#ended = true;
  }
}

/** Decrypts one message. Output of `update` is unauthenticated until `final` has returned. */
export interface ContentDecryptor {
  /** The plaintext of the next stored bytes; may lag behind (the tag, or a padding block, is kept back). */
  update(stored: Uint8Array): Uint8Array;
  /**
   * Ends the message and returns what was still kept back.
   * @throws SealpipeError AUTHENTICATION_FAILED, or TRUNCATED when there was not even a tag
   */
  final(): Uint8Array;
  /** Gives up an unfinished message and frees what OpenSSL holds of the key. */
  close(): void;
}

/**
 * The decryptor for a content key's suite.
 * @param storedLength bytes of the stored object, where known: nothing has to be kept back or copied then
 */
export function createContentDecryptor(contentKey: ContentKey, storedLength?: number): ContentDecryptor {
  steadyAllocator();
  return new (contentKey.suite.authenticated ? GcmDecryptor : CbcDecryptor)(contentKey, storedLength);
}

const empty = new Uint8Array(0);

class GcmDecryptor implements ContentDecryptor {
  readonly #decipher: DecipherGCM;
  readonly #storedLength: number | undefined;
  /** The last 16 bytes seen: the tag, unless more follow. */
  readonly #kept = Buffer.alloc(16);
  #keptLength = 0;
  #seen = 0;

  constructor({ key, iv, aad }: ContentKey, storedLength: number | undefined) {
    this.#decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
    if (aad.length > 0) this.#decipher.setAAD(aad);
    this.#storedLength = storedLength;
  }

  update(stored: Uint8Array): Uint8Array {
    const before = this.#seen;
    this.#seen += stored.length;
    if (this.#seen - 16 > maxPlaintextLength) throw tooLarge(this.#seen - 16);
    if (this.#storedLength === undefined) return this.#updateKeepingBack(stored);
    const content = Math.max(0, Math.min(stored.length, this.#storedLength - 16 - before));
    const rest = stored.subarray(content);
    if (this.#keptLength + rest.length > 16) throw this.#failure();
    this.#kept.set(rest, this.#keptLength);
    this.#keptLength += rest.length;
    return content === 0 ? empty : this.#decipher.update(stored.subarray(0, content));
  }

  #updateKeepingBack(stored: Uint8Array): Uint8Array {
    const ready = this.#keptLength + stored.length - 16;
    if (ready <= 0) {
      this.#kept.set(stored, this.#keptLength);
      this.#keptLength += stored.length;
      return empty;
    }
    const fromKept = Math.min(ready, this.#keptLength);
    const head = fromKept > 0 ? this.#decipher.update(this.#kept.subarray(0, fromKept)) : empty;
    const fromStored = ready - fromKept;
    const body = fromStored > 0 ? this.#decipher.update(stored.subarray(0, fromStored)) : empty;
    this.#kept.copyWithin(0, fromKept, this.#keptLength);
    this.#kept.set(stored.subarray(fromStored), this.#keptLength - fromKept);
    this.#keptLength = 16;
    return head.length === 0 ? body : body.length === 0 ? head : Buffer.concat([head, body]);
  }

  final(): Uint8Array {
    const expected = this.#storedLength ?? Math.max(this.#seen, 16);
    if (this.#seen < expected || this.#seen < 16) {
      throw new SealpipeError(
        'TRUNCATED',
        `the object ended after ${this.#seen} bytes, expected ${this.#seen < 16 ? 'at least the 16 of its tag' : expected}: it was cut`,
        { offset: this.#seen },
      );
    }
    this.#decipher.setAuthTag(this.#kept);
    try {
      return this.#decipher.final();
    } catch (cause) {
      throw this.#failure(cause);
    }
  }

  close(): void {
    close(this.#decipher);
  }

  #failure(cause?: unknown): SealpipeError {
    return new SealpipeError(
      'AUTHENTICATION_FAILED',
      'the content does not match its tag: the object was altered or cut, or its envelope belongs to another object',
      { cause },
    );
  }
}

class CbcDecryptor implements ContentDecryptor {
  readonly #decipher: Decipher;
  readonly #storedLength: number | undefined;
  #length = 0;

  constructor({ key, iv }: ContentKey, storedLength: number | undefined) {
    this.#decipher = createDecipheriv('aes-256-cbc', key, iv);
    this.#storedLength = storedLength;
  }

  update(stored: Uint8Array): Uint8Array {
    this.#length += stored.length;
    if (this.#storedLength !== undefined && this.#length > this.#storedLength) {
      throw new SealpipeError(
        'AUTHENTICATION_FAILED',
        `the CBC content has more than the ${this.#storedLength} bytes of the stored object: it was altered`,
      );
    }
    return stored.length === 0 ? empty : this.#decipher.update(stored);
  }

  final(): Uint8Array {
    if (this.#length === 0 || this.#length % 16 !== 0) {
      throw new SealpipeError(
        'TRUNCATED',
        `the CBC content has ${this.#length} bytes, expected whole blocks of 16 and at least one: it was cut`,
      );
    }
    // At a block edge one cut in 256 happens to end in valid padding, so the padding cannot be relied on to show it.
    if (this.#storedLength !== undefined && this.#length < this.#storedLength) {
      throw new SealpipeError(
        'TRUNCATED',
        `the object ended after ${this.#length} bytes, expected ${this.#storedLength}: it was cut`,
        { offset: this.#length },
      );
    }
    try {
      return this.#decipher.final();
    } catch (cause) {
      throw new SealpipeError(
        'AUTHENTICATION_FAILED',
        'the CBC content does not end in valid padding: the object was altered, or its envelope belongs to another object',
        { cause },
      );
    }
  }

  close(): void {
    close(this.#decipher);
  }
}

/** `final` frees the context whatever it returns or throws; a second call throws. */
function close(decipher: Decipher): void {
  try {
    decipher.final();
  } catch {
    // No tag was set, or it was ended before: the context is gone either way.
  }
}

function tooLarge(length: number): SealpipeError {
  return new SealpipeError(
    'TOO_LARGE',
    `the content has at least ${length} bytes, one encrypted object holds at most ${maxPlaintextLength} (2^36 − 32): divide it into several objects`,
    { offset: maxPlaintextLength },
  );
}
