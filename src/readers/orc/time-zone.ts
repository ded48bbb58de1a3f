import { formatUnsupported } from './format-error.ts';

/** Offsets of a time zone from UTC, as its rules have them at each moment. */
export interface TimeZone {
  readonly name: string;
  /** Seconds to add to UTC at `epochSeconds` (UTC) to get what clocks in the zone show. */
  offsetAt(epochSeconds: number): number;
}

/** Names that java.util.TimeZone knows, and writes, but the zone database does not. */
const javaNames: Readonly<Record<string, string>> = {
  ACT: 'Australia/Darwin',
  AET: 'Australia/Sydney',
  AGT: 'America/Argentina/Buenos_Aires',
  ART: 'Africa/Cairo',
  AST: 'America/Anchorage',
  BET: 'America/Sao_Paulo',
  BST: 'Asia/Dhaka',
  CAT: 'Africa/Harare',
  CNT: 'America/St_Johns',
  CST: 'America/Chicago',
  CTT: 'Asia/Shanghai',
  EAT: 'Africa/Addis_Ababa',
  ECT: 'Europe/Paris',
  IET: 'America/Indiana/Indianapolis',
  IST: 'Asia/Kolkata',
  JST: 'Asia/Tokyo',
  MIT: 'Pacific/Apia',
  NET: 'Asia/Yerevan',
  NST: 'Pacific/Auckland',
  PLT: 'Asia/Karachi',
  PNT: 'America/Phoenix',
  PRT: 'America/Puerto_Rico',
  PST: 'America/Los_Angeles',
  SST: 'Pacific/Guadalcanal',
  VST: 'Asia/Ho_Chi_Minh',
};

const utcNames = new Set([
  '',
  'UTC',
  'GMT',
  'Z',
  'Etc/UTC',
  'Etc/GMT',
  'UCT',
  'Etc/UCT',
  'Zulu',
  'Universal',
  'Greenwich',
]);

/** UTC. */
export const utc: TimeZone = { name: 'UTC', offsetAt: () => 0 };

const zones = new Map<string, TimeZone>();

/**
 * The zone of that name; one that neither the zone database nor Java has is refused by name.
 *
 * With `java`, moments before 1900 have the zone's standard offset of today, as java.util.TimeZone has it, and not the
 * local mean time of the zone database: a value is its writer's clock face, so the writer's rules are the ones that
 * give it back.
 */
export function timeZoneOf(name: string, options: { java: boolean }): TimeZone {
  if (utcNames.has(name)) return utc;
  const key = `${options.java} ${name}`;
  const known = zones.get(key);
  if (known !== undefined) return known;
  const zone = fixedZone(name) ?? databaseZone(name, options);
  // Names come from files: what is kept of them is bounded.
  if (zones.size < 1000) zones.set(key, zone);
  return zone;
}

/** `GMT+8`, `UTC-03:30` and the like: Java's custom zones. */
function fixedZone(name: string): TimeZone | undefined {
  const match = /^(?:GMT|UTC|UT)?([+-])(\d{1,2}):?(\d{2})?$/.exec(name);
  if (match === null) return undefined;
  const seconds = Number(match[2]) * 3600 + Number(match[3] ?? 0) * 60;
  const offset = match[1] === '-' ? -seconds : seconds;
  return { name, offsetAt: () => offset };
}

/**
 * Length of the spans whose offsets are looked up and kept: short enough that no zone changes twice in one. 2^20 s, 12
 * days.
 */
const span = 1_048_576;

/** 1900-01-01 00:00:00 UTC. */
const year1900 = -2_208_988_800;

/** The offsets within a span: `before` until the moment `change`, `after` from it on. */
interface Span {
  readonly change: number;
  readonly before: number;
  readonly after: number;
}

/** Moments beyond this many seconds are looked up at it: the platform's calendar ends at 8.64e12. */
const farthest = 8.6e12;

/**
 * A zone of the platform's zone database.
 *
 * Intl is the only door to it, and a formatter takes microseconds; timestamps come by the million. So offsets are kept
 * by spans of 12 days: where both ends of a span have one offset it is that, else the moment of change within it is
 * searched once.
 */
function databaseZone(name: string, options: { java: boolean }): TimeZone {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: javaNames[name] ?? name,
      hourCycle: 'h23',
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  } catch {
    throw formatUnsupported(`the writer's time zone ${JSON.stringify(name)} is unknown here`);
  }
  const spans = new Map<number, Span>();
  let standard: number | undefined;
  let last = -1;
  let found: Span = { change: 0, before: 0, after: 0 };
  return {
    name,
    offsetAt(epochSeconds) {
      if (options.java && epochSeconds < year1900) {
        standard ??= standardOffset();
        return standard;
      }
      const seconds = Math.max(-farthest, Math.min(farthest, epochSeconds));
      const index = Math.floor(seconds / span);
      if (index !== last) {
        const known = spans.get(index);
        found = known ?? search(index * span, (index + 1) * span);
        if (known === undefined) {
          if (spans.size >= 10_000) spans.clear();
          spans.set(index, found);
        }
        last = index;
      }
      return seconds < found.change ? found.before : found.after;
    },
  };

  /** Summer time is ahead of standard time, so the lesser offset of a recent year is the standard one. */
  function standardOffset(): number {
    return Math.min(lookup(1_767_225_600), lookup(1_782_864_000)); // 2026-01-01 and 2026-07-01
  }

  function search(start: number, end: number): Span {
    const before = lookup(start);
    const after = lookup(end);
    if (before === after) return { change: end, before, after };
    let low = start;
    let high = end;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (lookup(middle) === before) low = middle;
      else high = middle;
    }
    return { change: high, before, after };
  }

  function lookup(epochSeconds: number): number {
    const parts: Record<string, number> = {};
    let before = false;
    for (const { type, value } of format.formatToParts(epochSeconds * 1000)) {
      if (type === 'era') before = value.startsWith('B');
      else if (type !== 'literal') parts[type] = Number(value);
    }
    const year = before ? 1 - parts['year']! : parts['year']!;
    const shown = new Date(0);
    shown.setUTCFullYear(year, parts['month']! - 1, parts['day']);
    shown.setUTCHours(parts['hour']!, parts['minute'], parts['second'], 0);
    return shown.getTime() / 1000 - epochSeconds;
  }
}

/** Seconds from 1970 (UTC) to 2015-01-01 00:00:00 in the zone: ORC counts a timestamp's seconds from there. */
export function orcEpoch(zone: TimeZone): number {
  const utcEpoch = 1_420_070_400;
  const guess = utcEpoch - zone.offsetAt(utcEpoch);
  return utcEpoch - zone.offsetAt(guess);
}
