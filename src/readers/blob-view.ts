import { clippedRange, exactBuffer } from './async-buffer.ts';
import { mergeRanges, readRange, splitRange } from './orc/byte-ranges.ts';
import type { RangeSource } from './range-source.ts';

/** How much of a source a stream of it asks for at a time. */
const streamBytes = 1024 * 1024;

/**
 * A Blob whose bytes stay where they are until they are asked for.
 *
 * `instanceof Blob` holds, and all that reads a Blob by its methods works. What reaches past them into Node's own
 * implementation (structuredClone, `new Blob([view])`, fetch bodies) sees an empty Blob: give it `await view.slice()
 * .arrayBuffer()` instead.
 */
class RangeBlob extends Blob {
  readonly #source: RangeSource;
  readonly #start: number;
  readonly #end: number;
  readonly #signal: AbortSignal | undefined;

  constructor(
    source: RangeSource,
    part: { start: number; end: number; type: string; signal: AbortSignal | undefined },
  ) {
    super([]);
    this.#source = source;
    this.#start = part.start;
    this.#end = part.end;
    this.#signal = part.signal;
    // Blob has them as accessors on its prototype, which read the empty Blob below.
    Object.defineProperties(this, { size: { value: part.end - part.start }, type: { value: part.type } });
  }

  override slice(start?: number, end?: number, type = ''): Blob {
    const range = clippedRange(this.size, start, end);
    return new RangeBlob(this.#source, {
      start: this.#start + range.start,
      end: this.#start + range.end,
      type: String(type).toLowerCase(),
      signal: this.#signal,
    });
  }

  override async arrayBuffer(): Promise<ArrayBuffer> {
    return exactBuffer(await this.bytes());
  }

  override async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    const range = { start: this.#start, end: this.#end };
    if (range.start === range.end) return new Uint8Array();
    return new Uint8Array(exactBuffer(await readRange(this.#source, range, { signal: this.#signal })));
  }

  override async text(): Promise<string> {
    return new TextDecoder('utf-8', { ignoreBOM: false }).decode(await this.bytes());
  }

  override stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const parts = mergeRanges([{ start: this.#start, end: this.#end }]).flatMap((range) =>
      splitRange(range, { requestBytes: streamBytes }),
    );
    const [source, signal] = [this.#source, this.#signal];
    return new ReadableStream<Uint8Array<ArrayBuffer>>(
      {
        async pull(controller) {
          const part = parts.shift();
          if (part === undefined) return controller.close();
          controller.enqueue(new Uint8Array(exactBuffer(await readRange(source, part, { signal }))));
        },
      },
      { highWaterMark: 0 },
    );
  }
}

/**
 * A {@link RangeSource} as a Blob, for parquet-wasm and whatever else takes one: `slice` reads nothing, `arrayBuffer`,
 * `bytes` and `text` are one read each, and `stream` reads 1 MiB at a time as it is drained.
 */
export function asBlob(source: RangeSource, options: { type?: string; signal?: AbortSignal } = {}): Blob {
  const { type = '', signal } = options;
  return new RangeBlob(source, { start: 0, end: source.size, type: type.toLowerCase(), signal });
}
