import { formatInvalid } from './format-error.ts';
import { messageBudget, ProtobufReader } from './protobuf.ts';
import { type OrcType, parseType } from './schema.ts';
import { type OrcColumnStatistics, parseColumnStatistics } from './statistics.ts';

/** Where a stripe lies and how it is divided. Offsets count from the start of the file. */
export interface OrcStripeInformation {
  readonly offset: number;
  /** Bytes of the index streams, which come first. */
  readonly indexLength: number;
  /** Bytes of the data streams. */
  readonly dataLength: number;
  /** Bytes of the stripe footer, which comes last. */
  readonly footerLength: number;
  readonly rowCount: number;
  /** Of column encryption: the stripe whose keys this one continues. */
  readonly encryptStripeId?: number;
}

/** The calendar in which a Java writer counted days before 1582-10-15. */
export type OrcCalendar = 'UNKNOWN_CALENDAR' | 'JULIAN_GREGORIAN' | 'PROLEPTIC_GREGORIAN';

/** A name and value that the writer's user put into the file. */
export interface OrcUserMetadata {
  readonly name: string;
  readonly value: Uint8Array;
}

/** The footer as decoded. A field that the file leaves out is undefined. */
export interface OrcFooter {
  readonly headerLength: number | undefined;
  /** Bytes between header and metadata. Writers disagree whether it counts the header: for information only. */
  readonly contentLength: number | undefined;
  readonly stripes: readonly OrcStripeInformation[];
  readonly types: readonly OrcType[];
  readonly userMetadata: readonly OrcUserMetadata[];
  readonly rowCount: number;
  /** Statistics of the whole file, by column id. */
  readonly statistics: readonly OrcColumnStatistics[];
  /** Rows of a row group; 0 where the file has no row index. */
  readonly rowIndexStride: number;
  /** 0 Java, 1 C++, 2 Presto, 3 Go, 4 Trino, 5 cuDF. Files of old Java writers have none. */
  readonly writer: number | undefined;
  readonly calendar: OrcCalendar | undefined;
  readonly softwareVersion: string | undefined;
  /** Column ids that are encrypted, roots of each encryption variant. Empty without column encryption. */
  readonly encryptedColumns: readonly number[];
}

const calendars: readonly OrcCalendar[] = ['UNKNOWN_CALENDAR', 'JULIAN_GREGORIAN', 'PROLEPTIC_GREGORIAN'];

/** Decodes a footer (already decompressed). Stripe ranges are checked against `contentEnd`, where the tail begins. */
export function parseFooter(
  bytes: Uint8Array,
  options: { offset: number; storedBytes: number; contentEnd: number },
): OrcFooter {
  const { offset, contentEnd } = options;
  const reader = new ProtobufReader(bytes, { what: 'the footer', offset, budget: messageBudget(options.storedBytes) });
  const stripes: OrcStripeInformation[] = [];
  const types: OrcType[] = [];
  const userMetadata: OrcUserMetadata[] = [];
  const statistics: OrcColumnStatistics[] = [];
  const encryptedColumns: number[] = [];
  let headerLength: number | undefined;
  let contentLength: number | undefined;
  let rowCount = 0;
  let rowIndexStride = 0;
  let writer: number | undefined;
  let calendar: number | undefined;
  let softwareVersion: string | undefined;
  while (reader.next()) {
    if (reader.field === 1) headerLength = reader.uint();
    else if (reader.field === 2) contentLength = reader.uint();
    else if (reader.field === 3) stripes.push(parseStripe(reader.message('stripe information'), offset));
    else if (reader.field === 4) types.push(parseType(reader.message('type'), offset));
    else if (reader.field === 5) userMetadata.push(parseUserMetadata(reader.message('user metadata')));
    else if (reader.field === 6) rowCount = reader.uint();
    else if (reader.field === 7) statistics.push(parseColumnStatistics(reader.message('column statistics')));
    else if (reader.field === 8) rowIndexStride = reader.uint();
    else if (reader.field === 9) writer = reader.uint();
    else if (reader.field === 10) parseEncryption(reader.message('encryption'), encryptedColumns);
    else if (reader.field === 11) calendar = reader.uint();
    else if (reader.field === 12) softwareVersion = reader.string();
    else reader.skip();
  }
  for (const [index, stripe] of stripes.entries()) {
    const end = stripe.offset + stripe.indexLength + stripe.dataLength + stripe.footerLength;
    if (end > contentEnd) {
      throw formatInvalid(
        `stripe ${index} is said to end at ${end}, past the ${contentEnd} bytes that hold stripes`,
        offset,
      );
    }
  }
  return {
    headerLength,
    contentLength,
    stripes,
    types,
    userMetadata,
    rowCount,
    statistics,
    rowIndexStride,
    writer,
    calendar: calendar === undefined ? undefined : (calendars[calendar] ?? 'UNKNOWN_CALENDAR'),
    softwareVersion,
    encryptedColumns,
  };
}

function parseStripe(reader: ProtobufReader, at: number): OrcStripeInformation {
  let offset: number | undefined;
  let indexLength = 0;
  let dataLength = 0;
  let footerLength = 0;
  let rowCount = 0;
  let encryptStripeId: number | undefined;
  while (reader.next()) {
    if (reader.field === 1) offset = reader.uint();
    else if (reader.field === 2) indexLength = reader.uint();
    else if (reader.field === 3) dataLength = reader.uint();
    else if (reader.field === 4) footerLength = reader.uint();
    else if (reader.field === 5) rowCount = reader.uint();
    else if (reader.field === 6) encryptStripeId = reader.uint();
    else reader.skip();
  }
  if (offset === undefined) throw formatInvalid('stripe information has no offset', at);
  const stripe = { offset, indexLength, dataLength, footerLength, rowCount };
  return encryptStripeId === undefined ? stripe : { ...stripe, encryptStripeId };
}

function parseUserMetadata(reader: ProtobufReader): OrcUserMetadata {
  let name = '';
  let value = new Uint8Array();
  while (reader.next()) {
    if (reader.field === 1) name = reader.string();
    // A copy: the footer's buffer should not live as long as a short value that someone keeps.
    else if (reader.field === 2) value = reader.bytes().slice();
    else reader.skip();
  }
  return { name, value };
}

/** Adds the roots of the encryption variants: Encryption.variants (3), EncryptionVariant.root (1). */
function parseEncryption(reader: ProtobufReader, roots: number[]): void {
  while (reader.next()) {
    if (reader.field !== 3) {
      reader.skip();
      continue;
    }
    const variant = reader.message('encryption variant');
    while (variant.next()) {
      if (variant.field === 1) roots.push(variant.uint());
      else variant.skip();
    }
  }
}
