/** Day on which the Gregorian calendar began, 1582-10-15, counted from 1970-01-01. */
export const gregorianStart = -141_427;

/**
 * Moves a day counted in the hybrid calendar (Julian before 1582-10-15, as java.util has it) to the day of the same
 * name in the proleptic Gregorian calendar.
 *
 * A date is its year, month and day to the one who wrote it: 1500-01-01 must not become 1500-01-10 because the reader's
 * calendar has another rule for leap years. A 29 February that exists in the Julian calendar alone becomes 1 March.
 */
export function prolepticDay(day: number): number {
  if (day >= gregorianStart) return day;
  const { year, month, dayOfMonth } = julianDate(day);
  return gregorianDay(year, month, dayOfMonth);
}

/** The Julian calendar's date of a day counted from 1970-01-01 (Gregorian). */
function julianDate(day: number): { year: number; month: number; dayOfMonth: number } {
  // 1970-01-01 is 1969-12-19 Julian. Years are counted from March, so that the leap day is a year's last.
  const days = day + 719_470;
  const cycle = Math.floor(days / 1461);
  const inCycle = days - cycle * 1461;
  const yearInCycle = Math.min(3, Math.floor(inCycle / 365));
  const inYear = inCycle - yearInCycle * 365;
  const shifted = Math.floor((inYear * 5 + 2) / 153);
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  return {
    year: cycle * 4 + yearInCycle + (month <= 2 ? 1 : 0),
    month,
    dayOfMonth: inYear - Math.floor((shifted * 153 + 2) / 5) + 1,
  };
}

/** Days from 1970-01-01 to a date of the proleptic Gregorian calendar. */
function gregorianDay(year: number, month: number, dayOfMonth: number): number {
  const shiftedYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(shiftedYear / 400);
  const yearOfEra = shiftedYear - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + dayOfMonth - 1;
  return (
    era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468
  );
}

/** ISO 8601 of a day: YYYY-MM-DD, with a sign and six digits or more outside of the years 0 to 9999. */
export function formatDay(day: number): string {
  const shifted = day + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((dayOfYear * 5 + 2) / 153);
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  const year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0);
  const dayOfMonth = dayOfYear - Math.floor((shiftedMonth * 153 + 2) / 5) + 1;
  return `${formatYear(year)}-${padded(month)}-${padded(dayOfMonth)}`;
}

function formatYear(year: number): string {
  if (year >= 0 && year <= 9999) return String(year).padStart(4, '0');
  return `${year < 0 ? '-' : '+'}${String(Math.abs(year)).padStart(6, '0')}`;
}

function padded(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}
