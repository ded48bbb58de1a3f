import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LocalEndpoint } from '../../src/local/index.ts';

/**
 * Kills a process at a random moment within so many milliseconds of its first request: how long it takes to get there says nothing of what
 * it does then.
 */
export async function killAtRandom(child: ChildProcess, { requests }: LocalEndpoint, within = 500): Promise<void> {
  const known = requests.length;
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  while (!isOver() && requests.length === known) await sleep(2);
  await sleep(Math.random() * within);
  child.kill('SIGKILL');
}
