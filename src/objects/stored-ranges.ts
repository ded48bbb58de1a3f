/** Ranges of one stored object, whatever happens to the connections: exactly the bytes asked for, of exactly that object. */
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GetObjectCommandOutput, S3Client } from '@aws-sdk/client-s3';
import { SealpipeError } from '../errors.ts';
import { sendGet } from '../requests/get-request.ts';
import { isTransient, throwIfAborted } from '../retry/retry-sends.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { withDeadline } from '../retry/send-deadline.ts';
import { describeFailure } from '../service-failure.ts';
import { brokenOff, maxFailuresInRow, type OnRetry, pauseBefore } from './broken-off.ts';
import type { ObjectAddress } from './object-setting.ts';

/** An object that a first answer has told of. */
export interface StoredObject {
  readonly client: S3Client;
  readonly address: ObjectAddress;
  /** Bytes as stored. */
  readonly size: number;
  /** What every further request is held to. Undefined where the store gave none: nothing more can be asked for then. */
  readonly etag: string | undefined;
  /** Milliseconds without an answer, or without a byte while one is waited for, after which a connection counts as broken. */
  readonly idleTimeout: number;
  /** `client` for requests that have to go through the client. Default `auto`. */
  readonly transport?: 'auto' | 'client' | 'workers' | undefined;
  /** Told of each request that has to be made again, or for the rest of one that broke off. */
  readonly onRetry?: OnRetry | undefined;
}

/** Stored bytes [start, end). */
interface StoredRange {
  readonly start: number;
  readonly end: number;
}

interface Receiving {
  readonly signal: AbortSignal;
  /** The answer to a request for exactly this range, where there is one already. */
  readonly first?: GetObjectCommandOutput | undefined;
}

/**
 * The bytes of a range.
 * @throws SealpipeError as {@link receiveStoredRange}
 */
export async function fetchStoredRange(
  object: StoredObject,
  range: StoredRange,
  receiving: Receiving,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  await receiveStoredRange(object, range, { ...receiving, take: (chunk) => chunks.push(chunk) });
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
}

/**
 * Hands on the bytes of a range as they arrive, in order. A connection that breaks is mended by a request for the rest; all
 * requests carry If-Match.
 * @throws SealpipeError OBJECT_CHANGED when the object was overwritten; REQUEST_REJECTED when the store passes over `Range`;
 *   NETWORK, THROTTLED or S3_UNAVAILABLE after five failures in a row
 */
export async function receiveStoredRange(
  object: StoredObject,
  { start, end }: StoredRange,
  { signal, first, take }: Receiving & { readonly take: (chunk: Buffer) => void },
): Promise<void> {
  const { address, onRetry } = object;
  let at = start;
  let failuresInRow = 0;
  let answer = first;
  for (;;) {
    const before = at;
    let failure: unknown;
    try {
      answer ??= await requestRange(object, { start: at, end }, signal);
      const remaining = end - at;
      failure = await collect(answer, { remaining, signal, idleTimeout: object.idleTimeout }, (chunk) => {
        at += chunk.length;
        take(chunk);
      });
    } catch (cause) {
      assertNotAborted(signal);
      if (!isTransient(cause)) {
        const fields = { offset: at };
        throw s3Failure(cause, { operation: 'GetObject', bucket: address.Bucket, key: address.Key, fields });
      }
      failure = cause;
    }
    if (at === end) return;
    assertNotAborted(signal);
    answer = undefined;
    failuresInRow = at > before ? 1 : failuresInRow + 1;
    if (failuresInRow > maxFailuresInRow) throw brokenOff(address, at, failure);
    const pause = pauseBefore(failuresInRow, failure);
    if (pause > 0) await sleep(pause, undefined, { signal }).catch(() => assertNotAborted(signal));
    onRetry?.({ offset: at, error: failure });
  }
}

/** @throws SealpipeError ABORTED; the signal's own reason where that is an error of ours */
function assertNotAborted(signal: AbortSignal): void {
  if (signal.reason instanceof SealpipeError) throw signal.reason;
  throwIfAborted(signal);
}

/** Frees the connection of an answer that is not read. What it fails with from now on concerns nobody. */
export function discardAnswer({ Body }: GetObjectCommandOutput): void {
  const body = Body as Readable | undefined;
  body?.on?.('error', () => undefined);
  body?.destroy?.();
}

async function requestRange(
  { client, address, size, etag, idleTimeout, transport }: StoredObject,
  { start, end }: StoredRange,
  signal: AbortSignal,
): Promise<GetObjectCommandOutput> {
  const { Bucket, Key } = address;
  const place = `s3://${Bucket}/${Key}`;
  if (etag === undefined) {
    throw new SealpipeError(
      'REQUEST_REJECTED',
      `S3 gave no ETag for ${place}: without it, further ranges cannot be held to the same object`,
      { bucket: Bucket, key: Key, offset: start },
    );
  }
  const input = { ...address, Range: `bytes=${start}-${end - 1}`, IfMatch: etag };
  const answer = await withDeadline(
    (ended) => sendGet(client, input, { signal: ended, sdkRetries: false, transport }),
    {
      timeout: idleTimeout,
      signal,
      what: `GetObject of ${place} from byte ${start}`,
    },
  ).catch((cause: unknown) => {
    if (describeFailure(cause).statusCode !== 416) throw cause;
    // The range lay within the object when it was opened: some stores look at the range before the condition.
    throw changed(`${place} is shorter than it was when it was opened`, { Bucket, Key, start, cause });
  });
  const { $metadata, ContentRange, ETag } = answer;
  if ($metadata.httpStatusCode === 206 && ContentRange === `bytes ${start}-${end - 1}/${size}`) {
    // A store that does not know If-Match gives itself away here.
    if (ETag === undefined || ETag === etag) return answer;
    discardAnswer(answer);
    throw changed(`${place} was overwritten while it was being read`, { Bucket, Key, start });
  }
  discardAnswer(answer);
  if ($metadata.httpStatusCode === 200) throw rangesIgnored(address);
  throw changed(
    `S3 answered the request for bytes ${start} to ${end - 1} of ${place} with status ${$metadata.httpStatusCode} and range ${ContentRange ?? 'none'}, expected 206 and bytes ${start}-${end - 1}/${size}`,
    { Bucket, Key, start },
  );
}

/** A store that answers with the whole object is of no use for random access, and would have it fetched at every read. */
export function rangesIgnored({ Bucket, Key }: ObjectAddress): SealpipeError {
  return new SealpipeError(
    'REQUEST_REJECTED',
    `the store answered a request for a range of s3://${Bucket}/${Key} with the whole object: it does not know ranges, so read the object from its beginning`,
    { bucket: Bucket, key: Key, statusCode: 200 },
  );
}

/** The error of a range that is not of the object that was opened. */
export function changed(
  found: string,
  { Bucket, Key, start, cause }: { Bucket: string; Key: string; start: number; cause?: unknown },
): SealpipeError {
  return new SealpipeError('OBJECT_CHANGED', `${found}: open it again`, {
    cause,
    bucket: Bucket,
    key: Key,
    offset: start,
  });
}

/**
 * Reads a body to its end, its break, a silence of `idleTimeout`, or the signal; then the connection is free or gone.
 * @returns why it ended, of which nothing is wrong where all bytes came
 * @throws SealpipeError OBJECT_CHANGED when more comes than the range has
 */
function collect(
  { Body }: GetObjectCommandOutput,
  { remaining, signal, idleTimeout }: { remaining: number; signal: AbortSignal; idleTimeout: number },
  take: (chunk: Buffer) => void,
): Promise<unknown> {
  const body = Body as Readable | undefined;
  if (body === undefined) return Promise.resolve(new Error('the answer has no body'));
  return new Promise((resolve, reject) => {
    let left = remaining;
    const idle = setTimeout(
      () => body.destroy(new Error(`no byte arrived within ${idleTimeout} ms`)),
      Math.min(idleTimeout, 2 ** 31 - 1),
    );
    const settle = (end: () => void): void => {
      clearTimeout(idle);
      signal.removeEventListener('abort', onAbort);
      body.removeListener('data', onData).removeListener('end', onEnd).removeListener('close', onClose);
      end();
    };
    const onAbort = (): void => {
      settle(() => resolve(signal.reason));
      body.destroy();
    };
    const onData = (chunk: Buffer): void => {
      idle.refresh();
      if (chunk.length > left) {
        const surplus = new SealpipeError('OBJECT_CHANGED', 'S3 sent more bytes than the range has: open it again');
        settle(() => reject(surplus));
        body.destroy();
        return;
      }
      left -= chunk.length;
      take(chunk);
    };
    // An error costs its stack trace: none is made where nothing is missing.
    const ended = (): Error | undefined =>
      left === 0 ? undefined : new Error(`the connection was closed ${left} bytes before the end of the range`);
    const onEnd = (): void => settle(() => resolve(ended()));
    // A response that is cut emits close without end, on some Node versions without an error.
    const onClose = (): void => settle(() => resolve(body.errored ?? ended()));
    body.on('error', () => undefined);
    body.on('data', onData).once('end', onEnd).once('close', onClose);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    // It may have been cut before anybody listened: no event will come any more.
    else if (body.closed) onClose();
  });
}
