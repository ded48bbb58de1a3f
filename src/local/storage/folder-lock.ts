/** One process a folder. */
import { closeSync, openSync, readFileSync, rmSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { SealpipeError } from '../../errors.ts';

interface Holder {
  readonly pid: number;
  /** When that process started, where the system tells: a number reused by another process is then not taken for it. */
  readonly started?: string;
}

/** What tells this process from a later one with the same number. Linux only. */
function processStart(pid: number): string | undefined {
  try {
    // Field 22 of /proc/<pid>/stat, counted after the name in brackets, which may hold blanks.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function isAlive(holder: Holder): boolean {
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    // EPERM: it is there, and somebody else's.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const started = processStart(holder.pid);
  return holder.started === undefined || started === undefined || started === holder.started;
}

function tryCreate(path: string): boolean {
  let file: number;
  try {
    file = openSync(path, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  const started = processStart(process.pid);
  const holder: Holder = { pid: process.pid, ...(started === undefined ? {} : { started }) };
  writeSync(file, JSON.stringify(holder));
  closeSync(file);
  return true;
}

function readHolder(path: string): Holder | undefined {
  try {
    const holder = JSON.parse(readFileSync(path, 'utf8')) as Holder;
    return Number.isSafeInteger(holder.pid) && holder.pid > 0 ? holder : undefined;
  } catch {
    return undefined;
  }
}

function ageMs(path: string): number {
  try {
    return Date.now() - statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}

export interface FolderLock {
  /** Whether the process before did not close the folder: what it had begun may lie about. */
  readonly tookOver: boolean;
  release(): void;
}

/**
 * Locks a folder for this process.
 *
 * @throws SealpipeError `LOCAL_BUSY` while another living process, or another endpoint of this one, has it
 */
export function lockFolder(folder: string): FolderLock {
  const path = join(folder, 'lock');
  const takeover = join(folder, 'lock.takeover');
  const busy = (pid: number | undefined): SealpipeError =>
    new SealpipeError(
      'LOCAL_BUSY',
      `the folder ${folder} is in use by ${pid === undefined ? 'another process' : `process ${pid}`}: stop that, or give another folder`,
    );
  const release = (): void => rmSync(path, { force: true });
  if (tryCreate(path)) return { tookOver: false, release };
  const holder = readHolder(path);
  // A file without a readable holder is one that is being written this moment, unless it has been so for long.
  if (holder === undefined ? ageMs(path) < 5000 : isAlive(holder)) throw busy(holder?.pid);
  // Only one process at a time takes over, or two would each remove the other's fresh lock.
  if (ageMs(takeover) > 10_000) rmSync(takeover, { force: true });
  if (!tryCreate(takeover)) throw busy(undefined);
  try {
    const again = readHolder(path);
    if (again !== undefined && isAlive(again)) throw busy(again.pid);
    try {
      unlinkSync(path);
    } catch {
      // It was released in between.
    }
    if (!tryCreate(path)) throw busy(readHolder(path)?.pid);
  } finally {
    rmSync(takeover, { force: true });
  }
  return { tookOver: true, release };
}
