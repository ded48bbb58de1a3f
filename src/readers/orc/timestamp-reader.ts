import { gregorianStart, prolepticDay } from './calendar.ts';
import { readPresence, spread } from './present.ts';
import type { ColumnReader, ColumnStreams } from './stripe-streams.ts';
import { orcEpoch, utc } from './time-zone.ts';

const powersOfTen = [1, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
const secondsPerDay = 86_400;

/**
 * TIMESTAMP and TIMESTAMP_INSTANT: seconds since 2015-01-01 00:00:00 in DATA, and nanoseconds with trailing zeros
 * packed away in SECONDARY.
 *
 * A TIMESTAMP's seconds count from 2015 in the writer's zone; its clock face is that moment as the zone's rules (with
 * summer time) show it. Before 1970, writers round the seconds towards zero while the nanoseconds count upwards, so a
 * second is taken off where they are a millisecond or more: below that, their arithmetic in milliseconds has rounded
 * down already.
 */
export function timestampReader(streams: ColumnStreams, options: { instant: boolean }): ColumnReader {
  const { instant } = options;
  const present = streams.present();
  const data = streams.integers('DATA', { signed: true });
  const fractions = streams.integers('SECONDARY', { signed: false });
  const zone = instant ? utc : streams.stripe.writerZone();
  const epoch = orcEpoch(zone);
  const hybrid = streams.stripe.calendar === 'JULIAN_GREGORIAN';
  return {
    read(count, parentNulls) {
      const presence = readPresence(present, count, parentNulls);
      const { nulls, values } = presence;
      const words = new Int32Array(values * 2);
      data.readInt64(words, 0, values);
      const packed = new Int32Array(values * 2);
      fractions.readInt64(packed, 0, values);
      const seconds = new Float64Array(count);
      const nanoseconds = new Int32Array(count);
      for (let at = 0; at < values; at++) {
        let nanos = unpackNanos(packed[at * 2]!, packed[at * 2 + 1]!);
        let second = words[at * 2 + 1]! * 0x100000000 + (words[at * 2]! >>> 0) + epoch;
        if (!Number.isSafeInteger(second)) throw streams.invalid('has a second beyond 2^53');
        if (second < 0 && nanos > 999_999) second -= 1;
        // Arrow's writer counts down from the second before 1970, which the format does not foresee and its readers add
        // up.
        if (nanos < 0) {
          nanos += 1_000_000_000;
          second -= 1;
        }
        if (zone !== utc) second += zone.offsetAt(second);
        if (hybrid && second < gregorianStart * secondsPerDay) second = prolepticSecond(second);
        seconds[at] = second;
        nanoseconds[at] = nanos;
      }
      spread(seconds, presence, { count });
      spread(nanoseconds, presence, { count });
      return { kind: 'timestamp', length: count, nulls, seconds, nanoseconds, instant };
    },
  };

  /** The low three bits tell how many zeros were cut off, less one; 0 means none. */
  function unpackNanos(low: number, high: number): number {
    const zeros = low & 7;
    const value = (low >>> 3) | (high << 29);
    const nanos = value * powersOfTen[zeros]!;
    if (high >> 3 !== value >> 31 || nanos > 999_999_999 || nanos < -999_999_999) {
      throw streams.invalid('has a fraction of a second or more');
    }
    return nanos;
  }
}

function prolepticSecond(second: number): number {
  const day = Math.floor(second / secondsPerDay);
  return second + (prolepticDay(day) - day) * secondsPerDay;
}
