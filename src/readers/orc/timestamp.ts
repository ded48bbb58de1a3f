import { formatDay } from './calendar.ts';

const secondsPerDay = 86_400;

/**
 * A timestamp to the nanosecond, which a JavaScript Date cannot hold.
 *
 * Where `instant` is set it is a point in time (TIMESTAMP_INSTANT); else it is a clock's face without a zone
 * (TIMESTAMP), and the seconds are those which a clock set to UTC takes to show it.
 */
export class OrcTimestamp {
  /** Whole seconds since 1970-01-01 00:00:00, rounded down. */
  readonly seconds: number;
  /** Nanoseconds from there: 0 to 999 999 999. */
  readonly nanoseconds: number;
  readonly instant: boolean;

  constructor(seconds: number, nanoseconds: number, instant: boolean) {
    this.seconds = seconds;
    this.nanoseconds = nanoseconds;
    this.instant = instant;
  }

  /** Nanoseconds since 1970-01-01 00:00:00. */
  toBigInt(): bigint {
    return BigInt(this.seconds) * 1_000_000_000n + BigInt(this.nanoseconds);
  }

  /** The same to the millisecond, rounded down. For a clock's face, the Date's UTC fields show it. */
  toDate(): Date {
    return new Date(this.seconds * 1000 + Math.floor(this.nanoseconds / 1_000_000));
  }

  /** ISO 8601 with nine decimals: `2021-03-28T02:37:00.000000001`, and with a Z where it is an instant. */
  toString(): string {
    const day = Math.floor(this.seconds / secondsPerDay);
    const second = this.seconds - day * secondsPerDay;
    const clock = [Math.floor(second / 3600), Math.floor(second / 60) % 60, second % 60];
    const time = clock.map((part) => String(part).padStart(2, '0')).join(':');
    const fraction = String(this.nanoseconds).padStart(9, '0');
    return `${formatDay(day)}T${time}.${fraction}${this.instant ? 'Z' : ''}`;
  }

  /** As {@link OrcTimestamp.toString}. */
  toJSON(): string {
    return this.toString();
  }
}
