/**
 * Bytes that say they are many more than they are. They take a cipher to its limit of 2^36 − 32 bytes without 64 GiB having
 * to pass: what counts reads `length`, OpenSSL reads the real bytes.
 */
export class LongBytes extends Uint8Array {
  readonly #length: number;

  constructor(length: number) {
    super(0);
    this.#length = length;
  }

  override get length(): number {
    return this.#length;
  }

  override subarray(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(0);
  }
}
