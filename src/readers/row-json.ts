import type { JsonValue } from './orc/json.ts';
import { Timestamp } from './timestamp.ts';

/**
 * A row, or a value of one, as JSON holds it without loss: integers beyond 2^53 as strings (decimals are already),
 * timestamps as ISO 8601 with nanoseconds, bytes as base64, and the numbers that JSON lacks as 'NaN', 'Infinity' and
 * '-Infinity'.
 */
export function rowToJson(value: unknown): JsonValue {
  if (value === null || value === undefined) return null;
  if (typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value !== 'object') throw new TypeError(`a ${typeof value} is not a value of a row`);
  if (value instanceof Uint8Array) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  }
  if (value instanceof Timestamp || value instanceof Date) return value.toJSON();
  if (Array.isArray(value)) return value.map(rowToJson);
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, rowToJson(field)]));
}
