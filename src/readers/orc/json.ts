import { OrcTimestamp } from './timestamp.ts';

/** What JSON holds. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };

/**
 * A row, or a value of one, as JSON holds it without loss: integers beyond 2^53 and decimals as strings, timestamps as
 * ISO 8601 with nanoseconds, binary as base64, and the numbers that JSON lacks as 'NaN', 'Infinity' and '-Infinity'.
 */
export function orcToJson(value: unknown): JsonValue {
  if (value === null || value === undefined) return null;
  if (typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  if (typeof value !== 'object') throw new TypeError(`a ${typeof value} is not a value of a row`);
  if (value instanceof Uint8Array) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  }
  if (value instanceof OrcTimestamp || value instanceof Date) return value.toJSON();
  if (Array.isArray(value)) return value.map(orcToJson);
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, orcToJson(field)]));
}
