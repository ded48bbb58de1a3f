/** The plaintext of an object that comes over one connection, as a stream. */
import { Readable } from 'node:stream';
import { streamBufferLength } from '../buffer-length.ts';
import { type ContentDecryptor, createContentDecryptor, slices } from '../crypto/content-cipher.ts';
import { type ContentKey, wipe } from '../crypto/content-key.ts';
import { destroyOnAbort } from '../streams/destroy-on-abort.ts';
import { PlaintextRelease, type ReleaseOptions } from '../streams/plaintext-release.ts';
import { StoredBytes, type StoredBytesOptions } from './stored-bytes.ts';

export interface DecryptedBodyOptions extends StoredBytesOptions, ReleaseOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Decrypts what arrives where it arrives: a stream of stored bytes with a Transform behind it would hold every chunk twice, and
 * decrypt it when it has left the processor's cache.
 */
export class DecryptedBody extends Readable {
  readonly #decryptor: ContentDecryptor;
  readonly #release: PlaintextRelease;
  readonly #stored: StoredBytes;

  /** @param contentKey overwritten */
  constructor(contentKey: ContentKey, { release, maxBuffered, signal, ...options }: DecryptedBodyOptions) {
    super({ highWaterMark: streamBufferLength });
    this.#release = new PlaintextRelease({ release, maxBuffered }, (plaintext) => this.push(plaintext));
    this.#decryptor = createContentDecryptor(contentKey, options.storedSize);
    wipe(contentKey.key);
    this.#stored = new StoredBytes(options, {
      inPlace: true,
      take: (chunk) => this.#orFail(() => this.#take(chunk)),
      end: () => this.#orFail(() => this.#end()),
      fail: (error) => void this.destroy(error),
    });
    destroyOnAbort(this, signal, 'download');
  }

  override _read(): void {
    this.#stored.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#stored.close(error ?? undefined);
    this.#decryptor.close();
    this.#release.discard();
    callback(error);
  }

  #take(chunk: Uint8Array): boolean {
    let wanted = true;
    for (const slice of slices(chunk)) wanted = this.#release.take(this.#decryptor.update(slice));
    return wanted;
  }

  #end(): boolean {
    this.#release.take(this.#decryptor.final());
    this.#release.end();
    this.push(null);
    return false;
  }

  #orFail(step: () => boolean): boolean {
    try {
      return step();
    } catch (error) {
      this.destroy(error as Error);
      return false;
    }
  }
}
