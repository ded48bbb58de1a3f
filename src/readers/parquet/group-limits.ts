import { formatUnsupported } from './format-error.ts';

/** Bytes that the values of a row group may always take in memory, and values and rows that it may always have. */
const expandedBytes = 512 * 1024 * 1024;
const valuesAndRows = 2 ** 25;

/** Beyond that, so many bytes or values for each byte that is stored: honest files stay far below. */
const perStoredByte = 64;

/**
 * What a row group becomes in memory, where it is decoded whole: pages of a few bytes can hold gigabytes each, or
 * millions of values. What files of honest writers hold is not limited, however large their row groups are.
 */
export class GroupLimits {
  readonly #index: number;
  readonly #stored: number;
  readonly #pages = new Set<number>();
  #expanded = 0;

  /** `stored` is how many bytes are read of the row group, `values` how many of the values in it are wanted. */
  constructor({ index, stored, values, rows }: { index: number; stored: number; values: number; rows: number }) {
    this.#index = index;
    this.#stored = stored;
    if (values + rows > Math.max(valuesAndRows, stored * perStoredByte)) {
      throw formatUnsupported(
        `row group ${index} has ${values} values in ${rows} rows, stored in ${stored} bytes: ask for fewer rows or columns`,
      );
    }
  }

  /** Takes in the page at file offset `at`, whose values take so many bytes. @throws SealpipeError FORMAT_UNSUPPORTED */
  add(at: number, expanded: number): void {
    if (this.#pages.has(at)) return;
    this.#pages.add(at);
    this.#expanded += expanded;
    if (this.#expanded > Math.max(expandedBytes, this.#stored * perStoredByte)) {
      throw formatUnsupported(
        `row group ${this.#index} expands beyond ${this.#expanded} bytes, stored in ${this.#stored}: ask for fewer columns`,
        at,
      );
    }
  }
}
