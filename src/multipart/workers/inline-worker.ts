import { PartSealer } from './part-sealer.ts';
import { RangeOpener } from './range-opener.ts';
import type { CloseSession, OpenReading, OpenSession, SealTask, UnsealTask } from './worker-protocol.ts';

/** Who seals parts and unseals segments: a thread of the pool, or the calling thread itself. */
export interface SealWorker {
  readonly load: number;
  post(message: OpenSession | OpenReading | CloseSession): void;
  run<T>(task: SealTask | UnsealTask): Promise<T>;
}

/** Seals and unseals on the calling thread, for callers who want no worker threads. */
export class InlineWorker implements SealWorker {
  readonly load = 0;
  readonly #sealers = new Map<number, PartSealer>();
  readonly #openers = new Map<number, RangeOpener>();

  post(message: OpenSession | OpenReading | CloseSession): void {
    switch (message.type) {
      case 'open':
        this.#sealers.set(message.session, new PartSealer(message));
        return;
      case 'open-reading':
        this.#openers.set(message.session, new RangeOpener(message));
        return;
      case 'close':
        this.#sealers.get(message.session)?.close();
        this.#sealers.delete(message.session);
        this.#openers.get(message.session)?.close();
        this.#openers.delete(message.session);
    }
  }

  async run<T>(task: SealTask | UnsealTask): Promise<T> {
    if (task.type === 'seal') return (await sessionOf(this.#sealers, task).seal(task)) as T;
    return sessionOf(this.#openers, task).unseal(task) as T;
  }
}

function sessionOf<S>(sessions: ReadonlyMap<number, S>, { session }: { session: number }): S {
  const found = sessions.get(session);
  if (found === undefined) throw new Error('internal error: no such session');
  return found;
}
