/**
 * FlatBuffers, the form of Arrow's footer and message headers, read without trust:
 *
 *   root:   u32 offset of a table
 *   table:  i32 distance back to its vtable | fields
 *   vtable: u16 its size | u16 the table's size | u16 offset of each field in the table, 0 where it is absent
 *   vector: u32 count | items;  string: u32 length | UTF-8
 *
 * A generated reader takes offsets and counts as they come; here each has to lie within the bytes.
 */
import { formatInvalid } from './format-error.ts';

const utf8 = new TextDecoder();

interface Bytes {
  readonly view: DataView;
  /** File offset of the first byte, for errors. */
  readonly offset: number;
  /** Tables that may still be visited: a small buffer can refer to the same one over and over. */
  budget: number;
}

/** More tables than any schema has. */
const mostTables = 1_000_000;

export class FlatTable {
  readonly #bytes: Bytes;
  readonly #position: number;
  readonly #vtable: number;
  readonly #slots: number;

  private constructor(bytes: Bytes, position: number) {
    this.#bytes = bytes;
    this.#position = position;
    if (--bytes.budget < 0) throw formatInvalid('its metadata refers to itself over and over', bytes.offset);
    check(bytes, position, 4);
    this.#vtable = position - bytes.view.getInt32(position, true);
    check(bytes, this.#vtable, 4);
    const size = bytes.view.getUint16(this.#vtable, true);
    check(bytes, this.#vtable, size);
    this.#slots = (size - 4) >> 1;
  }

  /** The table that bytes hold. `offset` is the file's, of their first byte. @throws FORMAT_INVALID */
  static root(content: Uint8Array, { offset }: { offset: number }): FlatTable {
    const view = new DataView(content.buffer, content.byteOffset, content.length);
    const bytes = { view, offset, budget: mostTables };
    check(bytes, 0, 4);
    return new FlatTable(bytes, view.getUint32(0, true));
  }

  /** Where a field's value lies, undefined where it is absent. */
  #at(slot: number, size: number): number | undefined {
    if (slot >= this.#slots) return undefined;
    const distance = this.#bytes.view.getUint16(this.#vtable + 4 + slot * 2, true);
    if (distance === 0) return undefined;
    check(this.#bytes, this.#position + distance, size);
    return this.#position + distance;
  }

  #target(slot: number): number | undefined {
    const at = this.#at(slot, 4);
    return at === undefined ? undefined : at + this.#bytes.view.getUint32(at, true);
  }

  boolean(slot: number): boolean {
    const at = this.#at(slot, 1);
    return at !== undefined && this.#bytes.view.getUint8(at) !== 0;
  }

  byte(slot: number, fallback = 0): number {
    const at = this.#at(slot, 1);
    return at === undefined ? fallback : this.#bytes.view.getUint8(at);
  }

  short(slot: number, fallback = 0): number {
    const at = this.#at(slot, 2);
    return at === undefined ? fallback : this.#bytes.view.getInt16(at, true);
  }

  int(slot: number, fallback = 0): number {
    const at = this.#at(slot, 4);
    return at === undefined ? fallback : this.#bytes.view.getInt32(at, true);
  }

  long(slot: number): number {
    const at = this.#at(slot, 8);
    return at === undefined ? 0 : longAt(this.#bytes, at);
  }

  text(slot: number): string | undefined {
    const at = this.#target(slot);
    if (at === undefined) return undefined;
    check(this.#bytes, at, 4);
    const length = this.#bytes.view.getUint32(at, true);
    check(this.#bytes, at + 4, length);
    const { buffer, byteOffset } = this.#bytes.view;
    return utf8.decode(new Uint8Array(buffer, byteOffset + at + 4, length));
  }

  table(slot: number): FlatTable | undefined {
    const at = this.#target(slot);
    return at === undefined ? undefined : new FlatTable(this.#bytes, at);
  }

  tables(slot: number): FlatTable[] {
    const { start, count } = this.#vector(slot, 4);
    const tables: FlatTable[] = [];
    for (let index = 0; index < count; index++) {
      const at = start + index * 4;
      tables.push(new FlatTable(this.#bytes, at + this.#bytes.view.getUint32(at, true)));
    }
    return tables;
  }

  ints(slot: number): number[] {
    const { start, count } = this.#vector(slot, 4);
    return Array.from({ length: count }, (_, index) => this.#bytes.view.getInt32(start + index * 4, true));
  }

  longs(slot: number): number[] {
    const { start, count } = this.#vector(slot, 8);
    return Array.from({ length: count }, (_, index) => longAt(this.#bytes, start + index * 8));
  }

  /** A vector of structs of two longs. */
  pairs(slot: number): [number, number][] {
    const { start, count } = this.#vector(slot, 16);
    return Array.from({ length: count }, (_, index) => [
      longAt(this.#bytes, start + index * 16),
      longAt(this.#bytes, start + index * 16 + 8),
    ]);
  }

  /** A vector of structs of a long, an int, four bytes of padding and a long. */
  blocks(slot: number): [number, number, number][] {
    const { start, count } = this.#vector(slot, 24);
    return Array.from({ length: count }, (_, index) => {
      const at = start + index * 24;
      return [longAt(this.#bytes, at), this.#bytes.view.getInt32(at + 8, true), longAt(this.#bytes, at + 16)];
    });
  }

  #vector(slot: number, size: number): { start: number; count: number } {
    const at = this.#target(slot);
    if (at === undefined) return { start: 0, count: 0 };
    check(this.#bytes, at, 4);
    const count = this.#bytes.view.getUint32(at, true);
    check(this.#bytes, at + 4, count * size);
    return { start: at + 4, count };
  }
}

function check({ view, offset }: Bytes, position: number, length: number): void {
  if (position < 0 || position + length > view.byteLength) {
    throw formatInvalid(
      `its metadata points at ${length} bytes at ${position}, of ${view.byteLength}`,
      offset + Math.max(0, Math.min(position, view.byteLength)),
    );
  }
}

function longAt({ view, offset }: Bytes, position: number): number {
  const value = Number(view.getBigInt64(position, true));
  if (!Number.isSafeInteger(value))
    throw formatInvalid(`its metadata has a length or offset of ${value}`, offset + position);
  return value;
}
