/**
 * Tells the segment indexes of a listing from objects, without a request: `t/.k.segments` is one where `t/k` is listed too.
 *
 * In S3's order an index mostly comes before its object, with those of the whole folder between them: so it is held back until the
 * object comes, or its folder ends, where an index without an object is shown. Memory is that of the indexes of one folder.
 */
import { indexedObjectKey, segmentIndexKey } from './segment-index-key.ts';

interface Folder<Entry> {
  readonly prefix: string;
  /** Indexes by the key of their object, which has not come yet. */
  readonly held: Map<string, Entry>;
  /** Objects that came before the place where their index would be: names that begin with one of `!` to `-`. */
  readonly early: Set<string>;
}

export class SegmentIndexFilter<Entry> {
  /** The folders that the current key lies in, as far as they hold anything; outer ones first. */
  readonly #folders: Folder<Entry>[] = [];

  /** Takes the next key of a listing in order, and returns what is to be shown now. */
  take(key: string, entry: Entry): Entry[] {
    const shown = this.#leave(key);
    const prefix = key.slice(0, key.lastIndexOf('/') + 1);
    this.#folder(prefix)?.held.delete(key);
    const index = segmentIndexKey(key);
    if (index !== undefined && Buffer.compare(Buffer.from(index), Buffer.from(key)) > 0)
      (this.#folder(prefix) ?? this.#enter(prefix)).early.add(key);
    const object = indexedObjectKey(key);
    if (object !== undefined) {
      const folder = this.#folder(prefix) ?? this.#enter(prefix);
      if (!folder.early.has(object)) folder.held.set(object, entry);
      return shown;
    }
    shown.push(entry);
    return shown;
  }

  /** What is left to be shown when the listing has ended. */
  rest(): Entry[] {
    return this.#folders.splice(0).flatMap(({ held }) => [...held.values()]);
  }

  /** What the folders hold that the key does not lie in. */
  #leave(key: string): Entry[] {
    const left: Entry[] = [];
    for (let top = this.#folders.at(-1); top !== undefined && !key.startsWith(top.prefix); top = this.#folders.at(-1)) {
      this.#folders.pop();
      left.push(...top.held.values());
    }
    return left;
  }

  #folder(prefix: string): Folder<Entry> | undefined {
    const top = this.#folders.at(-1);
    return top?.prefix === prefix ? top : undefined;
  }

  #enter(prefix: string): Folder<Entry> {
    const folder: Folder<Entry> = { prefix, held: new Map(), early: new Set() };
    this.#folders.push(folder);
    return folder;
  }
}
