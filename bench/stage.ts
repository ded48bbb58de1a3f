/** What has to be in place before cases can run: source files, and objects to be read. */
import { createDecipheriv, createHash } from 'node:crypto';
import { closeSync, existsSync, mkdtempSync, openSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Upload } from '@aws-sdk/lib-storage';
import type { ContentKey } from '../src/crypto/content-key.ts';
import { committingSuite, gcmSuite } from '../src/format/suites.ts';
import { createContentKey } from '../src/keyrings/open-content-key.ts';
import { authenticTag } from './authentic-tag.ts';
import { type CaseSpec, type ServedKind, servedKey, sourceFile, type World } from './case-spec.ts';
import { keyringOf, tunedClient } from './cases/clients.ts';
import { GeneratedSource } from './cases/generated-source.ts';
import { servedNaiveKey } from './cases/naive-gcm.ts';
import { smallCopies, smallLength } from './cases/small-objects.ts';
import { isLeaving } from './leaving.ts';
import { sourceContent, storedContent } from './repeated-content.ts';
import type { SinkControl } from './sink/sink-control.ts';

/** A folder for files that are read and written: in memory where there is such a file system and room in it. */
export function stageFolder(specs: readonly CaseSpec[]): string {
  const needed = specs.reduce((sum, spec) => Math.max(sum, spec.size), 0) * 3;
  const memory = '/dev/shm';
  const fits = (folder: string): boolean => {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize > needed;
  };
  return mkdtempSync(join(existsSync(memory) && fits(memory) ? memory : tmpdir(), 'sealpipe-bench-'));
}

export function writeSourceFiles(specs: readonly CaseSpec[], folder: string): void {
  const sizes = specs.flatMap((spec) =>
    spec.kind === 'upload' && spec.source === 'file' ? [spec.size, spec.warmUp] : [],
  );
  for (const size of new Set(sizes)) {
    const file = openSync(sourceFile(folder, size), 'wx', 0o600);
    for (const chunk of sourceContent(size).chunks(1024 * 1024)) writeSync(file, chunk);
    closeSync(file);
  }
}

/** One object to be served. */
interface ServedNeed {
  readonly kind: ServedKind;
  readonly length: number;
  /** Whether it stands for many. */
  readonly many: boolean;
}

/** What the cases read, by kind and length. */
function servedNeeds(specs: readonly CaseSpec[], objectLength: number): ServedNeed[] {
  const needs = specs.flatMap((spec) => needsOf(spec, objectLength));
  return [...new Map(needs.map((need) => [`${need.kind} ${need.length}`, need])).values()];
}

function needsOf(spec: CaseSpec, objectLength: number): ServedNeed[] {
  if (spec.kind === 'download') {
    const kind = ({ sdk: 'plain', 'sdk-gcm': 'gcm', sealpipe: 'sealed' } as const)[spec.client];
    const whole = [spec.size, spec.warmUp].map((length) => ({ kind, length, many: false }));
    return kind === 'sealed' ? [...whole, { kind: 'altered', length: spec.warmUp, many: false }] : whole;
  }
  if (spec.kind !== 'ranges' && !(spec.kind === 'small-objects' && spec.direction === 'get')) return [];
  const many = spec.kind === 'small-objects';
  return [{ kind: spec.client === 'sdk' ? 'plain' : 'sealed', length: many ? smallLength : objectLength, many }];
}

/**
 * Puts in place what the cases read.
 * @returns the SHA-256 of the plaintext of the objects that are verified, by key
 */
export async function stageObjects(
  specs: readonly CaseSpec[],
  place: { readonly world: World; readonly control: SinkControl | undefined; readonly objectLength: number },
): Promise<Record<string, string>> {
  const { world, objectLength } = place;
  const digests: Record<string, string> = {};
  const verified = new Set([...specs.map(({ warmUp }) => warmUp), smallLength]);
  for (const need of servedNeeds(specs, objectLength)) {
    if (isLeaving()) throw new Error('the program is ending');
    const key = servedKey(world, need.kind, need.length);
    const { tail, metadata, contentKey } = await served(need, world);
    await store(need, { key, tail, metadata }, place);
    if (verified.has(need.length) && need.kind !== 'altered') digests[key] = digestOf(need.length, contentKey, tail);
  }
  return digests;
}

interface Served {
  readonly tail: Buffer;
  readonly metadata: Record<string, string>;
  readonly contentKey: ContentKey | undefined;
}

async function served({ kind, length }: ServedNeed, world: World): Promise<Served> {
  if (kind === 'plain') return { tail: Buffer.alloc(0), metadata: {}, contentKey: undefined };
  if (kind === 'gcm') {
    const contentKey = { suite: gcmSuite, ...servedNaiveKey, aad: new Uint8Array(0) };
    return { tail: authenticTag(contentKey, storedContent(length)), metadata: {}, contentKey };
  }
  const { keyring, kms } = keyringOf(world);
  const { contentKey, envelope } = await createContentKey({ keyring, suite: committingSuite });
  kms.destroy();
  const tail = authenticTag(contentKey, storedContent(length));
  if (kind === 'altered') tail[0]! ^= 1;
  return { tail, metadata: envelope, contentKey };
}

/** By OpenSSL's own GCM, so that no code of ours is judged by itself. */
function digestOf(length: number, contentKey: ContentKey | undefined, tag: Buffer): string {
  if (contentKey === undefined) return storedContent(length).sha256();
  const { key, iv, aad } = contentKey;
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
  if (aad.length > 0) decipher.setAAD(aad);
  const hash = createHash('sha256');
  for (const chunk of storedContent(length).chunks(64 * 1024)) hash.update(decipher.update(chunk));
  decipher.setAuthTag(tag);
  decipher.final();
  return hash.digest('hex');
}

async function store(
  { length, many }: ServedNeed,
  { key, tail, metadata }: { key: string; tail: Buffer; metadata: Record<string, string> },
  { world, control }: { world: World; control: SinkControl | undefined },
): Promise<void> {
  const definition = { contentLength: length, tail: tail.toString('base64'), metadata };
  if ((await control?.define(key, definition)) === true) return;
  const client = tunedClient(world);
  try {
    // A sink serves NAME/anything by NAME.
    const keys = many && control === undefined ? Array.from({ length: smallCopies }, (_, i) => `${key}/${i}`) : [key];
    for (const Key of keys) {
      const Body = new GeneratedSource(storedContent(length), tail);
      await new Upload({ client, params: { Bucket: world.bucket, Key, Body, Metadata: metadata } }).done();
    }
  } finally {
    client.destroy();
  }
}
