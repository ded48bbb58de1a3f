/**
 * A cache of unwrapped data keys, for decryption alone: readers that open the same objects again spare the KMS call.
 * Data keys for writing always come fresh, as one data key encrypts one object.
 */
import { createHash } from 'node:crypto';
import { wipe } from '../crypto/content-key.ts';
import { secretCopy } from '../crypto/secret-memory.ts';
import type { StringMap } from '../format/string-map.ts';
import type { EncryptionMaterials, GenerateDataKeyRequest, Keyring, UnwrapDataKeyRequest } from './keyring.ts';

/** How long unwrapped keys are kept: whichever limit is met first. */
export interface CachingKeyringOptions {
  /** A key is forgotten this many milliseconds after it was unwrapped. */
  readonly maxAgeMs: number;
  /** A key is forgotten after it was handed out this often, the first time included. */
  readonly maxUses: number;
  /** A key is forgotten before it would open more stored bytes than this, all objects together. */
  readonly maxBytes: number;
  /** Most keys kept; the one that was used longest ago goes first. Default 1 000. */
  readonly maxKeys?: number | undefined;
}

/** A caching keyring can be emptied. */
export interface CachingKeyring extends Keyring {
  /** Forgets and overwrites every key. */
  clear(): void;
}

interface CachedKey {
  readonly dataKey: Uint8Array;
  readonly expires: number;
  readonly timer: NodeJS.Timeout;
  uses: number;
  bytes: number;
}

/** Caches what `keyring` unwraps. Keys are overwritten when they are forgotten. */
export function cachingKeyring(keyring: Keyring, options: CachingKeyringOptions): CachingKeyring {
  const { maxAgeMs, maxUses, maxBytes, maxKeys = 1000 } = options;
  for (const [name, value] of Object.entries({ maxAgeMs, maxUses, maxBytes, maxKeys })) {
    if (typeof value !== 'number' || !(value > 0))
      throw new RangeError(`${name} is ${String(value)}: expected a positive number`);
  }
  // A Map keeps insertion order: the first entry is the one used longest ago.
  const cached = new Map<string, CachedKey>();
  // Openings of one object at the same time share one call.
  const pending = new Map<string, Promise<Uint8Array>>();
  /** Counts `clear()`: what was asked for before it must not be kept after it. */
  let generation = 0;

  const forget = (id: string): void => {
    const entry = cached.get(id);
    if (entry === undefined) return;
    cached.delete(id);
    clearTimeout(entry.timer);
    wipe(entry.dataKey);
  };

  const take = (id: string, bytes: number): Uint8Array | undefined => {
    const entry = cached.get(id);
    if (entry === undefined) return undefined;
    if (entry.expires <= performance.now() || entry.uses >= maxUses || entry.bytes + bytes > maxBytes) {
      forget(id);
      return undefined;
    }
    entry.uses += 1;
    entry.bytes += bytes;
    cached.delete(id);
    cached.set(id, entry);
    return secretCopy(entry.dataKey);
  };

  const keep = (id: string, dataKey: Uint8Array, bytes: number): void => {
    if (maxUses <= 1 || bytes > maxBytes) return;
    forget(id);
    // A key that is never asked for again must not outlive its age. setTimeout's longest delay is 2^31 − 1 ms.
    const timer = setTimeout(() => forget(id), Math.min(maxAgeMs, 2 ** 31 - 1)).unref();
    cached.set(id, { dataKey: secretCopy(dataKey), expires: performance.now() + maxAgeMs, timer, uses: 1, bytes });
    while (cached.size > maxKeys) forget(cached.keys().next().value as string);
  };

  return {
    generateDataKey: (request: GenerateDataKeyRequest): Promise<EncryptionMaterials> =>
      keyring.generateDataKey(request),

    async unwrapDataKey(request: UnwrapDataKeyRequest): Promise<Uint8Array> {
      const id = identify(request);
      const bytes = request.storedLength ?? 0;
      const known = take(id, bytes);
      if (known !== undefined) return known;
      const running = pending.get(id);
      if (running !== undefined) {
        // Wait, then take from the cache; where limits forbid that, or the first call failed or was aborted, ask for oneself.
        await running.catch(() => undefined);
        return take(id, bytes) ?? keyring.unwrapDataKey(request);
      }
      const call = keyring.unwrapDataKey(request);
      const asked = generation;
      pending.set(id, call);
      try {
        const dataKey = await call;
        if (asked === generation) keep(id, dataKey, bytes);
        return dataKey;
      } finally {
        if (pending.get(id) === call) pending.delete(id);
      }
    },

    clear(): void {
      generation += 1;
      pending.clear();
      for (const id of [...cached.keys()]) forget(id);
    },
  };
}

/** One name for everything that the answer depends on. A hash, so that no long-lived string holds a wrapped key. */
function identify(request: UnwrapDataKeyRequest): string {
  const sorted = (map: StringMap): [string, string][] => Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1));
  const hash = createHash('sha256').update(
    JSON.stringify([
      request.suite.id,
      request.wrappingAlgorithm,
      sorted(request.encryptionContext),
      sorted(request.materialsDescription),
      request.bucket ?? null,
      request.key ?? null,
    ]),
  );
  return hash.update(request.wrappedKey).digest('base64');
}
