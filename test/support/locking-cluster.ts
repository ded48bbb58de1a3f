/** A cluster of node:cluster whose two workers lock one journal, by name and as a file. Prints what came of it. */
import cluster from 'node:cluster';
import { SealpipeError } from '../../src/errors.ts';
import { type JournalLock, lockJournal, lockJournalName } from '../../src/multipart/journal/journal-lock.ts';

const path = process.argv[2] ?? '';

if (cluster.isPrimary) {
  const outcomes: string[][] = [];
  for (let count = 0; count < 2; count++) {
    cluster.fork().on('message', (outcome: string[]) => {
      outcomes.push(outcome);
      if (outcomes.length < 2) return;
      console.log(JSON.stringify(outcomes.sort()));
      for (const worker of Object.values(cluster.workers ?? {})) worker?.kill();
    });
  }
} else {
  const outcomeOf = (locking: Promise<JournalLock>): Promise<string> =>
    locking.then(
      () => 'locked',
      (error: unknown) => (error instanceof SealpipeError ? error.code : String(error)),
    );
  const outcome = [
    await outcomeOf(lockJournalName(path)),
    await outcomeOf(lockJournal(path, { device: '1', inode: String(process.ppid) })),
  ];
  process.send?.(outcome);
}
