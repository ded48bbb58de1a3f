import type { BitRunLengthReader } from './byte-run-length.ts';

/** Which rows of a batch a column has values for. */
export interface Presence {
  /** A byte a row, 1 where null; undefined where no row is. */
  readonly nulls: Uint8Array | undefined;
  /** Rows that are not null: the values that the column's data streams hold for this batch. */
  readonly values: number;
}

/**
 * The nulls of a column's next `count` rows: those of its parent, and those that its PRESENT stream says.
 *
 * A column has no entry, in any stream, for a row whose parent is null; so the bits are read for the other rows, and
 * spread.
 */
export function readPresence(
  present: BitRunLengthReader | undefined,
  count: number,
  parentNulls: Uint8Array | undefined,
): Presence {
  if (present === undefined) {
    return parentNulls === undefined
      ? { nulls: undefined, values: count }
      : { nulls: parentNulls, values: count - countSet(parentNulls, count) };
  }
  const flags = new Uint8Array(count);
  if (parentNulls === undefined) {
    present.read(flags, 0, count);
    let values = 0;
    for (let row = 0; row < count; row++) {
      values += flags[row]!;
      flags[row]! ^= 1;
    }
    return { nulls: values === count ? undefined : flags, values };
  }
  const own = count - countSet(parentNulls, count);
  const bits = new Uint8Array(own);
  present.read(bits, 0, own);
  let values = 0;
  for (let row = 0, bit = 0; row < count; row++) {
    const there = parentNulls[row] === 1 ? 0 : bits[bit++]!;
    values += there;
    flags[row] = there ^ 1;
  }
  return { nulls: flags, values };
}

function countSet(flags: Uint8Array, count: number): number {
  let set = 0;
  for (let row = 0; row < count; row++) set += flags[row]!;
  return set;
}

interface Spreadable {
  [index: number]: number;
}

/**
 * Moves the `values` first entries of `array` to the rows that are not null, in place, and zeroes the others.
 * `stride` is the entries a row has. From the back, so that nothing is overwritten before it is moved.
 */
export function spread(array: Spreadable, presence: Presence, options: { count: number; stride?: 1 | 2 }): void {
  const { nulls } = presence;
  if (nulls === undefined) return;
  let from = presence.values - 1;
  if (options.stride === 2) {
    for (let row = options.count - 1; row >= 0; row--) {
      if (nulls[row] === 1) {
        array[row * 2] = 0;
        array[row * 2 + 1] = 0;
      } else {
        array[row * 2 + 1] = array[from * 2 + 1]!;
        array[row * 2] = array[from * 2]!;
        from--;
      }
    }
    return;
  }
  for (let row = options.count - 1; row >= 0; row--) array[row] = nulls[row] === 1 ? 0 : array[from--]!;
}

/** Offsets of `count` rows from the lengths of those that are not null: a null has the length 0. */
export function offsetsOf(lengths: Int32Array, presence: Presence, count: number): Int32Array {
  const { nulls } = presence;
  const offsets = new Int32Array(count + 1);
  let total = 0;
  if (nulls === undefined) for (let row = 0; row < count; row++) offsets[row + 1] = total += lengths[row]!;
  else {
    let from = 0;
    for (let row = 0; row < count; row++) {
      if (nulls[row] !== 1) total += lengths[from++]!;
      offsets[row + 1] = total;
    }
  }
  return offsets;
}
