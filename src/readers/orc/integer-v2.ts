/**
 * Run length encoding, version 2. The top two bits of a run's first byte tell its kind:
 *
 *   00 short repeat   width (3 bits) count (3)                                        | value
 *   01 direct         width (5) length (9)                                            | values
 *   10 patched base   width (5) length (9) base width (3) patch width (5) gap width (3) patches (5) | base | values | patches
 *   11 delta          width (5) length (9)                                            | base | first delta | further deltas
 */
import { unpackBits, unpackWide } from './bit-unpacking.ts';
import type { ByteStream } from './byte-stream.ts';
import type { IntegerRun, RunDecoder } from './integer-run.ts';
import { Varint } from './varint.ts';

/** Widths in bits by their five-bit codes: 1 to 24, then the few that are used above. */
const widths = [...Array.from({ length: 24 }, (_, index) => index + 1), 26, 28, 30, 32, 40, 48, 56, 64] as const;

/** The width in which a patch (gap and value together) is stored: the next one that has a code. */
function storedWidth(bits: number): number {
  return widths.find((width) => width >= bits) ?? 64;
}

export function integerV2(stream: ByteStream, options: { signed: boolean }): RunDecoder {
  const { signed } = options;
  const varint = new Varint();
  return (run) => {
    const first = stream.byte();
    const kind = first >>> 6;
    if (kind === 0) {
      shortRepeat(run, first);
      return;
    }
    const code = (first >>> 1) & 31;
    run.count = (((first & 1) << 8) | stream.byte()) + 1;
    if (kind === 1) direct(run, widths[code]!);
    else if (kind === 2) patchedBase(run, widths[code]!);
    else delta(run, code === 0 ? 0 : widths[code]!); // in a delta run, code 0 means all deltas are the first
  };

  function shortRepeat(run: IntegerRun, first: number): void {
    const bytes = ((first >>> 3) & 7) + 1;
    const count = (first & 7) + 3;
    stream.need(bytes);
    let low = 0;
    let high = 0;
    for (let index = 0; index < bytes; index++) {
      high = (high << 8) | (low >>> 24);
      low = (low << 8) | stream.window[stream.position++]!;
    }
    varint.low = low;
    varint.high = high;
    if (signed) varint.unzigzag();
    run.count = count;
    run.narrow = varint.high === varint.low >> 31;
    run.low.fill(varint.low, 0, count);
    run.high.fill(varint.high, 0, count);
  }

  function direct(run: IntegerRun, width: number): void {
    const { low, high, count } = run;
    unpack(run, width);
    if (width <= 32) {
      // Zigzag halves what 32 bits hold, so such values always fit a signed word; unsigned ones of 32 bits may not.
      if (signed) for (let index = 0; index < count; index++) low[index] = (low[index]! >>> 1) ^ -(low[index]! & 1);
      run.narrow = signed || width < 32;
      if (!run.narrow) high.fill(0, 0, count);
      return;
    }
    let narrow = true;
    for (let index = 0; index < count; index++) {
      let word = low[index]!;
      let top = high[index]!;
      if (signed) {
        const sign = -(word & 1);
        word = ((word >>> 1) | (top << 31)) ^ sign;
        top = (top >>> 1) ^ sign;
        low[index] = word;
        high[index] = top;
      }
      narrow &&= top === word >> 31;
    }
    run.narrow = narrow;
  }

  /** Unpacks `run.count` unsigned values to the run's words; up to 32 bits to the low ones alone. */
  function unpack(run: IntegerRun, width: number): void {
    const { count, low, high } = run;
    const bytes = Math.ceil((width * count) / 8);
    stream.need(bytes);
    if (width <= 32) unpackBits(stream.window, stream.position, { width, count, target: low });
    else unpackWide(stream.window, stream.position, { width, count, low, high });
    stream.position += bytes;
  }

  function patchedBase(run: IntegerRun, width: number): void {
    const { low, high, count } = run;
    stream.need(2);
    const third = stream.byte();
    const fourth = stream.byte();
    const patchWidth = widths[third & 31]!;
    const gapWidth = (fourth >>> 5) + 1;
    const patches = fourth & 31;
    const base = readBase((third >>> 5) + 1);
    unpack(run, width);
    const deltas = new Map<number, bigint>();
    let index = 0;
    for (const patch of readPatches(patches, gapWidth + patchWidth)) {
      index += Number(patch >> BigInt(patchWidth));
      const value = BigInt.asUintN(patchWidth, patch);
      // A gap too long for its bits is written as several, the first ones with an empty patch.
      if (value === 0n) continue;
      if (index >= count) throw stream.invalid(`patches value ${index} of a run of ${count}`);
      deltas.set(index, value << BigInt(width));
    }
    run.narrow = false;
    const wide = width > 32;
    const start = Number(base);
    if (!wide && Number.isSafeInteger(start) && Number.isSafeInteger(start + 0x100000000)) {
      for (let at = 0; at < count; at++) run.setNumber(at, start + (low[at]! >>> 0));
    } else {
      for (let at = 0; at < count; at++) {
        const value = (wide ? BigInt(high[at]! >>> 0) << 32n : 0n) | BigInt(low[at]! >>> 0);
        run.setBigInt(at, base + value);
      }
    }
    for (const [at, extra] of deltas) {
      const value = (BigInt(high[at]!) << 32n) | BigInt(low[at]! >>> 0);
      run.setBigInt(at, value + extra);
    }
  }

  /** A base of `bytes` bytes, big-endian, whose top bit is the sign and not part of two's complement. */
  function readBase(bytes: number): bigint {
    stream.need(bytes);
    let value = 0n;
    for (let index = 0; index < bytes; index++) value = (value << 8n) | BigInt(stream.window[stream.position++]!);
    const sign = 1n << BigInt(bytes * 8 - 1);
    return value >= sign ? sign - value : value;
  }

  function readPatches(count: number, bits: number): bigint[] {
    const width = storedWidth(bits);
    const bytes = Math.ceil((width * count) / 8);
    stream.need(bytes);
    let all = 0n;
    for (let index = 0; index < bytes; index++) all = (all << 8n) | BigInt(stream.window[stream.position++]!);
    all >>= BigInt(bytes * 8 - width * count);
    const patches: bigint[] = [];
    for (let index = count - 1; index >= 0; index--) patches.push(BigInt.asUintN(width, all >> BigInt(index * width)));
    return patches;
  }

  function delta(run: IntegerRun, width: number): void {
    const { count } = run;
    varint.read(stream);
    if (signed) varint.unzigzag();
    // An unsigned base above 2^63 has no meaning in any column; it is read as the signed pattern.
    const safeBase = varint.safe;
    const base = varint.bigint;
    varint.read(stream);
    varint.unzigzag();
    const safeStep = varint.safe;
    const step = varint.bigint;
    const wide = width > 32;
    if (width > 0) {
      run.count = Math.max(0, count - 2);
      unpack(run, width);
      run.count = count;
    }
    if (safeBase !== undefined && safeStep !== undefined && !wide) deltaOfNumbers(run, width, safeBase, safeStep);
    else deltaOfBigInts(run, width, base, step);
  }

  function deltaOfNumbers(run: IntegerRun, width: number, base: number, step: number): void {
    const { low, count } = run;
    const direction = step < 0 ? -1 : 1;
    // The sum of all deltas bounds every value between, since they have one direction.
    let last = base + (width === 0 ? step * (count - 1) : step);
    if (width > 0) for (let index = 0; index < count - 2; index++) last += direction * (low[index]! >>> 0);
    if (!Number.isSafeInteger(last)) {
      deltaOfBigInts(run, width, BigInt(base), BigInt(step));
      return;
    }
    run.narrow = base === (base | 0) && last === (last | 0);
    if (width === 0) {
      if (run.narrow) for (let index = 0; index < count; index++) low[index] = base + step * index;
      else for (let index = 0; index < count; index++) run.setNumber(index, base + step * index);
      return;
    }
    // From the back, each delta's place would be overwritten before it is read; so the sums are made from the last
    // value down.
    if (run.narrow) {
      let value = last | 0;
      for (let index = count - 1; index >= 2; index--) {
        const difference = low[index - 2]!;
        low[index] = value;
        value = direction < 0 ? (value + difference) | 0 : (value - difference) | 0;
      }
      if (count > 1) low[1] = base + step;
      low[0] = base;
      return;
    }
    let value = last;
    for (let index = count - 1; index >= 2; index--) {
      const difference = low[index - 2]! >>> 0;
      run.setNumber(index, value);
      value -= direction * difference;
    }
    if (count > 1) run.setNumber(1, base + step);
    run.setNumber(0, base);
  }

  /** The rare run that leaves the safe integers; it wraps at 64 bits, as the format's own readers do. */
  function deltaOfBigInts(run: IntegerRun, width: number, base: bigint, step: bigint): void {
    const { low, high, count } = run;
    const differences: bigint[] = [];
    for (let index = 0; index < count - 2; index++) {
      const upper = width > 32 ? BigInt(high[index]! >>> 0) << 32n : 0n;
      differences.push(width === 0 ? step : upper | BigInt(low[index]! >>> 0));
    }
    run.narrow = false;
    let value = base;
    for (let index = 0; index < count; index++) {
      if (index === 1) value += step;
      else if (index > 1) value += width > 0 && step < 0n ? -differences[index - 2]! : differences[index - 2]!;
      run.setBigInt(index, value);
    }
  }
}
