/** Compares values with those of the facts and rows that other readers made, which have other words for the same. */
import { parseTimestamp } from '../../src/readers/timestamp.ts';

/** Whether a value as `rowToJson` gives it is the expected one. */
export function sameValue(actual: unknown, expected: unknown): boolean {
  if (actual === null || expected === null || expected === undefined) return (actual ?? null) === (expected ?? null);
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length !== expected.length) return false;
    return expected.every((item, index) => {
      const found = actual[index] as { key?: unknown; value?: unknown };
      // Maps are pairs there.
      const pair = typeof found === 'object' && found !== null && !Array.isArray(found) && Array.isArray(item);
      return pair ? sameValue([found.key, found.value], item) : sameValue(found, item);
    });
  }
  if (typeof expected === 'object') {
    const { base64 } = expected as { base64?: unknown };
    if (typeof base64 === 'string') return actual === base64;
    if (typeof actual !== 'object') return false;
    const names = Object.keys(expected);
    return (
      names.length === Object.keys(actual).length &&
      names.every((name) =>
        sameValue((actual as Record<string, unknown>)[name], (expected as Record<string, unknown>)[name]),
      )
    );
  }
  if (typeof actual === 'string') {
    return sameText(actual, typeof expected === 'string' ? expected : JSON.stringify(expected));
  }
  return Object.is(actual, expected) || actual === expected;
}

function sameText(actual: string, expected: string): boolean {
  if (actual === expected) return true;
  if (/^\d\d:\d\d:\d\d\.\d{9}$/.test(actual)) {
    const [whole = '', fraction = ''] = expected.split('.');
    return actual === `${whole}.${fraction.padEnd(9, '0')}`;
  }
  if (!/^[+-]?\d+-\d\d-\d\dT.*\.\d{9}Z?$/.test(actual)) return false;
  const zoned = /(\+00:00|Z)$/.test(expected);
  // Nanoseconds are a whole number there, and say nothing of a zone.
  const nanoseconds = /^-?\d+$/.test(expected) ? BigInt(expected) : parseTimestamp(expected);
  return parseTimestamp(actual) === nanoseconds && (actual.endsWith('Z') === zoned || /^-?\d+$/.test(expected));
}
