import { createCipheriv, createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ReadPolicy } from '../../src/format/read-policy.ts';
import { aesKeyring } from '../../src/keyrings/aes.ts';
import type { Keyring } from '../../src/keyrings/keyring.ts';
import { rsaKeyring } from '../../src/keyrings/rsa.ts';
import { fixture, sharedFolder } from './project.ts';

interface VectorKeyring {
  type: 'kms' | 'kms-discovery' | 'aes' | 'rsa';
  keyRef?: string;
  additionalKeys?: { keyRef: string; materialsDescription: Record<string, string> }[];
}

interface CaseRecord {
  id: string;
  kind: 'ok' | 'negative';
  base?: string;
  edit?: string;
  format: 'V1' | 'V2' | 'V3';
  storage: 'metadata' | 'instruction-file';
  wrapAlgorithm: string | null;
  bucket: string;
  key: string;
  plaintext: { seed?: string; file?: string; length: number; sha256: string };
  metadata: Record<string, string>;
  instructionFile?: {
    key: string;
    suffix: string;
    metadata: Record<string, string>;
    bodyBase64?: string;
    path?: string;
    absent?: boolean;
  };
  keyring: VectorKeyring;
  encryptionContext?: Record<string, string>;
  materialsDescription?: Record<string, string>;
  readerOptions: {
    legacyWrapping?: boolean;
    legacyUnauthenticated?: boolean;
    commitmentPolicy?: ReadPolicy['commitmentPolicy'];
    instructionFileSuffix?: string;
    instructionFilesDisabled?: boolean;
    encryptionContext?: Record<string, string> | null;
    keyring?: VectorKeyring;
  };
  expect: { ok: boolean; meaning?: string; error?: { javaReturned?: { length: number; sha256: string } } };
  bodyBase64?: string;
  body?: string;
  bodyRecipe?: { cipher: 'aes-256-gcm' | 'aes-256-cbc'; keyHex: string; ivHex: string; aadHex?: string };
  bodyLength?: number;
}

export interface TranscriptEntry {
  ciphertextBlob: string;
  keyId: string;
  aliases: string[];
  encryptionContext: Record<string, string>;
  plaintext: string;
}

/** One object of the conformance set, with what a reader of it is given. */
export class Vector {
  readonly record: CaseRecord;
  readonly #folder: string;

  constructor(record: CaseRecord, folder: string) {
    this.record = record;
    this.#folder = folder;
  }

  get id(): string {
    return this.record.id;
  }

  body(): Buffer {
    const { bodyBase64, body, bodyRecipe } = this.record;
    if (bodyBase64 !== undefined) return Buffer.from(bodyBase64, 'base64');
    if (body !== undefined) return readFileSync(join(this.#folder, body));
    if (bodyRecipe === undefined) throw new Error(`${this.id} has no body`);
    const [key, iv] = [Buffer.from(bodyRecipe.keyHex, 'hex'), Buffer.from(bodyRecipe.ivHex, 'hex')];
    if (bodyRecipe.cipher === 'aes-256-cbc') {
      const cipher = createCipheriv('aes-256-cbc', key, iv);
      return Buffer.concat([cipher.update(this.plaintext()), cipher.final()]);
    }
    const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
    cipher.setAAD(Buffer.from(bodyRecipe.aadHex ?? '', 'hex'));
    return Buffer.concat([cipher.update(this.plaintext()), cipher.final(), cipher.getAuthTag()]);
  }

  plaintext(): Buffer {
    const { seed, file, length } = this.record.plaintext;
    if (file !== undefined) return readFileSync(join(this.#folder, file));
    return shake(seed ?? '', length);
  }

  /** Body of the instruction file, or undefined where there is none. */
  instructionFile(): Buffer | undefined {
    const file = this.record.instructionFile;
    if (file?.bodyBase64 !== undefined) return Buffer.from(file.bodyBase64, 'base64');
    return file?.path === undefined ? undefined : readFileSync(join(this.#folder, file.path));
  }

  get policy(): ReadPolicy {
    const { readerOptions: given } = this.record;
    return {
      commitmentPolicy: given.commitmentPolicy,
      legacy: { wrappingAlgorithms: given.legacyWrapping, unauthenticatedModes: given.legacyUnauthenticated },
      instructionFiles: given.instructionFilesDisabled !== true,
      instructionSuffix: given.instructionFileSuffix,
    };
  }

  get encryptionContext(): Record<string, string> | undefined {
    const { encryptionContext: given } = this.record.readerOptions;
    return given === null ? undefined : (given ?? this.record.encryptionContext);
  }

  /** The reader's keyring; KMS ones are made by `kms`. */
  keyring(kms: (keyId: string | undefined) => Keyring): Keyring {
    const { type, keyRef = '', additionalKeys } = this.record.readerOptions.keyring ?? this.record.keyring;
    const keys = join(this.#folder, 'keys');
    if (type === 'kms') return kms(keyRef);
    if (type === 'kms-discovery') return kms(undefined);
    if (type === 'aes') {
      const key = (name: string): Buffer =>
        Buffer.from(readFileSync(join(keys, `${name}.hex`), 'latin1').trim(), 'hex');
      const additional = additionalKeys?.map(({ keyRef: name, materialsDescription }) => ({
        key: key(name),
        materialsDescription,
      }));
      return aesKeyring({ key: key(keyRef), additional });
    }
    return rsaKeyring({ privateKey: readFileSync(join(keys, `${keyRef}.pkcs8.pem`), 'latin1') });
  }
}

/** What the Java client returned for a range of a case. */
export interface RangedRead {
  readonly case: string;
  readonly range: string;
  readonly ok: boolean;
  readonly length: number;
  readonly sha256: string;
}

/** All ranged reads of the full set; undefined where the environment does not name it. */
export function loadRangedReads(): RangedRead[] | undefined {
  if (sharedFolder === undefined) return undefined;
  const manifest = readFileSync(join(sharedFolder, 'vectors/manifest.json'), 'utf8');
  return (JSON.parse(manifest) as { rangedReads: RangedRead[] }).rangedReads;
}

/** SHAKE-128 of a seed: all generated plaintext of the set. */
export function shake(seed: string, length: number): Buffer {
  return length === 0 ? Buffer.alloc(0) : createHash('shake128', { outputLength: length }).update(seed).digest();
}

function lines<T>(path: string): T[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}

/** All cases: the full set where the environment names it, else the selection in fixtures/. */
export function loadVectors(): { vectors: Vector[]; transcript: TranscriptEntry[] } {
  if (sharedFolder === undefined) {
    const folder = fixture('vectors');
    const records = lines<CaseRecord>(join(folder, 'cases.jsonl'));
    return {
      vectors: records.map((record) => new Vector(record, folder)),
      transcript: lines(join(folder, 'kms-transcript.jsonl')),
    };
  }
  const folder = join(sharedFolder, 'vectors');
  const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as { cases: CaseRecord[] };
  const transcript = JSON.parse(readFileSync(join(folder, 'kms-transcript.json'), 'utf8')) as TranscriptEntry[];
  return { vectors: manifest.cases.map((record) => new Vector(record, folder)), transcript };
}
