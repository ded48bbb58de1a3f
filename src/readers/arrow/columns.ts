/** From the body of a record batch to columns whose values can be asked for. Every length is held to the bytes there. */

import { lz4Frame } from '../lz4-frame.ts';
import { plainBytes } from '../orc/byte-ranges.ts';
import { zstdDecompress } from '../orc/zstd.ts';
import { RowAllowance } from './allowance.ts';
import { formatInvalid } from './format-error.ts';
import type { BatchHeader } from './message.ts';
import type { ArrowField } from './schema.ts';
import { type ArrowValue, valueReader } from './value-reader.ts';

/** A column, or the values below one. */
export interface ArrowColumn {
  readonly length: number;
  get(index: number): ArrowValue;
}

/** Dictionaries by id. */
export type Dictionaries = ReadonlyMap<number, ArrowColumn>;

/** A buffer that claims to expand beyond this is refused. */
const largestBuffer = 256 * 1024 * 1024;

/** Most values of a column that has no bytes of its own, below the top. */
const mostWithoutBytes = 2 ** 24;

/** Takes the fields of a batch one after the other, in the order of its nodes and buffers. */
export class BatchLoader {
  readonly #header: BatchHeader;
  readonly #body: Uint8Array;
  /** File offset of the body, for errors. */
  readonly offset: number;
  readonly dictionaries: Dictionaries;
  /** Whether numbers of several bytes have their lowest one first. */
  readonly little: boolean;
  /** What the rows made of this batch may take. */
  readonly allowance: RowAllowance;
  #node = 0;
  #buffer = 0;
  #variadic = 0;

  constructor(parts: {
    header: BatchHeader;
    body: Uint8Array;
    offset: number;
    dictionaries: Dictionaries;
    little: boolean;
    allowance?: RowAllowance;
  }) {
    this.#header = parts.header;
    this.#body = parts.body;
    this.offset = parts.offset;
    this.dictionaries = parts.dictionaries;
    this.little = parts.little;
    this.allowance = parts.allowance ?? new RowAllowance();
  }

  /** The next field's column. It has to have at least `least` values. */
  column(field: ArrowField, least: number): ArrowColumn {
    const { type, dictionary, children } = field;
    const { length, nullCount } = this.#nextNode(field);
    if (length < least) throw this.invalid(`field ${JSON.stringify(field.name)} has ${length} values of ${least}`);
    const bare = type.kind === 'null' || type.kind === 'run_end_encoded' || type.kind === 'struct';
    if (bare && length > Math.max(least, mostWithoutBytes))
      throw this.invalid(`a field without bytes claims ${length} values`);
    if (dictionary !== undefined) {
      const valid = this.#validity(length, nullCount);
      const indices = valueReader({ ...field, type: dictionary.indices, children: [] }, { loader: this, length });
      const { id } = dictionary;
      return nullable(length, valid, (index) => {
        const values = this.dictionaries.get(id);
        if (values === undefined) throw this.invalid(`dictionary ${id} is missing`);
        const at = Number(indices(index));
        if (!(at >= 0 && at < values.length)) throw this.invalid(`dictionary ${id} has no value ${at}`);
        return values.get(at);
      });
    }
    const { kind } = type;
    const hasValidity = kind !== 'null' && kind !== 'run_end_encoded' && (kind !== 'union' || this.#header.version < 4);
    const valid = hasValidity ? this.#validity(length, nullCount) : undefined;
    return nullable(length, valid, valueReader({ ...field, children }, { loader: this, length }));
  }

  /** Passes over a field that is not wanted. */
  skip(field: ArrowField): void {
    this.#nextNode(field);
    const { kind } = field.type;
    if (field.dictionary !== undefined) {
      this.#buffer += 2;
      return;
    }
    const view = kind === 'utf8_view' || kind === 'binary_view';
    this.#buffer += bufferCount(field, this.#header.version) + (view ? this.variadicCount() : 0);
    for (const child of field.children) this.skip(child);
  }

  /** How many data buffers the next view field has. */
  variadicCount(): number {
    const count = this.#header.variadicCounts[this.#variadic++] ?? 0;
    if (count < 0 || count > this.#header.buffers.length) throw this.invalid(`a view field claims ${count} buffers`);
    return count;
  }

  /** The next buffer, expanded; it has to hold `least` bytes. */
  buffer(least: number): Uint8Array {
    const place = this.#header.buffers[this.#buffer++];
    if (place === undefined) throw this.invalid('a batch has fewer buffers than its schema needs');
    const [start, length] = place;
    if (start < 0 || length < 0 || start + length > this.#body.length) {
      throw this.invalid(`a buffer is at [${start}, ${start + length}) of a body of ${this.#body.length} bytes`);
    }
    const stored = this.#body.subarray(start, start + length);
    const bytes = this.#header.compression === undefined || length === 0 ? stored : this.#expand(stored);
    this.allowance.addStored(bytes.length);
    if (bytes.length < least) throw this.invalid(`a buffer has ${bytes.length} bytes where ${least} are needed`);
    return bytes;
  }

  #expand(stored: Uint8Array): Uint8Array {
    if (stored.length < 8) throw this.invalid('a compressed buffer is shorter than its length');
    const claimed = Number(new DataView(stored.buffer, stored.byteOffset, 8).getBigInt64(0, true));
    const content = stored.subarray(8);
    if (claimed === -1) return content;
    if (claimed < 0 || claimed > largestBuffer) throw this.invalid(`a buffer claims to expand to ${claimed} bytes`);
    let bytes: Uint8Array | undefined;
    try {
      bytes = this.#header.compression === 'ZSTD' ? zstdDecompress(content, claimed) : lz4Frame(content, claimed);
    } catch (cause) {
      throw formatInvalid(`a buffer does not expand to ${claimed} bytes`, this.offset, cause);
    }
    if (bytes?.length !== claimed) throw this.invalid(`a buffer does not expand to ${claimed} bytes`);
    return plainBytes(bytes);
  }

  #nextNode(field: ArrowField): { length: number; nullCount: number } {
    const node = this.#header.nodes[this.#node++];
    if (node === undefined) throw this.invalid(`a batch has no values for field ${JSON.stringify(field.name)}`);
    const [length, nullCount] = node;
    if (length < 0 || nullCount < 0 || nullCount > length) {
      throw this.invalid(`field ${JSON.stringify(field.name)} claims ${length} values, ${nullCount} of them null`);
    }
    return { length, nullCount };
  }

  #validity(length: number, nullCount: number): Uint8Array | undefined {
    const bits = this.buffer(0);
    if (nullCount === 0) return undefined;
    if (bits.length * 8 < length) throw this.invalid(`a validity buffer has ${bits.length} bytes for ${length} values`);
    return bits;
  }

  invalid(message: string): Error {
    return formatInvalid(message, this.offset);
  }
}

function nullable(length: number, valid: Uint8Array | undefined, read: (index: number) => ArrowValue): ArrowColumn {
  if (valid === undefined) return { length, get: read };
  return { length, get: (index) => ((valid[index >> 3]! >> (index & 7)) & 1 ? read(index) : null) };
}

/** Buffers of a field itself, its children's and a view's data left out. */
export function bufferCount({ type, dictionary }: ArrowField, version: number): number {
  if (dictionary !== undefined) return 2;
  switch (type.kind) {
    case 'null':
    case 'run_end_encoded':
      return 0;
    case 'struct':
    case 'fixed_size_list':
      return 1;
    case 'union':
      return (type.dense ? 2 : 1) + (version < 4 ? 1 : 0);
    case 'utf8':
    case 'binary':
    case 'large_utf8':
    case 'large_binary':
    case 'list_view':
    case 'large_list_view':
      return 3;
    case 'bool':
    case 'int':
    case 'float':
    case 'decimal':
    case 'date':
    case 'time':
    case 'timestamp':
    case 'duration':
    case 'interval':
    case 'fixed_size_binary':
    case 'list':
    case 'large_list':
    case 'map':
    case 'utf8_view':
    case 'binary_view':
      return 2;
  }
}

/** Where each top-level field's buffers lie in a batch's body, and how many of its values are null. */
export function ownBuffers(
  fields: readonly ArrowField[],
  { nodes, buffers, variadicCounts, version }: BatchHeader,
): { start: number; length: number; nullCount: number }[] {
  let [node, buffer, variadic] = [0, 0, 0];
  const pass = (field: ArrowField): void => {
    node++;
    buffer += bufferCount(field, version);
    if (field.dictionary !== undefined) return;
    const { kind } = field.type;
    if (kind === 'utf8_view' || kind === 'binary_view') buffer += Math.max(0, variadicCounts[variadic++] ?? 0);
    field.children.forEach(pass);
  };
  return fields.map((field) => {
    const nullCount = Math.max(0, nodes[node]?.[1] ?? 0);
    const first = buffer;
    pass(field);
    const own = buffers.slice(first, buffer).filter(([, length]) => length > 0);
    const start = own.length === 0 ? 0 : Math.min(...own.map(([offset]) => offset));
    return { start, nullCount, length: Math.max(start, ...own.map(([offset, length]) => offset + length)) - start };
  });
}
