import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { SealpipeError } from '../../errors.ts';
import { BlobStore } from './blobs.ts';
import { Bucket } from './bucket.ts';
import type { BucketSettings } from './records.ts';

/** All buckets of a folder. */
export class BucketStore {
  readonly #folder: string;
  readonly #buckets = new Map<string, Bucket>();
  readonly blobs: BlobStore;

  /** @param options.sweep look for blobs that a killed process left behind */
  constructor(folder: string, options: { readonly sweep: boolean }) {
    this.#folder = join(folder, 'buckets');
    this.blobs = new BlobStore(join(folder, 'blobs'));
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(this.#folder)) this.#open(name);
    if (options.sweep) this.blobs.sweep();
  }

  #open(name: string): void {
    const folder = join(this.#folder, name);
    const path = join(folder, 'bucket.json');
    // Its settings are written first: without them a bucket was never made, or is one that was being removed.
    if (!existsSync(path)) {
      rmSync(folder, { recursive: true, force: true });
      return;
    }
    let settings: BucketSettings;
    try {
      settings = JSON.parse(readFileSync(path, 'utf8')) as BucketSettings;
    } catch (cause) {
      throw new SealpipeError(
        'CONFIG_INVALID',
        `the local endpoint's file ${path} is no JSON: remove that bucket's folder`,
        { cause },
      );
    }
    this.#buckets.set(name, Bucket.open(folder, this.blobs, settings));
  }

  get(name: string): Bucket | undefined {
    return this.#buckets.get(name);
  }

  /** In order of their names. */
  list(): Bucket[] {
    return [...this.#buckets.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  create(settings: BucketSettings): Bucket {
    const bucket = Bucket.create(join(this.#folder, settings.name), this.blobs, settings);
    this.#buckets.set(settings.name, bucket);
    return bucket;
  }

  remove(name: string): void {
    const bucket = this.#buckets.get(name);
    this.#buckets.delete(name);
    bucket?.destroy();
  }

  close(): void {
    for (const bucket of this.#buckets.values()) bucket.close();
    this.blobs.close();
  }
}
