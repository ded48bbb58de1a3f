/** Looking at the objects of a listing one by one, for what a listing cannot say: one HEAD each, and more only where it is needed. */
import { HeadObjectCommand } from '@aws-sdk/client-s3';
import type { SealpipeError } from '../errors.ts';
import { instructionFileMarker } from '../format/envelope.ts';
import type { StringMap } from '../format/string-map.ts';
import { throwIfAborted } from '../retry/retry-sends.ts';
import { s3Failure } from '../retry/s3-failure.ts';
import { probeCbcLength } from './exact-length.ts';
import { describeHead } from './head-object.ts';
import type { ListEntry, ListPrefix } from './list-objects.ts';
import type { ObjectAddress, ObjectSetting } from './object-setting.ts';
import type { ListedObject, ProbedLength, ProbedLengths } from './probed-lengths.ts';

export interface ExactListing {
  readonly setting: ObjectSetting;
  /** What every request is told beside bucket and key. */
  readonly address: Omit<ObjectAddress, 'Key' | 'VersionId'>;
  readonly known: ProbedLengths;
  /** Objects that are looked at at a time. */
  readonly concurrency: number;
  readonly encryptionContext: StringMap | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Passes a listing on in its order, every entry looked at. When it is left early, what is under way is ended first. */
export async function* listExactly(
  entries: AsyncIterable<ListEntry | ListPrefix>,
  listing: ExactListing,
): AsyncGenerator<ListEntry | ListPrefix> {
  const stop = new AbortController();
  const { signal } = listing;
  const onAbort = (): void => stop.abort(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  const underway: Promise<ListEntry | ListPrefix>[] = [];
  try {
    for await (const entry of entries) {
      const looking = 'prefix' in entry ? Promise.resolve(entry) : lookAt(entry, listing, stop.signal);
      looking.catch(() => undefined);
      underway.push(looking);
      if (underway.length >= listing.concurrency) yield (await underway.shift()) as ListEntry;
    }
    while (underway.length > 0) yield (await underway.shift()) as ListEntry;
  } finally {
    stop.abort();
    await Promise.allSettled(underway);
    signal?.removeEventListener('abort', onAbort);
  }
}

/** One entry, exact if it can be. What stands in the way of that is its `problem`; an abort alone ends the listing. */
async function lookAt(entry: ListEntry, listing: ExactListing, signal: AbortSignal): Promise<ListEntry> {
  const { key, etag, storedSize, lastModified } = entry;
  const object: ListedObject = { bucket: listing.address.Bucket, key, etag, storedSize, lastModified };
  const known = listing.known.get(object);
  if (known !== undefined) return { ...entry, ...known };
  const { found, problem } = await probe(object, listing, signal);
  if (found !== undefined) listing.known.set(object, found);
  return { ...entry, ...found, ...(problem && { problem }) };
}

interface Outcome {
  readonly found?: ProbedLength;
  readonly problem?: SealpipeError;
}

async function probe(object: ListedObject, listing: ExactListing, signal: AbortSignal): Promise<Outcome> {
  const { key, etag, storedSize } = object;
  const isDirectory = key.endsWith('/');
  // No encrypted content has no bytes.
  if (storedSize === 0) {
    const kind = isDirectory ? 'directory' : 'plaintext';
    return { found: { plaintextSize: 0, exact: true, basis: 'plaintext', kind } };
  }
  const { setting, encryptionContext } = listing;
  const { client } = setting;
  const address: ObjectAddress = { ...listing.address, Key: key };
  let found: ProbedLength | undefined;
  try {
    // The same object that was listed, or none.
    const command = new HeadObjectCommand({ ...address, ...(etag !== '' && { IfMatch: etag }) });
    const answer = await client.send(command, { abortSignal: signal });
    if (answer.Metadata?.[instructionFileMarker] !== undefined)
      return { found: { plaintextSize: storedSize, exact: true, basis: 'plaintext', kind: 'instruction-file' } };
    // Nothing is read here: what is not encrypted is listed as what it is.
    const policy = { ...setting.policy, plaintext: 'allow' } as const;
    const { envelope, plaintextSize, exact, basis } = await describeHead({ client, policy }, address, answer, {
      signal,
    });
    const kind = isDirectory && plaintextSize === 0 ? 'directory' : (envelope?.format ?? 'plaintext');
    found = { plaintextSize, exact, basis, kind };
    if (exact || envelope === undefined) return { found };
    const wanted = { address, envelope, storedSize, etag: answer.ETag, encryptionContext, signal };
    return { found: { plaintextSize: await probeCbcLength(setting, wanted), exact: true, basis: 'padding', kind } };
  } catch (cause) {
    throwIfAborted(signal);
    const problem = s3Failure(cause, { operation: 'HeadObject', bucket: object.bucket, key });
    return { problem, ...(found && { found }) };
  }
}
