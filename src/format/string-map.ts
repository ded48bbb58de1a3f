import { SealpipeError } from '../errors.ts';

/** An encryption context, a materials description, or user metadata: strings by name. */
export type StringMap = Readonly<Record<string, string>>;

/**
 * A map as JSON of printable ASCII only. Everything else goes out as `\uXXXX`, which every reader and every store keeps,
 * where raw text comes back from S3 encoded twice (and 0x7f makes Java's HTTP client refuse the header).
 */
export function stringifyMap(map: StringMap): string {
  return JSON.stringify(map).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/**
 * Reads the JSON of a context or description.
 * @throws SealpipeError ENVELOPE_INVALID when it is not an object of strings; the message names `field`.
 */
export function parseMap(json: string, field: string): StringMap {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new SealpipeError('ENVELOPE_INVALID', `${field} is not JSON: expected an object of strings`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new SealpipeError('ENVELOPE_INVALID', `${field} is JSON but no object: expected an object of strings`);
  }
  for (const [name, entry] of Object.entries(value)) {
    if (typeof entry !== 'string') {
      throw new SealpipeError(
        'ENVELOPE_INVALID',
        `${field} has a value that is no string under ${JSON.stringify(name)}: expected an object of strings`,
      );
    }
  }
  return value as StringMap;
}

/** Whether two maps hold the same names with the same values. Never compared as text: writers differ in order and spacing. */
export function equalMaps(a: StringMap, b: StringMap): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && a[name] === b[name]);
}

/** A copy without some names. */
export function withoutNames(map: StringMap, names: readonly string[]): StringMap {
  return Object.fromEntries(Object.entries(map).filter(([name]) => !names.includes(name)));
}

/**
 * Checks a map that a caller handed in.
 * @throws TypeError when it is not an object of strings, or a string is not well-formed Unicode.
 */
export function assertStringMap(value: unknown, name: string): asserts value is StringMap {
  // A Map (Headers, URLSearchParams) has no properties: it would pass for an empty context and protect nothing.
  if (typeof value !== 'object' || value === null || Symbol.iterator in value) {
    throw new TypeError(`${name} is no plain object, expected an object of strings`);
  }
  for (const [key, entry] of Object.entries(value)) {
    if (typeof entry !== 'string') throw new TypeError(`${name}[${JSON.stringify(key)}] is no string`);
    // A lone surrogate would be stored as U+FFFD by whoever encodes it as UTF-8, and never compare equal again.
    if (loneSurrogate.test(key) || loneSurrogate.test(entry))
      throw new TypeError(`${name} holds a lone surrogate under ${JSON.stringify(key)}`);
  }
}

const loneSurrogate = /\p{Surrogate}/u;
