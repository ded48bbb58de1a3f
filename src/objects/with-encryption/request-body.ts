/** Bodies of PutObject and UploadPart, as the SDK takes them. */
import { fstatSync, ReadStream, type Stats, statSync } from 'node:fs';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { SealpipeError } from '../../errors.ts';
import { unlessFired } from './aborts.ts';

/**
 * Bytes of a body, where they can be told without reading it.
 * @param contentLength what a stream is taken to have; the SDK takes a number in a string, too
 * @throws SealpipeError SOURCE_FAILED for a body that has another length than declared
 * @throws RangeError for a ContentLength that is none
 */
export function bodyLength(body: unknown, contentLength: unknown): number | undefined {
  const declared = declaredLength(contentLength);
  const length = knownLength(body);
  if (length !== undefined && declared !== undefined && length !== declared)
    throw new SealpipeError('SOURCE_FAILED', `the body has ${length} bytes, its ContentLength says ${declared}`);
  return length ?? declared ?? fileLength(body);
}

function declaredLength(contentLength: unknown): number | undefined {
  if (contentLength === undefined || contentLength === null) return undefined;
  const isNumeric = typeof contentLength === 'string' && /^\d+$/.test(contentLength);
  const length = isNumeric ? Number(contentLength) : contentLength;
  if (Number.isSafeInteger(length) && (length as number) >= 0) return length as number;
  const isShort = typeof contentLength === 'number' || typeof contentLength === 'string';
  const shown = isShort ? JSON.stringify(String(contentLength)) : `of type ${typeof contentLength}`;
  throw new RangeError(`ContentLength is ${shown}, expected the whole number of bytes of the body`);
}

/** The length of an fs.ReadStream over a file, as the SDK finds it out, too. */
function fileLength(body: unknown): number | undefined {
  const { start = 0, end = Number.POSITIVE_INFINITY } = (body ?? {}) as { start?: number; end?: number };
  const stats = fileStats(body);
  return stats?.isFile() === true ? Math.max(0, Math.min(stats.size, end + 1) - start) : undefined;
}

function fileStats(body: unknown): Stats | undefined {
  const { path, fd } = (body ?? {}) as { path?: unknown; fd?: unknown };
  // Its path, if it has one, need not be that of the file any more.
  if (body instanceof ReadStream && typeof fd === 'number') {
    try {
      return fstatSync(fd);
    } catch {
      return undefined;
    }
  }
  if (typeof path !== 'string' && !Buffer.isBuffer(path)) return undefined;
  return statSync(path, { throwIfNoEntry: false });
}

function knownLength(body: unknown): number | undefined {
  if (body === undefined || body === null) return 0;
  if (typeof body === 'string') return Buffer.byteLength(body);
  if (body instanceof Uint8Array || body instanceof ArrayBuffer) return body.byteLength;
  if (ArrayBuffer.isView(body)) return body.byteLength;
  if (body instanceof Blob) return body.size;
  return undefined;
}

/** The bytes of a body that is in memory already, without a copy; undefined for a stream. */
export function bytesInMemory(body: unknown): Uint8Array | undefined {
  if (body === undefined || body === null) return new Uint8Array(0);
  if (typeof body === 'string') return Buffer.from(body);
  if (body instanceof Uint8Array) return body;
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  return undefined;
}

/** A body as a Node stream. */
export function streamOf(body: unknown): Readable {
  if (body instanceof Readable) return body;
  if (body instanceof Blob) return Readable.fromWeb(body.stream() as ReadableStream<Uint8Array>);
  if (typeof (body as { getReader?: unknown } | undefined)?.getReader === 'function')
    return Readable.fromWeb(body as ReadableStream<Uint8Array>);
  throw new TypeError('Body is nothing that can be encrypted: expected a string, bytes, a Blob or a stream');
}

/**
 * All bytes of a body of known length.
 * @param signals end the reading, and the stream with it
 * @throws SealpipeError SOURCE_FAILED when there are more or fewer; ABORTED
 */
export async function readBody(
  body: unknown,
  length: number,
  ...signals: (AbortSignal | undefined)[]
): Promise<Uint8Array> {
  const inMemory = bytesInMemory(body);
  if (inMemory !== undefined) return inMemory;
  const stream = streamOf(body);
  return unlessFired(collect(stream, length), signals, (error) => {
    // A source that does not end at once would fail when nobody listens any more, which ends the process.
    stream.on('error', () => undefined).destroy(error);
  });
}

async function collect(stream: Readable, length: number): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array | string>) {
      const piece = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      // Of anything else the length is none, and what the memory held before would be taken for the body.
      if (!(piece instanceof Uint8Array))
        throw new SealpipeError('SOURCE_FAILED', 'the body is a stream of something else than bytes or strings');
      if (filled + piece.length > length)
        throw new SealpipeError(
          'SOURCE_FAILED',
          `the body has more than the ${length} bytes that its ContentLength says`,
        );
      bytes.set(piece, filled);
      filled += piece.length;
    }
  } catch (cause) {
    throw sourceFailure(cause);
  }
  if (filled < length)
    throw new SealpipeError('SOURCE_FAILED', `the body ended after ${filled} bytes, its ContentLength says ${length}`);
  return bytes;
}

/** What reading a body failed with, as an error of ours. */
export function sourceFailure(cause: unknown): SealpipeError {
  if (cause instanceof SealpipeError) return cause;
  const { message } = cause as Error;
  return new SealpipeError('SOURCE_FAILED', `the body could not be read to its end: ${message}`, { cause });
}
