/** Files to upload by a journal, which have been at rest for long enough to be told from later ones by their times. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface RestedSource {
  readonly path: string;
  readonly content: Buffer;
  /** Where its journal goes; there is none yet. */
  readonly journal: string;
  readonly Key: string;
}

export class RestedSources {
  readonly folder: string;
  #count = 0;

  constructor(name: string) {
    this.folder = mkdtempSync(join(tmpdir(), `sealpipe-${name}-`));
  }

  /** A new file of so many random bytes. */
  create(length: number): RestedSource {
    this.#count += 1;
    const path = join(this.folder, `source-${this.#count}`);
    const content = randomBytes(length);
    writeFileSync(path, content);
    const minuteAgo = Date.now() / 1000 - 60;
    utimesSync(path, minuteAgo, minuteAgo);
    return { path, content, journal: join(this.folder, `journal-${this.#count}`), Key: `object-${this.#count}` };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}
