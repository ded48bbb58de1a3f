import { messageBudget, ProtobufReader } from './protobuf.ts';
import { type OrcColumnStatistics, parseColumnStatistics } from './statistics.ts';

/** What the row index knows of one column in one row group. */
export interface RowIndexEntry {
  /**
   * Where the row group starts in each of the column's data streams, in the order PRESENT, DATA, LENGTH or SECONDARY:
   * for a compressed stream the chunk's offset, then the offset in the expanded chunk; for one that is not, the offset
   * alone; then how many values of the run that begins there belong to the group before, and for bits how many of the
   * byte.
   */
  readonly positions: readonly number[];
  readonly statistics: OrcColumnStatistics | undefined;
}

/** The row index of a stripe: by column id, an entry a row group. */
export type RowIndex = ReadonlyMap<number, readonly RowIndexEntry[]>;

/** Decodes a ROW_INDEX stream (already decompressed): an entry a row group. */
export function parseRowIndex(bytes: Uint8Array, stream: { offset: number; length: number }): RowIndexEntry[] {
  const { offset, length } = stream;
  const reader = new ProtobufReader(bytes, { what: 'a row index', offset, budget: messageBudget(length) });
  const entries: RowIndexEntry[] = [];
  while (reader.next()) {
    if (reader.field === 1) entries.push(parseEntry(reader.message('row index entry')));
    else reader.skip();
  }
  return entries;
}

function parseEntry(reader: ProtobufReader): RowIndexEntry {
  const positions: number[] = [];
  let statistics: OrcColumnStatistics | undefined;
  while (reader.next()) {
    if (reader.field === 1) reader.uints(positions);
    else if (reader.field === 2) statistics = parseColumnStatistics(reader.message('row group statistics'));
    else reader.skip();
  }
  return { positions, statistics };
}
