/** A case's process, as the harness sees it. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { CaseSpec, World } from './case-spec.ts';
import { isLeaving, type Undoing, undoing } from './leaving.ts';
import type { Measured } from './measurement.ts';

export type CaseOrder =
  | {
      readonly type: 'prepare';
      readonly spec: CaseSpec;
      readonly world: World;
      /** Plaintext bytes of the object that ranges are read from. */
      readonly objectLength: number;
      /** Check instead of measuring. */
      readonly verify: boolean;
    }
  | { readonly type: 'go' };

export type CaseMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'measured'; readonly measured: Measured }
  | { readonly type: 'verified' }
  | { readonly type: 'failed'; readonly message: string };

export interface CaseProcessOptions {
  /** PEM file of an authority that the process has to trust, workers included. */
  readonly caFile?: string | undefined;
  /** Folder for a CPU profile of the process. */
  readonly profile?: string | undefined;
}

/** Milliseconds after which a case counts as hanging. */
const timeLimit = 15 * 60_000;

export class CaseProcess {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #exit: Promise<unknown>;
  readonly #timer: NodeJS.Timeout;
  readonly #undoing: Undoing;

  constructor(spec: CaseSpec, world: World, options: CaseProcessOptions & { objectLength: number; verify: boolean }) {
    const { caFile, profile, objectLength, verify } = options;
    if (isLeaving()) throw new Error(`${spec.name} is not begun: the program is ending`);
    const profiling =
      profile === undefined
        ? []
        : ['--cpu-prof', `--cpu-prof-dir=${profile}`, `--cpu-prof-name=${spec.name.replace(/\W+/g, '-')}.cpuprofile`];
    this.#name = spec.name;
    this.#child = fork(join(import.meta.dirname, 'case-program.js'), {
      // The SDK's notes on Node versions are none of the figures.
      execArgv: ['--no-warnings', ...profiling],
      env: { ...process.env, ...(caFile !== undefined && { NODE_EXTRA_CA_CERTS: caFile }) },
    });
    this.#exit = once(this.#child, 'exit');
    this.#undoing = undoing(async () => {
      this.#child.kill('SIGKILL');
      await this.#exit;
    });
    this.#timer = setTimeout(() => this.#child.kill('SIGKILL'), timeLimit);
    this.#send({ type: 'prepare', spec, world, objectLength, verify });
  }

  /** Waits until it has warmed up. */
  async ready(): Promise<void> {
    await this.#expect('ready');
  }

  async measure(): Promise<Measured> {
    const answer = this.#expect('measured');
    this.#send({ type: 'go' });
    return (await answer).measured;
  }

  async verified(): Promise<void> {
    await this.#expect('verified');
  }

  /** Waits until it has ended; after a failure it is made to. */
  async close({ failed = false }: { readonly failed?: boolean } = {}): Promise<void> {
    if (failed) this.#child.kill('SIGKILL');
    await this.#exit;
    clearTimeout(this.#timer);
    this.#undoing.forget();
  }

  #send(order: CaseOrder): void {
    this.#child.send(order, () => undefined);
  }

  async #expect<T extends CaseMessage['type']>(type: T): Promise<Extract<CaseMessage, { type: T }>> {
    const listening = new AbortController();
    try {
      const [message] = (await Promise.race([
        once(this.#child, 'message', { signal: listening.signal }),
        this.#exit.then(() => {
          throw new Error(`the process of ${this.#name} ended with ${this.#child.signalCode ?? this.#child.exitCode}`);
        }),
      ])) as [CaseMessage];
      if (message.type === 'failed') throw new Error(message.message);
      if (message.type !== type) throw new Error(`${this.#name} said ${message.type}, expected ${type}`);
      return message as Extract<CaseMessage, { type: T }>;
    } finally {
      listening.abort();
    }
  }
}
