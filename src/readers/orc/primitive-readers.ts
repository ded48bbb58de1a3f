import { BitRunLengthReader, ByteRunLengthReader } from './byte-run-length.ts';
import { prolepticDay } from './calendar.ts';
import { readPresence, spread } from './present.ts';
import type { ColumnReader, ColumnStreams } from './stripe-streams.ts';

/** BOOLEAN: bits. */
export function booleanReader(streams: ColumnStreams): ColumnReader {
  const present = streams.present();
  const { stream, positions } = streams.stream('DATA');
  const data = new BitRunLengthReader(stream);
  if (positions !== undefined) data.seek(positions);
  return {
    read(count, parentNulls) {
      const presence = readPresence(present, count, parentNulls);
      const values = new Uint8Array(count);
      data.read(values, 0, presence.values);
      spread(values, presence, { count });
      return { kind: 'boolean', length: count, nulls: presence.nulls, values };
    },
  };
}

/** BYTE: signed bytes in byte run lengths. */
export function byteReader(streams: ColumnStreams): ColumnReader {
  const present = streams.present();
  const { stream, positions } = streams.stream('DATA');
  const data = new ByteRunLengthReader(stream);
  if (positions !== undefined) data.seek(positions);
  return {
    read(count, parentNulls) {
      const presence = readPresence(present, count, parentNulls);
      const bytes = new Int8Array(count);
      data.read(new Uint8Array(bytes.buffer), 0, presence.values);
      const values = Int32Array.from(bytes);
      spread(values, presence, { count });
      return { kind: 'int32', length: count, nulls: presence.nulls, values };
    },
  };
}

/** SHORT and INT. */
export function intReader(streams: ColumnStreams): ColumnReader {
  const present = streams.present();
  const data = streams.integers('DATA', { signed: true });
  return {
    read(count, parentNulls) {
      const presence = readPresence(present, count, parentNulls);
      const values = new Int32Array(count);
      data.readInt32(values, 0, presence.values);
      spread(values, presence, { count });
      return { kind: 'int32', length: count, nulls: presence.nulls, values };
    },
  };
}

/** LONG. The 64-bit values are written as words: making a bigint of each would cost more than decoding it. */
export function longReader(streams: ColumnStreams): ColumnReader {
  const present = streams.present();
  const data = streams.integers('DATA', { signed: true });
  return {
    read(count, parentNulls) {
      const presence = readPresence(present, count, parentNulls);
      const values = new BigInt64Array(count);
      const words = new Int32Array(values.buffer);
      data.readInt64(words, 0, presence.values);
      spread(words, presence, { count, stride: 2 });
      return { kind: 'int64', length: count, nulls: presence.nulls, values };
    },
  };
}

/** DATE: days. Those that a Java writer counted in the hybrid calendar are moved to the proleptic one. */
export function dateReader(streams: ColumnStreams): ColumnReader {
  const present = streams.present();
  const data = streams.integers('DATA', { signed: true });
  const hybrid = streams.stripe.calendar === 'JULIAN_GREGORIAN';
  return {
    read(count, parentNulls) {
      const presence = readPresence(present, count, parentNulls);
      const values = new Int32Array(count);
      data.readInt32(values, 0, presence.values);
      if (hybrid) for (let at = 0; at < presence.values; at++) values[at] = prolepticDay(values[at]!);
      spread(values, presence, { count });
      return { kind: 'date', length: count, nulls: presence.nulls, values };
    },
  };
}

/** FLOAT and DOUBLE: IEEE 754, little-endian, as the arrays of every platform that Node runs on and ORC writers use. */
export function floatReader(streams: ColumnStreams, bytesPerValue: 4 | 8): ColumnReader {
  const present = streams.present();
  const data = streams.bytes('DATA');
  return {
    read(count, parentNulls) {
      const presence = readPresence(present, count, parentNulls);
      const bytes = data.take(presence.values * bytesPerValue);
      const values = bytesPerValue === 4 ? new Float32Array(count) : new Float64Array(count);
      new Uint8Array(values.buffer).set(bytes);
      spread(values, presence, { count });
      return { kind: 'float', length: count, nulls: presence.nulls, values };
    },
  };
}
