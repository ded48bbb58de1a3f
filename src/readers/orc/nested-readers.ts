import { ByteRunLengthReader } from './byte-run-length.ts';
import { concatenateVectors } from './concatenate.ts';
import { offsetsOf, readPresence, spread } from './present.ts';
import type { OrcColumn } from './schema.ts';
import type { ColumnReader, ColumnStreams } from './stripe-streams.ts';
import type { OrcVector } from './vectors.ts';

/** Makes the reader of a child column. */
export type ReaderOf = (column: OrcColumn) => ColumnReader;

/**
 * Elements of lists, maps and unions are read this many at a time. How many there are is a claim of the length stream:
 * each piece has to find its bytes before there is memory for the next.
 */
const step = 262_144;

/** More elements than this in one batch are refused. A reader of honest giants asks for smaller batches. */
const mostElements = 33_554_432;

/** STRUCT: its children, one after the other. Those that are not selected are left out. */
export function structReader(streams: ColumnStreams, readerOf: ReaderOf): ColumnReader {
  const present = streams.present();
  const { selected } = streams.stripe;
  const columns = streams.column.children.filter((child) => selected[child.id] === 1);
  const readers = columns.map(readerOf);
  const names = columns.map((child) => child.name);
  return {
    read(count, parentNulls) {
      const { nulls } = readPresence(present, count, parentNulls);
      const children = readers.map((reader) => reader.read(count, nulls));
      return { kind: 'struct', length: count, nulls, names, children };
    },
  };
}

/** LIST: lengths, and the elements of all lists one after the other. */
export function listReader(streams: ColumnStreams, readerOf: ReaderOf): ColumnReader {
  const lengths = lengthsReader(streams);
  const elements = readerOf(streams.column.children[0]!);
  return {
    read(count, parentNulls) {
      const { nulls, offsets } = lengths(count, parentNulls);
      return { kind: 'list', length: count, nulls, offsets, elements: readElements(elements, offsets[count]!) };
    },
  };
}

/** MAP: as a list, with keys and values side by side. */
export function mapReader(streams: ColumnStreams, readerOf: ReaderOf): ColumnReader {
  const lengths = lengthsReader(streams);
  const [key, value] = streams.column.children.map(readerOf);
  return {
    read(count, parentNulls) {
      const { nulls, offsets } = lengths(count, parentNulls);
      const total = offsets[count]!;
      const keys = readElements(key!, total);
      return { kind: 'map', length: count, nulls, offsets, keys, entries: readElements(value!, total) };
    },
  };
}

/** UNION: a tag a value, and each member's values one after the other. */
export function unionReader(streams: ColumnStreams, readerOf: ReaderOf): ColumnReader {
  const present = streams.present();
  const { stream, positions } = streams.stream('DATA');
  const data = new ByteRunLengthReader(stream);
  if (positions !== undefined) data.seek(positions);
  const readers = streams.column.children.map(readerOf);
  return {
    read(count, parentNulls) {
      const presence = readPresence(present, count, parentNulls);
      const { nulls } = presence;
      const tags = new Uint8Array(count);
      data.read(tags, 0, presence.values);
      spread(tags, presence, { count });
      const offsets = new Int32Array(count);
      const totals = readers.map(() => 0);
      for (let row = 0; row < count; row++) {
        if (nulls?.[row] === 1) continue;
        const tag = tags[row]!;
        const total = totals[tag];
        if (total === undefined) throw streams.invalid(`has tag ${tag} of a union of ${totals.length}`);
        offsets[row] = total;
        totals[tag] = total + 1;
      }
      const members = readers.map((reader, index) => readElements(reader, totals[index]!));
      return { kind: 'union', length: count, nulls, tags, offsets, members };
    },
  };
}

function lengthsReader(
  streams: ColumnStreams,
): (count: number, parentNulls: Uint8Array | undefined) => { nulls: Uint8Array | undefined; offsets: Int32Array } {
  const present = streams.present();
  const lengths = streams.integers('LENGTH', { signed: false });
  return (count, parentNulls) => {
    const presence = readPresence(present, count, parentNulls);
    const sizes = new Int32Array(presence.values);
    lengths.readInt32(sizes, 0, presence.values);
    let total = 0;
    for (let at = 0; at < sizes.length; at++) {
      const size = sizes[at]!;
      if (size < 0) throw streams.invalid(`has a value of ${size} elements`);
      total += size;
    }
    if (total > mostElements)
      throw streams.invalid(`has ${total} elements in ${count} rows, above ${mostElements}; ask for smaller batches`);
    return { nulls: presence.nulls, offsets: offsetsOf(sizes, presence, count) };
  };
}

function readElements(reader: ColumnReader, total: number): OrcVector {
  if (total <= step) return reader.read(total, undefined);
  const parts: OrcVector[] = [];
  for (let done = 0; done < total; done += step) parts.push(reader.read(Math.min(step, total - done), undefined));
  return concatenateVectors(parts);
}
