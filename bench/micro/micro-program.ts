/** The process of the micro-benchmarks: each step by tinybench and by benchmark, one after the other. Started by {@link runMicro}. */
import Benchmark from 'benchmark';
import { Bench } from 'tinybench';
import type { MicroFigures } from '../report/figures.ts';
import { type MicroCase, microCases } from './micro-cases.ts';

/** What it is told. */
export interface MicroOrder {
  readonly names: readonly string[];
  /** Milliseconds for each step and library. */
  readonly time: number;
}

export type MicroMessage = { readonly figures: MicroFigures } | { readonly failed: string; readonly message: string };

/** Without the harness there is nobody to measure for. */
const abandoned = (): void => process.exit(1);
process.once('disconnect', abandoned);
process.once('message', (order: MicroOrder) => {
  void runAll(order).finally(() => {
    process.off('disconnect', abandoned);
    if (process.connected) process.disconnect();
  });
});

async function runAll({ names, time }: MicroOrder): Promise<void> {
  for (const step of microCases.filter(({ name }) => names.includes(name))) {
    try {
      await step.check();
      const { name, title } = step;
      tell({
        figures: { name, title, tinybench: await byTinybench(step, time), benchmark: await byBenchmark(step, time) },
      });
    } catch (error) {
      tell({ failed: step.name, message: (error as Error).message });
    }
  }
}

function tell(message: MicroMessage): void {
  process.send?.(message);
}

type Rate = MicroFigures['tinybench'];

async function byTinybench({ name, run }: MicroCase, time: number): Promise<Rate> {
  const bench = new Bench({ time, warmupTime: time / 4, throws: true }).add(name, run);
  await bench.run();
  const result = bench.tasks[0]?.result;
  if (result === undefined || !('throughput' in result)) throw new Error('tinybench gave no result');
  // Of the mean duration: the mean of rates counts the fast samples more.
  return { opsPerSecond: 1000 / result.latency.mean, marginPercent: result.latency.rme };
}

function byBenchmark({ name, run }: MicroCase, time: number): Promise<Rate> {
  const seconds = time / 1000;
  const asynchronous = run() instanceof Promise;
  return new Promise((resolve, reject) => {
    new Benchmark(name, {
      async: true,
      defer: asynchronous,
      maxTime: seconds,
      minSamples: 5,
      fn: asynchronous
        ? (deferred: { resolve(): void }) => {
            (run() as Promise<unknown>).then(() => deferred.resolve(), reject);
          }
        : () => void run(),
      onComplete(this: Benchmark) {
        resolve({ opsPerSecond: this.hz, marginPercent: this.stats.rme });
      },
      onError(this: Benchmark & { error?: Error }) {
        reject(this.error ?? new Error('benchmark gave no result'));
      },
    }).run();
  });
}
