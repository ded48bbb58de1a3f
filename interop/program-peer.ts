import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type Digest, type OfficialPeerName, type Peer, PeerError, type ReadJob, type WriteJob } from './peer.ts';

/** How to start a peer's program. */
export interface ProgramSpec {
  readonly name: OfficialPeerName;
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment: nothing of the caller's own AWS settings may reach a client. */
  readonly env: Readonly<Record<string, string>>;
}

/** Generous: a cold JVM on a busy core is slow, and what hangs is given a shorter time by the job. */
const defaultTimeoutMs = 120_000;
/** Enough of a stack trace to see why a program died. */
const keptStderr = 4096; // characters

interface ReadyLine {
  readonly client: string;
  readonly runtime: string;
}

interface AnswerLine {
  readonly id: number;
  readonly ok: boolean;
  readonly sha256?: string;
  readonly length?: number;
  readonly error?: { readonly name: string; readonly message: string; readonly causes: readonly string[] };
}

/** Starts the program and waits for its first line, which names the client. */
export async function startProgramPeer(spec: ProgramSpec): Promise<Peer> {
  const program = new Program(spec);
  try {
    return new ProgramPeer(spec, program, await program.ready());
  } catch (error) {
    await program.end();
    throw error;
  }
}

class ProgramPeer implements Peer {
  readonly name: OfficialPeerName;
  readonly client: string;
  readonly runtime: string;
  readonly #spec: ProgramSpec;
  #program: Program | undefined;
  #nextId = 1;
  #closed = false;
  /** The end of the queue: a program answers one job after the other, so that a time-out blames the right one. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(spec: ProgramSpec, program: Program, ready: ReadyLine) {
    this.name = spec.name;
    this.client = ready.client;
    this.runtime = ready.runtime;
    this.#spec = spec;
    this.#program = program;
  }

  async write(job: WriteJob): Promise<void> {
    await this.#enqueue({ op: 'write', ...job }, defaultTimeoutMs);
  }

  async read(job: ReadJob): Promise<Digest> {
    const { timeoutMs = defaultTimeoutMs, ...rest } = job;
    const answer = await this.#enqueue({ op: 'read', ...rest }, timeoutMs);
    if (answer.sha256 === undefined || answer.length === undefined)
      throw new Error(`${this.name} read without a digest`);
    return { sha256: answer.sha256, length: answer.length };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#queue;
    await this.#program?.end();
    this.#program = undefined;
  }

  #enqueue(job: object, timeoutMs: number): Promise<AnswerLine> {
    const result = this.#queue.then(() => this.#run(job, timeoutMs));
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #run(job: object, timeoutMs: number): Promise<AnswerLine> {
    if (this.#closed) throw new PeerError('died', [`${this.name} has been closed`]);
    // A program that hung or died is replaced when the next job needs one.
    this.#program ??= new Program(this.#spec);
    const program = this.#program;
    try {
      await program.ready();
      const answer = await program.ask({ id: this.#nextId++, ...job }, timeoutMs);
      if (answer.ok) return answer;
      const { name, message, causes } = answer.error ?? { name: 'unknown', message: '', causes: [] };
      throw new PeerError('refused', [`${name}: ${message}`, ...causes]);
    } catch (error) {
      if (!(error instanceof PeerError) || error.kind !== 'refused') this.#program = undefined;
      throw error;
    }
  }
}

/** One run of a program. */
class Program {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #exit: Promise<unknown>;
  readonly #ready: Promise<ReadyLine>;
  #stderr = '';

  constructor(spec: ProgramSpec) {
    this.#child = spawn(spec.command, [...spec.args], { env: spec.env, stdio: 'pipe' });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-keptStderr);
    });
    // A write into the pipe of a program that has just died: the missing answer reports it.
    this.#child.stdin.on('error', () => undefined);
    this.#exit = once(this.#child, 'close').catch((error: unknown) => {
      this.#stderr += String(error);
    });
    this.#lines = createInterface({ input: this.#child.stdout, crlfDelay: Infinity })[Symbol.asyncIterator]();
    this.#ready = this.#line(defaultTimeoutMs) as Promise<ReadyLine>;
    this.#ready.catch(() => undefined);
  }

  ready(): Promise<ReadyLine> {
    return this.#ready;
  }

  async ask(job: { readonly id: number }, timeoutMs: number): Promise<AnswerLine> {
    this.#child.stdin.write(`${JSON.stringify(job)}\n`);
    const answer = (await this.#line(timeoutMs)) as AnswerLine;
    if (answer.id !== job.id) throw new Error(`answer ${answer.id} to job ${job.id}`);
    return answer;
  }

  /** Ends the program by the end of its input, or by force where that does not help. */
  async end(): Promise<void> {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
    await this.#exit;
    clearTimeout(timer);
  }

  async #line(timeoutMs: number): Promise<unknown> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, timeoutMs, 'late');
    });
    const next = await Promise.race([this.#lines.next(), late]);
    clearTimeout(timer);
    if (next === 'late') {
      this.#child.kill('SIGKILL');
      throw new PeerError('hung', [`no answer in ${timeoutMs} ms`]);
    }
    if (next.done === true) {
      await this.#exit;
      throw new PeerError('died', [`the program ended: ${this.#stderr.trim() || 'it said nothing'}`]);
    }
    return JSON.parse(next.value);
  }
}
