/** Reading the parameters of a KMS request: JSON 1.1, where bytes are base64. */
import type { Identity } from '../auth/authenticator.ts';
import type { EncryptionContext } from './ciphertext.ts';
import type { KmsKey, KmsKeys } from './keys.ts';
import { KmsError, validation } from './kms-error.ts';

export type Json = { readonly [name: string]: unknown };

/** The parameters of one request. */
export class KmsParameters {
  readonly #values: Json;

  constructor(values: Json) {
    this.#values = values;
  }

  #get(name: string): unknown {
    const value = this.#values[name];
    return value === null ? undefined : value;
  }

  string(name: string): string | undefined {
    const value = this.#get(name);
    if (value !== undefined && typeof value !== 'string') throw wrongType(name, 'a string');
    return value;
  }

  requiredString(name: string): string {
    const value = this.string(name);
    if (value === undefined) throw missing(name);
    return value;
  }

  boolean(name: string): boolean {
    const value = this.#get(name);
    if (value !== undefined && typeof value !== 'boolean') throw wrongType(name, 'a boolean');
    return value ?? false;
  }

  /** A whole number within bounds. */
  integer(name: string, least: number, most: number): number | undefined {
    const value = this.#get(name);
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isInteger(value)) throw wrongType(name, 'a whole number');
    if (value < least)
      throw constraint(name, String(value), `Member must have value greater than or equal to ${least}`);
    if (value > most) throw constraint(name, String(value), `Member must have value less than or equal to ${most}`);
    return value;
  }

  bytes(name: string, maximum: number): Buffer {
    const text = this.requiredString(name);
    const bytes = Buffer.from(text, 'base64');
    if (bytes.length < 1) throw constraint(name, '', 'Member must have length greater than or equal to 1');
    if (bytes.length > maximum) {
      throw constraint(name, 'java.nio.HeapByteBuffer', `Member must have length less than or equal to ${maximum}`);
    }
    return bytes;
  }

  strings(name: string): string[] {
    const value = this.#get(name);
    if (value === undefined) return [];
    if (!Array.isArray(value) || !value.every((entry) => typeof entry === 'string'))
      throw wrongType(name, 'a list of strings');
    return value;
  }

  context(name = 'EncryptionContext'): EncryptionContext {
    const value = this.#get(name);
    if (value === undefined) return {};
    const entries =
      typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : undefined;
    if (entries?.every(([, entry]) => typeof entry === 'string') !== true) throw wrongType(name, 'a map of strings');
    return Object.fromEntries(entries);
  }

  object(name: string): Json | undefined {
    const value = this.#get(name);
    if (value === undefined) return undefined;
    if (typeof value !== 'object' || Array.isArray(value)) throw wrongType(name, 'a structure');
    return value as Json;
  }

  tags(name = 'Tags'): { TagKey: string; TagValue: string }[] {
    const value = this.#get(name);
    if (value === undefined) return [];
    if (!Array.isArray(value)) throw wrongType(name, 'a list of tags');
    return value.map((entry: unknown) => {
      const { TagKey, TagValue } = (entry ?? {}) as Json;
      if (typeof TagKey !== 'string' || typeof TagValue !== 'string') throw wrongType(name, 'a list of tags');
      return { TagKey, TagValue };
    });
  }
}

function memberName(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1);
}

function constraint(name: string, value: string, text: string): KmsError {
  return validation(
    `1 validation error detected: Value '${value}' at '${memberName(name)}' failed to satisfy constraint: ${text}`,
  );
}

function missing(name: string): KmsError {
  return validation(
    `1 validation error detected: Value null at '${memberName(name)}' failed to satisfy constraint: Member must not be null`,
  );
}

function wrongType(name: string, expected: string): KmsError {
  return new KmsError('SerializationException', `${name} must be ${expected}`);
}

/** One request to KMS. */
export interface KmsCall {
  readonly keys: KmsKeys;
  readonly region: string;
  readonly identity: Identity;
  readonly parameters: KmsParameters;
}

export type KmsOperation = (call: KmsCall) => Json | undefined;

/** The number of seconds since 1970 that KMS has for a time. */
export function seconds(milliseconds: number): number {
  return milliseconds / 1000;
}

/** Refuses a key that cannot be used now. @throws KmsError DisabledException, KMSInvalidStateException */
export function checkUsable(keys: KmsKeys, key: KmsKey): void {
  if (key.deletion !== undefined) {
    throw new KmsError('KMSInvalidStateException', `${keys.arn(key)} is pending deletion.`);
  }
  if (!key.enabled) throw new KmsError('DisabledException', `${keys.arn(key)} is disabled.`);
}

/** Cuts a list into pages by `Limit` and `Marker`. */
export function page<Entry>(
  call: KmsCall,
  entries: readonly Entry[],
  mostPerPage: number,
): { readonly entries: readonly Entry[]; readonly rest: Json } {
  const limit = call.parameters.integer('Limit', 1, 1000) ?? mostPerPage;
  const marker = call.parameters.string('Marker');
  const start = marker === undefined ? 0 : Number(Buffer.from(marker, 'base64').toString('latin1'));
  if (!Number.isSafeInteger(start) || start < 0)
    throw new KmsError('InvalidMarkerException', 'The marker is not valid.');
  const end = start + limit;
  const truncated = end < entries.length;
  return {
    entries: entries.slice(start, end),
    rest: { Truncated: truncated, ...(truncated ? { NextMarker: Buffer.from(String(end)).toString('base64') } : {}) },
  };
}
