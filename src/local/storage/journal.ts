/**
 * A file of JSON lines to which each change is appended: the change is made the moment its line is whole.
 *
 * A process killed while it writes leaves at most one torn line at the end, which is cut off at the next opening.
 * Lines are handed to the operating system and not forced to the disk: what survives is a crash of the process, not of the machine.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { SealpipeError } from '../../errors.ts';

export class Journal<Entry> {
  readonly #path: string;
  #file: number;
  #size: number;
  #lines: number;

  private constructor(path: string, file: number, size: number, lines: number) {
    this.#path = path;
    this.#file = file;
    this.#size = size;
    this.#lines = lines;
  }

  /** Opens or makes the file, and hands every entry in it to `replay`, in order. */
  static open<Entry>(path: string, replay: (entry: Entry) => void): Journal<Entry> {
    const file = openSync(path, 'a+', 0o600);
    const content = readFileSync(path);
    let start = 0;
    let lines = 0;
    for (let end = content.indexOf(0x0a); end >= 0; end = content.indexOf(0x0a, start)) {
      lines++;
      replay(parseLine<Entry>(content.toString('utf8', start, end), path, lines));
      start = end + 1;
    }
    if (start < content.length) ftruncateSync(file, start);
    return new Journal<Entry>(path, file, start, lines);
  }

  get lines(): number {
    return this.#lines;
  }

  append(entry: Entry): void {
    const line = Buffer.from(`${JSON.stringify(entry)}\n`, 'utf8');
    try {
      let written = 0;
      while (written < line.length) written += writeSync(this.#file, line, written);
    } catch (cause) {
      // A full disk may have taken half a line: the next one must not be joined to it.
      ftruncateSync(this.#file, this.#size);
      throw cause;
    }
    this.#size += line.length;
    this.#lines++;
  }

  /** Replaces all entries by these, which say the same with fewer lines. */
  rewrite(entries: Iterable<Entry>): void {
    const text: string[] = [];
    for (const entry of entries) text.push(`${JSON.stringify(entry)}\n`);
    const content = Buffer.from(text.join(''), 'utf8');
    const temporary = `${this.#path}.new`;
    writeFileSync(temporary, content, { mode: 0o600 });
    renameSync(temporary, this.#path);
    closeSync(this.#file);
    this.#file = openSync(this.#path, 'a', 0o600);
    this.#size = content.length;
    this.#lines = text.length;
  }

  close(): void {
    closeSync(this.#file);
  }
}

function parseLine<Entry>(text: string, path: string, line: number): Entry {
  try {
    return JSON.parse(text) as Entry;
  } catch (cause) {
    throw new SealpipeError(
      'CONFIG_INVALID',
      `the local endpoint's file ${path} is damaged in line ${line}: remove the folder, or restore it from a copy`,
      { cause },
    );
  }
}
