import { formatInvalid } from './format-error.ts';

/** Wire types of protobuf: the low three bits of a tag. Groups (3, 4) are not used by ORC. */
export const wire = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

const utf8 = new TextDecoder();

/**
 * How many messages a section may hold. An empty message takes two bytes of a section and forty of memory, and a chunk
 * of zeros expands a thousandfold: without a bound, a file of a few kilobytes would fill the heap. Real sections have a
 * message for every few bytes stored; these are 64 for each, and at most eight million.
 */
export function messageBudget(storedBytes: number): MessageBudget {
  return { left: Math.min(8_388_608, 65_536 + storedBytes * 64) };
}

export interface MessageBudget {
  left: number;
}

/**
 * Reads one protobuf message field by field.
 *
 * ORC's messages need varints, doubles and length-delimited fields only, so a generated codec would be more code than
 * this. Every read is bounded by the message's end; a claimed length is compared with the bytes at hand before it is
 * used.
 */
export class ProtobufReader {
  /** Number of the field that the last {@link ProtobufReader.next} found. */
  field = 0;
  #wire = 0;
  #position: number;
  readonly #bytes: Uint8Array;
  readonly #end: number;
  readonly #what: string;
  readonly #offset: number;
  readonly #budget: MessageBudget;

  /** `what` names the message in errors; `offset` is the place in the file that errors report. */
  constructor(
    bytes: Uint8Array,
    options: { what: string; offset: number; budget?: MessageBudget; start?: number; end?: number },
  ) {
    this.#bytes = bytes;
    this.#position = options.start ?? 0;
    this.#end = options.end ?? bytes.length;
    this.#what = options.what;
    this.#offset = options.offset;
    this.#budget = options.budget ?? messageBudget(bytes.length);
  }

  /** Moves to the next field; false at the end of the message. The field must then be read or skipped. */
  next(): boolean {
    if (this.#position >= this.#end) return false;
    const tag = this.#safeVarint();
    this.field = Math.floor(tag / 8);
    this.#wire = tag % 8;
    if (this.field === 0 || this.field > 0x1fffffff) throw this.#invalid(`has an invalid tag ${tag}`);
    return true;
  }

  /** A count, a length or an id: an unsigned varint up to 2^53 - 1. */
  uint(): number {
    this.#expect(wire.varint);
    return this.#safeVarint();
  }

  bool(): boolean {
    this.#expect(wire.varint);
    const [low, high] = this.#words();
    return (low | high) !== 0;
  }

  /** A zigzag-encoded signed 64-bit integer: number where exact, bigint beyond. */
  sint(): number | bigint {
    this.#expect(wire.varint);
    const [low, high] = this.#words();
    if (high === 0) return low % 2 === 0 ? low / 2 : -(low + 1) / 2;
    const value = (BigInt(high) << 32n) | BigInt(low);
    return exact(BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n)));
  }

  /** An unsigned 64-bit integer: number where exact, bigint beyond. */
  uint64(): number | bigint {
    this.#expect(wire.varint);
    const [low, high] = this.#words();
    return exact((BigInt(high) << 32n) | BigInt(low));
  }

  /** A signed integer in plain (not zigzag) two's complement, as int32 and int64 fields have it. */
  int(): number | bigint {
    this.#expect(wire.varint);
    const [low, high] = this.#words();
    return exact(BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low)));
  }

  double(): number {
    this.#expect(wire.fixed64);
    const at = this.#advance(8);
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + at, 8).getFloat64(0, true);
  }

  /** A view of a bytes field, not a copy. */
  bytes(): Uint8Array {
    const [start, end] = this.#delimited();
    return this.#bytes.subarray(start, end);
  }

  string(): string {
    return utf8.decode(this.bytes());
  }

  /** A reader for a nested message; `what` names it in errors. */
  message(what: string): ProtobufReader {
    const [start, end] = this.#delimited();
    this.#spend(1);
    return new ProtobufReader(this.#bytes, { what, offset: this.#offset, budget: this.#budget, start, end });
  }

  /** Repeated unsigned integers, packed or one at a time: writers of both kinds exist, and readers must accept both. */
  uints(into: number[]): void {
    if (this.#wire === wire.varint) {
      this.#spend(1 / 8);
      into.push(this.#safeVarint());
      return;
    }
    const packed = this.message(this.#what);
    while (packed.#position < packed.#end) {
      this.#spend(1 / 8);
      into.push(packed.#safeVarint());
    }
  }

  /** Passes over a field that this version does not know. */
  skip(): void {
    if (this.#wire === wire.varint) this.#words();
    else if (this.#wire === wire.fixed64) this.#advance(8);
    else if (this.#wire === wire.bytes) this.#delimited();
    else if (this.#wire === wire.fixed32) this.#advance(4);
    else throw this.#invalid(`has field ${this.field} of unknown wire type ${this.#wire}`);
  }

  #spend(cost: number): void {
    this.#budget.left -= cost;
    if (this.#budget.left < 0) throw this.#invalid('is one of more messages than its section can hold');
  }

  #expect(type: number): void {
    if (this.#wire !== type) {
      throw this.#invalid(`has field ${this.field} of wire type ${this.#wire}, expected ${type}`);
    }
  }

  #delimited(): [number, number] {
    this.#expect(wire.bytes);
    const length = this.#safeVarint();
    const start = this.#advance(length);
    return [start, start + length];
  }

  #advance(length: number): number {
    const start = this.#position;
    if (length > this.#end - start) {
      throw this.#invalid(`claims ${length} bytes for field ${this.field} where ${this.#end - start} are left`);
    }
    this.#position = start + length;
    return start;
  }

  #safeVarint(): number {
    const [low, high] = this.#words();
    if (high >= 0x200000) throw this.#invalid(`has a number above 2^53 in field ${this.field}`);
    return high * 0x100000000 + low;
  }

  /** A varint as two unsigned 32-bit words, so that 64-bit values stay exact without a bigint each. */
  #words(): [low: number, high: number] {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.#position >= this.#end) throw this.#invalid('ends within a number');
      const byte = this.#bytes[this.#position++]!;
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high |= bits >>> 4;
      } else if (shift < 64) high |= bits << (shift - 32);
      if (byte < 0x80) return [low >>> 0, high >>> 0];
    }
    throw this.#invalid('has a number longer than ten bytes');
  }

  #invalid(found: string): Error {
    return formatInvalid(`${this.#what} ${found}`, this.#offset);
  }
}

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
