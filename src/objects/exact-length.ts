/** The exact plaintext length of CBC content (design page "The object format", section 6): one ranged GET and one unwrapped key. */

import { wipe } from '../crypto/content-key.ts';
import { blockLength, cbcPaddingLength } from '../crypto/range-cipher.ts';
import type { Envelope } from '../format/envelope.ts';
import { checkReadPolicy } from '../format/read-policy.ts';
import type { StringMap } from '../format/string-map.ts';
import { openContentKey } from '../keyrings/open-content-key.ts';
import { defaultIdleTimeout } from './broken-off.ts';
import type { ObjectAddress, ObjectSetting } from './object-setting.ts';
import { fetchStoredRange } from './stored-ranges.ts';

export interface LengthProbe {
  readonly address: ObjectAddress;
  readonly envelope: Envelope;
  /** A multiple of 16, and not 0. */
  readonly storedSize: number;
  readonly etag: string | undefined;
  readonly encryptionContext?: StringMap | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Unwraps the key, decrypts the last block and takes its padding off.
 * @throws SealpipeError LEGACY_DISABLED and what else the policy refuses, before anything is asked for; what S3 and the keyring
 *   fail with; AUTHENTICATION_FAILED where there is no padding
 */
export async function probeCbcLength(setting: ObjectSetting, probe: LengthProbe): Promise<number> {
  const { client, keyring, policy } = setting;
  const { address, envelope, storedSize, etag, signal } = probe;
  checkReadPolicy(envelope, policy);
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  const start = Math.max(0, storedSize - 2 * blockLength);
  const endBoth = (error: unknown): never => {
    stop.abort(error);
    throw error;
  };
  try {
    const fetching = fetchStoredRange(
      { client, address, size: storedSize, etag, idleTimeout: defaultIdleTimeout },
      { start, end: storedSize },
      { signal: stop.signal },
    ).catch(endBoth);
    const opening = openContentKey({
      keyring,
      envelope,
      policy,
      encryptionContext: probe.encryptionContext ?? setting.encryptionContext,
      bucket: address.Bucket,
      key: address.Key,
      storedLength: storedSize,
      signal: stop.signal,
    }).catch(endBoth);
    const [blocks, contentKey] = await Promise.allSettled([fetching, opening]);
    if (contentKey.status === 'rejected') throw stop.signal.reason;
    try {
      if (blocks.status === 'rejected') throw stop.signal.reason;
      const previous = start === storedSize - blockLength ? contentKey.value.iv : blocks.value.subarray(0, blockLength);
      return storedSize - cbcPaddingLength(contentKey.value, previous, blocks.value.subarray(-blockLength));
    } finally {
      wipe(contentKey.value.key);
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}
