/** stdout and stderr of a command. */
import { once } from 'node:events';
import { releaseMemory } from '../crypto/release-memory.ts';
import { SealpipeError } from '../index.ts';
import { printable } from './printable.ts';

/** stdout was closed by whoever reads it: the command stops quietly, and that is no failure (DECISIONS section 12). */
export class OutputClosed extends Error {}

/** Whether an error says that the reader of a pipe went away. */
function isBrokenPipe(error: unknown): boolean {
  const { code } = (typeof error === 'object' && error !== null ? error : {}) as { code?: unknown };
  return code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED';
}

export class StandardOutput {
  #failure: Error | undefined;

  constructor() {
    process.stdout.on('error', (cause: Error) => {
      this.#failure ??= isBrokenPipe(cause)
        ? new OutputClosed('stdout is closed')
        : new SealpipeError('TARGET_FAILED', `stdout cannot be written: ${cause.message}`, { cause });
    });
    // There is nobody left to tell.
    process.stderr.on('error', () => undefined);
  }

  /**
   * Writes bytes, and waits while the reader is slower.
   * @throws OutputClosed, and SealpipeError TARGET_FAILED (a disk that is full, say)
   */
  async bytes(chunk: Uint8Array | string): Promise<void> {
    await this.#write(chunk);
  }

  /**
   * Writes bytes that nobody else has: their memory is free again once they are written, not when garbage is collected. Of an
   * object of gigabytes tens of megabytes would wait for that.
   * @throws as {@link bytes}
   */
  async handOver(chunk: Uint8Array): Promise<void> {
    await this.#write(chunk, () => releaseMemory(chunk));
  }

  /** Writes a line for people or programs. @throws as {@link bytes} */
  async line(text: string): Promise<void> {
    await this.bytes(`${text}\n`);
  }

  /** Writes one JSON document on one line. @throws as {@link bytes} */
  async json(value: object): Promise<void> {
    await this.line(JSON.stringify(value));
  }

  /**
   * A line, or a document, on what the command has done elsewhere: it goes on with its work, whether anybody reads that or not.
   * @throws SealpipeError TARGET_FAILED
   */
  async report(what: string | object): Promise<void> {
    await (typeof what === 'string' ? this.line(what) : this.json(what)).catch((error: unknown) => {
      if (!(error instanceof OutputClosed)) throw error;
    });
  }

  /** Tells people something, on stderr. */
  note(message: string): void {
    process.stderr.write(`sealpipe: ${printable(message)}\n`);
  }

  /** Waits until everything written has been handed over. @throws as {@link bytes} */
  async flush(): Promise<void> {
    for (const stream of [process.stdout, process.stderr]) {
      if (stream.destroyed) continue;
      await new Promise<void>((resolve) => {
        stream.write('', () => resolve());
        stream.once('close', resolve);
      });
    }
    this.#throwFailure();
  }

  async #write(chunk: Uint8Array | string, written?: () => void): Promise<void> {
    this.#throwFailure();
    if (!process.stdout.write(chunk, written) && this.#failure === undefined) await this.#drained();
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** A pipe that was closed never drains. */
  async #drained(): Promise<void> {
    const controller = new AbortController();
    const { signal } = controller;
    const either = ['drain', 'error', 'close'].map((event) => once(process.stdout, event, { signal }));
    await Promise.race(either.map((each) => each.catch(() => undefined)));
    controller.abort();
  }
}
