import { formatInvalid } from './format-error.ts';
import { decodeStrings } from './strings.ts';
import type { DictionaryStringVector, OrcVector, StringVector } from './vectors.ts';

/** Joins vectors of one column, of batches that follow each other, into one. */
export function concatenateVectors(vectors: readonly OrcVector[]): OrcVector {
  const first = vectors[0]!;
  if (vectors.length === 1) return first;
  const length = vectors.reduce((sum, vector) => sum + vector.length, 0);
  const nulls = joinNulls(vectors, length);
  switch (first.kind) {
    case 'boolean':
      return { kind: 'boolean', length, nulls, values: join(of(vectors, 'boolean'), length, Uint8Array) };
    case 'int32':
      return { kind: 'int32', length, nulls, values: join(of(vectors, 'int32'), length, Int32Array) };
    case 'date':
      return { kind: 'date', length, nulls, values: join(of(vectors, 'date'), length, Int32Array) };
    case 'int64':
      return { kind: 'int64', length, nulls, values: join(of(vectors, 'int64'), length, BigInt64Array) };
    case 'float': {
      const parts = of(vectors, 'float');
      const type = first.values instanceof Float32Array ? Float32Array : Float64Array;
      return { kind: 'float', length, nulls, values: join(parts, length, type) };
    }
    case 'string':
      return joinStrings(of(vectors, 'string'), length, nulls);
    case 'binary': {
      const parts = of(vectors, 'binary');
      return { kind: 'binary', length, nulls, offsets: joinOffsets(parts, length), bytes: joinBytes(parts) };
    }
    case 'decimal': {
      const parts = of(vectors, 'decimal');
      const { scale, precision } = first;
      if (parts.every((part) => part.unscaled instanceof BigInt64Array)) {
        const values = parts.map((part) => ({ values: part.unscaled as BigInt64Array, length: part.length }));
        return { kind: 'decimal', length, nulls, scale, precision, unscaled: join(values, length, BigInt64Array) };
      }
      const unscaled = parts.flatMap((part) => Array.from(part.unscaled));
      return { kind: 'decimal', length, nulls, scale, precision, unscaled };
    }
    case 'timestamp': {
      const parts = of(vectors, 'timestamp');
      const seconds = join(
        parts.map((part) => ({ values: part.seconds, length: part.length })),
        length,
        Float64Array,
      );
      const fractions = parts.map((part) => ({ values: part.nanoseconds, length: part.length }));
      const nanoseconds = join(fractions, length, Int32Array);
      return { kind: 'timestamp', length, nulls, seconds, nanoseconds, instant: first.instant };
    }
    case 'struct': {
      const parts = of(vectors, 'struct');
      const children = first.children.map((_, index) => concatenateVectors(parts.map((part) => part.children[index]!)));
      return { kind: 'struct', length, nulls, names: first.names, children };
    }
    case 'list': {
      const parts = of(vectors, 'list');
      const elements = concatenateVectors(parts.map((part) => part.elements));
      return { kind: 'list', length, nulls, offsets: joinOffsets(parts, length), elements };
    }
    case 'map': {
      const parts = of(vectors, 'map');
      const keys = concatenateVectors(parts.map((part) => part.keys));
      const entries = concatenateVectors(parts.map((part) => part.entries));
      return { kind: 'map', length, nulls, offsets: joinOffsets(parts, length), keys, entries };
    }
    case 'union': {
      const parts = of(vectors, 'union');
      const tags = join(
        parts.map((part) => ({ values: part.tags, length: part.length })),
        length,
        Uint8Array,
      );
      const members = first.members.map((_, index) => concatenateVectors(parts.map((part) => part.members[index]!)));
      const offsets = new Int32Array(length);
      const before = new Int32Array(members.length);
      let at = 0;
      for (const part of parts) {
        for (let row = 0; row < part.length; row++) offsets[at++] = part.offsets[row]! + (before[part.tags[row]!] ?? 0);
        for (const [index, member] of part.members.entries()) before[index]! += member.length;
      }
      return { kind: 'union', length, nulls, tags, offsets, members };
    }
    case 'null':
      return { kind: 'null', length, nulls: nulls ?? new Uint8Array(length) };
  }
}

type Kind = OrcVector['kind'];

/** The vectors, all of the kind that the first one has: one column has one type. */
function of<K extends Kind>(vectors: readonly OrcVector[], kind: K): Extract<OrcVector, { kind: K }>[] {
  return vectors.filter((vector): vector is Extract<OrcVector, { kind: K }> => vector.kind === kind);
}

interface TypedArrayOf<T> {
  set(source: T, at: number): void;
}

function join<T extends TypedArrayOf<T>>(
  parts: readonly { readonly values: T; readonly length: number }[],
  length: number,
  type: new (length: number) => T,
): T {
  const output = new type(length);
  let at = 0;
  for (const part of parts) {
    output.set(part.values, at);
    at += part.length;
  }
  return output;
}

function joinNulls(vectors: readonly OrcVector[], length: number): Uint8Array | undefined {
  if (vectors.every((vector) => vector.nulls === undefined)) return undefined;
  const output = new Uint8Array(length);
  let at = 0;
  for (const vector of vectors) {
    if (vector.nulls !== undefined) output.set(vector.nulls, at);
    at += vector.length;
  }
  return output;
}

function joinOffsets(
  parts: readonly { readonly offsets: Int32Array; readonly length: number }[],
  length: number,
): Int32Array {
  const output = new Int32Array(length + 1);
  let at = 0;
  let base = 0;
  for (const part of parts) {
    const end = part.offsets[part.length]!;
    // Offsets are 32 bits: what does not fit cannot be one vector. Reading in batches has no such limit.
    if (base + end > 0x7fffffff) throw formatInvalid('a column has more than 2^31 bytes or elements in one vector');
    for (let row = 0; row < part.length; row++) output[at++] = base + part.offsets[row]!;
    base += end;
  }
  output[at] = base;
  return output;
}

function joinBytes(parts: readonly { readonly bytes: Uint8Array }[]): Uint8Array {
  const output = new Uint8Array(parts.reduce((sum, part) => sum + part.bytes.length, 0));
  let at = 0;
  for (const { bytes } of parts) {
    output.set(bytes, at);
    at += bytes.length;
  }
  return output;
}

/** Stripes of one column may differ in encoding, and always do in their dictionaries. */
function joinStrings(parts: readonly StringVector[], length: number, nulls: Uint8Array | undefined): StringVector {
  const direct = parts.filter((part) => part.dictionary === undefined);
  if (direct.length === parts.length) {
    const trim = direct[0]!.trim;
    const offsets = joinOffsets(direct, length);
    return { kind: 'string', length, nulls, offsets, bytes: joinBytes(direct), dictionary: undefined, trim };
  }
  const indices = new Int32Array(length);
  const strings: string[] = [];
  const bases = new Map<unknown, number>();
  let at = 0;
  for (const part of parts) {
    const keyed = part.dictionary === undefined ? asDictionary(part) : part;
    let base = bases.get(keyed.dictionary);
    if (base === undefined) {
      base = strings.length;
      bases.set(keyed.dictionary, base);
      for (const value of keyed.dictionary.strings) strings.push(value);
    }
    for (let row = 0; row < part.length; row++) indices[at++] = base + keyed.indices[row]!;
  }
  return { kind: 'string', length, nulls, indices, dictionary: { strings } };
}

function asDictionary(part: Extract<StringVector, { dictionary: undefined }>): DictionaryStringVector {
  const strings = decodeStrings(part);
  const indices = Int32Array.from({ length: part.length }, (_, index) => index);
  return { kind: 'string', length: part.length, nulls: part.nulls, indices, dictionary: { strings } };
}
