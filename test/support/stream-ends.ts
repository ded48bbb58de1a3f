import { Readable, type Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Everything that comes out of a Transform that is given these pieces. */
export async function through(stream: Transform, chunks: readonly Uint8Array[]): Promise<Buffer> {
  const out: Uint8Array[] = [];
  await pipeline(Readable.from(chunks, { objectMode: true }), stream, collect(out));
  return Buffer.concat(out);
}

/** A sink that keeps what it gets. */
export function collect(into: Uint8Array[]): Writable {
  return new Writable({
    write: (chunk: Uint8Array, _encoding, callback) => {
      into.push(chunk);
      callback();
    },
  });
}

/** Waits until something holds; fails after a few seconds. */
export async function until(condition: () => boolean, what = 'the condition'): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`${what} did not come to hold`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Lets everything run that is ready to run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}
