/**
 * A message, in files and in streams:
 *
 *   FFFFFFFF (from 0.15 on) | i32 length | metadata, padded | body, padded
 */
import { FlatTable } from './flatbuffer.ts';
import { formatInvalid, formatUnsupported } from './format-error.ts';
import { type ArrowSchema, readSchema } from './schema.ts';

export type ArrowCompression = 'LZ4_FRAME' | 'ZSTD';

/** What the metadata of a record batch says. */
export interface BatchHeader {
  readonly rowCount: number;
  /** Length and null count of each field, in pre-order. */
  readonly nodes: readonly (readonly [length: number, nullCount: number])[];
  /** Where each buffer lies: offset in the body, and length. */
  readonly buffers: readonly (readonly [offset: number, length: number])[];
  readonly compression?: ArrowCompression;
  /** For each field of a view type, how many data buffers it has. */
  readonly variadicCounts: readonly number[];
  /** Unions had a validity buffer up to metadata version 4. */
  readonly version: number;
}

export type ArrowMessage =
  | { readonly type: 'schema'; readonly schema: ArrowSchema; readonly bodyLength: number }
  | { readonly type: 'record batch'; readonly batch: BatchHeader; readonly bodyLength: number }
  | {
      readonly type: 'dictionary';
      readonly id: number;
      readonly delta: boolean;
      readonly batch: BatchHeader;
      readonly bodyLength: number;
    };

/** The length of a message's metadata, with the prefix: what stands at its start. Zero: the stream ends there. */
export function metadataLength(prefix: Uint8Array, offset: number): { prefixBytes: number; length: number } {
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.length);
  if (prefix.length < 4) throw formatInvalid('it ends within the length of a message', offset);
  const first = view.getInt32(0, true);
  if (first !== -1) return { prefixBytes: 4, length: first };
  if (prefix.length < 8) throw formatInvalid('it ends within the length of a message', offset);
  return { prefixBytes: 8, length: view.getInt32(4, true) };
}

/** Parses a message's metadata, without its prefix. `offset` is the file's, of its first byte. */
export function readMessage(metadata: Uint8Array, { offset }: { offset: number }): ArrowMessage {
  const table = FlatTable.root(metadata, { offset });
  const version = table.short(0);
  const bodyLength = table.long(3);
  if (bodyLength < 0) throw formatInvalid(`a message claims a body of ${bodyLength} bytes`, offset);
  const header = table.table(2);
  const type = table.byte(1);
  if (header === undefined) throw formatInvalid('a message has no header', offset);
  switch (type) {
    case 1:
      return { type: 'schema', schema: readSchema(header), bodyLength };
    case 2: {
      const data = header.table(1);
      if (data === undefined) throw formatInvalid('a dictionary batch has no data', offset);
      const batch = readBatch(data, { offset, version });
      return { type: 'dictionary', id: header.long(0), delta: header.boolean(2), batch, bodyLength };
    }
    case 3:
      return { type: 'record batch', batch: readBatch(header, { offset, version }), bodyLength };
    case 4:
    case 5:
      throw formatUnsupported('it holds a tensor', offset);
    default:
      throw formatInvalid(`a message is of unknown type ${type}`, offset);
  }
}

/** Rows of one batch beyond this are refused: those of columns without bytes are a claim and nothing else. */
const mostRows = 2 ** 27;

function readBatch(table: FlatTable, { offset, version }: { offset: number; version: number }): BatchHeader {
  const rowCount = table.long(0);
  if (rowCount < 0 || rowCount > mostRows) throw formatInvalid(`a batch claims ${rowCount} rows`, offset);
  const compression = table.table(3);
  const codec = compression?.byte(0);
  const name = codec === undefined ? undefined : (['LZ4_FRAME', 'ZSTD'] as const)[codec];
  if (codec !== undefined && name === undefined)
    throw formatUnsupported(`it is compressed with the unknown codec ${codec}`, offset);
  return {
    rowCount,
    nodes: table.pairs(1),
    buffers: table.pairs(2),
    ...(name === undefined ? {} : { compression: name }),
    variadicCounts: table.longs(4),
    version,
  };
}
