import { Transform, type TransformCallback } from 'node:stream';
import { streamBufferLength } from '../buffer-length.ts';
import { ContentEncryptor, sliceLength, slices } from '../crypto/content-cipher.ts';
import { wipe } from '../crypto/content-key.ts';
import { SealpipeError } from '../errors.ts';
import { fitsOneMessage } from '../format/lengths.ts';
import { type CommitmentPolicy, writingSuite } from '../format/read-policy.ts';
import { assertStringMap, type StringMap } from '../format/string-map.ts';
import { type ContentSuite, maxPlaintextLength, type WritableSuiteName } from '../format/suites.ts';
import type { Keyring } from '../keyrings/keyring.ts';
import { createContentKey } from '../keyrings/open-content-key.ts';
import { assertKeyring } from '../keyrings/provider.ts';
import { destroyOnAbort } from './destroy-on-abort.ts';
import { unlessAborted } from './unless-aborted.ts';

/** How one object is encrypted. */
export interface EncryptStreamOptions {
  readonly keyring: Keyring;
  /** `gcm-commit` writes format V3 (the default), `gcm` format V2. */
  readonly suite?: WritableSuiteName | undefined;
  /** Has to agree with `suite` where both are given. Default: what the suite asks for. */
  readonly commitmentPolicy?: CommitmentPolicy | undefined;
  /** For KMS keyrings: authenticated beside the data key, stored in the clear, needed again for reading. */
  readonly encryptionContext?: StringMap | undefined;
  /** For AES and RSA keyrings: stored in the clear, says which key it was. Default: the keyring's. */
  readonly materialsDescription?: StringMap | undefined;
  /** Plaintext bytes, where known: any other number is an error. Format V2 stores it. */
  readonly length?: number | undefined;
  /** Handed to a materials provider. */
  readonly bucket?: string | undefined;
  readonly key?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Fewest bytes of a chunk that comes out, the last one excepted: S3 refuses a body in chunks (aws-chunked, as the SDK sends a stream
 * with a checksum) of which another one has less. That of a file ends in a short chunk, and the tag would come behind it.
 */
const leastChunk = 8192;

/** Plaintext in, the stored form of an object (ciphertext and tag) out. */
export interface EncryptStream extends Transform {
  /** The object's user metadata. Settles before the first byte comes out; rejects when the stream fails before that. */
  readonly envelope: Promise<Record<string, string>>;
}

/**
 * A Transform that encrypts one object, with no S3 in it: store what comes out as the body, and `envelope` as its user
 * metadata (`x-amz-meta-*`). One stream, one data key, one message.
 *
 * @throws TypeError for options that cannot be right
 * @throws SealpipeError COMMITMENT_POLICY, TOO_LARGE; on the stream also what the keyring fails with
 */
export function createEncryptStream(options: EncryptStreamOptions): EncryptStream {
  // Not in the constructor: Node goes on constructing a stream whose constructor has thrown, and fails where nobody listens.
  assertKeyring(options.keyring);
  const suite = writingSuite(options.commitmentPolicy, options.suite);
  if (options.length !== undefined) assertLength(options.length);
  if (options.encryptionContext !== undefined) assertStringMap(options.encryptionContext, 'encryptionContext');
  if (options.materialsDescription !== undefined) assertStringMap(options.materialsDescription, 'materialsDescription');
  return new EncryptTransform(suite, options);
}

class EncryptTransform extends Transform implements EncryptStream {
  readonly envelope: Promise<Record<string, string>>;
  readonly #options: EncryptStreamOptions;
  readonly #suite: ContentSuite;
  readonly #settle: { resolve: (envelope: Record<string, string>) => void; reject: (error: unknown) => void };
  /** Ends the wait for the key: Node calls `_destroy` only when the construction is over. */
  readonly #stop = new AbortController();
  #encryptor: ContentEncryptor | undefined;
  /** Takes ciphertext that is too little for a chunk of its own. */
  #held: Buffer | undefined;
  #heldLength = 0;

  constructor(suite: ContentSuite, options: EncryptStreamOptions) {
    super({ readableHighWaterMark: streamBufferLength, writableHighWaterMark: streamBufferLength });
    this.#options = options;
    this.#suite = suite;
    const { promise, ...settle } = withResolvers<Record<string, string>>();
    this.envelope = promise;
    this.#settle = settle;
    // Whoever does not ask for the envelope learns of the failure from the stream.
    promise.catch(() => undefined);
    destroyOnAbort(this, options.signal, 'encryption');
    if (options.signal?.aborted === true) this.#stop.abort(options.signal.reason);
  }

  override _construct(callback: (error?: Error | null) => void): void {
    this.#start().then(() => callback(), callback);
  }

  async #start(): Promise<void> {
    const { signal } = this.#stop;
    const making = createContentKey({ ...this.#options, suite: this.#suite, signal });
    const made = await unlessAborted(making, signal, ({ contentKey }) => wipe(contentKey.key));
    if (made === undefined) return;
    this.#encryptor = new ContentEncryptor(made.contentKey);
    wipe(made.contentKey.key);
    this.#settle.resolve(made.envelope);
  }

  override _transform(chunk: Uint8Array, _encoding: BufferEncoding, callback: TransformCallback): void {
    const encryptor = this.#encryptor as ContentEncryptor;
    const { length } = this.#options;
    if (length !== undefined && encryptor.length + chunk.length > length) {
      callback(wrongLength(`has more than ${length} bytes`, { offset: length, length }));
      return;
    }
    try {
      if (chunk.length <= sliceLength) this.#pass(encryptor.update(chunk));
      else for (const slice of slices(chunk)) this.#pass(encryptor.update(slice));
      callback();
    } catch (error) {
      callback(error as Error);
    }
  }

  override _flush(callback: TransformCallback): void {
    const encryptor = this.#encryptor as ContentEncryptor;
    const { length } = this.#options;
    if (length !== undefined && encryptor.length !== length) {
      callback(wrongLength(`ended after ${encryptor.length} bytes`, { offset: encryptor.length, length }));
      return;
    }
    const tag = encryptor.final();
    callback(null, this.#held === undefined ? tag : Buffer.concat([this.#held.subarray(0, this.#heldLength), tag]));
  }

  /** Long chunks pass as they are; of one that comes behind a short one no more is copied than that lacks. */
  #pass(ciphertext: Buffer): void {
    let rest = ciphertext;
    if (this.#held !== undefined) rest = this.#hold(this.#held, rest);
    if (rest.length >= leastChunk) this.push(rest);
    else if (rest.length > 0) this.#hold(Buffer.allocUnsafeSlow(leastChunk), rest);
  }

  /** @returns what did not fit */
  #hold(held: Buffer, ciphertext: Buffer): Buffer {
    const taken = Math.min(ciphertext.length, leastChunk - this.#heldLength);
    held.set(ciphertext.subarray(0, taken), this.#heldLength);
    this.#heldLength += taken;
    this.#held = held;
    if (this.#heldLength === leastChunk) {
      this.push(held);
      [this.#held, this.#heldLength] = [undefined, 0];
    }
    return ciphertext.subarray(taken);
  }

  override destroy(error?: Error): this {
    // Afterwards nobody waits, and a reason of its own making (with a stack) is dear where objects are small.
    if (this.#encryptor === undefined) this.#stop.abort(error);
    return super.destroy(error);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#encryptor?.close();
    this.#settle.reject(
      error ?? new SealpipeError('ABORTED', 'the encrypting stream was destroyed before its envelope was made'),
    );
    callback(error);
  }
}

function wrongLength(how: string, { offset, length }: { offset: number; length: number }): SealpipeError {
  return new SealpipeError('SOURCE_FAILED', `the source ${how}, length says ${length}`, { offset });
}

function assertLength(length: number): void {
  if (!Number.isSafeInteger(length) || length < 0)
    throw new RangeError(`length is ${length}, expected a number of bytes`);
  if (!fitsOneMessage(length)) {
    throw new SealpipeError(
      'TOO_LARGE',
      `the content has ${length} bytes, one encrypted object holds at most ${maxPlaintextLength} (2^36 − 32)`,
    );
  }
}

/** Promise.withResolvers, which Node 20 lacks. */
function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
