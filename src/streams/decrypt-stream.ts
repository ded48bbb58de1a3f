import { PassThrough, Transform, type TransformCallback } from 'node:stream';
import { streamBufferLength } from '../buffer-length.ts';
import { type ContentDecryptor, createContentDecryptor, slices } from '../crypto/content-cipher.ts';
import { type ContentKey, wipe } from '../crypto/content-key.ts';
import { SealpipeError } from '../errors.ts';
import type { Envelope } from '../format/envelope.ts';
import { fitsOneMessage, plaintextLength } from '../format/lengths.ts';
import { locateEnvelope, parseEnvelope } from '../format/parse-envelope.ts';
import { assertReadPolicy, type ReadPolicy } from '../format/read-policy.ts';
import { assertStringMap, type StringMap } from '../format/string-map.ts';
import type { Keyring } from '../keyrings/keyring.ts';
import { openContentKey } from '../keyrings/open-content-key.ts';
import { assertKeyring } from '../keyrings/provider.ts';
import { destroyOnAbort } from './destroy-on-abort.ts';
import {
  assertReleaseOptions,
  bufferLimit,
  defaultMaxBuffered,
  PlaintextRelease,
  type ReleaseRule,
} from './plaintext-release.ts';
import { unlessAborted } from './unless-aborted.ts';

/** How a stored object is decrypted. */
export interface DecryptStreamOptions extends ReadPolicy {
  readonly keyring: Keyring;
  /** The object's user metadata; where its envelope is in an instruction file, that file's entries added. */
  readonly envelope: StringMap;
  /** Bytes of the stored object, where known: saves keeping back, and finds out at once that an object is too large to buffer. */
  readonly contentLength?: number | undefined;
  /** The encryption context that the object was written with. None means the empty one. */
  readonly encryptionContext?: StringMap | undefined;
  /** When plaintext comes out: once all of it is verified, or at once. Default `authenticated`. */
  readonly release?: ReleaseRule | undefined;
  /** Bytes of plaintext held under `authenticated`. Default 64 MiB. */
  readonly maxBuffered?: number | undefined;
  /** Handed to a materials provider. */
  readonly bucket?: string | undefined;
  readonly key?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A Transform that decrypts one object, with no S3 in it: pipe the stored body in, get the plaintext out.
 * A wrong tag, a cut object or a refused envelope ends the stream with a {@link SealpipeError}, never silently.
 */
export function createDecryptStream(options: DecryptStreamOptions): Transform {
  assertOptions(options);
  assertKeyring(options.keyring);
  assertReadPolicy(options);
  const { envelope: metadata } = options;
  assertStringMap(metadata, 'envelope');
  const located = locateEnvelope(metadata);
  if (located.place === 'metadata') return decryptStreamOf(parseEnvelope(metadata), options);
  if (located.required) {
    throw new SealpipeError(
      'ENVELOPE_INVALID',
      'the metadata holds only the content part of an envelope (x-amz-c, x-amz-d, x-amz-i): add the entries of the instruction file',
    );
  }
  if (options.plaintext === 'allow') return passThrough(options.signal);
  throw new SealpipeError(
    'NOT_ENCRYPTED',
    'the metadata holds no envelope: the object is not encrypted, or its envelope is in an instruction file',
  );
}

/** As {@link createDecryptStream}, of an envelope that has been parsed before. */
export function decryptStreamOf(envelope: Envelope, options: Omit<DecryptStreamOptions, 'envelope'>): Transform {
  assertOptions(options);
  const { contentLength } = options;
  return new DecryptTransform(envelope, options, (signal) =>
    openContentKey({ ...options, envelope, policy: options, storedLength: contentLength, signal }),
  );
}

/**
 * Refuses content that would have to be buffered and is too large for it, or that cannot be whole, before it is fetched.
 * @throws SealpipeError TRUNCATED, TOO_LARGE or BUFFER_LIMIT
 */
export function checkContentLength(
  { suite }: Envelope,
  contentLength: number,
  { release, maxBuffered = defaultMaxBuffered }: Pick<DecryptStreamOptions, 'release' | 'maxBuffered'>,
): void {
  const length = plaintextLength(suite, contentLength);
  if (length === undefined) {
    throw new SealpipeError(
      'TRUNCATED',
      `the object has ${contentLength} bytes, which no ${suite.name} content has: it was cut`,
    );
  }
  if (suite.authenticated && !fitsOneMessage(length.plaintextSize)) {
    throw new SealpipeError(
      'TOO_LARGE',
      `the object has ${contentLength} bytes, more than ${suite.name} content can have: its envelope belongs to another object`,
    );
  }
  if (release !== 'delayed' && length.plaintextSize > maxBuffered) throw bufferLimit(length.plaintextSize, maxBuffered);
}

class DecryptTransform extends Transform {
  readonly #envelope: Envelope;
  readonly #options: Pick<DecryptStreamOptions, 'contentLength' | 'release' | 'maxBuffered' | 'signal'>;
  readonly #openKey: (signal: AbortSignal) => Promise<ContentKey>;
  /** Ends the wait for the key: Node calls `_destroy` only when the construction is over. */
  readonly #stop = new AbortController();
  readonly #release: PlaintextRelease;
  #decryptor: ContentDecryptor | undefined;

  constructor(
    envelope: Envelope,
    options: Pick<DecryptStreamOptions, 'contentLength' | 'release' | 'maxBuffered' | 'signal'>,
    openKey: (signal: AbortSignal) => Promise<ContentKey>,
  ) {
    super({ readableHighWaterMark: streamBufferLength, writableHighWaterMark: streamBufferLength });
    this.#envelope = envelope;
    this.#options = options;
    this.#openKey = openKey;
    this.#release = new PlaintextRelease(options, (plaintext) => this.push(plaintext));
    destroyOnAbort(this, options.signal, 'decryption');
    if (options.signal?.aborted === true) this.#stop.abort(options.signal.reason);
  }

  override _construct(callback: (error?: Error | null) => void): void {
    this.#start().then(() => callback(), callback);
  }

  async #start(): Promise<void> {
    const { contentLength } = this.#options;
    if (contentLength !== undefined) checkContentLength(this.#envelope, contentLength, this.#options);
    const { signal } = this.#stop;
    const contentKey = await unlessAborted(this.#openKey(signal), signal, ({ key }) => wipe(key));
    if (contentKey === undefined) return;
    this.#decryptor = createContentDecryptor(contentKey, contentLength);
    wipe(contentKey.key);
  }

  override _transform(chunk: Uint8Array, _encoding: BufferEncoding, callback: TransformCallback): void {
    try {
      for (const slice of slices(chunk)) this.#release.take((this.#decryptor as ContentDecryptor).update(slice));
      callback();
    } catch (error) {
      callback(error as Error);
    }
  }

  override _flush(callback: TransformCallback): void {
    try {
      this.#release.take((this.#decryptor as ContentDecryptor).final());
      this.#release.end();
      callback();
    } catch (error) {
      callback(error as Error);
    }
  }

  override destroy(error?: Error): this {
    // Afterwards nobody waits, and a reason of its own making (with a stack) is dear where objects are small.
    if (this.#decryptor === undefined) this.#stop.abort(error);
    return super.destroy(error);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#decryptor?.close();
    this.#release.discard();
    callback(error);
  }
}

/** A plaintext object, as it is. */
function passThrough(signal: AbortSignal | undefined): Transform {
  const stream = new PassThrough({
    readableHighWaterMark: streamBufferLength,
    writableHighWaterMark: streamBufferLength,
  });
  destroyOnAbort(stream, signal, 'download');
  return stream;
}

function assertOptions({ contentLength, ...release }: Omit<DecryptStreamOptions, 'keyring' | 'envelope'>): void {
  assertReleaseOptions(release);
  if (contentLength !== undefined && !(Number.isSafeInteger(contentLength) && contentLength >= 0))
    throw new RangeError(`contentLength is ${contentLength}, expected the number of stored bytes`);
}
