/** The micro-benchmarks, as the harness sees them. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { MicroFigures } from '../report/figures.ts';
import { type MicroCase, microCases } from './micro-cases.ts';
import type { MicroMessage, MicroOrder } from './micro-program.ts';

export { microCases };

export interface MicroResult {
  readonly figures: readonly MicroFigures[];
  readonly failures: readonly { readonly name: string; readonly message: string }[];
}

/**
 * Runs them in a process of their own.
 * @param time milliseconds for each step and library
 */
export async function runMicro(
  cases: readonly MicroCase[],
  { time, log }: { readonly time: number; readonly log: (line: string) => void },
): Promise<MicroResult> {
  const figures: MicroFigures[] = [];
  const failures: { name: string; message: string }[] = [];
  if (cases.length === 0) return { figures, failures };
  const child = fork(join(import.meta.dirname, 'micro-program.js'), { execArgv: ['--no-warnings'] });
  child.on('message', (message: MicroMessage) => {
    if ('failed' in message) failures.push({ name: message.failed, message: message.message });
    else figures.push(message.figures);
    log('failed' in message ? `FAILED ${message.failed}: ${message.message}` : `measured ${message.figures.name}`);
  });
  const order: MicroOrder = { names: cases.map(({ name }) => name), time };
  child.send(order);
  const [status] = (await once(child, 'exit')) as [number | null];
  if (figures.length + failures.length < cases.length)
    failures.push({ name: 'micro', message: `its process ended with status ${status} before it was done` });
  return { figures, failures };
}
