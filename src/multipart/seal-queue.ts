import type { SealWorker } from './workers/inline-worker.ts';

/** Parts that a worker has at a time: the one that it makes, and the next, so that it need not wait to be given it. */
const partsAtOnce = 2;

interface Seat {
  readonly worker: SealWorker;
  taken: number;
}

/**
 * Hands parts to workers as they finish others. Dealt out beforehand, those of a thread that gets less of a core come late while another
 * has nothing to do; dealt out by all that a thread has to do, sends included, two would be made one after the other beside an idle one.
 */
export class SealQueue {
  readonly #seats: readonly Seat[];
  readonly #waiting: ((seat: Seat) => void)[] = [];

  constructor(workers: readonly SealWorker[]) {
    this.#seats = workers.map((worker) => ({ worker, taken: 0 }));
  }

  /** Has a part made, in the order of the calls: at once where a worker has room for it. */
  async run<T>(make: (worker: SealWorker) => Promise<T>): Promise<T> {
    const seat = this.#takeFreest() ?? (await new Promise<Seat>((resolve) => this.#waiting.push(resolve)));
    try {
      return await make(seat.worker);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) seat.taken -= 1;
      else next(seat);
    }
  }

  #takeFreest(): Seat | undefined {
    const freest = this.#seats.reduce((best, seat) =>
      seat.taken < best.taken || (seat.taken === best.taken && seat.worker.load < best.worker.load) ? seat : best,
    );
    if (freest.taken >= partsAtOnce) return undefined;
    freest.taken += 1;
    return freest;
  }
}
