/** The worker threads of this process, shared by all its uploads and downloads. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type errorCodes, SealpipeError } from '../../errors.ts';
import { areSameSettings, type NetworkSettings, networkSettings } from './network-settings.ts';
import type {
  FetchTask,
  FromWorker,
  OpenReading,
  OpenSession,
  SealTask,
  SendTask,
  TouchTask,
  ToWorker,
  UnsealTask,
  WorkerError,
} from './worker-protocol.ts';

/** Workers by default: one a core. More would only take the cores from each other; past eight the network is the limit. */
export function defaultWorkerCount(): number {
  return Math.min(availableParallelism(), 8);
}

/** More threads than this only take memory from each other: a process was seen to end for the lack of it. */
const mostWorkers = 64;

/** @throws RangeError */
export function assertWorkerCount(workers: number): void {
  if (!Number.isInteger(workers) || workers < 0 || workers > mostWorkers)
    throw new RangeError(`workers is ${String(workers)}, expected an integer from 0 to ${mostWorkers}`);
}

/** Milliseconds without work after which a worker is let go. */
const idleLimit = 30_000;

/**
 * Of each worker, MiB. Its bytes lie in shared memory, its garbage are some kilobytes a part: V8 would let the young generation grow
 * with each GiB all the same, to eight times of what is needed (on Node 24 to thirty). Two thirds of it are resident.
 */
const maxYoungGenerationSizeMb = 6;

type Task = SealTask | TouchTask | SendTask | UnsealTask | FetchTask;

/** One thread. It keeps the process alive only while it works. */
export class PoolWorker {
  /** What it connects by. */
  readonly settings: NetworkSettings;
  readonly #worker: Worker;
  readonly #pending = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  /** Open, with the keys as they were handed over. */
  readonly #sessions = new Map<number, readonly SharedArrayBuffer[]>();
  #idle: NodeJS.Timeout | undefined;
  #failure: Error | undefined;

  /** @throws SealpipeError WORKER_FAILED where no thread is to be had */
  constructor(settings: NetworkSettings) {
    this.settings = settings;
    this.#worker = startThread(settings);
    this.#worker.unref();
    this.#worker.on('message', (message: FromWorker) => this.#settle(message));
    this.#worker.on('error', (error) => this.#end(error));
    this.#worker.on('exit', (status) => this.#end(new Error(`the thread ended with status ${status}`)));
    // It may have been started for what then fails before there is anything to do.
    this.#keepAlive();
  }

  /** Whether it has died. */
  get dead(): boolean {
    return this.#failure !== undefined;
  }

  /** Tasks that it has not answered. */
  get load(): number {
    return this.#pending.size;
  }

  /** Hands over a key, or takes it back. */
  post(message: Exclude<ToWorker, Task>): void {
    if (message.type === 'open' || message.type === 'open-reading')
      this.#sessions.set(message.session, keysOf(message));
    if (message.type === 'close') this.#sessions.delete(message.session);
    this.#worker.postMessage(message);
    this.#keepAlive();
    if (this.dead) this.#overwriteKeys();
  }

  /**
   * Runs a task.
   * @throws SealpipeError WORKER_FAILED when the thread dies; else what the task failed with
   */
  run<T>(task: Task): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(workerFailed(this.#failure));
        return;
      }
      this.#pending.set(task.task, { resolve, reject });
      this.#worker.postMessage(task);
      this.#keepAlive();
    });
  }

  #settle(message: FromWorker): void {
    const pending = this.#pending.get(message.task);
    this.#pending.delete(message.task);
    this.#keepAlive();
    if (message.ok) pending?.resolve(message.value as never);
    else pending?.reject(revive(message.error));
  }

  #keepAlive(): void {
    if (this.#pending.size > 0) this.#worker.ref();
    else this.#worker.unref();
    clearTimeout(this.#idle);
    if (this.#pending.size === 0 && this.#sessions.size === 0) {
      this.#idle = setTimeout(() => {
        this.#failure = new Error('the thread was let go');
        void this.#worker.terminate();
      }, idleLimit).unref();
    }
  }

  /** Those on their way to a thread that is no more. */
  #overwriteKeys(): void {
    for (const key of [...this.#sessions.values()].flat()) new Uint8Array(key).fill(0);
  }

  #end(cause: Error): void {
    this.#failure ??= cause;
    clearTimeout(this.#idle);
    this.#overwriteKeys();
    for (const { reject } of this.#pending.values()) reject(workerFailed(this.#failure));
    this.#pending.clear();
  }
}

function startThread(settings: NetworkSettings): Worker {
  try {
    return new Worker(new URL('./part-worker.js', import.meta.url), {
      name: 'sealpipe',
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb },
      workerData: settings,
    });
  } catch (cause) {
    const said = (cause as Error).message;
    throw new SealpipeError(
      'WORKER_FAILED',
      `a worker thread could not be started (${said}): give fewer workers, or workers: 0 for none but the calling thread, or allow the process more threads (ulimit -u, a limit of pids, node --allow-worker)`,
      { cause },
    );
  }
}

function keysOf(message: OpenSession | OpenReading): SharedArrayBuffer[] {
  const index = message.type === 'open' ? message.index : undefined;
  return index === undefined ? [message.key] : [message.key, index.key];
}

const pool: PoolWorker[] = [];
let lastTask = 0;
let lastSession = 0;

/** Numbers that no other task, or session, of this process has. */
export const nextTask = (): number => ++lastTask;
export const nextSession = (): number => ++lastSession;

/**
 * Up to `count` workers of the pool, started where there are none yet that connect as the caller does; those with the least to do first.
 * @throws SealpipeError WORKER_FAILED where no thread is to be had
 */
export function takeWorkers(count: number): PoolWorker[] {
  const settings = networkSettings();
  for (let i = pool.length - 1; i >= 0; i--) {
    const worker = pool[i] as PoolWorker;
    // One with other settings ends by itself when it has nothing left to do.
    if (worker.dead || !areSameSettings(worker.settings, settings)) pool.splice(i, 1);
  }
  while (pool.length < count) pool.push(new PoolWorker(settings));
  return [...pool].sort((a, b) => a.load - b.load).slice(0, count);
}

function workerFailed(cause: Error): SealpipeError {
  return new SealpipeError(
    'WORKER_FAILED',
    `a worker thread ended in the middle of its work (${cause.message}): try again, with fewer workers if memory is short`,
    {
      cause,
    },
  );
}

/** An error that crossed threads, as the one it was. */
export function revive({ sealpipe, name, code, message, cause: described }: WorkerError): Error {
  const cause = described && revive(described);
  if (sealpipe)
    return new SealpipeError(code?.replace('ERR_SEALPIPE_', '') as (typeof errorCodes)[number], message, { cause });
  const error = cause === undefined ? new Error(message) : new Error(message, { cause });
  return Object.assign(error, { name, ...(code !== undefined && { code }) });
}
