import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { RangeSource } from '../../../src/readers/range-source.ts';

/** Root of the repository: tests run from build/test/…, four folders below it. */
const root = join(import.meta.dirname, '../../../..');

/** A file with what independent readers say of it. */
export interface ColumnarFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly facts: Record<string, unknown>;
  /** Its rows, one JSON text each. */
  readonly rows: readonly string[] | undefined;
}

/** Folders with ORC files: the repository's own, and the larger set where SEALPIPE_SHARED names it. */
export function columnarFolders(): { orc: string; facts: string; rows: string; malformed: string; golden?: string }[] {
  const own = join(root, 'fixtures/columnar');
  const folders = [
    { orc: join(own, 'orc'), facts: join(own, 'orc'), rows: join(own, 'orc'), malformed: join(own, 'malformed') },
  ];
  const shared = process.env['SEALPIPE_SHARED'];
  if (shared === undefined) return folders;
  const base = join(shared, 'columnar');
  const names = { facts: join(base, 'facts'), rows: join(base, 'rows'), malformed: join(base, 'malformed') };
  return [
    ...folders,
    { orc: join(base, 'orc'), ...names },
    { orc: join(base, 'golden/orc'), ...names, facts: join(base, 'facts/golden') },
  ];
}

export function columnarFiles(folder: { orc: string; facts: string; rows: string }): ColumnarFile[] {
  return readdirSync(folder.orc)
    .filter((name) => name.endsWith('.orc'))
    .sort()
    .map((name) => {
      const rows = maybe(join(folder.rows, `${name}.jsonl`));
      return {
        name,
        bytes: new Uint8Array(readFileSync(join(folder.orc, name))),
        facts: JSON.parse(maybe(join(folder.facts, `${name}.json`)) ?? '{}') as Record<string, unknown>,
        rows: rows?.split('\n').filter((line) => line !== ''),
      };
    });
}

/** One of the repository's own files. */
export function ownFile(name: string): Uint8Array {
  return new Uint8Array(readFileSync(join(root, 'fixtures/columnar/orc', name)));
}

function maybe(path: string): string | undefined {
  if (existsSync(path)) return readFileSync(path, 'utf8');
  return existsSync(`${path}.gz`) ? gunzipSync(readFileSync(`${path}.gz`)).toString('utf8') : undefined;
}

/** Bytes as a source that keeps a log of what was asked of it, and refuses what lies outside. */
export class CountingSource implements RangeSource {
  readonly size: number;
  readonly reads: [start: number, end: number][] = [];
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.size = bytes.length;
  }

  get bytesRead(): number {
    return this.reads.reduce((sum, [start, end]) => sum + end - start, 0);
  }

  async read(start: number, end: number, options: { signal?: AbortSignal } = {}): Promise<Uint8Array> {
    options.signal?.throwIfAborted();
    if (!(start >= 0 && start <= end && end <= this.size))
      throw new RangeError(`read of [${start}, ${end}) of ${this.size}`);
    this.reads.push([start, end]);
    return this.#bytes.subarray(start, end);
  }
}
