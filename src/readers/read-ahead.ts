import type { ByteRange } from './byte-range.ts';

/**
 * How an object is read, as far as the caller knows; the names are those of S3A.
 * - `sequential`: from its first read on, what follows is fetched ahead.
 * - `random`: nothing that was not asked for is fetched.
 * - `adaptive`: ahead of a reader whose reads follow on one another, and of no other. It begins in good faith: one read that
 *   follows on the first is enough. After the first seek it takes two in a row.
 */
export type AccessPolicy = 'sequential' | 'random' | 'adaptive';

export const accessPolicies: readonly AccessPolicy[] = ['sequential', 'random', 'adaptive'];

/** Readers at different places of the object that are told apart. */
const maxRuns = 8;

/** Reads that follow on one another. */
interface Run {
  /** Where the next read begins, if it follows on. */
  next: number;
  /** How often one has followed on. */
  length: number;
  /** Bytes to have at hand ahead of the reader; 0 until it has shown what it is. */
  window: number;
  /** End of what has been asked for ahead. */
  fetchedTo: number;
}

/** Decides what to fetch ahead of the readers of one object. Window sizes double from twice the read to the limit. */
export class ReadAhead {
  readonly #policy: AccessPolicy;
  readonly #limit: number;
  readonly #size: number;
  /** In the order of their last read. */
  #runs: Run[] = [];
  #sought = false;

  /** @param limit bytes, the largest window; 0 switches it off */
  constructor({ policy, limit, size }: { policy: AccessPolicy; limit: number; size: number }) {
    this.#policy = policy;
    this.#limit = policy === 'random' ? 0 : limit;
    this.#size = size;
  }

  /**
   * Told of a read that is being made.
   * @param context `parallel`: the read that it follows on is still under way. Whoever asks for the next piece before the last
   *   one has come has cut up a range that it knows the end of, as readers of columns do: no sign of what comes after.
   * @returns what to fetch beside it
   */
  after({ start, end }: ByteRange, { parallel = false }: { parallel?: boolean } = {}): ByteRange | undefined {
    if (this.#limit === 0 || end === start) return undefined;
    const run = this.#runOf(start);
    run.next = end;
    if (parallel && this.#policy === 'adaptive') {
      run.length = 0;
      this.#sought = true;
      return undefined;
    }
    const needed = this.#policy === 'sequential' ? 0 : this.#sought ? 2 : 1;
    if (run.length < needed) return undefined;
    const first = this.#policy === 'sequential' ? this.#limit : 2 * (end - start);
    // Asked for anew when half of it is used up: a request for each read would not be worth it.
    const from = Math.max(end, run.fetchedTo);
    if (run.window > 0 && from - end >= run.window / 2) return undefined;
    run.window = Math.min(this.#limit, run.window === 0 ? first : 2 * run.window);
    run.fetchedTo = Math.min(this.#size, end + run.window);
    return run.fetchedTo > from ? { start: from, end: run.fetchedTo } : undefined;
  }

  /** Told that ranges were asked for at once, as a reader does who knows where it has to go. */
  vectored(): void {
    this.#sought = true;
  }

  #runOf(start: number): Run {
    const index = this.#runs.findIndex((run) => run.next === start);
    const [known] = index === -1 ? [] : this.#runs.splice(index, 1);
    if (known !== undefined) known.length += 1;
    else if (this.#runs.length > 0) this.#sought = true;
    const run = known ?? { next: start, length: 0, window: 0, fetchedTo: start };
    this.#runs.push(run);
    if (this.#runs.length > maxRuns) this.#runs.shift();
    return run;
  }
}
