import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { RangeSource } from '../../src/readers/range-source.ts';
import { fixture, sharedFolder } from '../support/project.ts';

/** A file with what independent readers say of it. */
export interface ColumnarFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly facts: Readonly<Record<string, unknown>> | undefined;
  /** Its rows, one JSON text each. */
  readonly rows: readonly string[] | undefined;
}

export interface MalformedFile {
  readonly file: string;
  readonly code: string;
  readonly meaning: string;
  readonly bytes: Uint8Array;
}

/** One thing that is to hold of a file, whatever source its bytes are read from. */
export interface ColumnarCheck {
  readonly title: string;
  readonly run: (source: RangeSource) => Promise<void>;
}

/** The repository's own files, and the larger set where SEALPIPE_SHARED names it. */
export function columnarFiles(folder: 'parquet' | 'orc' | 'arrow'): ColumnarFile[] {
  const own = filesOf(fixture('columnar', folder), { facts: '', rows: '' });
  if (sharedFolder === undefined) return own;
  const base = join(sharedFolder, 'columnar');
  const shared = filesOf(join(base, folder), { facts: join(base, 'facts'), rows: join(base, 'rows') });
  const golden = filesOf(join(base, 'golden', folder), { facts: join(base, 'facts/golden'), rows: join(base, 'rows') });
  const known = new Set(own.map(({ name }) => name));
  return [...own, ...shared.filter(({ name }) => !known.has(name)), ...golden];
}

/** The malformed files of an ending, with what a careful reader says of them. */
export function malformedFiles(ending: RegExp): MalformedFile[] {
  const folder = sharedFolder === undefined ? fixture('columnar/malformed') : join(sharedFolder, 'columnar/malformed');
  const { files } = JSON.parse(readFileSync(join(folder, 'expect.json'), 'utf8')) as {
    files: { file: string; code: string; meaning: string }[];
  };
  return files
    .filter(({ file }) => ending.test(file) && existsSync(join(folder, file)))
    .map((entry) => ({ ...entry, bytes: new Uint8Array(readFileSync(join(folder, entry.file))) }));
}

function filesOf(folder: string, { facts, rows }: { facts: string; rows: string }): ColumnarFile[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /\.(parquet|orc|arrows?|feather|parquet\.encrypted)$/.test(name))
    .sort()
    .map((name) => {
      const text = maybe(join(facts || folder, `${name}.json`));
      return {
        name,
        bytes: new Uint8Array(readFileSync(join(folder, name))),
        facts: text === undefined ? undefined : (JSON.parse(text) as Record<string, unknown>),
        rows: maybe(join(rows || folder, `${name}.jsonl`))
          ?.split('\n')
          .filter((line) => line !== ''),
      };
    });
}

function maybe(path: string): string | undefined {
  if (existsSync(path)) return readFileSync(path, 'utf8');
  return existsSync(`${path}.gz`) ? gunzipSync(readFileSync(`${path}.gz`)).toString('utf8') : undefined;
}
