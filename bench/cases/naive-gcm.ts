/** What people write by hand: AES-GCM in a Transform, the tag at the end, and the key somewhere else. */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { Transform, type TransformCallback } from 'node:stream';

export interface NaiveKey {
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
}

/** Of the objects that a sink serves; fixed, as nothing is protected by it. */
export const servedNaiveKey: NaiveKey = {
  key: Uint8Array.from({ length: 32 }, (_, i) => 0x40 + i),
  iv: Uint8Array.from({ length: 12 }, (_, i) => 0x80 + i),
};

export class NaiveGcmEncryptor extends Transform {
  readonly #cipher;

  constructor({ key, iv }: NaiveKey) {
    super();
    this.#cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    callback(null, this.#cipher.update(chunk));
  }

  override _flush(callback: TransformCallback): void {
    this.#cipher.final();
    callback(null, this.#cipher.getAuthTag());
  }
}

export class NaiveGcmDecryptor extends Transform {
  readonly #decipher;
  #left: number;
  #tag = Buffer.alloc(0);

  /** @param length stored bytes, tag included */
  constructor({ key, iv }: NaiveKey, length: number) {
    super();
    this.#decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
    this.#left = length - 16;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    const content = chunk.subarray(0, this.#left);
    this.#left -= content.length;
    if (content.length < chunk.length) this.#tag = Buffer.concat([this.#tag, chunk.subarray(content.length)]);
    callback(null, this.#decipher.update(content));
  }

  override _flush(callback: TransformCallback): void {
    try {
      this.#decipher.setAuthTag(this.#tag);
      callback(null, this.#decipher.final());
    } catch (error) {
      callback(error as Error);
    }
  }
}
