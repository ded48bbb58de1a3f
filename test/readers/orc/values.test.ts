import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatDay, prolepticDay } from '../../../src/readers/orc/calendar.ts';
import { formatDecimal, parseDecimal } from '../../../src/readers/orc/decimal.ts';
import { orcToJson } from '../../../src/readers/orc/json.ts';
import { decodeStrings } from '../../../src/readers/orc/strings.ts';
import { orcEpoch, timeZoneOf } from '../../../src/readers/orc/time-zone.ts';
import { OrcTimestamp } from '../../../src/readers/orc/timestamp.ts';

test('days are formatted as the platform’s calendar has them, in all years that it knows and beyond', () => {
  fc.assert(
    fc.property(fc.integer({ min: -99_000_000, max: 99_000_000 }), (day) => {
      assert.equal(formatDay(day), new Date(day * 86_400_000).toISOString().split('T')[0]);
    }),
    { numRuns: 2000 },
  );
  assert.equal(formatDay(0), '1970-01-01');
  assert.equal(formatDay(-719_528), '0000-01-01');
  assert.equal(formatDay(2_932_897), '+010000-01-01');
  assert.equal(formatDay(2 ** 31 - 1), '+5881580-07-11');
});

test('days of the hybrid calendar keep their year, month and day', () => {
  assert.equal(formatDay(prolepticDay(-141_427)), '1582-10-15');
  assert.equal(formatDay(prolepticDay(-141_428)), '1582-10-04'); // the day before, in the Julian calendar
  assert.equal(formatDay(prolepticDay(-171_655)), '1500-01-01'); // days as java.util.GregorianCalendar counts them
  assert.equal(formatDay(prolepticDay(-719_164)), '0001-01-01');
  assert.equal(formatDay(prolepticDay(-171_596)), '1500-03-01'); // 29 February 1500, which the Gregorian calendar lacks
  assert.equal(formatDay(prolepticDay(-353_915)), '1000-12-31');
  assert.equal(formatDay(prolepticDay(-718_010)), '0004-02-29');
  assert.equal(formatDay(prolepticDay(-735_162)), '-000043-03-15');
  let last = prolepticDay(-1_000_000);
  for (let day = -999_999; day < -141_427; day += 1) {
    const next = prolepticDay(day);
    assert.ok(next - last === 1 || next - last === 0, `day ${day}`);
    last = next;
  }
});

test('a time zone’s offset is that of its rules at the moment, summer time included', () => {
  const zone = timeZoneOf('Europe/Helsinki', { java: false });
  const change = Date.UTC(2021, 2, 28, 1) / 1000;
  assert.equal(zone.offsetAt(change - 1), 7200);
  assert.equal(zone.offsetAt(change), 10_800);
  assert.equal(timeZoneOf('Australia/Lord_Howe', { java: false }).offsetAt(Date.UTC(2021, 0, 1) / 1000), 39_600);
  assert.equal(timeZoneOf('Pacific/Kiritimati', { java: false }).offsetAt(change), 50_400);
  assert.equal(timeZoneOf('GMT-03:30', { java: true }).offsetAt(0), -12_600);
  assert.equal(timeZoneOf('PST', { java: true }).offsetAt(0), -28_800);
  assert.equal(timeZoneOf('UTC', { java: true }).offsetAt(0), 0);
});

test('before 1900 a zone of Java has its standard offset, one of the zone database its local mean time', () => {
  const moment = Date.UTC(1880, 0, 1) / 1000;
  assert.equal(timeZoneOf('America/Los_Angeles', { java: true }).offsetAt(moment), -28_800);
  assert.equal(timeZoneOf('America/Los_Angeles', { java: false }).offsetAt(moment), -28_378);
});

test('the epoch of timestamps is the beginning of 2015 on the zone’s clocks', () => {
  assert.equal(orcEpoch(timeZoneOf('UTC', { java: true })), 1_420_070_400);
  assert.equal(orcEpoch(timeZoneOf('America/Los_Angeles', { java: true })), 1_420_070_400 + 28_800);
  assert.equal(orcEpoch(timeZoneOf('Australia/Sydney', { java: true })), 1_420_070_400 - 39_600); // summer there
});

test('a time zone that nobody knows is refused by name', () => {
  assert.throws(() => timeZoneOf('Mars/Olympus', { java: true }), {
    code: 'ERR_SEALPIPE_FORMAT_UNSUPPORTED',
    message: /Mars\/Olympus/,
  });
});

test('timestamps print to the nanosecond, before 1970 too, and with a Z only where they are instants', () => {
  assert.equal(new OrcTimestamp(0, 1, true).toString(), '1970-01-01T00:00:00.000000001Z');
  assert.equal(new OrcTimestamp(-1, 999_999_999, false).toString(), '1969-12-31T23:59:59.999999999');
  assert.equal(new OrcTimestamp(1_616_899_020, 0, false).toJSON(), '2021-03-28T02:37:00.000000000');
  assert.equal(new OrcTimestamp(-1, 500_000_000, true).toDate().getTime(), -500);
  assert.equal(new OrcTimestamp(2, 3, true).toBigInt(), 2_000_000_003n);
});

test('decimals print all their places and parse back to themselves', () => {
  assert.equal(formatDecimal(1250n, 2), '12.50');
  assert.equal(formatDecimal(-5n, 3), '-0.005');
  assert.equal(formatDecimal(0n, 2), '0.00');
  assert.equal(formatDecimal(-123n, 0), '-123');
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(10n ** 38n), max: 10n ** 38n }),
      fc.integer({ min: 0, max: 38 }),
      (unscaled, scale) => {
        assert.deepEqual(parseDecimal(formatDecimal(unscaled, scale)), { unscaled, scale });
      },
    ),
  );
  assert.deepEqual(parseDecimal('1.5e3'), { unscaled: 1500n, scale: 0 });
  assert.deepEqual(parseDecimal('1e-7'), { unscaled: 1n, scale: 7 });
  for (const text of ['', '.', '1.2.3', 'abc', '1e99999']) assert.equal(parseDecimal(text), undefined);
});

test('strings are decoded as if one by one: ASCII, other scripts, and bytes that are not UTF-8', () => {
  const decoder = new TextDecoder();
  const check = (values: readonly Uint8Array[]): void => {
    const offsets = new Int32Array(values.length + 1);
    for (const [index, value] of values.entries()) offsets[index + 1] = offsets[index]! + value.length;
    const bytes = new Uint8Array(Buffer.concat(values));
    const decoded = decodeStrings({ bytes, offsets, length: values.length, trim: false });
    assert.deepEqual(
      decoded,
      values.map((value) => decoder.decode(value)),
    );
  };
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'binary', maxLength: 20 }).map((text) => new TextEncoder().encode(text))),
      check,
    ),
    { numRuns: 30 },
  );
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 6 })), check), { numRuns: 50 });
  check([Uint8Array.from([0xf0, 0x9f]), Uint8Array.from([0x98, 0x80])]); // an emoji cut in two is two broken values
});

test('JSON keeps what JSON cannot say: large integers, bytes, times and numbers that are none', () => {
  const row = {
    small: 5n,
    large: 2n ** 60n,
    bytes: Uint8Array.from([1, 2, 255]),
    time: new OrcTimestamp(0, 5, true),
    nan: Number.NaN,
    infinite: Number.NEGATIVE_INFINITY,
    list: [1n, null, { inner: 'x' }],
  };
  assert.deepEqual(orcToJson(row), {
    small: 5,
    large: '1152921504606846976',
    bytes: 'AQL/',
    time: '1970-01-01T00:00:00.000000005Z',
    nan: 'NaN',
    infinite: '-Infinity',
    list: [1, null, { inner: 'x' }],
  });
  assert.throws(() => orcToJson(() => 1), TypeError);
});
