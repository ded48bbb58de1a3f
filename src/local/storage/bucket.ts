import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BlobStore, Segment } from './blobs.ts';
import { Journal } from './journal.ts';
import type {
  BucketSettings,
  CompletedUpload,
  JournalEntry,
  ObjectVersion,
  StoredPart,
  StoredUpload,
} from './records.ts';
import { SortedKeys, toOrder } from './sorted-keys.ts';

/** A multipart upload in progress. */
export interface Upload {
  readonly record: StoredUpload;
  /** By number, unordered. */
  readonly parts: ReadonlyMap<number, StoredPart>;
}

const rememberedCompletions = 1000;

/**
 * One bucket: an index in memory of what its journal says.
 *
 * Changes are synchronous: a condition that was checked still holds when the change is made, without any lock.
 */
export class Bucket {
  readonly #folder: string;
  readonly #blobs: BlobStore;
  readonly #journal: Journal<JournalEntry>;
  readonly #objects = new Map<string, ObjectVersion[]>(); // newest first, never empty
  readonly #uploads = new Map<string, { record: StoredUpload; parts: Map<number, StoredPart> }>();
  readonly #completed = new Map<string, CompletedUpload>();
  /** All keys that have a version, in listing order. */
  readonly keys: SortedKeys = new SortedKeys();
  #settings: BucketSettings;

  private constructor(folder: string, blobs: BlobStore, settings: BucketSettings) {
    this.#folder = folder;
    this.#blobs = blobs;
    this.#settings = settings;
    this.#journal = Journal.open<JournalEntry>(join(folder, 'journal.jsonl'), (entry) => this.#replay(entry));
    for (const [key, versions] of this.#objects) {
      this.keys.add(toOrder(key));
      for (const version of versions) blobs.retain(version.segments);
    }
    let records = this.#objects.size;
    for (const { parts } of this.#uploads.values()) {
      records += 1 + parts.size;
      for (const part of parts.values()) blobs.retain(part.segments);
    }
    if (this.#journal.lines > 2 * records + 1000) this.#journal.rewrite(this.#snapshot());
  }

  static create(folder: string, blobs: BlobStore, settings: BucketSettings): Bucket {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeSettings(folder, settings);
    return new Bucket(folder, blobs, settings);
  }

  static open(folder: string, blobs: BlobStore, settings: BucketSettings): Bucket {
    return new Bucket(folder, blobs, settings);
  }

  get name(): string {
    return this.#settings.name;
  }

  get settings(): BucketSettings {
    return this.#settings;
  }

  get isEmpty(): boolean {
    return this.#objects.size === 0;
  }

  changeSettings(settings: BucketSettings): void {
    writeSettings(this.#folder, settings);
    this.#settings = settings;
  }

  /** All versions of a key, newest first. */
  versions(key: string): readonly ObjectVersion[] {
    return this.#objects.get(key) ?? [];
  }

  /** The current version, which may be a delete marker. */
  current(key: string): ObjectVersion | undefined {
    return this.#objects.get(key)?.[0];
  }

  /** Makes a version current. One with the same id, as `null` has it, is replaced. */
  put(version: ObjectVersion): void {
    this.#journal.append({ put: version });
    this.#blobs.retain(version.segments);
    this.#release(this.#insert(version));
    this.keys.add(toOrder(version.key));
  }

  /** Changes what is said of a version, in its place. */
  change(version: ObjectVersion): void {
    this.#journal.append({ set: version });
    this.#replaceInPlace(version);
  }

  /** Removes a version for good. @returns it, if it was there */
  drop(key: string, versionId: string): ObjectVersion | undefined {
    if (!this.versions(key).some((version) => version.versionId === versionId)) return undefined;
    this.#journal.append({ drop: [key, versionId] });
    const dropped = this.#remove(key, versionId);
    if (!this.#objects.has(key)) this.keys.delete(toOrder(key));
    this.#release(dropped);
    return dropped;
  }

  upload(id: string): Upload | undefined {
    return this.#uploads.get(id);
  }

  /** Uploads in progress, unordered. */
  uploads(): IterableIterator<Upload> {
    return this.#uploads.values();
  }

  completed(id: string): CompletedUpload | undefined {
    return this.#completed.get(id);
  }

  createUpload(record: StoredUpload): void {
    this.#journal.append({ upload: record });
    this.#uploads.set(record.id, { record, parts: new Map() });
  }

  /** Adds a part, in place of one with the same number. The upload must be there. */
  putPart(id: string, part: StoredPart): void {
    const upload = this.#uploads.get(id)!;
    this.#journal.append({ part: [id, part] });
    this.#blobs.retain(part.segments);
    const before = upload.parts.get(part.number);
    upload.parts.set(part.number, part);
    if (before !== undefined) this.#blobs.release(before.segments);
  }

  abort(id: string): void {
    this.#journal.append({ abort: id });
    this.#endUpload(id);
  }

  /** Turns an upload into an object. */
  complete(version: ObjectVersion, completed: CompletedUpload): void {
    this.#journal.append({ complete: [version, completed] });
    this.#blobs.retain(version.segments);
    this.#endUpload(completed.id);
    this.#release(this.#insert(version));
    this.keys.add(toOrder(version.key));
    this.#remember(completed);
  }

  /** Lets go of everything and removes the folder. */
  destroy(): void {
    this.close();
    rmSync(this.#folder, { recursive: true, force: true });
    for (const versions of this.#objects.values()) for (const version of versions) this.#release(version);
    for (const id of [...this.#uploads.keys()]) this.#endUpload(id);
  }

  close(): void {
    this.#journal.close();
  }

  #release(version: ObjectVersion | undefined): void {
    if (version !== undefined) this.#blobs.release(version.segments);
  }

  #endUpload(id: string): void {
    const upload = this.#uploads.get(id);
    this.#uploads.delete(id);
    for (const part of upload?.parts.values() ?? []) this.#blobs.release(part.segments);
  }

  #remember(completed: CompletedUpload): void {
    this.#completed.set(completed.id, completed);
    if (this.#completed.size <= rememberedCompletions) return;
    const oldest = this.#completed.keys().next().value;
    if (oldest !== undefined) this.#completed.delete(oldest);
  }

  #insert(version: ObjectVersion): ObjectVersion | undefined {
    const replaced = this.#remove(version.key, version.versionId);
    const versions = this.#objects.get(version.key);
    if (versions === undefined) this.#objects.set(version.key, [version]);
    else versions.unshift(version);
    return replaced;
  }

  #remove(key: string, versionId: string): ObjectVersion | undefined {
    const versions = this.#objects.get(key);
    const at = versions?.findIndex((version) => version.versionId === versionId) ?? -1;
    if (versions === undefined || at < 0) return undefined;
    const [removed] = versions.splice(at, 1);
    if (versions.length === 0) this.#objects.delete(key);
    return removed;
  }

  #replaceInPlace(version: ObjectVersion): void {
    const versions = this.#objects.get(version.key) ?? [];
    const at = versions.findIndex((other) => other.versionId === version.versionId);
    if (at >= 0) versions[at] = version;
  }

  // As the methods above, without counting references: those are counted once, of what is left at the end.
  #replay(entry: JournalEntry): void {
    if ('put' in entry) this.#insert(entry.put);
    else if ('set' in entry) this.#replaceInPlace(entry.set);
    else if ('drop' in entry) this.#remove(...entry.drop);
    else if ('upload' in entry) this.#uploads.set(entry.upload.id, { record: entry.upload, parts: new Map() });
    else if ('part' in entry) this.#uploads.get(entry.part[0])?.parts.set(entry.part[1].number, entry.part[1]);
    else if ('abort' in entry) this.#uploads.delete(entry.abort);
    else if ('complete' in entry) {
      const [version, completed] = entry.complete;
      this.#uploads.delete(completed.id);
      this.#insert(version);
      this.#remember(completed);
    } else this.#remember(entry.completed);
  }

  *#snapshot(): Generator<JournalEntry> {
    for (const versions of this.#objects.values()) {
      for (const version of versions.toReversed()) yield { put: version };
    }
    for (const { record, parts } of this.#uploads.values()) {
      yield { upload: record };
      for (const part of parts.values()) yield { part: [record.id, part] };
    }
    for (const completed of this.#completed.values()) yield { completed };
  }
}

function writeSettings(folder: string, settings: BucketSettings): void {
  const path = join(folder, 'bucket.json');
  writeFileSync(`${path}.new`, `${JSON.stringify(settings, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** All segments of some parts, in their order. */
export function joinSegments(parts: readonly { readonly segments: readonly Segment[] }[]): Segment[] {
  return parts.flatMap((part) => part.segments);
}
