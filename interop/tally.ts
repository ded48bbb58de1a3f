import type { PeerName } from './peer.ts';

export type Verdict = 'passed' | 'known' | 'failed';

/** Counts verdicts by writer and by who did the operation, and prints them as a table. */
export class Tally {
  readonly title: string;
  readonly #cells = new Map<string, Record<Verdict, number>>();

  constructor(title: string) {
    this.title = title;
  }

  add(writer: PeerName, column: string, verdict: Verdict): void {
    const key = `${writer}/${column}`;
    const cell = this.#cells.get(key) ?? { passed: 0, known: 0, failed: 0 };
    cell[verdict]++;
    this.#cells.set(key, cell);
  }

  total(verdict: Verdict): number {
    return [...this.#cells.values()].reduce((sum, cell) => sum + cell[verdict], 0);
  }

  /** Lines of text: a row a writer, `passed`, `passed + known failures`, and failures where there are any. */
  table(rows: readonly PeerName[], columns: readonly string[]): string {
    const head = [this.title, ...columns];
    const body = rows.map((row) => [row, ...columns.map((column) => this.#text(`${row}/${column}`))]);
    const lines = [head, ...body];
    const widths = head.map((_, index) => Math.max(...lines.map((line) => line[index]!.length)));
    return lines
      .map((line) =>
        line
          .map((text, index) => (index === 0 ? text.padEnd(widths[index]!) : text.padStart(widths[index]!)))
          .join('  '),
      )
      .join('\n');
  }

  #text(key: string): string {
    const cell = this.#cells.get(key);
    if (cell === undefined) return '-';
    const { passed, known, failed } = cell;
    return `${passed}${known > 0 ? ` + ${known}k` : ''}${failed > 0 ? `, ${failed} FAILED` : ''}`;
  }
}
