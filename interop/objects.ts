/** The objects of the matrix: what every writer is asked for, as far as it can. */
import { type Abilities, abilities, type KeyringType, type PeerName, type UploadSpec } from './peer.ts';

export type ContextName = 'none' | 'ascii' | 'latin-1' | 'cyrillic' | 'emoji' | 'mime-look';

/** Encryption contexts by what is hard about them. */
export const contexts: Readonly<Record<ContextName, Readonly<Record<string, string>> | undefined>> = {
  none: undefined,
  ascii: { department: 'finance', 'with space': 'a "quoted" \\ value', empty: '' },
  // Characters that fit a byte survive in headers where others do not.
  'latin-1': { café: 'naïve' },
  cyrillic: { ключ: 'значение 値' },
  // Beyond the basic plane: two UTF-16 units, which some JSON writers escape and others do not.
  emoji: { mood: 'fine 😀' },
  // Looks like what S3 makes of non-ASCII metadata, and is none.
  'mime-look': { subject: '=?UTF-8?Q?not_a_word?=' },
};

/** The materials description that raw keys are given where an object has one. */
export const description: Readonly<Record<string, string>> = { version: '1', owner: 'interop' };

export interface ObjectSpec {
  /** Unique among the objects of a writer; the last part of its key. */
  readonly name: string;
  readonly format: 'v2' | 'v3';
  readonly keyring: KeyringType;
  readonly described: boolean;
  readonly storage: 'metadata' | 'instruction-file';
  readonly context: ContextName;
  /** Bytes of plaintext. */
  readonly length: number;
  readonly upload: UploadSpec;
}

const KiB = 1024;
const MiB = 1024 * KiB;
/** The least that S3 takes as a part that is not the last. */
const partSize = 5 * MiB;

const formats = ['v2', 'v3'] as const;
const storages = ['metadata', 'instruction-file'] as const;
const put: UploadSpec = { kind: 'put' };
const multipart: UploadSpec = { kind: 'multipart', partSize };

/** Around the cipher's block, the buffers of the clients, and the least part. */
const blockLengths = [0, 1, 15, 16, 17, 31, 32, 33];
const bufferLengths = [4 * KiB - 1, 4 * KiB, 4 * KiB + 1, 64 * KiB - 1, 64 * KiB, 64 * KiB + 1];
const partLengths = [partSize - 1, partSize, partSize + 1];
/** A few of them, for what does not depend on the length. */
const fewLengths = [0, 17, 64 * KiB + 1];

/** All objects that this writer can be asked for. */
export function objectSpecs(writer: PeerName): ObjectSpec[] {
  return [...sizes(), ...rawKeys(), ...instructionFiles(), ...inContexts(), ...inParts()].filter((spec) =>
    isOffered(spec, abilities[writer]),
  );
}

function isOffered(spec: ObjectSpec, able: Abilities): boolean {
  return (
    able.keyrings.includes(spec.keyring) &&
    (spec.storage === 'metadata' || able.writesInstructionFiles) &&
    able.uploads.includes(spec.upload.kind)
  );
}

function sizes(): ObjectSpec[] {
  const lengths = [...blockLengths, ...bufferLengths, ...partLengths];
  return formats.flatMap((format) => lengths.map((length) => spec({ format, length })));
}

function rawKeys(): ObjectSpec[] {
  return formats.flatMap((format) =>
    (['aes', 'rsa'] as const).flatMap((keyring) =>
      storages.flatMap((storage) =>
        fewLengths.map((length) => spec({ format, keyring, storage, length, described: length > 0 })),
      ),
    ),
  );
}

function instructionFiles(): ObjectSpec[] {
  return formats.flatMap((format) => fewLengths.map((length) => spec({ format, storage: 'instruction-file', length })));
}

function inContexts(): ObjectSpec[] {
  const names = (Object.keys(contexts) as ContextName[]).filter((name) => name !== 'none');
  return formats.flatMap((format) =>
    storages.flatMap((storage) => names.map((context) => spec({ format, storage, context, length: 1000 }))),
  );
}

function inParts(): ObjectSpec[] {
  const ends = [2 * partSize - 1, 2 * partSize, 2 * partSize + 1, 20 * MiB + 3];
  const cuts = [[partSize, partSize, 3], [partSize + 4 * KiB, 0], [100]];
  return [
    ...formats.flatMap((format) => [
      ...[0, 1000, ...ends].map((length) => spec({ format, length, upload: multipart })),
      ...cuts.map((partSizes) => spec({ format, upload: { kind: 'parts', partSizes }, length: sum(partSizes) })),
      spec({ format, upload: { kind: 'stream' }, length: 0 }),
      spec({ format, upload: { kind: 'stream' }, length: 2 * partSize + 1, context: 'ascii' }),
    ]),
    // A part whose length is a multiple of the block, yet not of the megabyte.
    spec({ upload: { kind: 'parts', partSizes: [partSize + 16, 5] }, length: partSize + 21 }),
    spec({ keyring: 'aes', storage: 'instruction-file', upload: multipart, length: partSize + 1 }),
    spec({ format: 'v2', keyring: 'rsa', storage: 'instruction-file', upload: multipart, length: partSize + 1 }),
  ];
}

/** Completes a spec with what is usual, and names it. */
export function spec(given: Partial<Omit<ObjectSpec, 'name'>> & Pick<ObjectSpec, 'length'>): ObjectSpec {
  const full = {
    format: 'v3',
    keyring: 'kms',
    described: false,
    storage: 'metadata',
    context: 'none',
    upload: put,
    ...given,
  } as const;
  const { format, keyring, storage, context, length, upload } = full;
  const how = upload.kind === 'parts' ? `parts-${upload.partSizes.join('+')}` : upload.kind;
  return { ...full, name: [format, keyring, storage, context, how, length].join('.') };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
