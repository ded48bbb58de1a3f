/** How far a transfer has come: a bar on a terminal, JSON lines where asked for, else nothing. Always on stderr. */
import type { Options, SingleBar } from 'cli-progress';
import { formatByteSize, formatRate } from './byte-size.ts';
import { printable } from './printable.ts';

/** `auto`: a bar where stderr is a terminal, else silence. */
export type ProgressStyle = 'auto' | 'json' | 'none';

export interface ProgressReport {
  /** Plaintext bytes so far. */
  readonly bytes: number;
  readonly total?: number | undefined;
  readonly parts: number;
}

export interface Progress {
  report(report: ProgressReport): void;
  /** Removes the bar, or writes the last line. */
  finish(): void;
}

/** Milliseconds between two JSON lines: a program that watches needs no more, and a fast disk would give thousands. */
const jsonInterval = 250;

/** @param label what is transferred, for the bar */
export async function startProgress(style: ProgressStyle, label: string): Promise<Progress> {
  if (style === 'json') return new JsonProgress();
  if (style === 'auto' && process.stderr.isTTY === true) {
    const { SingleBar } = (await import('cli-progress')).default;
    return new BarProgress((options) => new SingleBar(options), label);
  }
  return { report: () => undefined, finish: () => undefined };
}

class JsonProgress implements Progress {
  readonly #started = performance.now();
  #written = Number.NEGATIVE_INFINITY;
  #waiting: ProgressReport | undefined;

  report(report: ProgressReport): void {
    this.#waiting = report;
    if (performance.now() - this.#written >= jsonInterval) this.#write();
  }

  finish(): void {
    this.#write();
  }

  #write(): void {
    if (this.#waiting === undefined) return;
    const { bytes, total, parts } = this.#waiting;
    this.#waiting = undefined;
    this.#written = performance.now();
    const line = {
      bytes,
      ...(total === undefined ? {} : { total }),
      parts,
      elapsedMs: Math.round(this.#written - this.#started),
    };
    process.stderr.write(`${JSON.stringify(line)}\n`);
  }
}

class BarProgress implements Progress {
  readonly #bar: SingleBar;
  readonly #started = performance.now();
  readonly #label: string;
  #running = false;

  constructor(createBar: (options: Options) => SingleBar, label: string) {
    const name = printable(label);
    this.#label = name.length > 40 ? `…${name.slice(-39)}` : name;
    this.#bar = createBar({
      stream: process.stderr,
      clearOnComplete: true,
      hideCursor: true,
      // The command line has its own handling of signals, with a clean-up that the bar must not cut short.
      gracefulExit: false,
      format: (_options, { value, total }) => this.#line(value, total),
    });
  }

  report({ bytes, total = 0 }: ProgressReport): void {
    if (this.#running) this.#bar.update(bytes);
    else this.#bar.start(total, bytes);
    this.#running = true;
    this.#bar.setTotal(Math.max(total, bytes));
  }

  finish(): void {
    if (this.#running) this.#bar.stop();
    this.#running = false;
  }

  #line(value: number, total: number): string {
    const rate = formatRate(value, (performance.now() - this.#started) / 1000);
    if (total <= value && value > 0) return `${this.#label}  ${formatByteSize(value)}  ${rate}`;
    const width = 24;
    const filled = total === 0 ? 0 : Math.floor((width * value) / total);
    const bar = '█'.repeat(filled) + '░'.repeat(width - filled);
    return `${this.#label}  ${bar}  ${formatByteSize(value)} of ${formatByteSize(total)}  ${rate}`;
  }
}
