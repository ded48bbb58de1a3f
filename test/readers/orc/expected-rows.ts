/**
 * Compares rows with those that other tools print: `orc-tools data` (Java) and the expected files of Apache ORC's
 * examples (C++), which differ from ours in the words for maps, bytes, timestamps and trailing zeros, and in nothing
 * else.
 */

/** A line of JSON whose long numbers are kept as strings, since JSON.parse would round them. */
export function parseExpected(line: string): unknown {
  return JSON.parse(
    line.replaceAll(/([:[, ])(-?(?:\d{16,}(?:\.\d+)?|\d+\.\d{12,}(?:[eE][+-]?\d+)?))(?=[,\]}])/g, '$1"$2"'),
  );
}

/** Whether a value as {@link orcToJson} gives it is the expected one. */
export function sameValue(actual: unknown, expected: unknown): boolean {
  if (actual === null || expected === null) return actual === expected;
  if (Array.isArray(expected)) return sameArray(actual, expected);
  if (typeof expected === 'object') {
    if (typeof actual !== 'object') return false;
    const names = Object.keys(expected);
    if (names.length !== Object.keys(actual).length) return false;
    return names.every((name) =>
      sameValue((actual as Record<string, unknown>)[name], (expected as Record<string, unknown>)[name]),
    );
  }
  if (typeof actual === 'number') return closeTo(actual, Number(expected));
  if (typeof actual === 'string')
    return sameText(actual, typeof expected === 'string' ? expected : JSON.stringify(expected));
  return actual === expected;
}

function sameArray(actual: unknown, expected: readonly unknown[]): boolean {
  if (typeof actual === 'string') {
    return Buffer.from(actual, 'base64').equals(Buffer.from(expected.map((byte) => Number(byte) & 255)));
  }
  if (!Array.isArray(actual) || actual.length !== expected.length) return false;
  return expected.every((item, index) => {
    if (typeof item === 'object' && item !== null && '_key' in item && '_value' in item) {
      const { key, value } = actual[index] as { key: unknown; value: unknown };
      return sameValue(key, item._key) && sameValue(value, item._value);
    }
    return sameValue(actual[index], item);
  });
}

/** The C++ tool prints seven digits of a float and fourteen of a double; ours are exact, and so are Java's. */
function closeTo(actual: number, expected: number): boolean {
  return actual === expected || Math.abs(actual - expected) <= 1e-6 * Math.max(Math.abs(expected), 1e-30);
}

function sameText(actual: string, expected: string): boolean {
  if (actual === expected) return true;
  const timestamp = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.(\d{9})Z?$/.exec(actual);
  if (timestamp !== null) {
    const [, day, clock, fraction = ''] = timestamp;
    return expected === `${day} ${clock}.${fraction.replace(/0+$/, '') || '0'}`;
  }
  if (/^-?\d+(\.\d+)?$/.test(actual)) return trimmed(actual) === trimmed(expected);
  return actual.trimEnd() === expected.trimEnd();
}

function trimmed(decimal: string): string {
  return decimal.includes('.') ? decimal.replace(/\.?0+$/, '') : decimal;
}
