/**
 * A decoded run of integers: at most 512 values, each as two's complement in two 32-bit words.
 *
 * Bigints are an allocation each, so decoders work on words; where `narrow` is set, every value fits 32 bits signed
 * and `high` is not filled in (it would be the sign).
 */
export class IntegerRun {
  readonly low: Int32Array = new Int32Array(512);
  readonly high: Int32Array = new Int32Array(512);
  count = 0;
  narrow = true;

  /** Sets one value from a safe integer. */
  setNumber(index: number, value: number): void {
    this.low[index] = value; // an Int32Array keeps a number's low 32 bits, exact for safe integers
    this.high[index] = Math.floor(value / 0x100000000);
  }

  setBigInt(index: number, value: bigint): void {
    this.low[index] = Number(value & 0xffffffffn);
    this.high[index] = Number((value >> 32n) & 0xffffffffn);
  }
}

/** Decodes the next run of a stream. */
export type RunDecoder = (run: IntegerRun) => void;
