/**
 * Bytes on disk, in files that nobody finds by name: an object's record lists the blobs its body is made of.
 *
 * A blob is written once and never changed. Copies and completed uploads share blobs by reference, so neither costs a
 * byte of copying; one is deleted when nothing refers to it any more and nobody reads it.
 */
import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs';
import { mkdirSync, openSync, readdirSync, readSync, rmSync, unlinkSync } from 'node:fs';
import { type FileHandle, open as openFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BodySource } from '../http/answer.ts';

/** A run of bytes of a blob. */
export interface Segment {
  readonly blob: string;
  readonly start: number;
  readonly length: number;
}

/** The segments that hold bytes [start, end) of a body made of `segments`. */
export function sliceSegments(segments: readonly Segment[], start: number, end: number): Segment[] {
  const slices: Segment[] = [];
  let position = 0;
  for (const segment of segments) {
    const from = Math.max(start, position);
    const to = Math.min(end, position + segment.length);
    if (from < to) slices.push({ blob: segment.blob, start: segment.start + from - position, length: to - from });
    position += segment.length;
  }
  return slices;
}

const batchBytes = 1024 * 1024; // what is gathered before it is written
const smallBytes = 64 * 1024; // bodies up to this share files: making a file costs more than writing them
const packBytes = 16 * 1024 * 1024; // where a shared file is left, so that what it holds of deleted bodies stays bounded

export class BlobStore {
  readonly #folder: string;
  readonly #references = new Map<string, number>();
  readonly #madeFolders = new Set<string>();
  #pack: { readonly name: string; readonly file: number; size: number } | undefined;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const shard of readdirSync(folder)) this.#madeFolders.add(shard);
  }

  path(blob: string): string {
    return join(this.#folder, blob.slice(0, 2), blob);
  }

  /** A name that no other blob has; the folder for it is there. */
  newName(): string {
    const name = randomUUID().replaceAll('-', '');
    const shard = name.slice(0, 2);
    if (!this.#madeFolders.has(shard)) {
      mkdirSync(join(this.#folder, shard), { recursive: true, mode: 0o700 });
      this.#madeFolders.add(shard);
    }
    return name;
  }

  /** Something refers to these blobs: a record, or a reader. */
  retain(segments: readonly Segment[]): void {
    for (const { blob } of segments) this.#references.set(blob, (this.#references.get(blob) ?? 0) + 1);
  }

  /** Undoes one {@link retain}; blobs that nothing refers to are deleted. */
  release(segments: readonly Segment[]): void {
    for (const { blob } of segments) {
      const count = (this.#references.get(blob) ?? 1) - 1;
      if (count > 0) this.#references.set(blob, count);
      else {
        this.#references.delete(blob);
        this.discard(blob);
      }
    }
  }

  /** Deletes a blob that no record refers to. */
  discard(blob: string): void {
    rmSync(this.path(blob), { force: true });
  }

  /** Deletes what no record refers to: what a killed process left behind. @returns how many blobs */
  sweep(): number {
    let swept = 0;
    for (const shard of readdirSync(this.#folder)) {
      for (const blob of readdirSync(join(this.#folder, shard))) {
        if (this.#references.has(blob)) continue;
        unlinkSync(join(this.#folder, shard, blob));
        swept++;
      }
    }
    return swept;
  }

  /** Appends a small body to a blob that several share. */
  append(pieces: readonly Buffer[], length: number): Segment {
    if (this.#pack !== undefined && this.#pack.size + length > packBytes) this.#endPack();
    if (this.#pack === undefined) {
      const name = this.newName();
      this.#pack = { name, file: fs.openSync(this.path(name), 'wx', 0o600), size: 0 };
      // Held while it is written to, as everything in it may be deleted meanwhile.
      this.retain([{ blob: name, start: 0, length: 0 }]);
    }
    const { name, file, size } = this.#pack;
    const bytes = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    // At a position of its own: what a full disk cut short is written over by the next.
    for (let written = 0; written < length; ) {
      written += fs.writeSync(file, bytes, written, length - written, size + written);
    }
    this.#pack.size += length;
    return { blob: name, start: size, length };
  }

  #endPack(): void {
    if (this.#pack === undefined) return;
    fs.closeSync(this.#pack.file);
    const { name } = this.#pack;
    this.#pack = undefined;
    this.release([{ blob: name, start: 0, length: 0 }]);
  }

  close(): void {
    this.#endPack();
  }

  /** A writer of a new blob, which exists for others only once its name is in a record. */
  writer(): BlobWriter {
    return new BlobWriter(this);
  }

  /** The bytes of `segments` as the body of an answer. Holds on to the blobs until closed. */
  reader(segments: readonly Segment[]): SegmentReader {
    return new SegmentReader(this, segments);
  }
}

/** Writes one body, in batches, at most two of which are in memory. */
export class BlobWriter {
  readonly #store: BlobStore;
  #name: string | undefined;
  #file: FileHandle | undefined;
  #batch: Buffer[] = [];
  #batchLength = 0;
  #length = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(store: BlobStore) {
    this.#store = store;
  }

  /** Bytes given so far. */
  get length(): number {
    return this.#length;
  }

  /** Takes bytes; the returned promise is the back-pressure. The memory is not to be changed afterwards. */
  async write(bytes: Buffer): Promise<void> {
    this.#batch.push(bytes);
    this.#batchLength += bytes.length;
    this.#length += bytes.length;
    if (this.#batchLength < batchBytes) return;
    await this.#writing;
    this.#writing = this.#flush();
    this.#writing.catch(() => {}); // seen by the next write or by finish
  }

  async #flush(): Promise<void> {
    const batch = this.#batch;
    let length = this.#batchLength;
    this.#batch = [];
    this.#batchLength = 0;
    this.#name ??= this.#store.newName();
    this.#file ??= await openFile(this.#store.path(this.#name), 'wx', 0o600);
    while (length > 0) {
      const { bytesWritten } = await this.#file.writev(batch);
      length -= bytesWritten;
      if (length > 0) dropWritten(batch, bytesWritten);
    }
  }

  /** The body is whole. @returns where it lies; no segment for no bytes */
  async finish(): Promise<Segment[]> {
    if (this.#length === 0) return [];
    if (this.#name === undefined && this.#length <= smallBytes) return [this.#store.append(this.#batch, this.#length)];
    await this.#writing;
    if (this.#batchLength > 0) await this.#flush();
    await this.#file?.close();
    this.#file = undefined;
    return [{ blob: this.#name!, start: 0, length: this.#length }];
  }

  /** The body is not wanted. A small one leaves its bytes in the shared blob until that is deleted. */
  async discard(): Promise<void> {
    await this.#writing.catch(() => {});
    await this.#file?.close().catch(() => {});
    if (this.#name !== undefined) this.#store.discard(this.#name);
  }
}

function dropWritten(batch: Buffer[], written: number): void {
  let rest = written;
  while (batch[0] !== undefined && rest >= batch[0].length) rest -= batch.shift()!.length;
  if (batch[0] !== undefined && rest > 0) batch[0] = batch[0].subarray(rest);
}

/** Reads a body made of segments. Opens one file at a time. */
export class SegmentReader implements BodySource {
  readonly #store: BlobStore;
  readonly #segments: readonly Segment[];
  readonly length: number;
  #index = 0;
  #segmentStart = 0;
  #file: number | undefined;
  #closed = false;
  #reading = 0;

  constructor(store: BlobStore, segments: readonly Segment[]) {
    this.#store = store;
    this.#segments = segments;
    this.length = segments.reduce((sum, segment) => sum + segment.length, 0);
    store.retain(segments);
  }

  async read(buffer: Buffer, position: number): Promise<void> {
    let at = 0;
    while (at < buffer.length) {
      const { file, offset, available } = this.#locate(position + at);
      const wanted = Math.min(available, buffer.length - at);
      this.#reading++;
      let got: number;
      try {
        got = await readAt(file, buffer, at, wanted, offset);
      } finally {
        this.#reading--;
        if (this.#closed) this.#closeFile();
      }
      if (got === 0) throw new Error(`blob ${this.#segments[this.#index]?.blob} is shorter than its record says`);
      at += got;
    }
  }

  readNow(buffer: Buffer, position: number): void {
    let at = 0;
    while (at < buffer.length) {
      const { file, offset, available } = this.#locate(position + at);
      const got = readSync(file, buffer, at, Math.min(available, buffer.length - at), offset);
      if (got === 0) throw new Error(`blob ${this.#segments[this.#index]?.blob} is shorter than its record says`);
      at += got;
    }
  }

  #locate(position: number): { file: number; offset: number; available: number } {
    if (position < this.#segmentStart) {
      this.#closeFile();
      this.#index = 0;
      this.#segmentStart = 0;
    }
    let segment = this.#segments[this.#index];
    while (segment !== undefined && position >= this.#segmentStart + segment.length) {
      this.#closeFile();
      this.#segmentStart += segment.length;
      segment = this.#segments[++this.#index];
    }
    if (segment === undefined)
      throw new RangeError(`position ${position} is past the end of a body of ${this.length} bytes`);
    this.#file ??= openSync(this.#store.path(segment.blob), 'r');
    const within = position - this.#segmentStart;
    return { file: this.#file, offset: segment.start + within, available: segment.length - within };
  }

  #closeFile(): void {
    if (this.#file === undefined || this.#reading > 0) return;
    fs.closeSync(this.#file);
    this.#file = undefined;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeFile();
    this.#store.release(this.#segments);
  }
}

function readAt(file: number, buffer: Buffer, at: number, length: number, offset: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(file, buffer, at, length, offset, (error, bytesRead) => (error ? reject(error) : resolve(bytesRead)));
  });
}
