import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { lockJournalName } from '../../src/multipart/journal/journal-lock.ts';
import { rejection } from '../support/endpoint.ts';
import { RestedSources } from '../support/rested-sources.ts';

const sources = new RestedSources('journal-lock');
after(() => sources.remove());

test('of two workers of node:cluster one gets the lock', { timeout: 60_000 }, async () => {
  const program = join(import.meta.dirname, '../support/locking-cluster.js');
  const path = join(sources.folder, 'clustered');
  const { stdout } = await promisify(execFile)(process.execPath, [program, path]);
  const outcomes = JSON.parse(stdout) as string[][];
  const byLock = [0, 1].map((lock) => outcomes.map((outcome) => outcome[lock]).sort());
  for (const outcome of process.platform === 'darwin' ? byLock.slice(0, 1) : byLock)
    assert.deepEqual(outcome, ['ERR_SEALPIPE_JOURNAL_BUSY', 'locked']);
});

test('a lock that is let go of can be taken again', async () => {
  const path = join(sources.folder, 'again');
  const lock = await lockJournalName(path);
  assert.match(String(await rejection(lockJournalName(path))), /in use by another upload/);
  await lock.release();
  await (await lockJournalName(path)).release();
});
