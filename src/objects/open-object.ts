/** From an address to an open object: one suffix GET, one unwrapped key. */
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { wipe } from '../crypto/content-key.ts';
import { blockLength } from '../crypto/range-cipher.ts';
import type { Envelope } from '../format/envelope.ts';
import { tagLength } from '../format/lengths.ts';
import { checkReadPolicy } from '../format/read-policy.ts';
import type { StringMap } from '../format/string-map.ts';
import { type OpenedKeys, openKeys } from '../keyrings/open-content-key.ts';
import { type AccessPolicy, accessPolicies } from '../readers/read-ahead.ts';
import type { PendingSegmentIndex, StartSegmentIndex } from '../readers/segment-verifier.ts';
import { sendGet } from '../requests/get-request.ts';
import { throwIfAborted } from '../retry/retry-sends.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { withDeadline } from '../retry/send-deadline.ts';
import { describeFailure } from '../service-failure.ts';
import { defaultIdleTimeout, type OnRetry } from './broken-off.ts';
import { type AuthenticateRule, type Authentication, EncryptedObject } from './encrypted-object.ts';
import { whileHeld } from './held-bodies.ts';
import { mayNeedInstructionFile, readObjectEnvelope, refusePlaintext } from './object-envelope.ts';
import { assertAddress, type ObjectAddress, type ObjectSetting } from './object-setting.ts';
import { PlaintextRanges } from './plaintext-ranges.ts';
import { discardAnswer, fetchStoredRange, type StoredObject } from './stored-ranges.ts';
import {
  type AnsweredRange,
  answeredRange,
  checkStoredSize,
  type FirstAnswer,
  plaintextSize,
  plaintextTail,
} from './tail-answer.ts';

/** Which object to open. */
export type OpenParams = ObjectAddress & {
  /** The ETag that the object has to have. */
  readonly IfMatch?: string | undefined;
};

/** How an object is opened and read. */
export interface OpenOptions {
  /** Which reads are answered: only those that can be verified, or others, too. Default `required`. */
  readonly authenticate?: AuthenticateRule | undefined;
  /** Bytes at the end of the content that are fetched at once, and kept. Default 64 KiB. An object that fits is verified by its own tag. */
  readonly tail?: number | undefined;
  /** The encryption context that the object was written with. Default: that of the EncryptedS3, else the empty one. */
  readonly encryptionContext?: StringMap | undefined;
  /** How the object will be read. Default `adaptive`. */
  readonly access?: AccessPolicy | undefined;
  /** Bytes of plaintext that are kept for later reads, the tail apart. Default 32 MiB. */
  readonly cacheSize?: number | undefined;
  /** The most that is fetched ahead of one sequential reader, in bytes. Default 8 MiB. */
  readonly readAhead?: number | undefined;
  /** Ranges of one `readMany` that lie at most this many bytes apart become one request. Default 64 KiB. */
  readonly maxGap?: number | undefined;
  /** A request asks for at most this many bytes, from 4 KiB; longer reads are split. Default 16 MiB. */
  readonly maxRequest?: number | undefined;
  /** Requests under way at a time. Default 8. */
  readonly concurrency?: number | undefined;
  /** Milliseconds without a byte, while one is waited for, until a connection counts as broken. Default 60 000. */
  readonly idleTimeout?: number | undefined;
  /**
   * `client`: all requests go through the client. Default `auto`: those like the first leave without it while nothing but the SDK's
   * own is in it, which costs a fraction of the time.
   */
  readonly transport?: 'auto' | 'client' | undefined;
  /** Ends the opening. Reads take their own. */
  readonly signal?: AbortSignal | undefined;
}

/** Of openings of ours. */
export interface OpeningOptions extends OpenOptions {
  /** Told of each request that has to be made again, reads included. */
  readonly onRetry?: OnRetry | undefined;
}

const defaultTail = 64 * 1024;
/** The segment size that a tail is widened by where an index may turn up: the default of its writers. */
const expectedSegment = 64 * 1024;

/**
 * Opens an object for random access: envelope, length, ETag and tail from one GET, one key.
 * @param startIndex asks for the object's segment index; undefined where there is none to be looked for
 * @throws TypeError or RangeError for options that cannot be right
 * @throws SealpipeError
 */
export async function openObject(
  setting: ObjectSetting,
  params: OpenParams,
  options: OpeningOptions = {},
  startIndex?: StartSegmentIndex,
): Promise<EncryptedObject> {
  assertAddress(params);
  assertOpenOptions(options);
  throwIfAborted(options.signal);
  const first = await new Opening(setting, params, options, startIndex).run();
  if (first.authenticated !== false || first.unauthenticatedBecause !== 'stale index') return first;
  // The object was overwritten between its own GET and that of its index, or for good by a client that knows no index.
  await first.close();
  return new Opening(setting, params, options, startIndex).run();
}

/** One attempt. All that it has started is over, and all keys are overwritten, when it fails. */
class Opening {
  readonly #setting: ObjectSetting;
  readonly #params: OpenParams;
  readonly #address: ObjectAddress;
  readonly #options: OpeningOptions;
  readonly #abort = new AbortController();
  readonly #startIndex: StartSegmentIndex | undefined;
  #index: PendingSegmentIndex | undefined;
  #resolved = false;
  /** Stored bytes that are asked for. */
  readonly #suffix: number;

  constructor(
    setting: ObjectSetting,
    params: OpenParams,
    options: OpeningOptions,
    startIndex: StartSegmentIndex | undefined,
  ) {
    const { IfMatch: _, ...address } = params;
    this.#setting = setting;
    this.#params = params;
    this.#address = address;
    this.#options = options;
    const { authenticate = 'required', tail = defaultTail } = options;
    this.#startIndex = authenticate === 'never' ? undefined : startIndex;
    // Of CBC the last two blocks are needed to know the length.
    this.#suffix = Math.max(tail, blockLength) + (this.#startIndex === undefined ? 0 : expectedSegment) + tagLength;
  }

  async run(): Promise<EncryptedObject> {
    const { signal } = this.#options;
    const onAbort = (): void => this.#abort.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await this.#open();
    } catch (error) {
      this.#abort.abort(error);
      throwIfAborted(signal, error);
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      if (!this.#resolved) this.#index?.discard();
    }
  }

  async #open(): Promise<EncryptedObject> {
    let answer = await this.#requestTail();
    const { Bucket, Key } = this.#address;
    let range: AnsweredRange;
    let envelope: Envelope | undefined;
    try {
      const { client, policy } = this.#setting;
      const { Metadata: metadata = {}, ETag: IfMatch } = answer;
      const { signal } = this.#abort;
      const work = async (): Promise<Envelope | undefined> => {
        const found = await readObjectEnvelope({ client, address: this.#address, metadata, policy, signal });
        if (found === undefined) refusePlaintext(this.#address, policy);
        else checkReadPolicy(found, policy);
        return found;
      };
      if (mayNeedInstructionFile(metadata, policy))
        ({ result: envelope, answer } = await whileHeld(client, answer, {
          work,
          again: () => this.#requestTail({ IfMatch }),
        }));
      else envelope = await work();
      range = answeredRange(this.#address, answer, this.#suffix);
      if (envelope !== undefined) checkStoredSize(envelope, range.size, { Bucket, Key });
    } catch (error) {
      discardAnswer(answer);
      throw error;
    }
    // Beside the tail's bytes and KMS. Not beside the first GET: an object that fits into its tail needs no index.
    if (range.start > 0 && envelope?.suite.authenticated === true) {
      const { client } = this.#setting;
      this.#index = this.#startIndex?.({ client, address: this.#address, signal: this.#abort.signal });
    }
    const tally = { retries: 0 };
    const stored: StoredObject = {
      client: this.#setting.client,
      address: this.#address,
      size: range.size,
      etag: answer.ETag,
      idleTimeout: this.#options.idleTimeout ?? defaultIdleTimeout,
      transport: this.#options.transport,
      onRetry: (retry) => {
        tally.retries += 1;
        this.#options.onRetry?.(retry);
      },
    };
    const [bytes, keys] = await this.#bytesAndKeys(stored, { answer, range, envelope });
    const { contentKey, derived = [] } = keys ?? {};
    try {
      return await this.#assemble({
        answer,
        stored,
        tally,
        envelope,
        tail: { start: range.start, bytes },
        contentKey,
        derived,
      });
    } catch (error) {
      if (contentKey !== undefined) wipe(contentKey.key);
      for (const key of derived) wipe(key);
      throw error;
    }
  }

  async #requestTail(condition: { IfMatch?: string | undefined } = {}): Promise<GetObjectCommandOutput> {
    const { client } = this.#setting;
    const Range = `bytes=-${this.#suffix}`;
    const { Bucket, Key } = this.#address;
    const send = (input: { Range?: string }): Promise<GetObjectCommandOutput> => {
      const whole = { ...this.#params, ...input, ...condition };
      return withDeadline((ended) => sendGet(client, whole, { signal: ended, transport: this.#options.transport }), {
        timeout: this.#options.idleTimeout ?? defaultIdleTimeout,
        signal: this.#abort.signal,
        what: `GetObject of s3://${Bucket}/${Key}`,
      });
    };
    try {
      return await send({ Range }).catch((cause: unknown) => {
        // No range lies within an object of no bytes (DECISIONS section 7).
        if (describeFailure(cause).statusCode === 416) return send({});
        throw cause;
      });
    } catch (cause) {
      throw s3Failure(cause, { operation: 'GetObject', bucket: Bucket, key: Key });
    }
  }

  /** The tail arrives while the key is asked for. When one of the two fails, the other one is ended. */
  async #bytesAndKeys(
    stored: StoredObject,
    {
      answer,
      range,
      envelope,
    }: { answer: GetObjectCommandOutput; range: AnsweredRange; envelope: Envelope | undefined },
  ): Promise<[Buffer, OpenedKeys | undefined]> {
    const { signal } = this.#abort;
    const stop = (error: unknown): never => {
      this.#abort.abort(error);
      throw error;
    };
    const fetching = fetchStoredRange(stored, range, { signal, first: answer }).catch(stop);
    const opening = (envelope === undefined ? Promise.resolve(undefined) : this.#openKeys(envelope, stored)).catch(
      stop,
    );
    const [bytes, keys] = await Promise.allSettled([fetching, opening]);
    if (bytes.status === 'fulfilled' && keys.status === 'fulfilled') return [bytes.value, keys.value];
    if (keys.status === 'fulfilled' && keys.value !== undefined) {
      wipe(keys.value.contentKey.key);
      for (const key of keys.value.derived) wipe(key);
    }
    // The reason of the abort is what failed first; the other one failed of it.
    throw signal.reason;
  }

  #openKeys(envelope: Envelope, stored: StoredObject): Promise<OpenedKeys> {
    const { keyring, policy } = this.#setting;
    const { Bucket, Key } = this.#address;
    return openKeys({
      keyring,
      envelope,
      policy,
      encryptionContext: this.#options.encryptionContext ?? this.#setting.encryptionContext,
      bucket: Bucket,
      key: Key,
      storedLength: stored.size,
      derive: envelope.suite.authenticated ? this.#index?.derive : [],
      signal: this.#abort.signal,
    });
  }

  async #assemble(found: FirstAnswer): Promise<EncryptedObject> {
    const { answer, stored, tally, envelope, tail, contentKey, derived } = found;
    const { authenticate = 'required', ...options } = this.#options;
    const size = plaintextSize(found);
    const isWhole = tail.start === 0;
    const authentication: Authentication =
      authenticate === 'never'
        ? { by: false, because: 'not asked for' }
        : envelope === undefined
          ? { by: false, because: 'plaintext' }
          : !envelope.suite.authenticated
            ? { by: false, because: 'cbc' }
            : isWhole
              ? { by: 'tag' }
              : await this.#resolveIndex(envelope, size, derived);
    if (authentication.by !== 'index') for (const key of derived) wipe(key);
    const verifier = authentication.by === 'index' ? authentication.verifier : undefined;
    try {
      const ranges = new PlaintextRanges({ stored, contentKey, size, verifier });
      const pinned = await plaintextTail(found, { size, authentication, signal: this.#abort.signal });
      return new EncryptedObject({
        answer,
        stored,
        tally,
        envelope,
        contentKey,
        ranges,
        authentication,
        authenticate,
        pinned,
        options,
      });
    } catch (error) {
      verifier?.close();
      throw error;
    }
  }

  async #resolveIndex(envelope: Envelope, contentLength: number, keys: readonly Uint8Array[]): Promise<Authentication> {
    if (this.#index === undefined) return { by: false, because: 'no index' };
    const { signal } = this.#abort;
    this.#resolved = true;
    const index = await this.#index.resolve({ envelope, contentLength, keys }, { signal });
    if (index.state === 'usable') return { by: 'index', verifier: index.verifier };
    return { by: false, because: index.state === 'stale' ? 'stale index' : 'no index' };
  }
}

function assertOpenOptions(options: OpenOptions): void {
  const { authenticate = 'required', access = 'adaptive', transport = 'auto' } = options;
  if (transport !== 'auto' && transport !== 'client')
    throw new TypeError(`transport is ${JSON.stringify(transport)}, expected 'auto' or 'client'`);
  if (!authenticateRules.includes(authenticate)) {
    throw new TypeError(
      `authenticate is ${JSON.stringify(authenticate)}, expected one of ${authenticateRules.join(', ')}`,
    );
  }
  if (!accessPolicies.includes(access)) {
    throw new TypeError(`access is ${JSON.stringify(access)}, expected one of ${accessPolicies.join(', ')}`);
  }
  const least = { tail: 0, cacheSize: 0, readAhead: 0, maxGap: 0, maxRequest: 4096, concurrency: 1, idleTimeout: 1 };
  for (const [name, smallest] of Object.entries(least)) {
    const value = options[name as keyof typeof least];
    if (value === undefined || (Number.isSafeInteger(value) && value >= smallest)) continue;
    throw new RangeError(`${name} is ${value}, expected a whole number of at least ${smallest}`);
  }
}

/** The rules, for checking options. */
const authenticateRules: readonly AuthenticateRule[] = ['required', 'when-possible', 'never'];
