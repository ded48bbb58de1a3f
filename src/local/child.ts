/** An endpoint in a process of its own, so that what is measured or killed is not what measures or kills. */
import { type ChildProcess, fork } from 'node:child_process';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { errorCodes, SealpipeError } from '../errors.ts';
import type { FaultRule } from './faults.ts';
import type { LocalClientConfig } from './index.ts';
import type { LocalEndpointOptions } from './options.ts';
import type { RequestLogEntry } from './request-log.ts';

/** What the parent asks of its child. */
export type ChildCall =
  | { readonly method: 'start'; readonly options: LocalEndpointOptions }
  | { readonly method: 'requests'; readonly operation?: string }
  | { readonly method: 'clearRequests' }
  | { readonly method: 'setFaults'; readonly rules: readonly FaultRule[] }
  | { readonly method: 'hits' }
  | { readonly method: 'close'; readonly graceMs?: number };

/** What the child answers. */
export type ChildAnswer =
  | { readonly id: number; readonly value: unknown }
  | {
      readonly id: number;
      readonly problem: { readonly name: string; readonly message: string; readonly code?: string };
    };

interface Started {
  readonly port: number;
  readonly endpoint: string;
  readonly region: string;
  readonly accountId: string;
  readonly credentials: LocalClientConfig['credentials'];
  readonly dir: string;
  readonly ca: string | undefined;
}

/** A running endpoint in another process. As {@link LocalEndpoint}, but what it is asked takes a message there and back. */
export interface LocalEndpointProcess extends AsyncDisposable {
  readonly pid: number;
  readonly endpoint: string;
  readonly port: number;
  readonly region: string;
  readonly accountId: string;
  readonly credentials: LocalClientConfig['credentials'];
  readonly s3Config: LocalClientConfig & { readonly forcePathStyle: true };
  readonly kmsConfig: LocalClientConfig;
  readonly ca?: string;
  readonly dir: string;
  /** Each waits until no request is active. */
  readonly requests: {
    all(operation?: string): Promise<RequestLogEntry[]>;
    clear(): Promise<void>;
  };
  readonly faults: {
    /** Replaces all rules. @throws TypeError */
    set(rules: readonly FaultRule[]): Promise<void>;
    /** How many requests each rule has struck. */
    hits(): Promise<number[]>;
  };
  /** Stops it in an orderly way. Calling it again, or after {@link kill}, changes nothing. */
  close(options?: { readonly graceMs?: number }): Promise<void>;
  /** Kills it (SIGKILL), as a crash would. A temporary folder is then left behind. */
  kill(): Promise<void>;
}

class Calls {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (problem: Error) => void }>();
  #lastId = 0;

  constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (answer: ChildAnswer) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if ('problem' in answer) waiting?.reject(revive(answer.problem));
      else waiting?.resolve(answer.value);
    });
    child.on('exit', (code, signal) => {
      const cause = new Error(`the endpoint's process ended with ${signal ?? `status ${code}`}`);
      for (const { reject } of this.#waiting.values()) reject(cause);
      this.#waiting.clear();
    });
  }

  get over(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  make(call: ChildCall): Promise<unknown> {
    if (this.over) return Promise.reject(new Error("the endpoint's process has ended"));
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, call });
    });
  }
}

// Errors lose their class on the way between processes.
function revive(problem: { readonly name: string; readonly message: string; readonly code?: string }): Error {
  const code = errorCodes.find((known) => problem.code === `ERR_SEALPIPE_${known}`);
  if (code !== undefined) return new SealpipeError(code, problem.message);
  if (problem.name === 'TypeError') return new TypeError(problem.message);
  if (problem.name === 'RangeError') return new RangeError(problem.message);
  return new Error(problem.message);
}

/**
 * Starts an endpoint in a process of its own. It ends with `close`, or with this process.
 *
 * @throws what {@link startLocalEndpoint} throws
 */
export async function startLocalEndpointProcess(options: LocalEndpointOptions = {}): Promise<LocalEndpointProcess> {
  const child = fork(join(import.meta.dirname, 'child-main.js'), [], { serialization: 'advanced', execArgv: [] });
  const calls = new Calls(child);
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
  });
  let started: Started;
  try {
    started = (await calls.make({ method: 'start', options })) as Started;
  } catch (problem) {
    child.kill('SIGKILL');
    await ended;
    throw problem;
  }
  const { ca, port, endpoint, region, accountId, credentials, dir } = started;
  const kmsConfig: LocalClientConfig = {
    endpoint,
    region,
    credentials,
    ...(ca === undefined ? {} : { requestHandler: { httpsAgent: new Agent({ ca, keepAlive: true }) } }),
  };
  const close = async (how: { readonly graceMs?: number } = {}): Promise<void> => {
    if (!calls.over) await calls.make({ method: 'close', ...how });
    await ended;
  };
  return {
    pid: child.pid!,
    port,
    endpoint,
    region,
    accountId,
    credentials,
    dir,
    ...(ca === undefined ? {} : { ca }),
    kmsConfig,
    s3Config: { ...kmsConfig, forcePathStyle: true },
    requests: {
      all: async (operation) =>
        (await calls.make({
          method: 'requests',
          ...(operation === undefined ? {} : { operation }),
        })) as RequestLogEntry[],
      clear: async () => {
        await calls.make({ method: 'clearRequests' });
      },
    },
    faults: {
      set: async (rules) => {
        await calls.make({ method: 'setFaults', rules });
      },
      hits: async () => (await calls.make({ method: 'hits' })) as number[],
    },
    close,
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
    [Symbol.asyncDispose]: () => close(),
  };
}
