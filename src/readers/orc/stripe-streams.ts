import { BitRunLengthReader } from './byte-run-length.ts';
import { ByteStream, PositionReader, type StreamBytes } from './byte-stream.ts';
import type { Codec } from './compression.ts';
import type { OrcCalendar } from './footer.ts';
import { formatInvalid } from './format-error.ts';
import { IntegerReader } from './integer-reader.ts';
import type { OrcColumn } from './schema.ts';
import type { OrcColumnEncoding, OrcEncodingKind, OrcStreamKind } from './stripe-footer.ts';
import type { TimeZone } from './time-zone.ts';
import type { OrcVector, StringDictionary } from './vectors.ts';

/** Decodes one column of one stripe, from a row group's start on. */
export interface ColumnReader {
  /** The next `count` rows; `parentNulls` (a byte a row) are those in which the parent is null. */
  read(count: number, parentNulls: Uint8Array | undefined): OrcVector;
}

/** The streams of a stripe for one pass over neighbouring row groups: what column readers are made from. */
export interface StripeStreams {
  readonly codec: Codec | undefined;
  readonly selected: Uint8Array;
  readonly encodings: readonly OrcColumnEncoding[];
  readonly calendar: OrcCalendar;
  /** Zone in which TIMESTAMP seconds are counted. */
  readonly writerZone: () => TimeZone;
  /** Whether decimals up to 18 digits are runs of integers (file version 1.9999). */
  readonly decimalsAsIntegers: boolean;
  /** Dictionaries of this stripe by column id: decoded once, whichever row groups are read. */
  readonly dictionaries: Map<number, StringDictionary>;
  /** Where the first row group of the pass begins, by column id; undefined from the stripe's start. */
  readonly positions: ReadonlyMap<number, readonly number[]> | undefined;
  /** Offset in the file that errors without a better one report. */
  readonly offset: number;
  bytesOf(column: number, kind: OrcStreamKind): StreamBytes | undefined;
}

/** Opens the streams of one column in the order in which row index positions name them. */
export class ColumnStreams {
  readonly encoding: OrcColumnEncoding;
  readonly column: OrcColumn;
  readonly stripe: StripeStreams;
  readonly #positions: PositionReader | undefined;

  constructor(column: OrcColumn, stripe: StripeStreams) {
    this.column = column;
    this.stripe = stripe;
    const encoding = stripe.encodings[column.id];
    if (encoding === undefined) {
      throw formatInvalid(`a stripe footer has no encoding for column ${column.id}`, stripe.offset);
    }
    this.encoding = encoding;
    const positions = stripe.positions?.get(column.id);
    this.#positions = positions === undefined ? undefined : new PositionReader(positions, column.id);
  }

  /** The PRESENT stream, or undefined where the column has no nulls of its own. Must be opened first. */
  present(): BitRunLengthReader | undefined {
    const stream = this.#open('PRESENT');
    if (stream === undefined) return undefined;
    const reader = new BitRunLengthReader(stream);
    if (this.#positions !== undefined) reader.seek(this.#positions);
    return reader;
  }

  /** A stream of integers, in the run lengths that the column's encoding names unless told otherwise. */
  integers(kind: OrcStreamKind, options: { signed: boolean; encoding?: OrcEncodingKind }): IntegerReader {
    const reader = new IntegerReader(this.#require(kind), { encoding: this.encoding.kind, ...options });
    if (this.#positions !== undefined) reader.seek(this.#positions);
    return reader;
  }

  /** A stream of plain bytes. */
  bytes(kind: OrcStreamKind): ByteStream {
    const stream = this.#require(kind);
    if (this.#positions !== undefined) stream.seek(this.#positions);
    return stream;
  }

  /** A stream that its reader positions itself. */
  stream(kind: OrcStreamKind): { stream: ByteStream; positions: PositionReader | undefined } {
    return { stream: this.#require(kind), positions: this.#positions };
  }

  /** The bytes of the dictionary, which row groups share and positions do not name. */
  dictionaryBytes(): ByteStream {
    return this.#require('DICTIONARY_DATA');
  }

  /** The lengths of the dictionary's entries, likewise. */
  dictionaryLengths(): IntegerReader {
    return new IntegerReader(this.#require('LENGTH'), { signed: false, encoding: this.encoding.kind });
  }

  invalid(found: string): Error {
    return formatInvalid(`column ${this.column.id} (${this.column.type.kind}) ${found}`, this.stripe.offset);
  }

  /**
   * A stream that is not in the stripe is read as an empty one: writers leave out streams of a column without a value.
   * Where there is a value, reading it says which stream ended early.
   */
  #require(kind: OrcStreamKind): ByteStream {
    const name = `${kind} stream of column ${this.column.id}`;
    const empty: StreamBytes = { bytes: new Uint8Array(), offset: this.stripe.offset, start: 0, partial: false, name };
    return this.#open(kind) ?? new ByteStream(empty, this.stripe.codec);
  }

  #open(kind: OrcStreamKind): ByteStream | undefined {
    const bytes = this.stripe.bytesOf(this.column.id, kind);
    return bytes === undefined ? undefined : new ByteStream(bytes, this.stripe.codec);
  }
}
