import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Digest } from './peer.ts';

export interface Plaintext extends Digest {
  /** Path of a file that holds it. */
  readonly file: string;
}

/** Files of generated plaintext, one a length. Peers read the file, so only one program has to know how it is made. */
export class Plaintexts {
  readonly #folder = mkdtempSync(join(tmpdir(), 'sealpipe-interop-'));
  readonly #made = new Map<number, Plaintext>();

  constructor() {
    // Also when the process is ended by a signal that it takes.
    process.once('exit', () => this.remove());
  }

  /** The plaintext of this many bytes: SHAKE-128 over a seed that names the length. */
  of(length: number): Plaintext {
    const made = this.#made.get(length);
    if (made !== undefined) return made;
    const bytes =
      length === 0
        ? Buffer.alloc(0)
        : createHash('shake128', { outputLength: length }).update(`sealpipe interop ${length}`).digest();
    const file = join(this.#folder, `${length}.bin`);
    writeFileSync(file, bytes);
    const plaintext = { file, length, sha256: createHash('sha256').update(bytes).digest('hex') };
    this.#made.set(length, plaintext);
    return plaintext;
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
