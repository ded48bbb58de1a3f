/** What is measured of a piece of work, from within its process. */
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Milliseconds between looks at the event loop. */
const resolution = 2;

/** The figures of one run; those of the sink are added by the harness. */
export interface Measured {
  readonly seconds: number;
  /** User and system, all threads of the process. */
  readonly cpuSeconds: number;
  /** The most memory that the process has had resident since its start, bytes. */
  readonly peakMemory: number;
  /** How late the event loop of the main thread was, milliseconds. */
  readonly loopDelay: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Milliseconds an operation, where there are operations. */
  readonly latency?: { readonly p50: number; readonly p99: number } | undefined;
}

export async function measure(run: () => Promise<void>): Promise<Measured> {
  const delay = monitorEventLoopDelay({ resolution });
  delay.enable();
  const cpu = process.cpuUsage();
  const began = performance.now();
  await run();
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  delay.disable();
  // The histogram holds the time from look to look.
  const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - resolution);
  const looked = delay.count > 0;
  return {
    seconds,
    cpuSeconds: (user + system) / 1e6,
    peakMemory: peakMemory(),
    loopDelay: looked
      ? { p50: late(delay.percentile(50)), p99: late(delay.percentile(99)), max: late(delay.max) }
      : // Not once: the loop was blocked from beginning to end.
        { p50: seconds * 1000, p99: seconds * 1000, max: seconds * 1000 },
  };
}

/** The high-water mark of this program alone: the operating system's other figure (maxRSS) has what was there before exec in it. */
function peakMemory(): number {
  try {
    const kibibytes = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1];
    if (kibibytes !== undefined) return Number(kibibytes) * 1024;
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS * 1024;
}

/** The value below which that share of the others lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
