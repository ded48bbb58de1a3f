/**
 * An IPC file is a stream with a table of contents after it:
 *
 *   ARROW1 00 00 | schema | dictionaries, record batches | end | footer | its length, i32 | ARROW1
 *
 * Feather V2 is the same. A stream has no magic: it begins with its schema, and ends where its bytes do.
 */
import { FetchedRanges, plainBytes, readRange } from '../orc/byte-ranges.ts';
import type { RangeSource } from '../range-source.ts';
import { FlatTable } from './flatbuffer.ts';
import { formatInvalid, formatUnsupported } from './format-error.ts';
import { type ArrowMessage, metadataLength, readMessage } from './message.ts';
import { type ArrowSchema, keyValues, readSchema } from './schema.ts';
import { readStreamBlocks } from './stream-blocks.ts';

/** Where a message lies: its metadata with prefix and padding, then its body. */
export interface ArrowBlock {
  readonly start: number;
  readonly metadataLength: number;
  readonly bodyLength: number;
}

export interface OpenArrowOptions {
  /** The last bytes of the file, if they are at hand already: then nothing is fetched that they hold. */
  tail?: Uint8Array;
  /** How much of the file's end is fetched first. Default 64 KiB. */
  tailBytes?: number;
  signal?: AbortSignal;
}

/** Footer length and magic. */
const trailerBytes = 10;
/** Magic and padding at the head, and the trailer. */
const shortestFile = 18;
/** An end of stream. */
const shortest = 8;

/**
 * Opens an Arrow IPC file, a Feather V2 file or an IPC stream, told apart by content. Needs no other package.
 *
 * A file takes one request where `tailBytes` hold its footer, else one more for the missing part alone. Of a stream,
 * every message's metadata is read, since nothing says where they are.
 *
 * @throws SealpipeError FORMAT_INVALID; FORMAT_UNSUPPORTED for Feather V1
 */
export async function openArrow(source: RangeSource, options: OpenArrowOptions = {}): Promise<ArrowFile> {
  const { tailBytes = 64 * 1024, signal } = options;
  if (!Number.isSafeInteger(tailBytes) || tailBytes < trailerBytes)
    throw new RangeError(`tailBytes is ${tailBytes}, expected at least ${trailerBytes}`);
  const { size } = source;
  if (size < shortest) throw formatInvalid(`it has ${size} bytes, too short for Arrow data`, 0);
  const tail = plainBytes(options.tail ?? (await readTail(source, Math.min(size, tailBytes), signal)));
  if (tail.length < Math.min(size, trailerBytes) || tail.length > size)
    throw new RangeError(`the tail has ${tail.length} bytes of a file of ${size}`);
  const fetched = new FetchedRanges();
  fetched.add(size - tail.length, tail);
  if (endsWith(tail, 'ARROW1') && size >= shortestFile) return openFile(source, { tail, fetched, signal });
  const headRange = { start: 0, end: shortest };
  const head = fetched.find(headRange) ?? (await readRange(source, headRange, { signal }));
  if (startsWith(head, 'ARROW1')) {
    if (size < shortestFile) throw formatInvalid(`it has ${size} bytes, too short for an Arrow file`, 0);
    throw formatInvalid('its head is that of a file, and its last six bytes are not "ARROW1"', size - 6);
  }
  if (startsWith(head, 'FEA1') || endsWith(tail, 'FEA1'))
    throw formatUnsupported('it is of Feather version 1 (FEA1)', 0);
  const { length } = metadataLength(head, 0);
  // Before 0.15 a stream began with the length alone: a schema has some bytes, and not more than there are.
  if (length <= 0 || length > size) throw formatInvalid('it begins neither as a file nor as a stream', 0);
  const { schema, blocks, complete } = await readStreamBlocks(source, { fetched, signal });
  return new ArrowFile({
    source,
    kind: 'stream',
    schema,
    ...blocks,
    metadata: {},
    footer: undefined,
    fetched,
    complete,
  });
}

async function readTail(source: RangeSource, length: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
  if (source.tail === undefined) {
    return readRange(source, { start: source.size - length, end: source.size }, { signal });
  }
  signal?.throwIfAborted();
  return source.tail(length, signal === undefined ? {} : { signal });
}

function startsWith(bytes: Uint8Array, text: string): boolean {
  return Buffer.from(text, 'latin1').equals(bytes.subarray(0, text.length));
}

function endsWith(bytes: Uint8Array, text: string): boolean {
  return Buffer.from(text, 'latin1').equals(bytes.subarray(Math.max(0, bytes.length - text.length)));
}

async function openFile(
  source: RangeSource,
  parts: { tail: Uint8Array; fetched: FetchedRanges; signal: AbortSignal | undefined },
): Promise<ArrowFile> {
  const { tail, fetched, signal } = parts;
  const { size } = source;
  const footerEnd = size - trailerBytes;
  const length = new DataView(tail.buffer, tail.byteOffset + tail.length - trailerBytes, 4).getInt32(0, true);
  const start = footerEnd - length;
  if (length <= 0 || start < 8) {
    throw formatInvalid(`the footer is said to have ${length} bytes, the file has ${footerEnd - 8} for it`, footerEnd);
  }
  const missingEnd = size - tail.length;
  if (start < missingEnd) {
    const missing = await readRange(source, { start, end: missingEnd }, { signal });
    const joined = new Uint8Array(missing.length + tail.length);
    joined.set(missing);
    joined.set(tail, missing.length);
    fetched.add(start, joined);
  }
  const table = FlatTable.root(fetched.get({ start, end: footerEnd }), { offset: start });
  const schemaTable = table.table(1);
  if (schemaTable === undefined) throw formatInvalid('its footer has no schema', start);
  const blocks = (slot: number, what: string): ArrowBlock[] =>
    table.blocks(slot).map(([offset, metadata, body]) => {
      // Each lies between the magic and the footer.
      if (offset < 8 || metadata < 4 || body < 0 || offset + metadata + body > start) {
        throw formatInvalid(
          `a ${what} is at [${offset}, ${offset + metadata + body}), outside of the data before ${start}`,
          start,
        );
      }
      return { start: offset, metadataLength: metadata, bodyLength: body };
    });
  return new ArrowFile({
    source,
    kind: 'file',
    schema: readSchema(schemaTable),
    dictionaries: blocks(2, 'dictionary'),
    recordBatches: blocks(3, 'record batch'),
    metadata: keyValues(table, 4),
    footer: { offset: start, length, version: table.short(0) },
    fetched,
    complete: true,
  });
}

/** Open Arrow data. Holds nothing that needs closing but its source. */
export class ArrowFile {
  readonly source: RangeSource;
  readonly kind: 'file' | 'stream';
  readonly schema: ArrowSchema;
  readonly dictionaries: readonly ArrowBlock[];
  readonly recordBatches: readonly ArrowBlock[];
  /** Custom metadata of the footer, as against that of the schema. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Where the footer lies; `version` is the metadata version, 4 for V5. Streams have none. */
  readonly footer: { readonly offset: number; readonly length: number; readonly version: number } | undefined;
  /** Whether a stream ends with its own marker, and not just where the bytes do. */
  readonly complete: boolean;
  /** What was read of the file so far, so that nothing of it is fetched again. */
  readonly fetched: FetchedRanges;

  /** For {@link openArrow}. */
  constructor(parts: {
    source: RangeSource;
    kind: 'file' | 'stream';
    schema: ArrowSchema;
    dictionaries: readonly ArrowBlock[];
    recordBatches: readonly ArrowBlock[];
    metadata: Readonly<Record<string, string>>;
    footer: { offset: number; length: number; version: number } | undefined;
    complete: boolean;
    fetched: FetchedRanges;
  }) {
    this.source = parts.source;
    this.kind = parts.kind;
    this.schema = parts.schema;
    this.dictionaries = parts.dictionaries;
    this.recordBatches = parts.recordBatches;
    this.metadata = parts.metadata;
    this.footer = parts.footer;
    this.complete = parts.complete;
    this.fetched = parts.fetched;
  }

  /**
   * The metadata of the record batches (default all): rows, buffers, compression. Those not read yet are fetched, near
   * ones together. Only they know how many rows there are.
   */
  async batchHeaders(
    indices: readonly number[] = this.recordBatches.map((_, index) => index),
    options: { signal?: AbortSignal } = {},
  ): Promise<Extract<ArrowMessage, { type: 'record batch' }>[]> {
    const blocks = indices.map((index) => {
      const block = this.recordBatches[index];
      if (block === undefined)
        throw new RangeError(`record batch ${index} was asked for, there are ${this.recordBatches.length}`);
      return block;
    });
    const ranges = blocks.map(({ start, metadataLength: length }) => ({ start, end: start + length }));
    await this.fetched.fetch(this.source, ranges, options);
    return blocks.map((block) => {
      const message = messageOf(this.fetched, block);
      if (message.type !== 'record batch')
        throw formatInvalid(`a ${message.type} stands for a record batch`, block.start);
      return message;
    });
  }
}

/** The message of a block whose metadata was fetched. */
export function messageOf(fetched: FetchedRanges, block: ArrowBlock): ArrowMessage {
  const { start, metadataLength: stored, bodyLength } = block;
  const bytes = fetched.get({ start, end: start + stored });
  const { prefixBytes, length } = metadataLength(bytes, start);
  if (length <= 0 || prefixBytes + length > bytes.length) {
    throw formatInvalid(`a message claims ${length} bytes of metadata in ${bytes.length}`, start);
  }
  const message = readMessage(bytes.subarray(prefixBytes, prefixBytes + length), { offset: start + prefixBytes });
  if (message.bodyLength > bodyLength) {
    throw formatInvalid(`a message claims a body of ${message.bodyLength} bytes, the footer ${bodyLength}`, start);
  }
  return message;
}
