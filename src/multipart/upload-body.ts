/** What can be uploaded, and how it is read. */
import { closeSync, constants, open as openDescriptor } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { promisify } from 'node:util';
import { SealpipeError } from '../errors.ts';
import { type FileIdentity, identityChange, identityOf } from './file-identity.ts';

/** A body that is not a factory. A string is content, never a path. */
export type PlainBody =
  | string
  | Uint8Array
  | ArrayBuffer
  | Readable
  | ReadableStream<Uint8Array>
  | Blob
  | AsyncIterable<Uint8Array | string>
  | Iterable<Uint8Array>
  /** A file, read again at will. A FIFO or device is read once. */
  | { readonly path: string };

/** A factory is asked anew for each restart. */
export type UploadBody = PlainBody | (() => PlainBody | Promise<PlainBody>);

/** An open file that parts can be read from in any order. */
export interface SourceFile {
  /** Absolute. */
  readonly path: string;
  /** What it was when it was opened. */
  readonly identity: FileIdentity;
  /** Fills a buffer from the start of the file. */
  readInto(target: Buffer): Promise<void>;
  /** @throws SealpipeError SOURCE_CHANGED when it is not what it was */
  verify(): Promise<void>;
}

/**
 * Pieces of a body, in order. Whoever iterates over them may take more in between: a promise and what belongs to it for each
 * 64 KiB would be most of the garbage of a large upload, and its collector's young generation grows with what it has seen.
 */
export interface Chunks extends AsyncIterable<Uint8Array> {
  /** The next piece where it is there already; undefined tells nothing of what follows. */
  take?(): Uint8Array | undefined;
}

/** A body that has been opened for one reading. */
export interface OpenBody {
  /** Bytes, where known before reading. */
  readonly length: number | undefined;
  /** Where it is a regular file. */
  readonly file?: SourceFile | undefined;
  /** The bytes in order, in pieces of any size; a piece is valid until the next one is asked for. */
  chunks(): Chunks;
  /** Lets go of the source; after an early end it is destroyed. */
  close(): Promise<void>;
}

/** Whether a body can be read a second time for a restart. */
export async function isRestartable(body: UploadBody): Promise<boolean> {
  if (
    typeof body === 'function' ||
    typeof body === 'string' ||
    body instanceof Uint8Array ||
    body instanceof ArrayBuffer ||
    body instanceof Blob
  )
    return true;
  return isFile(body);
}

/** @throws TypeError when it is nothing that can be uploaded. What a function returns is seen when it is called. */
export function assertUploadBody(body: unknown): asserts body is UploadBody {
  if (typeof body === 'string' || typeof body === 'function') return;
  if (
    isObject(body) &&
    (body instanceof Uint8Array ||
      body instanceof ArrayBuffer ||
      body instanceof Blob ||
      body instanceof Readable ||
      isWebStream(body) ||
      Symbol.asyncIterator in body ||
      Symbol.iterator in body ||
      isFileBody(body))
  )
    return;
  throw new TypeError(
    'Body is nothing that can be uploaded: expected a string, bytes, a Blob, a stream, an async iterable, { path } or a function that returns one of these',
  );
}

/**
 * Opens a body.
 * @throws TypeError when it is nothing that can be uploaded
 * @throws SealpipeError SOURCE_FAILED when a file cannot be opened or a factory fails
 */
export async function openBody(body: UploadBody): Promise<OpenBody> {
  if (typeof body === 'function') return openBody(await callFactory(body));
  if (typeof body === 'string') return openBytes(Buffer.from(body, 'utf8'));
  if (body instanceof Uint8Array) return openBytes(body);
  if (body instanceof ArrayBuffer) return openBytes(new Uint8Array(body));
  if (body instanceof Blob) return openStream(Readable.fromWeb(body.stream() as ReadableStream<Uint8Array>), body.size);
  if (body instanceof Readable) return openStream(body);
  if (isWebStream(body)) return openStream(Readable.fromWeb(body));
  if (isObject(body) && (Symbol.asyncIterator in body || Symbol.iterator in body))
    return openIterable(body as AsyncIterable<Uint8Array | string>);
  if (isFileBody(body)) return openFile(body.path);
  throw new TypeError(
    'Body is nothing that can be uploaded: expected a string, bytes, a Blob, a stream, an async iterable, { path } or a function that returns one of these',
  );
}

async function callFactory(factory: () => PlainBody | Promise<PlainBody>): Promise<PlainBody> {
  let body: PlainBody;
  try {
    body = await factory();
  } catch (cause) {
    throw sourceFailed(cause);
  }
  if (typeof body === 'function') throw new TypeError('the Body factory returned a function: expected a body');
  return body;
}

function openBytes(bytes: Uint8Array): OpenBody {
  return {
    length: bytes.length,
    async *chunks(): AsyncGenerator<Uint8Array> {
      if (bytes.length > 0) yield bytes;
    },
    close: async () => undefined,
  };
}

function openStream(stream: Readable, length?: number): OpenBody {
  let ended = false;
  // It may fail before it is read, while a key is asked for: with nobody listening that would end the process. Reading tells it.
  const onError = (): void => undefined;
  stream.on('error', onError);
  async function* pieces(): AsyncGenerator<Uint8Array> {
    // A stream that failed or ended before anybody listened would otherwise never say so.
    if (stream.errored) throw sourceFailed(stream.errored);
    if (stream.destroyed && !stream.readableEnded)
      throw sourceFailed(new Error('the stream was destroyed before it was read'));
    if (stream.readableDidRead && stream.readableEnded)
      throw sourceFailed(new Error('the stream had been read to its end before'));
    try {
      for await (const chunk of stream) yield asBytes(chunk);
      ended = true;
    } catch (cause) {
      throw sourceFailed(cause);
    }
  }
  return {
    length,
    chunks: () => ({
      [Symbol.asyncIterator]: pieces,
      take() {
        // What a destroyed stream still holds is not delivered by its iterator either, which says why it ended.
        if (stream.destroyed) return undefined;
        const { readableLength, readableHighWaterMark } = stream;
        // Asked for no number, a stream asks its source first, and then joins the pieces in a copy. More than the mark would raise it.
        const known = readableLength > 0 && readableLength <= readableHighWaterMark;
        const chunk: unknown = known ? stream.read(readableLength) : stream.read();
        return chunk === null ? undefined : asBytes(chunk);
      },
    }),
    close: async () => {
      // After an early end the listener stays: what the destruction fails with concerns nobody.
      if (ended) stream.off('error', onError);
      else stream.destroy();
    },
  };
}

function openIterable(iterable: AsyncIterable<Uint8Array | string>): OpenBody {
  return {
    length: undefined,
    async *chunks(): AsyncGenerator<Uint8Array> {
      try {
        for await (const chunk of iterable) yield asBytes(chunk);
      } catch (cause) {
        throw sourceFailed(cause);
      }
    },
    close: async () => undefined,
  };
}

/** Bytes of a file that are read at once. */
const fileReadLength = 1024 * 1024;

/**
 * A FIFO, or a pipe by its name in /dev/fd. Its writer can be silent for as long as it likes: a read that waits for it would keep one of
 * the few threads that Node has for all its files, and cannot be ended, so that the process would not end either.
 */
async function openPipe(path: string): Promise<OpenBody> {
  // A writer that is still to come is waited for all the same: Linux reports the end of a FIFO only once there was one. Elsewhere it may be
  // reported at once, so the call waits for a writer.
  const waiting = process.platform === 'linux' ? constants.O_NONBLOCK : 0;
  let descriptor: number | undefined;
  try {
    descriptor = await promisify(openDescriptor)(path, constants.O_RDONLY | waiting);
    return openStream(new Socket({ fd: descriptor, readable: true, writable: false }));
  } catch (cause) {
    // What has taken the place of the pipe meanwhile is no socket.
    if (descriptor !== undefined) closeSync(descriptor);
    throw sourceFailed(cause);
  }
}

async function openFile(path: string): Promise<OpenBody> {
  // What is wrong with it is told by opening it.
  if ((await stat(path).catch(() => undefined))?.isFIFO() === true) return openPipe(path);
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (cause) {
    throw sourceFailed(cause);
  }
  try {
    const opened = await handle.stat({ bigint: true });
    if (opened.isDirectory()) throw Object.assign(new Error(`EISDIR: ${path} is a directory`), { code: 'EISDIR' });
    if (!opened.isFile()) return openStream(handle.createReadStream({ highWaterMark: fileReadLength }));
    // The kernel's own files (/proc) say that they are empty.
    if (opened.size === 0n && (await handle.read(Buffer.alloc(1), 0, 1, 0)).bytesRead > 0)
      return openStream(handle.createReadStream({ start: 0, highWaterMark: fileReadLength }));
    const file = new OpenFile(handle, resolve(path), identityOf(opened));
    return { length: file.identity.size, file, chunks: () => file.chunks(), close: () => handle.close() };
  } catch (cause) {
    await handle.close();
    throw sourceFailed(cause);
  }
}

class OpenFile implements SourceFile {
  readonly path: string;
  readonly identity: FileIdentity;
  readonly #handle: FileHandle;

  constructor(handle: FileHandle, path: string, identity: FileIdentity) {
    this.#handle = handle;
    this.path = path;
    this.identity = identity;
  }

  async readInto(target: Buffer): Promise<void> {
    for (let done = 0; done < target.length; ) {
      const { bytesRead } = await this.#handle
        .read(target, done, target.length - done, done)
        .catch((cause: unknown) => {
          throw sourceFailed(cause);
        });
      if (bytesRead === 0) throw changed(this.path, `it ends after ${done} bytes now`);
      done += bytesRead;
    }
    await this.verify();
  }

  async verify(): Promise<void> {
    const change = identityChange(this.identity, identityOf(await this.#handle.stat({ bigint: true })));
    if (change !== undefined) throw changed(this.path, change);
  }

  /** In order, reading ahead by one piece, so that disk and cipher work at the same time. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    const { size } = this.identity;
    const buffers = [0, 1].map(() => Buffer.allocUnsafeSlow(Math.min(fileReadLength, size)));
    const read = async (position: number, turn: number): Promise<Uint8Array> => {
      const buffer = buffers[turn % 2] as Buffer;
      const { bytesRead } = await this.#handle.read(buffer, 0, Math.min(buffer.length, size - position), position);
      return buffer.subarray(0, bytesRead);
    };
    let position = 0;
    let next = size === 0 ? undefined : read(0, 0);
    try {
      for (let turn = 1; next !== undefined; turn++) {
        const chunk: Uint8Array = await next;
        if (chunk.length === 0) throw changed(this.path, `it ends after ${position} bytes now`);
        position += chunk.length;
        next = position < size ? read(position, turn) : undefined;
        yield chunk;
      }
    } catch (cause) {
      throw sourceFailed(cause);
    } finally {
      // The read ahead must have ended before its descriptor is closed.
      await next?.catch(() => undefined);
    }
    await this.verify();
  }
}

function changed(path: string, how: string): SealpipeError {
  return new SealpipeError(
    'SOURCE_CHANGED',
    `${path} changed while it was read (${how}): upload it when nobody writes to it`,
  );
}

/** A caller's mistake, told from the TypeErrors that sources fail with: fetch's body does when its connection breaks. */
class NoBytes extends TypeError {}

function sourceFailed(cause: unknown): unknown {
  if (cause instanceof SealpipeError || cause instanceof NoBytes) return cause;
  // Node's own word for a web stream that delivers what is no bytes, and for a path that cannot be one.
  if (cause instanceof TypeError && /^ERR_INVALID_ARG/.test((cause as NodeJS.ErrnoException).code ?? '')) return cause;
  const said = cause instanceof Error ? cause.message : String(cause);
  return new SealpipeError('SOURCE_FAILED', `the source could not be read to its end: ${said}`, { cause });
}

function asBytes(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  if (typeof chunk === 'string') return Buffer.from(chunk, 'utf8');
  throw new NoBytes(`Body delivered ${chunk === null ? 'null' : typeof chunk}, expected bytes or strings`);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isWebStream(body: unknown): body is ReadableStream<Uint8Array> {
  return isObject(body) && typeof (body as { getReader?: unknown }).getReader === 'function';
}

function isFileBody(body: unknown): body is { readonly path: string } {
  return isObject(body) && typeof (body as { path?: unknown }).path === 'string';
}

async function isFile(body: PlainBody): Promise<boolean> {
  if (body instanceof Readable || !isFileBody(body) || Symbol.asyncIterator in body) return false;
  // Not by opening it: that would wait for, or disturb, the writer of a FIFO.
  return (await stat(body.path).catch(() => undefined))?.isFile() ?? false;
}
