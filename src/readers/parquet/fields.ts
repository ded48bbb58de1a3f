/** Typed access to the fields of a thrift struct: what is missing or of another type than the format says is an error. */
import { formatInvalid } from './format-error.ts';
import type { ThriftStruct, ThriftValue } from './thrift.ts';

const utf8 = new TextDecoder();

function wrong(what: string, expected: string): Error {
  return formatInvalid(`${what} is not ${expected}`);
}

function field<Value>(
  struct: ThriftStruct,
  number: number,
  read: (value: ThriftValue) => Value | undefined,
  { what, expected }: { what: string; expected: string },
): Value | undefined {
  const value = struct.get(number);
  if (value === undefined) return undefined;
  const found = read(value);
  if (found === undefined) throw wrong(what, expected);
  return found;
}

/** What has to be there. */
export function required<Value>(value: Value | undefined, what: string): Value {
  if (value === undefined) throw formatInvalid(`it has no ${what}`);
  return value;
}

/** An integer of at most 2^53. */
export function integerField(struct: ThriftStruct, number: number, what: string): number | undefined {
  return field(
    struct,
    number,
    (value) => (typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined),
    {
      what,
      expected: 'an integer below 2^53',
    },
  );
}

/** An integer of at most 2^53 that counts something. */
export function countField(struct: ThriftStruct, number: number, what: string): number | undefined {
  const value = integerField(struct, number, what);
  if (value !== undefined && value < 0) throw formatInvalid(`${what} is ${value}, expected a count`);
  return value;
}

export function booleanField(struct: ThriftStruct, number: number, what: string): boolean | undefined {
  return field(struct, number, (value) => (typeof value === 'boolean' ? value : undefined), {
    what,
    expected: 'a boolean',
  });
}

export function bytesField(struct: ThriftStruct, number: number, what: string): Uint8Array | undefined {
  return field(struct, number, (value) => (value instanceof Uint8Array ? value : undefined), {
    what,
    expected: 'a string of bytes',
  });
}

export function textField(struct: ThriftStruct, number: number, what: string): string | undefined {
  const bytes = bytesField(struct, number, what);
  return bytes === undefined ? undefined : utf8.decode(bytes);
}

export function structField(struct: ThriftStruct, number: number, what: string): ThriftStruct | undefined {
  return field(struct, number, (value) => (value instanceof Map ? (value as ThriftStruct) : undefined), {
    what,
    expected: 'a struct',
  });
}

export function listField(struct: ThriftStruct, number: number, what: string): readonly ThriftValue[] | undefined {
  return field(struct, number, (value) => (Array.isArray(value) ? (value as readonly ThriftValue[]) : undefined), {
    what,
    expected: 'a list',
  });
}

export function structsField(struct: ThriftStruct, number: number, what: string): readonly ThriftStruct[] | undefined {
  return listField(struct, number, what)?.map((item) => {
    if (!(item instanceof Map)) throw wrong(`an entry of ${what}`, 'a struct');
    return item as ThriftStruct;
  });
}

/** An entry of a list of names by its number; undefined where the field is absent. */
export function nameField<Name extends string>(
  struct: ThriftStruct,
  number: number,
  names: readonly Name[],
  what: string,
): Name | undefined {
  const value = integerField(struct, number, what);
  if (value === undefined) return undefined;
  const name = names[value];
  if (name === undefined) throw formatInvalid(`${what} has the unknown number ${value}`);
  return name;
}
