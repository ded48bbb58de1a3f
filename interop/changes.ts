/** What is done to an object, or asked of a reader, so that reading must be refused. */
import type { ObjectSpec } from './objects.ts';

/** An object as it is stored: body, user metadata, and the instruction file's JSON where it has one. */
export interface StoredObject {
  body: Uint8Array;
  metadata: Record<string, string>;
  instructions: Record<string, string> | undefined;
}

/** What a reader is given instead of what belongs to the object. */
export interface ReadTwist {
  readonly key?: 'other';
  /** Encryption context: another one, one entry less, or none in the request. */
  readonly context?: 'other' | 'subset' | 'absent';
  readonly commitmentPolicy?: 'REQUIRE_ENCRYPT_REQUIRE_DECRYPT';
  readonly delayedAuthentication?: true;
}

export interface Change {
  /** Unique; part of the key of the changed copy. */
  readonly name: string;
  /** The control: nothing is changed, and the copy must be read. Without it a reader that refuses everything would pass. */
  readonly harmless?: true;
  readonly applies?: (spec: ObjectSpec) => boolean;
  /** Changes the stored object in place. Absent: the object is read as it was written. */
  readonly edit?: (object: StoredObject, other: StoredObject) => void;
  readonly twist?: ReadTwist;
}

const isKms = (spec: ObjectSpec): boolean => spec.keyring === 'kms';
const hasContext = (spec: ObjectSpec): boolean => spec.context !== 'none';
const isV2 = (spec: ObjectSpec): boolean => spec.format === 'v2';
const isV3 = (spec: ObjectSpec): boolean => spec.format === 'v3';

export const changes: readonly Change[] = [
  { name: 'nothing', harmless: true, edit: () => undefined },
  { name: 'nothing-delayed', harmless: true, edit: () => undefined, twist: delayed() },
  { name: 'first-byte', edit: (object) => flip(object.body, 0) },
  { name: 'last-byte', edit: (object) => flip(object.body, object.body.length - 1) },
  { name: 'last-byte-delayed', edit: (object) => flip(object.body, object.body.length - 1), twist: delayed() },
  { name: 'last-plaintext-byte', edit: (object) => flip(object.body, object.body.length - 17) },
  { name: 'one-byte-less', edit: (object) => cut(object, object.body.length - 1) },
  { name: 'one-byte-less-delayed', edit: (object) => cut(object, object.body.length - 1), twist: delayed() },
  { name: 'no-tag', edit: (object) => cut(object, object.body.length - 16) },
  { name: 'tag-alone', edit: (object) => cut(object, 16) },
  { name: 'less-than-a-tag', edit: (object) => cut(object, 15) },
  { name: 'less-than-a-tag-delayed', edit: (object) => cut(object, 15), twist: delayed() },
  { name: 'empty', edit: (object) => cut(object, 0) },
  { name: 'one-byte-more', edit: (object) => grow(object) },
  { name: 'body-of-another', edit: (object, other) => void Object.assign(object, { body: other.body }) },
  { name: 'wrapped-key', edit: (object) => flipEncoded(object, ['x-amz-key-v2', 'x-amz-3']) },
  { name: 'wrapped-key-of-another', edit: (object, other) => take(object, other, ['x-amz-key-v2', 'x-amz-3']) },
  { name: 'iv-or-message-id', edit: (object) => flipEncoded(object, ['x-amz-iv', 'x-amz-i']) },
  { name: 'commitment', applies: isV3, edit: (object) => flipEncoded(object, ['x-amz-d']) },
  { name: 'no-commitment', applies: isV3, edit: (object) => remove(object, 'x-amz-d') },
  { name: 'no-wrapped-key', edit: (object) => remove(object, 'x-amz-key-v2', 'x-amz-3') },
  { name: 'both-formats', edit: (object) => addOtherFormat(object) },
  {
    name: 'stored-context',
    applies: (spec) => isKms(spec) && hasContext(spec),
    edit: (object) => editContext(object),
  },
  { name: 'no-envelope', edit: (object) => strip(object) },
  { name: 'another-key', twist: { key: 'other' } },
  { name: 'another-context', applies: isKms, twist: { context: 'other' } },
  { name: 'part-of-the-context', applies: (spec) => isKms(spec) && hasContext(spec), twist: { context: 'subset' } },
  { name: 'no-context', applies: (spec) => isKms(spec) && hasContext(spec), twist: { context: 'absent' } },
  {
    name: 'not-committing',
    applies: isV2,
    twist: { commitmentPolicy: 'REQUIRE_ENCRYPT_REQUIRE_DECRYPT' },
  },
];

function delayed(): ReadTwist {
  return { delayedAuthentication: true };
}

function flip(bytes: Uint8Array, at: number): void {
  bytes[at] = bytes[at]! ^ 1;
}

function cut(object: StoredObject, length: number): void {
  object.body = object.body.subarray(0, length);
}

function grow(object: StoredObject): void {
  object.body = Buffer.concat([object.body, Buffer.of(0)]);
}

/** The map that holds the entry: metadata or instruction file. */
function holder(object: StoredObject, names: readonly string[]): { map: Record<string, string>; name: string } {
  for (const map of [object.metadata, object.instructions]) {
    const name = names.find((candidate) => map?.[candidate] !== undefined);
    if (map !== undefined && name !== undefined) return { map, name };
  }
  throw new Error(`no ${names.join(' or ')} in ${Object.keys(object.metadata).join(', ')}`);
}

/** Flips a bit in the middle of a base64 entry. */
function flipEncoded(object: StoredObject, names: readonly string[]): void {
  const { map, name } = holder(object, names);
  const bytes = Buffer.from(map[name]!, 'base64');
  flip(bytes, bytes.length >> 1);
  map[name] = bytes.toString('base64');
}

function take(object: StoredObject, other: StoredObject, names: readonly string[]): void {
  const from = holder(other, names);
  const { map, name } = holder(object, names);
  map[name] = from.map[from.name]!;
}

function remove(object: StoredObject, ...names: string[]): void {
  const { map, name } = holder(object, names);
  delete map[name];
}

/** The wrapped key of one format a second time, under the other's name. */
function addOtherFormat(object: StoredObject): void {
  const { map, name } = holder(object, ['x-amz-key-v2', 'x-amz-3']);
  map[name === 'x-amz-3' ? 'x-amz-key-v2' : 'x-amz-3'] = map[name]!;
}

/** Another department, in the stored context alone. */
function editContext(object: StoredObject): void {
  const { map, name } = holder(object, ['x-amz-matdesc', 'x-amz-t']);
  const edited = map[name]!.replace('finance', 'Finance');
  if (edited === map[name]) throw new Error(`no "finance" in ${name}: ${map[name]}`);
  map[name] = edited;
}

function strip(object: StoredObject): void {
  object.metadata = {};
  object.instructions = undefined;
}
