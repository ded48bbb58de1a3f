/** What has to be taken back before the program ends, also when it is told to end in the middle. */

/** Something that is to be undone once: at its ordinary end, or at a signal if that comes first. */
export interface Undoing {
  /** Undoes it. Called again, it returns the same promise. */
  now(): Promise<void>;
  /** There is nothing left to undo. */
  forget(): void;
}

const pending = new Set<Undoing>();

/** Milliseconds that it may take after a signal. */
const limit = 20_000;

let leaving = false;

/** Whether a signal has come: nothing new may be begun. */
export function isLeaving(): boolean {
  return leaving;
}

export function undoing(undo: () => Promise<void>): Undoing {
  let done: Promise<void> | undefined;
  const entry: Undoing = {
    now: () => {
      done ??= undo().finally(() => pending.delete(entry));
      return done;
    },
    forget: () => {
      pending.delete(entry);
    },
  };
  pending.add(entry);
  return entry;
}

/** Undoes what is left, the latest first: a process is ended before what it has stored is removed. Says what could not be undone. */
export async function leave(log: (line: string) => void): Promise<void> {
  leaving = true;
  const timer = setTimeout(() => {
    log(`bench: not all was removed within ${limit / 1000} s`);
    process.exit(130);
  }, limit);
  for (const entry of [...pending].reverse())
    await entry
      .now()
      .catch((error: unknown) => log(`bench: ${error instanceof Error ? error.message : String(error)}`));
  clearTimeout(timer);
}
