import type { OrcStripeInformation } from './footer.ts';
import { formatInvalid, formatUnsupported } from './format-error.ts';
import { messageBudget, ProtobufReader } from './protobuf.ts';

const streamKinds: Readonly<Record<number, OrcStreamKind>> = {
  0: 'PRESENT',
  1: 'DATA',
  2: 'LENGTH',
  3: 'DICTIONARY_DATA',
  4: 'DICTIONARY_COUNT',
  5: 'SECONDARY',
  6: 'ROW_INDEX',
  7: 'BLOOM_FILTER',
  8: 'BLOOM_FILTER_UTF8',
  9: 'ENCRYPTED_INDEX',
  10: 'ENCRYPTED_DATA',
  100: 'STRIPE_STATISTICS',
  101: 'FILE_STATISTICS',
};

export type OrcStreamKind =
  | 'PRESENT'
  | 'DATA'
  | 'LENGTH'
  | 'DICTIONARY_DATA'
  | 'DICTIONARY_COUNT'
  | 'SECONDARY'
  | 'ROW_INDEX'
  | 'BLOOM_FILTER'
  | 'BLOOM_FILTER_UTF8'
  | 'ENCRYPTED_INDEX'
  | 'ENCRYPTED_DATA'
  | 'STRIPE_STATISTICS'
  | 'FILE_STATISTICS'
  /** Of a later version: it takes up space and is passed over. */
  | 'UNKNOWN';

/** One stream of a stripe: its bytes are [offset, offset + length) of the file. */
export interface OrcStream {
  readonly kind: OrcStreamKind;
  readonly column: number;
  readonly offset: number;
  readonly length: number;
}

export type OrcEncodingKind = 'DIRECT' | 'DICTIONARY' | 'DIRECT_V2' | 'DICTIONARY_V2';

const encodingKinds: readonly OrcEncodingKind[] = ['DIRECT', 'DICTIONARY', 'DIRECT_V2', 'DICTIONARY_V2'];

export interface OrcColumnEncoding {
  readonly kind: OrcEncodingKind;
  readonly dictionarySize: number | undefined;
  /** 0 or absent: the bloom filters of timestamps and strings depend on zone and character set; 1: they do not. */
  readonly bloomEncoding: number | undefined;
}

/**
 * What column encryption keeps of a stripe: the streams that lie within the ENCRYPTED_INDEX and ENCRYPTED_DATA
 * placeholders.
 */
export interface OrcStripeEncryption {
  readonly streams: readonly Omit<OrcStream, 'offset'>[];
  readonly encodings: readonly OrcColumnEncoding[];
}

export interface OrcStripeFooter {
  /** In file order, index streams first. */
  readonly streams: readonly OrcStream[];
  /** By column id. */
  readonly encodings: readonly OrcColumnEncoding[];
  /**
   * Zone in which the writer counted the seconds of TIMESTAMP columns. Absent where there are none, and in old files.
   */
  readonly writerTimezone: string | undefined;
  /** By encryption variant; empty without column encryption. */
  readonly encryption: readonly OrcStripeEncryption[];
}

/**
 * Decodes a stripe footer (already decompressed).
 *
 * Streams have no offsets of their own: they follow each other from the stripe's start, so one wrong length moves all
 * that follow. Their sum is therefore held against the stripe's index and data lengths before anything is read.
 */
export function parseStripeFooter(bytes: Uint8Array, stripe: OrcStripeInformation): OrcStripeFooter {
  const at = stripe.offset + stripe.indexLength + stripe.dataLength;
  const budget = messageBudget(stripe.footerLength);
  const reader = new ProtobufReader(bytes, { what: 'the stripe footer', offset: at, budget });
  const streams: OrcStream[] = [];
  const encodings: OrcColumnEncoding[] = [];
  const encryption: OrcStripeEncryption[] = [];
  let writerTimezone: string | undefined;
  let offset = stripe.offset;
  while (reader.next()) {
    if (reader.field === 1) {
      const stream = parseStream(reader.message('stream'), offset);
      streams.push(stream);
      offset += stream.length;
      if (offset > at) {
        throw formatInvalid(
          `stream ${stream.kind} of column ${stream.column} ends at ${offset}, past the stripe's data at ${at}`,
          at,
        );
      }
    } else if (reader.field === 2) encodings.push(parseEncoding(reader.message('column encoding'), at));
    else if (reader.field === 3) writerTimezone = reader.string();
    else if (reader.field === 4) encryption.push(parseEncryption(reader.message('stripe encryption'), at));
    else reader.skip();
  }
  return { streams, encodings, writerTimezone, encryption };
}

function parseEncryption(reader: ProtobufReader, at: number): OrcStripeEncryption {
  const streams: Omit<OrcStream, 'offset'>[] = [];
  const encodings: OrcColumnEncoding[] = [];
  while (reader.next()) {
    if (reader.field === 1) {
      const { kind, column, length } = parseStream(reader.message('encrypted stream'), 0);
      streams.push({ kind, column, length });
    } else if (reader.field === 2) encodings.push(parseEncoding(reader.message('column encoding'), at));
    else reader.skip();
  }
  return { streams, encodings };
}

function parseStream(reader: ProtobufReader, offset: number): OrcStream {
  let kind = 0;
  let column = 0;
  let length = 0;
  while (reader.next()) {
    if (reader.field === 1) kind = reader.uint();
    else if (reader.field === 2) column = reader.uint();
    else if (reader.field === 3) length = reader.uint();
    else reader.skip();
  }
  return { kind: streamKinds[kind] ?? 'UNKNOWN', column, offset, length };
}

function parseEncoding(reader: ProtobufReader, at: number): OrcColumnEncoding {
  let kind = 0;
  let dictionarySize: number | undefined;
  let bloomEncoding: number | undefined;
  while (reader.next()) {
    if (reader.field === 1) kind = reader.uint();
    else if (reader.field === 2) dictionarySize = reader.uint();
    else if (reader.field === 3) bloomEncoding = reader.uint();
    else reader.skip();
  }
  const known = encodingKinds[kind];
  if (known === undefined) throw formatUnsupported(`column encoding ${kind} is unknown`, at);
  return { kind: known, dictionarySize, bloomEncoding };
}
