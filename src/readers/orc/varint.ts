import type { ByteStream } from './byte-stream.ts';

/** The last varint that {@link readVarint} read, unsigned, in two 32-bit words. */
export class Varint {
  low = 0;
  high = 0;

  /** Reads a base-128 varint of up to 64 bits, least significant group first. */
  read(stream: ByteStream): void {
    if (stream.end - stream.position < 10) stream.fill(10);
    const { window, end } = stream;
    let position = stream.position;
    let low = 0;
    let high = 0;
    for (let shift = 0; ; shift += 7) {
      if (position >= end) throw stream.invalid('ends within a number');
      const byte = window[position++]!;
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else if (shift < 64) high |= bits << (shift - 32);
      else throw stream.invalid('has a number of more than 64 bits');
      if (byte < 0x80) break;
    }
    stream.position = position;
    this.low = low;
    this.high = high;
  }

  /** Turns zigzag into two's complement. */
  unzigzag(): void {
    const sign = -(this.low & 1);
    const low = (this.low >>> 1) | (this.high << 31);
    this.high = (this.high >>> 1) ^ sign;
    this.low = low ^ sign;
  }

  /** Whether the value, read as signed, is its low word alone. */
  get narrow(): boolean {
    return this.high === this.low >> 31;
  }

  /** The value as signed 64-bit number: exact, or undefined beyond 2^53. */
  get safe(): number | undefined {
    const high = this.high | 0;
    if (high >= 0x200000 || high < -0x200000) return undefined;
    return high * 0x100000000 + (this.low >>> 0);
  }

  get bigint(): bigint {
    return (BigInt(this.high | 0) << 32n) | BigInt(this.low >>> 0);
  }
}
