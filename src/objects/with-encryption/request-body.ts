/** Bodies of PutObject and UploadPart, as the SDK takes them. */
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { SealpipeError } from '../../errors.ts';
import { unlessFired } from './aborts.ts';

/**
 * Bytes of a body, where they can be told without reading it.
 * @param declared its ContentLength: what a stream is taken to have
 * @throws SealpipeError SOURCE_FAILED for a body that has another length than declared
 */
export function bodyLength(body: unknown, declared: number | undefined): number | undefined {
  const length = knownLength(body);
  if (length !== undefined && declared !== undefined && length !== declared)
    throw new SealpipeError('SOURCE_FAILED', `the body has ${length} bytes, its ContentLength says ${declared}`);
  return length ?? declared;
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
