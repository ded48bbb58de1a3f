/** Encoders of ORC's run lengths, written from the specification and used by tests alone: the decoders' counterpart. */

const widths = [...Array.from({ length: 24 }, (_, index) => index + 1), 26, 28, 30, 32, 40, 48, 56, 64];

export function zigzag(value: bigint): bigint {
  return BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
}

export function varint(value: bigint): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  return [...bytes, Number(rest)];
}

function bitLength(value: bigint): number {
  return value === 0n ? 1 : value.toString(2).length;
}

function code(bits: number): number {
  return widths.findIndex((width) => width >= bits);
}

/** Values of `width` bits, big-endian, the last byte filled up with zeros. */
export function packBits(values: readonly bigint[], width: number): number[] {
  const bits = values.map((value) => BigInt.asUintN(width, value).toString(2).padStart(width, '0')).join('');
  const bytes: number[] = [];
  for (let at = 0; at < bits.length; at += 8) bytes.push(Number.parseInt(bits.slice(at, at + 8).padEnd(8, '0'), 2));
  return bytes;
}

function header(kind: number, widthCode: number, count: number): number[] {
  return [(kind << 6) | (widthCode << 1) | ((count - 1) >> 8), (count - 1) & 255];
}

/** Version 2, short repeat: 3 to 10 times one value. */
export function shortRepeat(value: bigint, count: number, signed: boolean): number[] {
  const stored = signed ? zigzag(value) : value;
  const bytes = Math.ceil(bitLength(stored) / 8);
  return [((bytes - 1) << 3) | (count - 3), ...packBits([stored], bytes * 8)];
}

/** Version 2, direct: up to 512 values. */
export function direct(values: readonly bigint[], signed: boolean): number[] {
  const stored = signed ? values.map(zigzag) : values;
  const widthCode = code(Math.max(...stored.map(bitLength)));
  return [...header(1, widthCode, values.length), ...packBits(stored, widths[widthCode]!)];
}

/** Version 2, patched base: `width` bits for every value above the least one, and patches for those that need more. */
export function patchedBase(values: readonly bigint[], width: number): number[] {
  const base = values.reduce((least, value) => (value < least ? value : least));
  const above = values.map((value) => value - base);
  const over = above
    .map((value, index) => ({ index, patch: value >> BigInt(width) }))
    .filter(({ patch }) => patch > 0n);
  const magnitude = base < 0n ? -base : base;
  const baseBytes = Math.ceil((bitLength(magnitude) + 1) / 8);
  const patchCode = code(Math.max(1, ...over.map(({ patch }) => bitLength(patch))));
  const patchWidth = widths[patchCode]!;
  const patches: { gap: number; patch: bigint }[] = [];
  let last = 0;
  for (const { index, patch } of over) {
    let gap = index - last;
    for (; gap > 255; gap -= 255) patches.push({ gap: 255, patch: 0n });
    patches.push({ gap, patch });
    last = index;
  }
  const gapWidth = Math.max(1, ...patches.map(({ gap }) => bitLength(BigInt(gap))));
  const stored = widths.find((candidate) => candidate >= gapWidth + patchWidth)!;
  const sign = base < 0n ? 1n << BigInt(baseBytes * 8 - 1) : 0n;
  return [
    ...header(2, code(width), values.length),
    ((baseBytes - 1) << 5) | patchCode,
    ((gapWidth - 1) << 5) | patches.length,
    ...packBits([magnitude | sign], baseBytes * 8),
    ...packBits(above, width),
    ...packBits(
      patches.map(({ gap, patch }) => (BigInt(gap) << BigInt(patchWidth)) | patch),
      stored,
    ),
  ];
}

/** Version 2, delta: values that go in one direction, from a base by a first delta and then by their magnitudes. */
export function delta(values: readonly bigint[], signed: boolean): number[] {
  const [base = 0n, second = base] = values;
  const steps = values.slice(1).map((value, index) => value - values[index]!);
  const start = [...varint(signed ? zigzag(base) : base), ...varint(zigzag(second - base))];
  if (steps.every((step) => step === steps[0])) return [...header(3, 0, values.length), ...start];
  const magnitudes = steps.slice(1).map((step) => (step < 0n ? -step : step));
  // Code 0 is taken by the fixed delta, so that the least width is two bits.
  const widthCode = Math.max(1, code(Math.max(...magnitudes.map(bitLength))));
  return [...header(3, widthCode, values.length), ...start, ...packBits(magnitudes, widths[widthCode]!)];
}

/** Version 1: a run of values that step by a signed byte. */
export function repeatV1(base: bigint, step: number, count: number, signed: boolean): number[] {
  return [count - 3, step & 255, ...varint(signed ? zigzag(base) : base)];
}

/** Version 1: up to 128 values as they are. */
export function literalsV1(values: readonly bigint[], signed: boolean): number[] {
  return [256 - values.length, ...values.flatMap((value) => varint(signed ? zigzag(value) : value))];
}

/** Byte run lengths: runs of three and more, literals between. */
export function byteRuns(values: readonly number[]): number[] {
  const bytes: number[] = [];
  let literal: number[] = [];
  const flush = (): void => {
    if (literal.length > 0) bytes.push(256 - literal.length, ...literal);
    literal = [];
  };
  for (let at = 0; at < values.length; ) {
    let end = at + 1;
    while (end < values.length && values[end] === values[at] && end - at < 130) end++;
    if (end - at >= 3) {
      flush();
      bytes.push(end - at - 3, values[at]!);
    } else literal.push(...values.slice(at, end));
    if (literal.length > 126) flush();
    at = end;
  }
  flush();
  return bytes;
}

export function bitRuns(bits: readonly number[]): number[] {
  return byteRuns(packBits(bits.map(BigInt), 1));
}
