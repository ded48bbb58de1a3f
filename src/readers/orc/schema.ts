import { formatInvalid, formatUnsupported } from './format-error.ts';
import type { ProtobufReader } from './protobuf.ts';

/** The type kinds of ORC, in the order of their numbers. */
export const orcKinds = [
  'BOOLEAN',
  'BYTE',
  'SHORT',
  'INT',
  'LONG',
  'FLOAT',
  'DOUBLE',
  'STRING',
  'BINARY',
  'TIMESTAMP',
  'LIST',
  'MAP',
  'STRUCT',
  'UNION',
  'DECIMAL',
  'DATE',
  'VARCHAR',
  'CHAR',
  'TIMESTAMP_INSTANT',
  'GEOMETRY',
  'GEOGRAPHY',
] as const;

/** A type kind of ORC. TIMESTAMP is a clock's face without a zone, TIMESTAMP_INSTANT a point in time. */
export type OrcKind = (typeof orcKinds)[number];

/**
 * One entry of the footer's type list. The list is a tree in pre-order: the index is the column id, column 0 the root.
 */
export interface OrcType {
  readonly kind: OrcKind;
  /** Column ids of the children. */
  readonly subtypes: readonly number[];
  /** Names of a struct's children. */
  readonly fieldNames: readonly string[];
  /** Of CHAR and VARCHAR, in characters. */
  readonly maximumLength?: number;
  readonly precision?: number;
  readonly scale?: number;
  /** Key-value pairs that the writer's user attached to the type. */
  readonly attributes?: readonly { readonly key: string; readonly value: string }[];
}

/** A column of the tree of types. */
export interface OrcColumn {
  /** Column id: streams and statistics are found by it. Not the position of a field once types nest. */
  readonly id: number;
  /** Largest column id below this column, its own if it has no children. */
  readonly lastId: number;
  readonly type: OrcType;
  /** Field name, or the role of a child of list (element), map (key, value) or union (its number); '' for the root. */
  readonly name: string;
  readonly children: readonly OrcColumn[];
}

/** Deeper nesting than this is malformed: no writer makes it, and a reader must not run out of stack. */
const deepest = 256;

export function parseType(reader: ProtobufReader, at: number): OrcType {
  let kind: number | undefined;
  const subtypes: number[] = [];
  const fieldNames: string[] = [];
  const attributes: { key: string; value: string }[] = [];
  const rest: { maximumLength?: number; precision?: number; scale?: number } = {};
  while (reader.next()) {
    if (reader.field === 1) kind = reader.uint();
    else if (reader.field === 2) reader.uints(subtypes);
    else if (reader.field === 3) fieldNames.push(reader.string());
    else if (reader.field === 4) rest.maximumLength = reader.uint();
    else if (reader.field === 5) rest.precision = reader.uint();
    else if (reader.field === 6) rest.scale = reader.uint();
    else if (reader.field === 7) attributes.push(parseAttribute(reader.message('type attribute')));
    else reader.skip();
  }
  if (kind === undefined) throw formatInvalid('a type has no kind', at);
  const known = orcKinds[kind];
  if (known === undefined) throw formatUnsupported(`type kind ${kind} is unknown`, at);
  if ((rest.precision ?? 0) > 38 || (rest.scale ?? 0) > 38) {
    throw formatInvalid(`decimal(${rest.precision},${rest.scale}) is beyond 38 digits`, at);
  }
  const type = { kind: known, subtypes, fieldNames, ...rest };
  return attributes.length === 0 ? type : { ...type, attributes };
}

function parseAttribute(reader: ProtobufReader): { key: string; value: string } {
  let key = '';
  let value = '';
  while (reader.next()) {
    if (reader.field === 1) key = reader.string();
    else if (reader.field === 2) value = reader.string();
    else reader.skip();
  }
  return { key, value };
}

/**
 * Builds the tree of columns, and checks that the list is one: every child comes after its parent and right where
 * pre-order puts it, so that no cycle, no shared child and no gap can exist, and kinds have as many children as they
 * need.
 */
export function buildSchema(types: readonly OrcType[], at: number): OrcColumn {
  if (types.length === 0) throw formatInvalid('the footer has no types', at);
  const root = build(0, '', 0);
  if (root.lastId !== types.length - 1) {
    throw formatInvalid(`the root type covers ${root.lastId + 1} of ${types.length} types`, at);
  }
  return root;

  function build(id: number, name: string, depth: number): OrcColumn {
    if (depth > deepest) throw formatInvalid(`types nest deeper than ${deepest}`, at);
    const type = types[id]!;
    checkChildren(type, id, at);
    const children: OrcColumn[] = [];
    let next = id + 1;
    for (const [index, child] of type.subtypes.entries()) {
      if (child !== next || child >= types.length) {
        throw formatInvalid(`type ${id} has child ${child} where ${next} of ${types.length} types was expected`, at);
      }
      const column = build(child, childName(type, index), depth + 1);
      children.push(column);
      next = column.lastId + 1;
    }
    return { id, lastId: next - 1, type, name, children };
  }
}

function checkChildren(type: OrcType, id: number, at: number): void {
  const { kind, subtypes, fieldNames } = type;
  const valid =
    kind === 'STRUCT'
      ? subtypes.length === fieldNames.length
      : kind === 'LIST'
        ? subtypes.length === 1
        : kind === 'MAP'
          ? subtypes.length === 2
          : kind === 'UNION'
            ? subtypes.length >= 1 && subtypes.length <= 256 // a tag is one byte
            : subtypes.length === 0;
  if (!valid) throw formatInvalid(`type ${id} (${kind}) has ${subtypes.length} children`, at);
}

function childName(type: OrcType, index: number): string {
  if (type.kind === 'STRUCT') return type.fieldNames[index]!;
  if (type.kind === 'LIST') return 'element';
  if (type.kind === 'MAP') return index === 0 ? 'key' : 'value';
  return String(index);
}

const typeNames: Record<OrcKind, string> = {
  BOOLEAN: 'boolean',
  BYTE: 'tinyint',
  SHORT: 'smallint',
  INT: 'int',
  LONG: 'bigint',
  FLOAT: 'float',
  DOUBLE: 'double',
  STRING: 'string',
  BINARY: 'binary',
  TIMESTAMP: 'timestamp',
  LIST: 'array',
  MAP: 'map',
  STRUCT: 'struct',
  UNION: 'uniontype',
  DECIMAL: 'decimal',
  DATE: 'date',
  VARCHAR: 'varchar',
  CHAR: 'char',
  TIMESTAMP_INSTANT: 'timestamp with local time zone',
  GEOMETRY: 'geometry',
  GEOGRAPHY: 'geography',
};

/** A column's type as Hive and the ORC tools write it: `struct<id:int,price:decimal(10,2)>`. */
export function formatSchema(column: OrcColumn): string {
  const { type, children } = column;
  const name = typeNames[type.kind];
  if (type.kind === 'DECIMAL') return `decimal(${type.precision ?? 0},${type.scale ?? 0})`;
  if (type.kind === 'CHAR' || type.kind === 'VARCHAR') return `${name}(${type.maximumLength ?? 0})`;
  if (type.kind === 'STRUCT') {
    return `struct<${children.map((child) => `${quoted(child.name)}:${formatSchema(child)}`).join(',')}>`;
  }
  if (children.length > 0) return `${name}<${children.map(formatSchema).join(',')}>`;
  return name;
}

function quoted(name: string): string {
  return /^[\p{L}\p{N}_]+$/u.test(name) ? name : `\`${name.replaceAll('`', '``')}\``;
}
