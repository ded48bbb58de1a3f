/** What was found out about objects, by ETag: an object that is listed again is not looked at again. */
import type { PlaintextLength } from '../format/lengths.ts';

/** What kind of thing an object of a listing is, as far as a look at it tells. */
export type ObjectKind = 'V1' | 'V2' | 'V3' | 'plaintext' | 'instruction-file' | 'directory';

/** What a look at an object came to. */
export interface ProbedLength extends Omit<PlaintextLength, 'basis'> {
  readonly basis: PlaintextLength['basis'] | 'padding';
  readonly kind: ObjectKind;
}

/** Which object, in which state: another one under the same key has another ETag or date. */
export interface ListedObject {
  readonly bucket: string;
  readonly key: string;
  readonly etag: string;
  readonly storedSize: number;
  readonly lastModified: Date | undefined;
}

const limit = 10_000;

/** Holds what was found out about some objects; those that were asked for longest ago go first. */
export class ProbedLengths {
  readonly #found = new Map<string, ProbedLength>();

  get(object: ListedObject): ProbedLength | undefined {
    const id = idOf(object);
    const found = this.#found.get(id);
    if (found === undefined) return undefined;
    this.#found.delete(id);
    this.#found.set(id, found);
    return found;
  }

  /** Only what is exact is worth keeping: the next one to ask may have the key. */
  set(object: ListedObject, found: ProbedLength): void {
    if (!found.exact || object.etag === '') return;
    this.#found.set(idOf(object), found);
    for (const oldest of this.#found.keys()) {
      if (this.#found.size <= limit) break;
      this.#found.delete(oldest);
    }
  }
}

function idOf({ bucket, key, etag, storedSize, lastModified }: ListedObject): string {
  return JSON.stringify([bucket, key, etag, storedSize, lastModified?.getTime()]);
}
