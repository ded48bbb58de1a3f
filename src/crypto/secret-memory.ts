/**
 * Memory for secrets, which can be overwritten for good.
 *
 * V8 keeps typed arrays of up to 64 bytes (whatever made them: a constructor, `from`, Buffer.alloc) within its own heap, where the
 * garbage collector moves them and leaves a copy behind that nobody can reach any more. Behind an ArrayBuffer of its own a
 * secret stays where it is.
 */

/** Zeros, for a secret to be written to. */
export function secretBytes(length: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(length));
}

/** A copy of a secret. The original is left for its owner to overwrite. */
export function secretCopy(secret: Uint8Array): Uint8Array {
  const copy = secretBytes(secret.length);
  copy.set(secret);
  return copy;
}

/** A secret on its way to one other thread. A KeyObject would keep its copy until that thread collects garbage. */
export function handOver(secret: Uint8Array): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(secret.length);
  new Uint8Array(shared).set(secret);
  return shared;
}

/** Takes a secret that was handed over; what it came in is overwritten. */
export function takeOver(shared: SharedArrayBuffer): Uint8Array {
  const secret = secretCopy(new Uint8Array(shared));
  new Uint8Array(shared).fill(0);
  return secret;
}
