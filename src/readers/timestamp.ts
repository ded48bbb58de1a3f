import { formatDay } from './orc/calendar.ts';

const perSecond = 1_000_000_000n;
const perDay = 86_400n * perSecond;

/**
 * A timestamp to the nanosecond, which a JavaScript Date cannot hold.
 *
 * Where `instant` is set it is a point in time (adjusted to UTC); else it is a clock's face without a zone.
 */
export class Timestamp {
  /** Nanoseconds since 1970-01-01 00:00:00. */
  readonly nanoseconds: bigint;
  readonly instant: boolean;

  constructor(nanoseconds: bigint, instant: boolean) {
    this.nanoseconds = nanoseconds;
    this.instant = instant;
  }

  /** Nanoseconds since 1970-01-01 00:00:00, so that `<` and `>` compare timestamps. */
  valueOf(): bigint {
    return this.nanoseconds;
  }

  /** The same to the millisecond, rounded down. For a clock's face, the Date's UTC fields show it. */
  toDate(): Date {
    const { nanoseconds } = this;
    const below = ((nanoseconds % 1_000_000n) + 1_000_000n) % 1_000_000n;
    return new Date(Number((nanoseconds - below) / 1_000_000n));
  }

  /** ISO 8601 with nine decimals: `2021-03-28T02:37:00.000000001`, and with a Z where it is an instant. */
  toString(): string {
    const inDay = ((this.nanoseconds % perDay) + perDay) % perDay;
    const day = Number((this.nanoseconds - inDay) / perDay);
    return `${formatDay(day)}T${formatTime(inDay)}${this.instant ? 'Z' : ''}`;
  }

  /** As {@link Timestamp.toString}. */
  toJSON(): string {
    return this.toString();
  }
}

/** `HH:MM:SS.nnnnnnnnn` of nanoseconds since midnight. */
export function formatTime(nanoseconds: bigint): string {
  const seconds = Number(nanoseconds / perSecond);
  const clock = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const fraction = String(nanoseconds % perSecond).padStart(9, '0');
  return `${clock.map((part) => String(part).padStart(2, '0')).join(':')}.${fraction}`;
}

/**
 * Nanoseconds of an ISO 8601 text: `2021-03-28`, `2021-03-28T02:37`, `2021-03-28 02:37:00.000000001Z`, `+01:00`.
 * Undefined where it is none.
 */
export function parseTimestamp(text: string): bigint | undefined {
  const match =
    /^([+-]?\d{4,6})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(Z|[+-]\d\d:?\d\d)?$/.exec(text);
  if (match === null) return undefined;
  const [, year = '', month = '', day = '', hour = '00', minute = '00', second = '00', fraction = '', zone = 'Z'] =
    match;
  const signed = /^[+-]/.test(year) ? `${year.slice(0, 1)}${year.slice(1).padStart(6, '0')}` : year;
  const offset = zone === 'Z' ? 'Z' : `${zone.slice(0, 3)}:${zone.slice(-2)}`;
  const milliseconds = Date.parse(`${signed}-${month}-${day}T${hour}:${minute}:${second}${offset}`);
  if (Number.isNaN(milliseconds)) return undefined;
  return BigInt(milliseconds) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}
