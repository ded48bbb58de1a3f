import { SealpipeError } from '../../errors.ts';
import type { RangeSource } from '../range-source.ts';
import { FetchedRanges, plainBytes, type RequestLimits, readRange } from './byte-ranges.ts';
import { type Codec, codecOf, expandSection } from './compression.ts';
import { type OrcFooter, parseFooter } from './footer.ts';
import { formatInvalid } from './format-error.ts';
import { stripeFooterRange } from './plan.ts';
import { type OrcPostScript, parsePostScript } from './postscript.ts';
import { buildSchema, type OrcColumn } from './schema.ts';
import { type OrcColumnStatistics, parseMetadata } from './statistics.ts';
import { type OrcStripeFooter, parseStripeFooter } from './stripe-footer.ts';

/**
 * Where the sections of the tail lie: file offsets, each section ending where the one before it in this list begins.
 */
export interface OrcTailLayout {
  readonly postscriptLength: number;
  readonly postscriptOffset: number;
  readonly footerOffset: number;
  readonly metadataOffset: number;
  readonly stripeStatisticsOffset: number;
  /** Bytes from the first section of the tail to the end of the file. */
  readonly tailLength: number;
}

export interface OpenOrcOptions {
  /** The last bytes of the file, if they are at hand already: then nothing is fetched that they hold. */
  tail?: Uint8Array;
  /** How much of the file's end is fetched first. Default 64 KiB, which holds the footer of most files. */
  tailBytes?: number;
  /**
   * Whether the stripe statistics are wanted at once. They are fetched together with what is missing of the footer.
   * Default false.
   */
  stripeStatistics?: boolean;
  signal?: AbortSignal;
}

/** Shorter than this no ORC file is: a head of three bytes, a postscript of one field, its length. */
const shortest = 6;

/**
 * Opens an ORC file: reads its tail, in one request where `tailBytes` hold it, else in one more for the missing part
 * alone.
 *
 * Throws FORMAT_INVALID for what is not a well-formed ORC file, FORMAT_UNSUPPORTED for later file versions, unknown
 * compression kinds and types, and LZO. A file with encrypted columns opens; reading those is refused.
 */
export async function openOrc(source: RangeSource, options: OpenOrcOptions = {}): Promise<OrcFile> {
  const { tailBytes = 64 * 1024, signal } = options;
  if (!Number.isSafeInteger(tailBytes) || tailBytes < 1)
    throw new RangeError(`tailBytes is ${tailBytes}, expected at least 1`);
  const { size } = source;
  if (size < shortest) throw formatInvalid(`it has ${size} bytes, too short for an ORC file`, 0);
  let tail = plainBytes(options.tail ?? (await readTail(source, Math.min(size, tailBytes), signal)));
  if (tail.length === 0 || tail.length > size) {
    throw new RangeError(`the tail has ${tail.length} bytes of a file of ${size}`);
  }
  const postscriptLength = tail[tail.length - 1]!;
  // A tail given by the caller, or a tailBytes of a few bytes, may not even hold the postscript: 256 bytes always do.
  if (tail.length <= postscriptLength)
    tail = await extendTail(source, tail, { start: Math.max(0, size - 256), signal });
  const postscriptOffset = size - 1 - postscriptLength;
  if (postscriptLength === 0 || postscriptOffset < 0) {
    throw formatInvalid(`the postscript is said to have ${postscriptLength} bytes of the file's ${size}`, size - 1);
  }
  const end = tail.length - 1;
  const postscript = parsePostScript(tail.subarray(end - postscriptLength, end), postscriptOffset);
  const layout = tailLayout(postscript, { size, postscriptLength });
  const fetched = new FetchedRanges();
  fetched.add(size - tail.length, tail);
  if (postscript.magic !== 'ORC') await checkHead(source, fetched, { size, signal });

  const codec = codecOf(postscript);
  const needed = options.stripeStatistics === true ? layout.metadataOffset : layout.footerOffset;
  const extended = await extendTail(source, tail, { start: needed, signal });
  fetched.add(size - extended.length, extended);
  const { footerOffset, stripeStatisticsOffset } = layout;
  const stored = fetched.find({ start: footerOffset, end: postscriptOffset })!;
  const bytes = expandSection(stored, { codec, offset: footerOffset });
  const footer = parseFooter(bytes, {
    offset: footerOffset,
    storedBytes: stored.length,
    contentEnd: stripeStatisticsOffset,
  });
  const schema = buildSchema(footer.types, footerOffset);
  return new OrcFile({ source, postscript, layout, footer, schema, codec, fetched });
}

async function readTail(source: RangeSource, length: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
  if (source.tail === undefined) {
    return readRange(source, { start: source.size - length, end: source.size }, { signal });
  }
  signal?.throwIfAborted();
  return source.tail(length, signal === undefined ? {} : { signal });
}

/** Fetches what lies between `start` and the tail, if anything does. What is at hand is never fetched again. */
async function extendTail(
  source: RangeSource,
  tail: Uint8Array,
  options: { start: number; signal: AbortSignal | undefined },
): Promise<Uint8Array> {
  const end = source.size - tail.length;
  if (options.start >= end) return tail;
  const missing = await readRange(source, { start: options.start, end }, options);
  const joined = new Uint8Array(missing.length + tail.length);
  joined.set(missing);
  joined.set(tail, missing.length);
  return joined;
}

function tailLayout(postscript: OrcPostScript, file: { size: number; postscriptLength: number }): OrcTailLayout {
  const { size, postscriptLength } = file;
  const postscriptOffset = size - 1 - postscriptLength;
  const footerOffset = postscriptOffset - postscript.footerLength;
  const metadataOffset = footerOffset - postscript.metadataLength;
  const stripeStatisticsOffset = metadataOffset - postscript.stripeStatisticsLength;
  if (stripeStatisticsOffset < 0) {
    throw formatInvalid(
      `footer (${postscript.footerLength} bytes), metadata (${postscript.metadataLength}) and stripe statistics ` +
        `(${postscript.stripeStatisticsLength}) are longer than the file of ${size}`,
      postscriptOffset,
    );
  }
  return {
    postscriptLength,
    postscriptOffset,
    footerOffset,
    metadataOffset,
    stripeStatisticsOffset,
    tailLength: size - stripeStatisticsOffset,
  };
}

/** Files of Hive 0.11 and before have no magic in the postscript; they still begin with it. */
async function checkHead(
  source: RangeSource,
  fetched: FetchedRanges,
  options: { size: number; signal: AbortSignal | undefined },
): Promise<void> {
  const range = { start: 0, end: 3 };
  const head = fetched.find(range) ?? (await readRange(source, range, options));
  if (head[0] !== 0x4f || head[1] !== 0x52 || head[2] !== 0x43) {
    throw formatInvalid('neither its postscript nor its head has the magic "ORC"', 0);
  }
}

/**
 * An open ORC file: its metadata, and a place for what was read of it. Holds nothing that needs closing but its source.
 */
export class OrcFile {
  readonly source: RangeSource;
  readonly postscript: OrcPostScript;
  readonly layout: OrcTailLayout;
  readonly footer: OrcFooter;
  /** The root of the tree of columns. */
  readonly schema: OrcColumn;
  readonly #codec: Codec | undefined;
  readonly #fetched: FetchedRanges;
  readonly #stripeFooters = new Map<number, OrcStripeFooter>();
  #stripeStatistics: readonly (readonly OrcColumnStatistics[])[] | undefined;

  /** Use {@link openOrc}. */
  constructor(parts: {
    source: RangeSource;
    postscript: OrcPostScript;
    layout: OrcTailLayout;
    footer: OrcFooter;
    schema: OrcColumn;
    codec: Codec | undefined;
    fetched: FetchedRanges;
  }) {
    this.source = parts.source;
    this.postscript = parts.postscript;
    this.layout = parts.layout;
    this.footer = parts.footer;
    this.schema = parts.schema;
    this.#codec = parts.codec;
    this.#fetched = parts.fetched;
  }

  /** Rows of all stripes. */
  get rowCount(): number {
    return this.footer.stripes.reduce((sum, stripe) => sum + stripe.rowCount, 0);
  }

  /** How chunks are expanded, undefined without compression. */
  get codec(): Codec | undefined {
    return this.#codec;
  }

  /** What of the file is at hand since it was opened. */
  get fetched(): FetchedRanges {
    return this.#fetched;
  }

  /**
   * Statistics by stripe, then by column id; empty where the file has none (files of Hive 0.11).
   * At most one request, and none where the tail that was fetched holds them.
   */
  async stripeStatistics(options: { signal?: AbortSignal } = {}): Promise<readonly (readonly OrcColumnStatistics[])[]> {
    if (this.#stripeStatistics !== undefined) return this.#stripeStatistics;
    const { metadataOffset: start, footerOffset: end } = this.layout;
    const stored = this.#fetched.find({ start, end }) ?? (await readRange(this.source, { start, end }, options));
    const bytes = expandSection(stored, { codec: this.#codec, offset: start });
    const statistics = parseMetadata(bytes, { offset: start, storedBytes: stored.length });
    if (statistics.length !== 0 && statistics.length !== this.footer.stripes.length) {
      throw formatInvalid(
        `the metadata has statistics of ${statistics.length} stripes where there are ${this.footer.stripes.length}`,
        start,
      );
    }
    this.#stripeStatistics = statistics;
    return statistics;
  }

  /**
   * The footers of the given stripes (default all): where their streams lie. Those not read yet are fetched, near ones
   * together.
   */
  async stripeFooters(
    stripes: readonly number[] = this.footer.stripes.map((_, index) => index),
    options: RequestLimits & { signal?: AbortSignal } = {},
  ): Promise<Map<number, OrcStripeFooter>> {
    const wanted = stripes.filter((index) => !this.#stripeFooters.has(index));
    const ranges = wanted.map((index) => stripeFooterRange(this.#stripe(index)));
    const fetched = new FetchedRanges(this.#fetched);
    await fetched.fetch(this.source, ranges, options);
    return new Map(stripes.map((index) => [index, this.stripeFooterFrom(index, fetched)]));
  }

  /** The footer of a stripe from bytes that are at hand. */
  stripeFooterFrom(index: number, fetched: FetchedRanges): OrcStripeFooter {
    const known = this.#stripeFooters.get(index);
    if (known !== undefined) return known;
    const stripe = this.#stripe(index);
    const range = stripeFooterRange(stripe);
    const stored = range.start === range.end ? new Uint8Array() : fetched.find(range);
    if (stored === undefined) {
      throw new SealpipeError('FORMAT_INVALID', `the footer of stripe ${index} was not fetched`, {
        offset: range.start,
      });
    }
    const bytes = expandSection(stored, { codec: this.#codec, offset: range.start });
    const footer = parseStripeFooter(bytes, stripe);
    this.#stripeFooters.set(index, footer);
    return footer;
  }

  #stripe(index: number): OrcFooter['stripes'][number] {
    const stripe = this.footer.stripes[index];
    if (stripe === undefined) {
      throw new RangeError(`stripe ${index} was asked for, the file has ${this.footer.stripes.length}`);
    }
    return stripe;
  }
}
