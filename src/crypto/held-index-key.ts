import { createSecretKey, type KeyObject } from 'node:crypto';
import { wipe } from './content-key.ts';
import { handOver } from './secret-memory.ts';
import type { IndexKey } from './segment-index-macs.ts';

/**
 * Node 24 tells key bytes from handles by exceptions, two for each cipher that is made of bytes, which takes four times as long as with a
 * handle (measured: 14 and 4 µs); and there is a cipher for each segment. Up to Node 22 both take the same.
 */
const handlesAreFaster = Number(process.versions.node.split('.')[0]) > 22;

/** K_idx as long as it is in use: bytes, which are overwritten, or a handle, whose copy stays until garbage is collected. */
export class HeldIndexKey {
  #key: Uint8Array | KeyObject;

  /** @param secret taken over: overwritten now, or when this is closed */
  constructor(secret: Uint8Array) {
    this.#key = secret;
    if (!handlesAreFaster) return;
    this.#key = createSecretKey(secret);
    wipe(secret);
  }

  /** What ciphers are made of. */
  get key(): IndexKey {
    return this.#key;
  }

  /** A copy for one other thread. */
  handOver(): SharedArrayBuffer {
    if (this.#key instanceof Uint8Array) return handOver(this.#key);
    const secret = this.#key.export();
    const shared = handOver(secret);
    wipe(secret);
    return shared;
  }

  close(): void {
    if (this.#key instanceof Uint8Array) wipe(this.#key);
    this.#key = new Uint8Array(0);
  }
}
