/** One run of the benchmark: everything put in place, verified, measured in rounds, and cleared away. */
import { rmSync } from 'node:fs';
import { CaseProcess, type CaseProcessOptions } from './case-process.ts';
import { type CaseSpec, groups } from './case-spec.ts';
import type { Measured } from './measurement.ts';
import type { BenchOptions } from './options.ts';
import type { BenchReport, Sample } from './report/figures.ts';
import { figuresOf, throughput } from './report/statistics.ts';
import { unpaced } from './sink/sink-control.ts';
import type { SinkStats } from './sink/tally.ts';
import { stageFolder, writeSourceFiles } from './stage.ts';
import { openSink, openVerifier, type Surroundings } from './surroundings.ts';

export type SessionResult = Pick<BenchReport, 'cases' | 'failures'>;

export interface SessionOptions {
  readonly options: BenchOptions;
  /** Told what is going on, a line at a time. */
  readonly log: (line: string) => void;
}

/** Plaintext bytes of the object that ranges are read from: that of a download. */
const objectLengthOf = ({ size }: BenchOptions): number => size;

export async function runSession(specs: readonly CaseSpec[], { options, log }: SessionOptions): Promise<SessionResult> {
  const folder = stageFolder(specs);
  const clear = (): void => rmSync(folder, { recursive: true, force: true });
  process.once('exit', clear);
  const session = new Session({ options, log, folder });
  try {
    writeSourceFiles(specs, folder);
    await session.open(specs);
    const verified = await session.verify(session.possible(specs));
    await session.measure(verified);
    return session.result(specs);
  } finally {
    await session.close();
    process.off('exit', clear);
    clear();
  }
}

class Session {
  readonly #options: BenchOptions;
  readonly #log: (line: string) => void;
  readonly #folder: string;
  /** Those without TLS, and those with. */
  readonly #sinks = new Map<boolean, Surroundings>();
  readonly #verifiers = new Map<boolean, Surroundings>();
  readonly #samples = new Map<string, Sample[]>();
  readonly #failures: { name: string; message: string }[] = [];

  constructor({ options, log, folder }: SessionOptions & { readonly folder: string }) {
    this.#options = options;
    this.#log = log;
    this.#folder = folder;
  }

  /** Starts the sinks that are needed. */
  async open(specs: readonly CaseSpec[]): Promise<void> {
    const options = this.#options;
    const plan = { options, folder: this.#folder, objectLength: objectLengthOf(options) };
    for (const tls of [false, true]) {
      const there = specs.filter((spec) => usesNetwork(spec) && this.#tlsOf(spec) === tls);
      if (there.length > 0 && !(tls && this.#isElsewhere))
        this.#sinks.set(tls, await openSink(there, { ...plan, tls }));
    }
  }

  /** Without the cases that this endpoint cannot be asked for; says so. */
  possible(specs: readonly CaseSpec[]): CaseSpec[] {
    const reason = (spec: CaseSpec): string | undefined => {
      if (!usesNetwork(spec)) return undefined;
      const sink = this.#sinks.get(this.#tlsOf(spec));
      if (sink === undefined) return 'it wants TLS, which the endpoint that was named decides';
      if (spec.pace !== undefined && sink.control === undefined) return 'the endpoint cannot be slowed down';
      return undefined;
    };
    return specs.filter((spec) => {
      const why = reason(spec);
      if (why !== undefined) this.#log(`left out ${spec.name}: ${why}`);
      return why === undefined;
    });
  }

  /** Whether each case does what it says; what it reads comes from the sink, what it writes goes where it can be read again. */
  async verify(specs: readonly CaseSpec[]): Promise<CaseSpec[]> {
    const good: CaseSpec[] = [];
    for (const [index, spec] of specs.entries()) {
      this.#log(`verifying ${index + 1}/${specs.length} ${spec.name}`);
      const place = writes(spec) ? await this.#verifierFor(spec) : this.#sinkOf(spec);
      const child = this.#start(spec, place, { verify: true });
      try {
        await child.verified();
        await child.close();
        good.push(spec);
      } catch (error) {
        await child.close({ failed: true });
        this.#fail(spec, error);
      }
    }
    await this.#closeAll(this.#verifiers);
    return good;
  }

  /** A B C, A B C, …: what changes on the machine in the meantime meets all of them. */
  async measure(specs: readonly CaseSpec[]): Promise<void> {
    const { rounds } = this.#options;
    const failed = new Set<string>();
    for (let round = 1; round <= rounds; round++) {
      const due = specs.filter(({ name, maxRounds = rounds }) => round <= maxRounds && !failed.has(name));
      for (const spec of due) {
        try {
          const sample = { round, ...(await this.#measureOnce(spec)) };
          this.#samples.set(spec.name, [...(this.#samples.get(spec.name) ?? []), sample]);
          const { unit } = groups[spec.group];
          this.#log(
            `round ${round}/${rounds} ${spec.name} ${throughput(spec, sample).toFixed(0)} ${unit === 'MB' ? 'MB/s' : 'per s'}`,
          );
        } catch (error) {
          failed.add(spec.name);
          this.#fail(spec, error);
        }
      }
    }
  }

  result(specs: readonly CaseSpec[]): SessionResult {
    return { cases: figuresOf(specs, this.#samples), failures: this.#failures };
  }

  async close(): Promise<void> {
    await this.#closeAll(this.#verifiers);
    await this.#closeAll(this.#sinks);
  }

  async #measureOnce(spec: CaseSpec): Promise<Measured & { sink?: SinkStats }> {
    const place = this.#sinkOf(spec);
    const control = place?.control;
    const child = this.#start(spec, place, { verify: false });
    try {
      await child.ready();
      // The warm-up is neither slowed down nor counted.
      await control?.setPace(spec.pace ?? unpaced);
      await control?.reset();
      const measured = await child.measure();
      const sink = await control?.stats();
      await control?.setPace(unpaced);
      await child.close();
      if (sink === undefined) return measured;
      assertMoved(spec, sink);
      return { ...measured, sink };
    } catch (error) {
      await child.close({ failed: true });
      throw error;
    }
  }

  #start(spec: CaseSpec, place: Surroundings | undefined, { verify }: { readonly verify: boolean }): CaseProcess {
    const options: CaseProcessOptions & { objectLength: number; verify: boolean } = {
      objectLength: objectLengthOf(this.#options),
      verify,
      caFile: place?.caFile,
      ...(!verify && { profile: this.#options.profile }),
    };
    return new CaseProcess(spec, place?.world ?? nowhere(this.#folder), options);
  }

  async #verifierFor(spec: CaseSpec): Promise<Surroundings> {
    const tls = this.#tlsOf(spec);
    const verifier = this.#verifiers.get(tls) ?? (await openVerifier({ folder: this.#folder }, { tls }));
    this.#verifiers.set(tls, verifier);
    return verifier;
  }

  #sinkOf(spec: CaseSpec): Surroundings | undefined {
    return usesNetwork(spec) ? this.#sinks.get(this.#tlsOf(spec)) : undefined;
  }

  #tlsOf({ tls }: CaseSpec): boolean {
    return tls === true || this.#options.tls;
  }

  get #isElsewhere(): boolean {
    return this.#options.endpointUrl !== undefined || this.#options.sinkCommand !== undefined;
  }

  #fail({ name }: CaseSpec, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#failures.push({ name, message });
    this.#log(`FAILED ${name}: ${message}`);
  }

  async #closeAll(places: Map<boolean, Surroundings>): Promise<void> {
    for (const place of places.values()) await place.close();
    places.clear();
  }
}

function usesNetwork({ kind }: CaseSpec): boolean {
  return kind !== 'cipher' && kind !== 'stream';
}

function writes(spec: CaseSpec): boolean {
  return spec.kind === 'upload' || (spec.kind === 'small-objects' && spec.direction === 'put');
}

/** That the bytes whose time was taken did go over the network. */
export function assertMoved(spec: CaseSpec, { bytesIn, bytesOut, requests }: SinkStats): void {
  const expected = spec.kind === 'upload' || spec.kind === 'download' ? spec.size : 0;
  const moved = spec.kind === 'upload' ? bytesIn : bytesOut;
  if (moved < expected) throw new Error(`the sink saw ${moved} bytes of ${expected}: the case does not do its work`);
  const operations = groups[spec.group].unit === 'op' ? spec.size : 1;
  if (requests < operations) throw new Error(`the sink saw ${requests} requests for ${operations} operations`);
}

/** For cases that go nowhere. */
function nowhere(folder: string): Surroundings['world'] {
  return {
    endpoint: '',
    kmsEndpoint: '',
    kmsKeyId: '',
    region: '',
    bucket: '',
    prefix: '',
    servedPrefix: '',
    folder,
    digests: {},
  };
}
