import { readFileSync } from 'node:fs';
import type { RangeSource } from '../../../src/readers/range-source.ts';
import { fixture } from '../../support/project.ts';

/** One of the repository's own files. */
export function ownFile(name: string): Uint8Array {
  return new Uint8Array(readFileSync(fixture('columnar/orc', name)));
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
