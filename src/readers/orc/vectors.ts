/**
 * Columns as decoded: typed arrays with one entry a row, ready for computing without an object a value.
 *
 * `nulls` has a byte a row, 1 where the value is null, and is undefined where none is. (A byte rather than a bit: it is
 * read once or more a value by everything that follows.) What the arrays hold at a null is 0 or empty. A null struct
 * makes its children null too.
 */
export type OrcVector =
  | BooleanVector
  | Int32Vector
  | Int64Vector
  | FloatVector
  | StringVector
  | BinaryVector
  | DecimalVector
  | DateVector
  | TimestampVector
  | StructVector
  | ListVector
  | MapVector
  | UnionVector
  | NullVector;

interface VectorOf<Kind extends string> {
  readonly kind: Kind;
  readonly length: number;
  readonly nulls: Uint8Array | undefined;
}

/** BOOLEAN: 0 or 1. */
export interface BooleanVector extends VectorOf<'boolean'> {
  readonly values: Uint8Array;
}

/** BYTE, SHORT and INT. */
export interface Int32Vector extends VectorOf<'int32'> {
  readonly values: Int32Array;
}

/** LONG. */
export interface Int64Vector extends VectorOf<'int64'> {
  readonly values: BigInt64Array;
}

/** FLOAT and DOUBLE. */
export interface FloatVector extends VectorOf<'float'> {
  readonly values: Float32Array | Float64Array;
}

/** Distinct strings of a stripe, decoded once however often they occur. */
export interface StringDictionary {
  readonly strings: readonly string[];
}

/**
 * STRING, CHAR and VARCHAR.
 *
 * Direct: value i is the UTF-8 bytes [offsets[i], offsets[i + 1]). With a dictionary: it is
 * dictionary.strings[indices[i]].
 */
export type StringVector = DirectStringVector | DictionaryStringVector;

export interface DirectStringVector extends VectorOf<'string'> {
  readonly offsets: Int32Array;
  readonly bytes: Uint8Array;
  readonly dictionary: undefined;
  /** CHAR: trailing spaces are padding, and not part of the value. */
  readonly trim: boolean;
}

export interface DictionaryStringVector extends VectorOf<'string'> {
  readonly indices: Int32Array;
  readonly dictionary: StringDictionary;
}

/** BINARY, GEOMETRY and GEOGRAPHY: value i is the bytes [offsets[i], offsets[i + 1]). */
export interface BinaryVector extends VectorOf<'binary'> {
  readonly offsets: Int32Array;
  readonly bytes: Uint8Array;
}

/** DECIMAL: value i is unscaled[i] / 10^scale. 64 bits where the precision is at most 18. */
export interface DecimalVector extends VectorOf<'decimal'> {
  readonly unscaled: BigInt64Array | readonly bigint[];
  readonly scale: number;
  /**
   * 0 in files of Hive 0.11, whose decimals have neither precision nor scale: theirs is 18 here, and rows show no
   * trailing zeros.
   */
  readonly precision: number;
}

/** DATE: days since 1970-01-01 in the proleptic Gregorian calendar. */
export interface DateVector extends VectorOf<'date'> {
  readonly values: Int32Array;
}

/**
 * TIMESTAMP and TIMESTAMP_INSTANT: whole seconds since 1970-01-01 00:00:00, rounded down, and nanoseconds from there.
 *
 * Where `instant` is set the seconds count in UTC. Else the value is a clock's face without a zone, and the seconds are
 * those which a clock set to UTC takes to show it.
 */
export interface TimestampVector extends VectorOf<'timestamp'> {
  readonly seconds: Float64Array;
  readonly nanoseconds: Int32Array;
  readonly instant: boolean;
}

export interface StructVector extends VectorOf<'struct'> {
  readonly names: readonly string[];
  /** As many rows as the struct itself. */
  readonly children: readonly OrcVector[];
}

/** LIST: the elements of value i are those [offsets[i], offsets[i + 1]) of `elements`. */
export interface ListVector extends VectorOf<'list'> {
  readonly offsets: Int32Array;
  readonly elements: OrcVector;
}

/** MAP: the entries of value i are those [offsets[i], offsets[i + 1]) of `keys` and `entries`. */
export interface MapVector extends VectorOf<'map'> {
  readonly offsets: Int32Array;
  readonly keys: OrcVector;
  readonly entries: OrcVector;
}

/** UNION: value i is entry offsets[i] of member tags[i]. */
export interface UnionVector extends VectorOf<'union'> {
  readonly tags: Uint8Array;
  readonly offsets: Int32Array;
  readonly members: readonly OrcVector[];
}

/** A column that was asked for and is not in the file. */
export interface NullVector extends VectorOf<'null'> {
  readonly nulls: Uint8Array;
}

/** `length` nulls. */
export function nullVector(length: number): NullVector {
  return { kind: 'null', length, nulls: new Uint8Array(length).fill(1) };
}
