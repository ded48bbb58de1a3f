import type { FlatTable } from './flatbuffer.ts';
import { formatInvalid, formatUnsupported } from './format-error.ts';

export type ArrowTimeUnit = 'SECOND' | 'MILLISECOND' | 'MICROSECOND' | 'NANOSECOND';

/** What the values of a field are. */
export type ArrowType =
  | {
      readonly kind:
        | 'null'
        | 'bool'
        | 'binary'
        | 'utf8'
        | 'large_binary'
        | 'large_utf8'
        | 'binary_view'
        | 'utf8_view'
        | 'list'
        | 'large_list'
        | 'list_view'
        | 'large_list_view'
        | 'struct'
        | 'map'
        | 'run_end_encoded';
    }
  | { readonly kind: 'int'; readonly bits: 8 | 16 | 32 | 64; readonly signed: boolean }
  | { readonly kind: 'float'; readonly bits: 16 | 32 | 64 }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number; readonly bits: number }
  | { readonly kind: 'date'; readonly bits: 32 | 64 }
  | { readonly kind: 'time'; readonly unit: ArrowTimeUnit; readonly bits: 32 | 64 }
  | { readonly kind: 'timestamp'; readonly unit: ArrowTimeUnit; readonly zone?: string }
  | { readonly kind: 'duration'; readonly unit: ArrowTimeUnit }
  | { readonly kind: 'interval'; readonly unit: 'YEAR_MONTH' | 'DAY_TIME' | 'MONTH_DAY_NANO' }
  | { readonly kind: 'union'; readonly dense: boolean; readonly typeIds: readonly number[] }
  | { readonly kind: 'fixed_size_binary'; readonly width: number }
  | { readonly kind: 'fixed_size_list'; readonly size: number };

/** A field of a schema. */
export interface ArrowField {
  readonly name: string;
  readonly nullable: boolean;
  readonly type: ArrowType;
  readonly children: readonly ArrowField[];
  /** Where values are indices into a dictionary: which one, and what the indices are. */
  readonly dictionary?: { readonly id: number; readonly indices: ArrowType; readonly ordered: boolean };
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ArrowSchema {
  readonly fields: readonly ArrowField[];
  readonly metadata: Readonly<Record<string, string>>;
  /** Set where numbers of several bytes have their highest one first. */
  readonly bigEndian?: true;
}

/** Deeper than this no honest schema nests, and readers of it recurse. */
const deepest = 64;

/** @throws SealpipeError FORMAT_INVALID, FORMAT_UNSUPPORTED */
export function readSchema(table: FlatTable): ArrowSchema {
  const endianness = table.short(0);
  if (endianness !== 0 && endianness !== 1) throw formatInvalid(`its schema has the unknown endianness ${endianness}`);
  return {
    fields: table.tables(1).map((field) => readField(field, 1)),
    metadata: keyValues(table, 2),
    ...(endianness === 1 ? { bigEndian: true } : {}),
  };
}

/** Key-value metadata: a repeated key has its last value. */
export function keyValues(table: FlatTable, slot: number): Readonly<Record<string, string>> {
  return Object.fromEntries(table.tables(slot).map((pair) => [pair.text(0) ?? '', pair.text(1) ?? '']));
}

function readField(table: FlatTable, depth: number): ArrowField {
  if (depth > deepest) throw formatInvalid(`its schema nests deeper than ${deepest}`);
  const name = table.text(0) ?? '';
  const children = table.tables(5).map((child) => readField(child, depth + 1));
  const type = readType(table.byte(2), table.table(3), name);
  checkChildren(type, children, name);
  const encoding = table.table(4);
  const indices = encoding?.table(1);
  return {
    name,
    nullable: table.boolean(1),
    type,
    children,
    ...(encoding === undefined
      ? {}
      : {
          dictionary: {
            id: encoding.long(0),
            indices:
              indices === undefined ? ({ kind: 'int', bits: 32, signed: true } as const) : readInt(indices, name),
            ordered: encoding.boolean(2),
          },
        }),
    metadata: keyValues(table, 6),
  };
}

const plainKinds = {
  1: 'null',
  4: 'binary',
  5: 'utf8',
  6: 'bool',
  12: 'list',
  13: 'struct',
  17: 'map',
  19: 'large_binary',
  20: 'large_utf8',
  21: 'large_list',
  22: 'run_end_encoded',
  23: 'binary_view',
  24: 'utf8_view',
  25: 'list_view',
  26: 'large_list_view',
} as const;

const units = ['SECOND', 'MILLISECOND', 'MICROSECOND', 'NANOSECOND'] as const;

function readType(number: number, table: FlatTable | undefined, name: string): ArrowType {
  const plain = plainKinds[number as keyof typeof plainKinds] as
    | (typeof plainKinds)[keyof typeof plainKinds]
    | undefined;
  if (plain !== undefined) return { kind: plain };
  const where = `field ${JSON.stringify(name)}`;
  if (table === undefined) throw formatInvalid(`${where} has no type`);
  const one = <Value>(values: readonly Value[], index: number, what: string): Value => {
    const value = values[index];
    if (value === undefined) throw formatInvalid(`${where} has the unknown ${what} ${index}`);
    return value;
  };
  const bits = <Bits extends number>(slot: number, known: readonly Bits[], fallback: Bits): Bits => {
    const value = table.int(slot, fallback) as Bits;
    if (!known.includes(value)) throw formatInvalid(`${where} has a width of ${value} bits`);
    return value;
  };
  const size = (slot: number): number => {
    const value = table.int(slot);
    if (value < 0) throw formatInvalid(`${where} has a size of ${value}`);
    return value;
  };
  switch (number) {
    case 2:
      return readInt(table, name);
    case 3:
      return { kind: 'float', bits: one([16, 32, 64] as const, table.short(0), 'precision') };
    case 7:
      return {
        kind: 'decimal',
        precision: table.int(0),
        scale: scaleOf(table, where),
        bits: bits(2, [32, 64, 128, 256], 128),
      };
    case 8:
      return { kind: 'date', bits: one([32, 64] as const, table.short(0, 1), 'unit') };
    case 9:
      return { kind: 'time', unit: one(units, table.short(0, 1), 'unit'), bits: bits(1, [32, 64], 32) };
    case 10: {
      const zone = table.text(1);
      return {
        kind: 'timestamp',
        unit: one(units, table.short(0), 'unit'),
        ...(zone === undefined || zone === '' ? {} : { zone }),
      };
    }
    case 11:
      return {
        kind: 'interval',
        unit: one(['YEAR_MONTH', 'DAY_TIME', 'MONTH_DAY_NANO'] as const, table.short(0), 'unit'),
      };
    case 14:
      return { kind: 'union', dense: table.short(0) === 1, typeIds: table.ints(1) };
    case 15:
      return { kind: 'fixed_size_binary', width: size(0) };
    case 16:
      return { kind: 'fixed_size_list', size: size(0) };
    case 18:
      return { kind: 'duration', unit: one(units, table.short(0, 1), 'unit') };
    default:
      throw formatUnsupported(`${where} is of unknown type ${number}`);
  }
}

function readInt(table: FlatTable, name: string): ArrowType {
  const bits = table.int(0);
  if (bits !== 8 && bits !== 16 && bits !== 32 && bits !== 64) {
    throw formatInvalid(`field ${JSON.stringify(name)} has integers of ${bits} bits`);
  }
  return { kind: 'int', bits, signed: table.boolean(1) };
}

/** A scale is padded with zeros: far beyond the precision it is none. */
function scaleOf(table: FlatTable, where: string): number {
  const scale = table.int(1);
  if (Math.abs(scale) > 1000) throw formatInvalid(`${where} has a scale of ${scale}`);
  return scale;
}

function checkChildren(type: ArrowType, children: readonly ArrowField[], name: string): void {
  const { kind } = type;
  const wrong = (expected: string): Error =>
    formatInvalid(`field ${JSON.stringify(name)} (${kind}) has ${children.length} children, expected ${expected}`);
  if (kind === 'struct') return;
  if (kind === 'union') {
    if (type.typeIds.length !== 0 && type.typeIds.length !== children.length) throw wrong(`${type.typeIds.length}`);
    return;
  }
  const count = kind === 'run_end_encoded' ? 2 : /list|map/.test(kind) ? 1 : 0;
  if (children.length !== count) throw wrong(String(count));
  if (kind === 'map' && (children[0]!.type.kind !== 'struct' || children[0]!.children.length !== 2)) {
    throw formatInvalid(`field ${JSON.stringify(name)} is a map without a key and a value`);
  }
  if (kind === 'run_end_encoded' && children[0]!.type.kind !== 'int') {
    throw formatInvalid(`field ${JSON.stringify(name)} has run ends that are no integers`);
  }
}

/** The schema as Arrow's own tools write it: `id: int32`, a field a line. */
export function formatArrowSchema({ fields }: ArrowSchema): string {
  return fields.map((field) => `${field.name}: ${typeText(field)}${field.nullable ? '' : ' not null'}`).join('\n');
}

function typeText({ type, children, dictionary }: ArrowField): string {
  const inner = plainText(type, children);
  if (dictionary === undefined) return inner;
  return `dictionary<values=${inner}, indices=${plainText(dictionary.indices, [])}, ordered=${dictionary.ordered ? 1 : 0}>`;
}

const unitText = { SECOND: 's', MILLISECOND: 'ms', MICROSECOND: 'us', NANOSECOND: 'ns' } as const;

function plainText(type: ArrowType, children: readonly ArrowField[]): string {
  const nested = children
    .map((child) => `${child.name}: ${typeText(child)}${child.nullable ? '' : ' not null'}`)
    .join(', ');
  switch (type.kind) {
    case 'utf8':
      return 'string';
    case 'large_utf8':
      return 'large_string';
    case 'utf8_view':
      return 'string_view';
    case 'int':
      return `${type.signed ? '' : 'u'}int${type.bits}`;
    case 'float':
      return ({ 16: 'halffloat', 32: 'float', 64: 'double' } as const)[type.bits];
    case 'decimal':
      return `decimal${type.bits}(${type.precision}, ${type.scale})`;
    case 'date':
      return type.bits === 32 ? 'date32[day]' : 'date64[ms]';
    case 'time':
      return `time${type.bits}[${unitText[type.unit]}]`;
    case 'timestamp':
      return `timestamp[${unitText[type.unit]}${type.zone === undefined ? '' : `, tz=${type.zone}`}]`;
    case 'duration':
      return `duration[${unitText[type.unit]}]`;
    case 'interval':
      return { YEAR_MONTH: 'month_interval', DAY_TIME: 'day_time_interval', MONTH_DAY_NANO: 'month_day_nano_interval' }[
        type.unit
      ];
    case 'fixed_size_binary':
      return `fixed_size_binary[${type.width}]`;
    case 'fixed_size_list':
      return `fixed_size_list<${nested}>[${type.size}]`;
    case 'union':
      return `${type.dense ? 'dense' : 'sparse'}_union<${nested}>`;
    case 'struct':
    case 'list':
    case 'large_list':
    case 'list_view':
    case 'large_list_view':
    case 'run_end_encoded':
      return `${type.kind}<${nested}>`;
    case 'map': {
      const [key, value] = children[0]!.children;
      return `map<${typeText(key!)}, ${typeText(value!)}>`;
    }
    case 'null':
    case 'bool':
    case 'binary':
    case 'large_binary':
    case 'binary_view':
      return type.kind;
  }
}
