/** The figures of one run, as `--json` writes them. */
import type { OtherReader, RequestBudget, RequestCounts } from '../budgets/budget-spec.ts';
import type { GroupName } from '../case-spec.ts';
import type { Measured } from '../measurement.ts';
import type { SinkStats } from '../sink/tally.ts';

/** One measured run of one case. */
export interface Sample extends Measured {
  /** From 1 on. Samples of the same round are compared with each other. */
  readonly round: number;
  /** Where the other side is a sink: its counts of this run alone. */
  readonly sink?: SinkStats | undefined;
}

/** The medians of a case's samples. */
export interface CaseMedians {
  /** MB/s (10^6 bytes), or operations a second. */
  readonly throughput: number;
  /** Half of the samples lie within this share of the median: 0.05 is ± 5 %. */
  readonly spread: number;
  /** CPU seconds a GB (10^9 bytes), or CPU milliseconds an operation. */
  readonly cpu: number;
  /** The sink's, in the same unit. */
  readonly sinkCpu: number | undefined;
  /** Bytes. */
  readonly peakMemory: number;
  readonly requests: number | undefined;
  readonly kmsRequests: number | undefined;
  readonly connections: number | undefined;
  readonly maxInFlight: number | undefined;
  /** Milliseconds. */
  readonly loopDelay: Measured['loopDelay'];
  readonly latency: Measured['latency'];
  /** How bodies were signed: `hashed`, `unsigned`, `trailer`, several of them, or nothing where there were none. */
  readonly payload: string | undefined;
}

/** A case beside the one it is compared with: the medians of the ratios round by round, so that a machine that changes its speed between rounds changes none of them. */
export interface CaseRatios {
  readonly baseline: string;
  readonly throughput: number;
  /** The lowest and highest of any round. */
  readonly throughputRange: readonly [number, number];
  readonly cpu: number;
}

export interface CaseFigures {
  readonly name: string;
  readonly group: GroupName;
  readonly groupTitle: string;
  readonly title: string;
  readonly unit: 'MB' | 'op';
  /** Bytes or operations. */
  readonly size: number;
  /** MB/s that the sink's pace allows. */
  readonly ideal: number | undefined;
  readonly samples: readonly Sample[];
  readonly median: CaseMedians;
  readonly ratio: CaseRatios | undefined;
}

/** One micro-benchmark, by both libraries. */
export interface MicroFigures {
  readonly name: string;
  readonly title: string;
  /** Operations a second, and the relative margin of error in percent. */
  readonly tinybench: { readonly opsPerSecond: number; readonly marginPercent: number };
  readonly benchmark: { readonly opsPerSecond: number; readonly marginPercent: number };
}

/** The requests of one scenario. */
export interface BudgetFigures {
  readonly name: string;
  readonly title: string;
  readonly requests: RequestCounts;
  readonly budget: RequestBudget;
  /** Absent where nobody else was measured. */
  readonly other: OtherReader | undefined;
}

export interface BenchReport {
  readonly sealpipe: string;
  readonly node: string;
  readonly openssl: string;
  readonly cores: number;
  readonly rounds: number;
  /** `sink`: of this program; `command`, `endpoint`: another one. */
  readonly against: 'sink' | 'command' | 'endpoint';
  /** Whether everything went over TLS. */
  readonly tls: boolean;
  readonly cases: readonly CaseFigures[];
  readonly micro: readonly MicroFigures[];
  readonly budgets: readonly BudgetFigures[];
  /** By what `budgets` were counted: the log of the service, or the clients that made the requests. */
  readonly countedBy: 'log' | 'clients';
  /** What could not be measured, or was not what it said. */
  readonly failures: readonly { readonly name: string; readonly message: string }[];
}
