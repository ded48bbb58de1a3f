import { decimalReader } from './decimal-reader.ts';
import { formatUnsupported } from './format-error.ts';
import { listReader, mapReader, structReader, unionReader } from './nested-readers.ts';
import { booleanReader, byteReader, dateReader, floatReader, intReader, longReader } from './primitive-readers.ts';
import type { OrcColumn } from './schema.ts';
import { binaryReader, stringReader } from './string-readers.ts';
import { type ColumnReader, ColumnStreams, type StripeStreams } from './stripe-streams.ts';
import { timestampReader } from './timestamp-reader.ts';

/** Makes the reader of a column, and of those below it that are selected. */
export function columnReader(column: OrcColumn, stripe: StripeStreams): ColumnReader {
  const streams = new ColumnStreams(column, stripe);
  const readerOf = (child: OrcColumn): ColumnReader => columnReader(child, stripe);
  const { kind } = column.type;
  const dictionary = streams.encoding.kind.startsWith('DICTIONARY');
  if (dictionary && kind !== 'STRING' && kind !== 'CHAR' && kind !== 'VARCHAR') {
    throw formatUnsupported(`column ${column.id} is a ${kind} with a dictionary`, stripe.offset);
  }
  switch (kind) {
    case 'BOOLEAN':
      return booleanReader(streams);
    case 'BYTE':
      return byteReader(streams);
    case 'SHORT':
    case 'INT':
      return intReader(streams);
    case 'LONG':
      return longReader(streams);
    case 'FLOAT':
      return floatReader(streams, 4);
    case 'DOUBLE':
      return floatReader(streams, 8);
    case 'STRING':
    case 'CHAR':
    case 'VARCHAR':
      return stringReader(streams);
    case 'BINARY':
    case 'GEOMETRY':
    case 'GEOGRAPHY':
      return binaryReader(streams);
    case 'TIMESTAMP':
      return timestampReader(streams, { instant: false });
    case 'TIMESTAMP_INSTANT':
      return timestampReader(streams, { instant: true });
    case 'DATE':
      return dateReader(streams);
    case 'DECIMAL':
      return decimalReader(streams);
    case 'LIST':
      return listReader(streams, readerOf);
    case 'MAP':
      return mapReader(streams, readerOf);
    case 'STRUCT':
      return structReader(streams, readerOf);
    case 'UNION':
      return unionReader(streams, readerOf);
  }
}
