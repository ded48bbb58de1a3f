/**
 * Looks at the lengths in pages of DELTA_BYTE_ARRAY and DELTA_LENGTH_BYTE_ARRAY. Of the first, each value begins with
 * as much of the one before as its prefix says, so that a page of some bytes can hold gigabytes:
 *
 *   lengths of prefixes | lengths of suffixes | suffixes
 *
 * Lengths, and columns of DELTA_BINARY_PACKED, are blocks of differences:
 *
 *   values a block | miniblocks a block | count | first value, zigzag
 *   for each block: least difference, zigzag | a width for each miniblock | differences less the least, packed
 */
import { formatInvalid } from './format-error.ts';

interface Place {
  readonly path: string;
  /** File offset of the page, for errors. */
  readonly at: number;
}

interface Lengths {
  readonly values: Int32Array;
  /** Where what follows begins. */
  readonly end: number;
}

/**
 * How many bytes the values of a DELTA_BYTE_ARRAY page take, of which there are `count`.
 *
 * @throws SealpipeError FORMAT_INVALID for lengths that contradict the page
 */
export function deltaByteArrayBytes(page: Uint8Array, options: Place & { position: number; count: number }): number {
  const { path, at } = options;
  const prefixes = readLengths(page, options);
  const suffixes = readLengths(page, { ...options, position: prefixes.end });
  let [total, before, left] = [0, 0, page.length - suffixes.end];
  for (let index = 0; index < prefixes.values.length; index++) {
    const [prefix, suffix] = [prefixes.values[index]!, suffixes.values[index]!];
    if (prefix < 0 || prefix > before || suffix < 0 || suffix > left) {
      throw formatInvalid(
        `value ${index} of a page of ${path} takes ${prefix} bytes of the one before, which has ${before}, and ${suffix} of ${left} that are left`,
        at,
      );
    }
    left -= suffix;
    before = prefix + suffix;
    total += before;
  }
  return total;
}

function readLengths(page: Uint8Array, options: Place & { position: number; count: number }): Lengths {
  const { path, at, position, count } = options;
  let offset = position;
  const byte = (): number => {
    const value = page[offset++];
    if (value === undefined) throw formatInvalid(`a page of ${path} ends within its lengths`, at);
    return value;
  };
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const next = byte();
      value += (next & 0x7f) * 2 ** shift;
      if (next < 0x80) return value;
    }
    throw formatInvalid(`a page of ${path} has a length of more than 32 bits`, at);
  };
  const zigzag = (): number => {
    const value = varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  };
  if (count === 0 && position >= page.length) return { values: new Int32Array(), end: position };
  const [blockValues, miniblocks, stated] = [varint(), varint(), varint()];
  // Readers go by the number of values that are not null.
  if (stated !== count) throw formatInvalid(`a page of ${path} states ${stated} lengths for ${count} values`, at);
  const each = blockValues / miniblocks;
  if (!Number.isInteger(each) || each < 1 || miniblocks > page.length) {
    throw formatInvalid(`a page of ${path} has blocks of ${blockValues} lengths in ${miniblocks} parts`, at);
  }
  let value = zigzag();
  const values = new Int32Array(stated);
  let done = 0;
  if (stated > 0) values[done++] = value;
  while (done < stated) {
    const least = zigzag();
    const widths = offset;
    offset += miniblocks;
    for (let part = 0; part < miniblocks && done < stated; part++) {
      const width = page[widths + part] ?? 0;
      const end = offset + (each * width) / 8;
      if (width > 32 || end > page.length) throw formatInvalid(`a page of ${path} ends within its lengths`, at);
      for (let index = 0; index < each && done < stated; index++) {
        value = (value + least + (width === 0 ? 0 : bitsAt(page, offset * 8 + index * width, width))) | 0;
        values[done++] = value;
      }
      offset = end;
    }
  }
  return { values, end: offset };
}

function bitsAt(bytes: Uint8Array, start: number, width: number): number {
  let value = 0;
  for (let read = 0; read < width; ) {
    const bit = start + read;
    const take = Math.min(8 - (bit & 7), width - read);
    value += ((bytes[bit >>> 3]! >>> (bit & 7)) & ((1 << take) - 1)) * 2 ** read;
    read += take;
  }
  return value;
}
