/** `npm run bench`: see docs/bench.md, or `npm run bench -- --help`. */
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { SealpipeError } from '../src/index.ts';
import { budgetScenarios, runBudgets } from './budgets/run-budgets.ts';
import type { CaseSpec } from './case-spec.ts';
import { catalogue } from './catalogue.ts';
import { isLeaving, leave } from './leaving.ts';
import { microCases, runMicro } from './micro/run-micro.ts';
import { type BenchOptions, help, parseOptions, UsageError } from './options.ts';
import { packageVersion } from './project.ts';
import type { BenchReport } from './report/figures.ts';
import { reportPage } from './report/page.ts';
import { reportTable } from './report/table.ts';
import { runSession } from './session.ts';

// Exits in an orderly way, so that files are removed; the processes that were started end with their channel to this one. A second
// signal leaves at once.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    if (isLeaving()) process.exit(130);
    void leave((line) => console.error(line)).finally(() => process.exit(130));
  });
process.exitCode = await main();

async function main(): Promise<number> {
  try {
    const options = parseOptions(process.argv.slice(2));
    if (options === undefined) {
      process.stdout.write(help);
      return 0;
    }
    return await bench(options);
  } catch (error) {
    if (isLeaving()) return 130;
    if (error instanceof UsageError) {
      console.error(`bench: ${error.message} (--help shows the options)`);
      return 2;
    }
    console.error(`bench: ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`);
    // What S3 or KMS refused is said by its name and sentence; anything else is a mistake of this program, and takes its stack.
    if (!isServiceFailure(error)) console.error(error);
    return 1;
  }
}

function isServiceFailure(error: unknown): boolean {
  return error instanceof SealpipeError || (typeof error === 'object' && error !== null && '$metadata' in error);
}

async function bench(options: BenchOptions): Promise<number> {
  const all = catalogue(options);
  const specs = selected(all, options.only);
  const micro = microCases.filter(({ name }) => isSelected(name, options.only));
  const scenarios = budgetScenarios(options).filter(({ name }) => isSelected(name, options.only));
  if (options.list) {
    console.log([...specs, ...scenarios, ...micro].map(({ name }) => name).join('\n'));
    return 0;
  }
  if (specs.length + scenarios.length + micro.length === 0)
    throw new UsageError(`no case is named like ${options.only.join(' or ')}: --list shows the names`);
  for (const [option, file] of [
    ['--json', options.json],
    ['--html', options.html],
  ] as const)
    assertWritable(option, file);
  warnIfBusy();
  const log = (line: string): void => {
    // What ends because it was interrupted has not failed.
    if (!isLeaving()) console.error(line);
  };
  const { cases, failures } = await runSession(specs, { options, log });
  const budgets = await runBudgets(scenarios, { options, log });
  const single = await runMicro(micro, { time: options.microTime, log });
  const report: BenchReport = {
    sealpipe: packageVersion,
    node: process.versions.node,
    openssl: process.versions.openssl,
    cores: availableParallelism(),
    rounds: options.rounds,
    against: options.endpointUrl !== undefined ? 'endpoint' : options.sinkCommand !== undefined ? 'command' : 'sink',
    tls: options.tls,
    cases,
    micro: single.figures,
    budgets: budgets.figures,
    countedBy: options.endpointUrl === undefined ? 'log' : 'clients',
    failures: [...failures, ...budgets.failures, ...single.failures],
  };
  console.log(reportTable(report));
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
  if (options.html !== undefined) writeFileSync(options.html, reportPage(report));
  return report.failures.length === 0 ? 0 : 1;
}

/** That the figures have somewhere to go: found out afterwards, an hour of them would be lost. */
function assertWritable(option: string, file: string | undefined): void {
  if (file === undefined) return;
  try {
    closeSync(openSync(file, 'a'));
  } catch (error) {
    throw new UsageError(`${option} ${JSON.stringify(file)} cannot be written: ${(error as Error).message}`);
  }
}

/** The cases that were asked for, and those that they are compared with. */
function selected(all: readonly CaseSpec[], only: readonly string[]): CaseSpec[] {
  const asked = all.filter(({ name }) => isSelected(name, only));
  const names = new Set(asked.flatMap(({ name, baseline }) => (baseline === undefined ? [name] : [name, baseline])));
  return all.filter(({ name }) => names.has(name));
}

function isSelected(name: string, only: readonly string[]): boolean {
  return only.length === 0 || only.some((part) => name.includes(part));
}

function warnIfBusy(): void {
  const [load = 0] = loadavg();
  const cores = availableParallelism();
  if (load > cores / 2)
    console.error(`the machine is busy (load ${load.toFixed(1)}, ${cores} cores): figures will be low, ratios less so`);
}
