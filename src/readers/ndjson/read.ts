import { type Duplex, Readable, Transform } from 'node:stream';
import { SealpipeError } from '../../errors.ts';
import { plainBytes } from '../orc/byte-ranges.ts';
import { RangeReadStream } from '../range-read-stream.ts';
import type { RangeSource } from '../range-source.ts';
import { type LineRangeOptions, splitAtLines } from './line-ranges.ts';

/**
 * Makes a parser that takes bytes and gives `{ key, value }`, as stream-json's do. For another version than the one
 * that comes along: `() => require('stream-json/jsonl/Parser').parser()` of 1.x, `() => parser.asStream()` of 3.x.
 */
export type MakeParser = () => Duplex;

export interface ReadJsonOptions {
  /** The part to be read, in bytes: half-open, from and to line starts. Default all. Of a RangeSource alone. */
  readonly start?: number;
  readonly end?: number;
  /** Default: stream-json 3. */
  readonly parser?: MakeParser;
  readonly signal?: AbortSignal;
}

export interface ReadNdjsonOptions extends ReadJsonOptions {
  /** Bytes of a line beyond which reading fails: a parser holds a line whole. Default 64 MiB. */
  readonly longestLine?: number;
}

/** Content by byte ranges, or a stream of it as `createReadStream` gives. */
export type JsonSource = RangeSource | Readable;

/**
 * The values of newline-delimited JSON, one after the other. Blank lines count for nothing.
 *
 * @throws SealpipeError FORMAT_INVALID for a line that is no JSON, BUFFER_LIMIT for one that is too long
 */
export async function* readNdjson<Value = unknown>(
  source: JsonSource,
  options: ReadNdjsonOptions = {},
): AsyncGenerator<Value, void, undefined> {
  const { longestLine = 64 * 1024 * 1024, start = 0 } = options;
  const lines = new LineGuard({ longestLine, start });
  const parser = options.parser ?? (await defaultParser('lines'));
  yield* parsed<Value>(source, { ...options, through: [lines, parser()], what: 'NDJSON' });
}

/**
 * The elements of a JSON array, one after the other.
 *
 * @throws SealpipeError FORMAT_INVALID for what is no JSON array
 */
export async function* readJsonArray<Value = unknown>(
  source: JsonSource,
  options: ReadJsonOptions = {},
): AsyncGenerator<Value, void, undefined> {
  const parser = options.parser ?? (await defaultParser('array'));
  yield* parsed<Value>(source, { ...options, through: [parser()], what: 'a JSON array' });
}

/**
 * Reads newline-delimited JSON in parallel: `work` is called for each range of lines with its values in order; ranges
 * come in no order. Resolves with what it gave, in the order of the ranges.
 */
export async function readNdjsonInParallel<Result, Value = unknown>(
  source: RangeSource,
  work: (values: AsyncGenerator<Value, void, undefined>, range: { start: number; end: number }) => Promise<Result>,
  options: LineRangeOptions & ReadNdjsonOptions = {},
): Promise<Result[]> {
  const ranges = await splitAtLines(source, options);
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const results = new Array<Result>(ranges.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < ranges.length && !stop.signal.aborted) {
      const index = next++;
      const range = ranges[index]!;
      try {
        results[index] = await work(readNdjson<Value>(source, { ...options, ...range, signal }), range);
      } catch (error) {
        stop.abort(error);
      }
    }
  };
  const workers = Array.from({ length: Math.min(options.concurrency ?? 8, ranges.length) }, worker);
  await Promise.all(workers);
  // The first failure, not what it did to the others.
  stop.signal.throwIfAborted();
  return results;
}

async function defaultParser(kind: 'lines' | 'array'): Promise<MakeParser> {
  if (kind === 'lines') {
    const { default: parser } = await import('stream-json/jsonl/parser.js');
    return () => parser.asStream();
  }
  const { default: streamArray } = await import('stream-json/streamers/stream-array.js');
  return () => streamArray.withParserAsStream();
}

async function* parsed<Value>(
  source: JsonSource,
  options: ReadJsonOptions & { through: readonly Duplex[]; what: string },
): AsyncGenerator<Value, void, undefined> {
  const { signal, through, what } = options;
  const body = source instanceof Readable ? source : rangeStream(source, options);
  let failure: Error | undefined;
  let last: Readable = body;
  // One after the other, and not by pipeline(): which of the streams failed says what went wrong.
  for (const stream of through) {
    const before = last;
    before.once('error', (error) => {
      failure ??= error;
      stream.destroy(error);
    });
    stream.once('close', () => before.destroy());
    last = before.pipe(stream);
  }
  const abort = (): void => void body.destroy(signal?.reason as Error);
  if (signal?.aborted === true) abort();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    for await (const item of last as AsyncIterable<{ value: Value }>) yield item.value;
  } catch (error) {
    signal?.throwIfAborted();
    if (failure !== undefined) throw failure;
    if (error instanceof SealpipeError) throw error;
    throw new SealpipeError('FORMAT_INVALID', `the content is not ${what}: ${(error as Error).message}`, {
      cause: error,
      ...(options.start === undefined ? {} : { offset: options.start }),
    });
  } finally {
    signal?.removeEventListener('abort', abort);
    for (const stream of [...through, body]) stream.destroy();
  }
}

function rangeStream(source: RangeSource, { start = 0, end = source.size }: ReadJsonOptions): Readable {
  if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end && end <= source.size)) {
    throw new RangeError(`[${start}, ${end}) does not lie within the ${source.size} bytes of the content`);
  }
  return new RangeReadStream({
    range: { start, end },
    read: async (from, to, signal) => source.read(from, to, { signal }),
  });
}

const byteOrderMark = Buffer.from('\ufeff');

/** Stops at a line that is too long, and takes away what parsers trip over: a byte order mark, lines of white space. */
class LineGuard extends Transform {
  readonly #longestLine: number;
  readonly #start: number;
  #lineStart: number;
  #position: number;
  /** White space since the line began, held back until it is known whether anything follows. */
  #blank: Uint8Array[] = [];
  #inLine = false;
  /** The first bytes of the content, until it is known whether they are a mark. */
  #head: Buffer | undefined;

  constructor(options: { longestLine: number; start: number }) {
    super();
    this.#longestLine = options.longestLine;
    this.#start = options.start;
    this.#lineStart = options.start;
    this.#position = options.start;
    if (options.start === 0) this.#head = Buffer.alloc(0);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (this.#head === undefined) return void callback(this.#pass(plainBytes(chunk)));
    // The mark may come in pieces: what has come is held until it can be told.
    const head = Buffer.concat([this.#head, chunk]);
    if (head.length < byteOrderMark.length) {
      this.#head = head;
      return void callback();
    }
    callback(this.#begin(head));
  }

  override _flush(callback: (error?: Error | null) => void): void {
    callback(this.#head === undefined ? null : this.#begin(this.#head));
  }

  #begin(head: Buffer): SealpipeError | null {
    this.#head = undefined;
    const marked = head.subarray(0, byteOrderMark.length).equals(byteOrderMark);
    if (marked) this.#position += byteOrderMark.length;
    return this.#pass(plainBytes(marked ? head.subarray(byteOrderMark.length) : head));
  }

  /** Hands a chunk on; what it returns is why that ends. */
  #pass(bytes: Uint8Array): SealpipeError | null {
    let kept = 0;
    let at = 0;
    while (at < bytes.length) {
      if (!this.#inLine) {
        const { next, from } = this.#skipBlank(bytes, { at, kept });
        at = next;
        kept = from;
        if (at === bytes.length) break;
      }
      const end = bytes.indexOf(0x0a, at);
      if (end < 0) break;
      if (this.#tooLong(this.#position + end)) return this.#limit();
      this.#lineStart = this.#position + end + 1;
      this.#inLine = false;
      at = end + 1;
    }
    this.#position += bytes.length;
    if (kept < bytes.length) this.push(bytes.subarray(kept));
    return this.#tooLong(this.#position) ? this.#limit() : null;
  }

  /**
   * At the start of a line: passes over blank lines, which are dropped, and the white space before what is none. Byte
   * by byte, as there is little of it.
   */
  #skipBlank(bytes: Uint8Array, { at, kept }: { at: number; kept: number }): { next: number; from: number } {
    let next = at;
    let line = at;
    let from = kept;
    for (; next < bytes.length && isBlank(bytes[next]!); next++) {
      if (bytes[next] !== 0x0a) continue;
      this.#blank = [];
      if (line > from) this.push(bytes.subarray(from, line));
      line = next + 1;
      from = line;
      this.#lineStart = this.#position + line;
    }
    if (next < bytes.length) {
      for (const part of this.#blank.splice(0)) this.push(part);
      this.#inLine = true;
      return { next, from };
    }
    if (line > from) this.push(bytes.subarray(from, line));
    if (next > line) this.#blank.push(bytes.slice(line));
    return { next, from: next };
  }

  #tooLong(end: number): boolean {
    return end - this.#lineStart > this.#longestLine;
  }

  #limit(): SealpipeError {
    return new SealpipeError(
      'BUFFER_LIMIT',
      `a line of more than ${this.#longestLine} bytes begins ${this.#lineStart - this.#start} bytes into the content: raise longestLine, or read it as a stream of tokens`,
      { offset: this.#lineStart },
    );
  }
}

function isBlank(byte: number): boolean {
  return byte === 0x0a || byte === 0x0d || byte === 0x20 || byte === 0x09;
}
