import { offsetsOf, readPresence, spread } from './present.ts';
import { decodeStrings } from './strings.ts';
import type { ColumnReader, ColumnStreams } from './stripe-streams.ts';
import type { StringDictionary } from './vectors.ts';

/** STRING, CHAR and VARCHAR. */
export function stringReader(streams: ColumnStreams): ColumnReader {
  const { kind } = streams.encoding;
  const trim = streams.column.type.kind === 'CHAR';
  if (kind === 'DICTIONARY' || kind === 'DICTIONARY_V2') return dictionaryReader(streams, trim);
  const read = bytesReader(streams);
  return {
    read(count, parentNulls) {
      return { kind: 'string', length: count, ...read(count, parentNulls), dictionary: undefined, trim };
    },
  };
}

/** BINARY, and the geometries, which are binary to those who do not compute with them. */
export function binaryReader(streams: ColumnStreams): ColumnReader {
  const read = bytesReader(streams);
  return {
    read: (count, parentNulls) => ({ kind: 'binary', length: count, ...read(count, parentNulls) }),
  };
}

/** Values of differing lengths: the bytes of all in one stream, their lengths in another. */
function bytesReader(
  streams: ColumnStreams,
): (
  count: number,
  parentNulls: Uint8Array | undefined,
) => { nulls: Uint8Array | undefined; offsets: Int32Array; bytes: Uint8Array } {
  const present = streams.present();
  const data = streams.bytes('DATA');
  const lengths = streams.integers('LENGTH', { signed: false });
  return (count, parentNulls) => {
    const presence = readPresence(present, count, parentNulls);
    const sizes = new Int32Array(presence.values);
    lengths.readInt32(sizes, 0, presence.values);
    const total = sumOf(sizes, streams);
    return { nulls: presence.nulls, offsets: offsetsOf(sizes, presence, count), bytes: data.take(total) };
  };
}

function dictionaryReader(streams: ColumnStreams, trim: boolean): ColumnReader {
  const present = streams.present();
  const data = streams.integers('DATA', { signed: false });
  const { dictionaries } = streams.stripe;
  let dictionary = dictionaries.get(streams.column.id);
  if (dictionary === undefined) {
    dictionary = readDictionary(streams, trim);
    dictionaries.set(streams.column.id, dictionary);
  }
  const { strings } = dictionary;
  const shared = dictionary;
  return {
    read(count, parentNulls) {
      const presence = readPresence(present, count, parentNulls);
      const indices = new Int32Array(count);
      data.readInt32(indices, 0, presence.values);
      for (let at = 0; at < presence.values; at++) {
        const index = indices[at]!;
        if (index < 0 || index >= strings.length) {
          throw streams.invalid(`has index ${index} into a dictionary of ${strings.length}`);
        }
      }
      spread(indices, presence, { count });
      return { kind: 'string', length: count, nulls: presence.nulls, indices, dictionary: shared };
    },
  };
}

/** The most bytes of one batch's values, or of one dictionary: what a stream may expand to in one piece. */
const mostBytes = 256 * 1024 * 1024;

/**
 * Dictionary entries are read this many at a time: the claimed size becomes arrays only as far as there are lengths for
 * it.
 */
const step = 65_536;

/** Empty entries take next to no bytes, and an array of them does: more than this many no writer makes of a stripe. */
const mostEntries = 33_554_432;

function readDictionary(streams: ColumnStreams, trim: boolean): StringDictionary {
  const size = streams.encoding.dictionarySize ?? 0;
  if (size > mostEntries) throw streams.invalid(`has a dictionary of ${size} entries, above ${mostEntries}`);
  const data = streams.dictionaryBytes();
  const lengths = streams.dictionaryLengths();
  const strings: string[] = [];
  let total = 0;
  for (let done = 0; done < size; done += step) {
    const length = Math.min(step, size - done);
    const sizes = new Int32Array(length);
    lengths.readInt32(sizes, 0, length);
    const bytes = data.take(sumOf(sizes, streams));
    total += bytes.length;
    if (total > mostBytes) throw streams.invalid(`has a dictionary of more than ${mostBytes} bytes`);
    const offsets = offsetsOf(sizes, { nulls: undefined, values: length }, length);
    for (const value of decodeStrings({ bytes, offsets, length, trim })) strings.push(value);
  }
  return { strings };
}

/** The sum of lengths, each checked: a negative one would move the offsets of all that follow. */
function sumOf(sizes: Int32Array, streams: ColumnStreams): number {
  let total = 0;
  for (let at = 0; at < sizes.length; at++) {
    const size = sizes[at]!;
    if (size < 0) throw streams.invalid(`has a value of ${size} bytes`);
    total += size;
  }
  if (total > mostBytes) {
    throw streams.invalid(`has ${total} bytes in ${sizes.length} values, above ${mostBytes}; ask for smaller batches`);
  }
  return total;
}
