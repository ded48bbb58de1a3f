import { PartSealer } from './part-sealer.ts';
import type { CloseSession, OpenSession, SealTask } from './worker-protocol.ts';

/** Who seals parts: a thread of the pool, or the calling thread itself. */
export interface SealWorker {
  readonly load: number;
  post(message: OpenSession | CloseSession): void;
  run<T>(task: SealTask): Promise<T>;
}

/** Seals on the calling thread, for callers who want no worker threads. */
export class InlineWorker implements SealWorker {
  readonly load = 0;
  readonly #sealers = new Map<number, PartSealer>();

  post(message: OpenSession | CloseSession): void {
    if (message.type === 'open') {
      this.#sealers.set(message.session, new PartSealer(message));
      return;
    }
    this.#sealers.get(message.session)?.close();
    this.#sealers.delete(message.session);
  }

  async run<T>(task: SealTask): Promise<T> {
    const sealer = this.#sealers.get(task.session);
    if (sealer === undefined) throw new Error('internal error: no such session');
    return sealer.seal(task) as T;
  }
}
