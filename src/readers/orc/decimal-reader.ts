import type { ByteStream } from './byte-stream.ts';
import { readPresence, spread } from './present.ts';
import type { ColumnReader, ColumnStreams } from './stripe-streams.ts';
import { Varint } from './varint.ts';

/** Digits that 64 bits hold. */
const digitsOf64 = 18;

/** Places that values of Hive 0.11 are given, whose type names none: the most that its decimals kept. */
const scaleOfHive11 = 18;

/** DECIMAL: a zigzag varint of up to 128 bits a value in DATA, and its scale in SECONDARY. */
export function decimalReader(streams: ColumnStreams): ColumnReader {
  const { precision = 0, scale = 0 } = streams.column.type;
  if (streams.stripe.decimalsAsIntegers && precision > 0 && precision <= digitsOf64) return integerReader(streams);
  const present = streams.present();
  const data = streams.bytes('DATA');
  const scales = streams.integers('SECONDARY', { signed: true });
  const target = precision === 0 ? scaleOfHive11 : scale;
  const small = precision > 0 && precision <= digitsOf64;
  return {
    read(count, parentNulls) {
      const presence = readPresence(present, count, parentNulls);
      const { nulls, values } = presence;
      const own = new Int32Array(values);
      scales.readInt32(own, 0, values);
      if (small) {
        const unscaled = new BigInt64Array(count);
        readSmall(unscaled, own);
        spread(new Int32Array(unscaled.buffer), presence, { count, stride: 2 });
        return { kind: 'decimal', length: count, nulls, unscaled, scale: target, precision };
      }
      const unscaled: bigint[] = [];
      for (let row = 0, at = 0; row < count; row++) {
        if (nulls?.[row] === 1) unscaled.push(0n);
        else unscaled.push(rescale(readBig(data), own[at++]!, target));
      }
      return { kind: 'decimal', length: count, nulls, unscaled, scale: target, precision };
    },
  };

  /** Up to 18 digits: words, and a bigint only for a value whose scale is not the column's. */
  function readSmall(unscaled: BigInt64Array, own: Int32Array): void {
    const words = new Int32Array(unscaled.buffer);
    const varint = new Varint();
    for (let at = 0; at < own.length; at++) {
      varint.read(data);
      varint.unzigzag();
      words[at * 2] = varint.low;
      words[at * 2 + 1] = varint.high;
      if (own[at] !== target) {
        const value = rescale(unscaled[at]!, own[at]!, target);
        if (BigInt.asIntN(64, value) !== value) throw streams.invalid(`has a value beyond ${precision} digits`);
        unscaled[at] = value;
      }
    }
  }

  /**
   * Brings a value from its own scale to the column's. Digits that the column has no place for are rounded half up, as
   * Java does.
   */
  function rescale(value: bigint, from: number, to: number): bigint {
    if (from === to) return value;
    // 38 digits and as many places are the most of the format; a larger step is not a decimal, and would be a huge
    // power.
    if (from > 76 || from < -76) throw streams.invalid(`has a value of scale ${from}`);
    if (from < to) return value * 10n ** BigInt(to - from);
    const divisor = 10n ** BigInt(from - to);
    const quotient = value / divisor;
    const rest = value % divisor;
    if (rest * 2n >= divisor) return quotient + 1n;
    return rest * 2n <= -divisor ? quotient - 1n : quotient;
  }
}

/**
 * File version 1.9999: up to 18 digits are integers in run lengths of version 2 (whatever the encoding says), all of
 * the column's scale.
 */
function integerReader(streams: ColumnStreams): ColumnReader {
  const { precision = 0, scale = 0 } = streams.column.type;
  const present = streams.present();
  const data = streams.integers('DATA', { signed: true, encoding: 'DIRECT_V2' });
  return {
    read(count, parentNulls) {
      const presence = readPresence(present, count, parentNulls);
      const unscaled = new BigInt64Array(count);
      const words = new Int32Array(unscaled.buffer);
      data.readInt64(words, 0, presence.values);
      spread(words, presence, { count, stride: 2 });
      return { kind: 'decimal', length: count, nulls: presence.nulls, unscaled, scale, precision };
    },
  };
}

/**
 * A zigzag varint of up to 128 bits. Groups are gathered in numbers of 49 bits, which makes a bigint of each seven
 * bytes, not of each.
 */
function readBig(stream: ByteStream): bigint {
  if (stream.end - stream.position < 19) stream.fill(19);
  const { window, end } = stream;
  let position = stream.position;
  let value = 0n;
  for (let group = 0; ; group++) {
    let part = 0;
    let factor = 1;
    let byte = 0;
    let bytes = 0;
    do {
      if (position >= end) throw stream.invalid('ends within a number');
      byte = window[position++]!;
      part += (byte & 0x7f) * factor;
      factor *= 128;
      bytes++;
    } while (byte >= 0x80 && bytes < 7);
    value |= BigInt(part) << BigInt(group * 49);
    if (byte < 0x80) break;
    if (group === 2) throw stream.invalid('has a number of more than 128 bits');
  }
  if (value >> 128n !== 0n) throw stream.invalid('has a number of more than 128 bits');
  stream.position = position;
  return (value >> 1n) ^ -(value & 1n);
}
