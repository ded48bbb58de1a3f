/** From samples to figures. Pure. */
import { type CaseSpec, groups } from '../case-spec.ts';
import type { CaseFigures, CaseMedians, CaseRatios, Sample } from './figures.ts';

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

/** The figures of all cases that have samples. */
export function figuresOf(specs: readonly CaseSpec[], samples: ReadonlyMap<string, readonly Sample[]>): CaseFigures[] {
  const bySpec = new Map(specs.map((spec) => [spec.name, spec]));
  return specs.flatMap((spec) => {
    const own = samples.get(spec.name) ?? [];
    if (own.length === 0) return [];
    const { name, group, title, size, ideal, baseline } = spec;
    const { title: groupTitle, unit } = groups[group];
    const other = baseline === undefined ? undefined : bySpec.get(baseline);
    return [
      {
        name,
        group,
        groupTitle,
        title,
        unit,
        size,
        ideal,
        samples: own,
        median: mediansOf(spec, own),
        ratio: other && ratiosOf(spec, own, other, samples.get(other.name) ?? []),
      },
    ];
  });
}

/** MB or operations a second. */
export function throughput({ size, group }: CaseSpec, { seconds }: Sample): number {
  return groups[group].unit === 'MB' ? size / 1e6 / seconds : size / seconds;
}

/** Seconds a GB, or milliseconds an operation. */
function cost({ size, group }: CaseSpec, cpuSeconds: number): number {
  return groups[group].unit === 'MB' ? cpuSeconds / (size / 1e9) : (cpuSeconds / size) * 1000;
}

function mediansOf(spec: CaseSpec, samples: readonly Sample[]): CaseMedians {
  const of = (value: (sample: Sample) => number): number => median(samples.map(value));
  const rates = samples.map((sample) => throughput(spec, sample));
  const rate = median(rates);
  const sinks = samples.flatMap(({ sink }) => (sink === undefined ? [] : [sink]));
  const ofSink = (value: (sink: (typeof sinks)[number]) => number): number | undefined =>
    sinks.length === 0 ? undefined : median(sinks.map(value));
  const latencies = samples.flatMap(({ latency }) => (latency === undefined ? [] : [latency]));
  return {
    throughput: rate,
    spread: median(rates.map((each) => Math.abs(each - rate) / rate)),
    cpu: of(({ cpuSeconds }) => cost(spec, cpuSeconds)),
    sinkCpu: ofSink(({ serverCpuSeconds }) => cost(spec, serverCpuSeconds)),
    peakMemory: of(({ peakMemory }) => peakMemory),
    requests: ofSink(({ requests }) => requests),
    kmsRequests: ofSink(({ kmsGenerate, kmsDecrypt }) => kmsGenerate + kmsDecrypt),
    connections: ofSink(({ connections }) => connections),
    maxInFlight: ofSink(({ maxInFlight }) => maxInFlight),
    loopDelay: {
      p50: of(({ loopDelay }) => loopDelay.p50),
      p99: of(({ loopDelay }) => loopDelay.p99),
      max: of(({ loopDelay }) => loopDelay.max),
    },
    latency:
      latencies.length === 0
        ? undefined
        : { p50: median(latencies.map(({ p50 }) => p50)), p99: median(latencies.map(({ p99 }) => p99)) },
    payload: payloadOf(samples),
  };
}

function payloadOf(samples: readonly Sample[]): string | undefined {
  const kinds = ['hashed', 'unsigned', 'trailer'] as const;
  const seen = kinds.filter((kind) => samples.some(({ sink }) => (sink?.payloads?.[kind] ?? 0) > 0));
  return seen.length === 0 ? undefined : seen.join(' + ');
}

/** Round by round; undefined where no round has both. */
function ratiosOf(
  spec: CaseSpec,
  samples: readonly Sample[],
  other: CaseSpec,
  others: readonly Sample[],
): CaseRatios | undefined {
  const pairs = samples.flatMap((sample) => {
    const beside = others.find(({ round }) => round === sample.round);
    return beside === undefined ? [] : [{ sample, beside }];
  });
  if (pairs.length === 0) return undefined;
  const rates = pairs.map(({ sample, beside }) => throughput(spec, sample) / throughput(other, beside));
  return {
    baseline: other.name,
    throughput: median(rates),
    throughputRange: [Math.min(...rates), Math.max(...rates)],
    cpu: median(pairs.map(({ sample, beside }) => cost(spec, sample.cpuSeconds) / cost(other, beside.cpuSeconds))),
  };
}
