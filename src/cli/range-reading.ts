/** `get --range`: a part of an object, to a file or to stdout. */
import {
  type AuthenticateRule,
  type EncryptedObject,
  type HttpRange,
  resolveHttpRange,
  SealpipeError,
} from '../index.ts';
import { formatByteSize } from './byte-size.ts';
import type { CommandContext } from './command-run.ts';
import type { Progress } from './progress.ts';
import type { Reading } from './reading.ts';
import type { GetDocument } from './schemas.ts';

export interface RangeRequest {
  readonly range: HttpRange;
  readonly authenticate?: AuthenticateRule | undefined;
}

/** Bytes of the end that are worth fetching with the first request. */
const longestTail = 8 * 1024 * 1024;
const shortestTail = 64 * 1024;

/** Writes a range to stdout. */
export async function rangeToStdout(reading: Reading, request: RangeRequest, context: CommandContext): Promise<void> {
  const { signal, output } = context;
  await using object = await openFor(reading, request, signal);
  const stream = object.createReadStream({ ...partOf(object, request), signal });
  for await (const chunk of stream as AsyncIterable<Buffer>) await output.bytes(chunk);
}

/** Downloads a range to a file, and describes what was done. */
export async function rangeToFile(
  reading: Reading,
  request: RangeRequest & { readonly path: string; readonly progress: Progress },
  signal: AbortSignal,
): Promise<GetDocument> {
  const started = performance.now();
  await using object = await openFor(reading, request, signal);
  const part = partOf(object, request);
  const total = part.end - part.start;
  const onProgress = (loaded: number): void => request.progress.report({ bytes: loaded, total, parts: 1 });
  const { bytes } = await object.download(request.path, { ...part, signal, onProgress });
  return {
    bucket: object.bucket,
    key: object.key,
    bytes,
    seconds: Math.round(performance.now() - started) / 1000,
    parts: 1,
    retries: object.retries,
    restarts: 0,
    kmsCalls: reading.session.kmsCalls,
    etag: object.etag,
    range: part,
    authenticated: object.authenticated,
  };
}

/** For people, after the size: what kind of bytes these are. */
export function describeRange({ range, authenticated }: GetDocument): string {
  const { start = 0, end = 0 } = range ?? {};
  const last = end === 0 ? 0 : end - 1;
  const by = {
    tag: 'verified by its tag',
    index: 'verified by its segment index',
    false: 'not authenticated',
  } as const;
  return `bytes ${start}-${last} (${formatByteSize(end - start)}), ${by[`${authenticated ?? false}`]}`;
}

function openFor(
  { s3, params }: Reading,
  { range, authenticate }: RangeRequest,
  signal: AbortSignal,
): Promise<EncryptedObject> {
  // A suffix that is not too long comes with the first answer.
  const tail = 'suffix' in range ? Math.min(longestTail, Math.max(shortestTail, range.suffix)) : shortestTail;
  return s3.open(params, { authenticate, tail, signal });
}

/** @throws SealpipeError RANGE_INVALID where the object has none of the bytes, as HTTP answers 416 */
function partOf(object: EncryptedObject, { range }: RangeRequest): { start: number; end: number } {
  const part = resolveHttpRange(range, object.size);
  if (part !== undefined) return part;
  const { bucket, key, size } = object;
  throw new SealpipeError(
    'RANGE_INVALID',
    `the range lies outside of s3://${bucket}/${key}, whose content has ${size} bytes`,
    { bucket, key },
  );
}
