/**
 * Journalled uploads whose process is killed at random moments and that are run again, with an official client as the judge of what
 * comes out. On an endpoint of its own: what counts is what that received.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { type LocalEndpoint, type RequestLogEntry, startLocalEndpoint } from '../src/local/index.ts';
import { killAtRandom } from '../test/support/killed.ts';
import type { OfficialPeerName, Peer } from './peer.ts';
import { startPeer } from './peers.ts';
import type { Verdict } from './tally.ts';

const Bucket = 'killed';
const partSize = 5 * 1024 * 1024;
const parts = 6;
const queueSize = 4;

export interface KilledUploadsOptions {
  readonly reader: OfficialPeerName;
  readonly rounds: number;
  readonly report: (line: string, verdict: Verdict) => void;
}

/** @returns how many rounds went as they should, and how many not */
export async function runKilledUploads(options: KilledUploadsOptions): Promise<{ passed: number; failed: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'sealpipe-killed-'));
  const local = await startLocalEndpoint();
  const { endpoint, region, credentials } = local;
  const client = new S3Client(local.s3Config);
  const counts = { passed: 0, failed: 0 };
  let reader: Peer | undefined;
  try {
    await client.send(new CreateBucketCommand({ Bucket }));
    reader = await startPeer(options.reader, { endpoint, region, credentials });
    // Slow enough to be killed in the middle.
    local.faults.add({ operation: 'UploadPart', delay: 80, times: 'always' });
    for (let round = 1; round <= options.rounds; round++) {
      const run = round % 6 === 0 ? changedInBetween : finishedAfterKill;
      const wrong = await run({ local, folder, reader, round });
      counts[wrong === undefined ? 'passed' : 'failed'] += 1;
      const what = run === changedInBetween ? 'killed, its source changed' : 'killed, run again';
      options.report(`upload ${round} ${what}: ${wrong ?? 'as it should'}`, wrong === undefined ? 'passed' : 'failed');
    }
    return counts;
  } finally {
    await reader?.close();
    client.destroy();
    await local.close({ graceMs: 0 });
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Round {
  readonly local: LocalEndpoint;
  readonly folder: string;
  readonly reader: Peer;
  readonly round: number;
}

/** Killed once, the same call finishes the object. @returns what is wrong */
async function finishedAfterKill({ local, folder, reader, round }: Round): Promise<string | undefined> {
  const source = newSource(folder, round);
  await killedBeforeComplete(local, source);
  const status = await ended(start(local, source));
  await local.requests.settled();
  if (status !== 0) return `run again, it ended with status ${status}`;
  const sends = local.requests.all('UploadPart');
  const whole = sends.filter(({ complete }) => complete).length;
  const most = parts + 1 + queueSize;
  if (whole > most) return `${whole} parts were sent, at most ${most} are right`;
  const twice = counterUsedTwice(sends);
  if (twice !== undefined) return twice;
  const { sha256, length } = await reader.read({
    bucket: Bucket,
    key: source.Key,
    keyring: { type: 'kms', keyId: 'alias/sealpipe' },
  });
  return sha256 === source.sha256 && length === source.length ? undefined : `${reader.name} read other bytes`;
}

/** Killed once, then the file is written over in place: nothing more may be sent under the old key. */
async function changedInBetween({ local, folder, round }: Round): Promise<string | undefined> {
  const source = newSource(folder, round);
  // Until there is something to go on with.
  do await killedBeforeComplete(local, source);
  while (local.requests.count('UploadPart') === 0);
  const before = local.requests.count('UploadPart');
  writeFileSync(source.path, randomBytes(1000), { flag: 'r+' });
  utimesSync(source.path, 1_000_000, 1_000_000);
  const status = await ended(start(local, source));
  await local.requests.settled();
  const sends = local.requests.all('UploadPart');
  if (status === 0) return 'the changed source was taken';
  if (sends.length > before) return `${sends.length - before} parts of the changed source were sent`;
  return counterUsedTwice(sends);
}

interface Source {
  readonly path: string;
  readonly journal: string;
  readonly Key: string;
  readonly sha256: string;
  readonly length: number;
}

function newSource(folder: string, round: number): Source {
  const content = randomBytes(parts * partSize + 5);
  const path = join(folder, 'source');
  writeFileSync(path, content);
  utimesSync(path, 1_000_000, 1_000_000);
  const sha256 = createHash('sha256').update(content).digest('hex');
  return { path, journal: join(folder, `journal-${round}`), Key: `object-${round}`, sha256, length: content.length };
}

function start(local: LocalEndpoint, { path, journal, Key }: Source): ChildProcess {
  const job = { s3: local.s3Config, kms: local.kmsConfig, Bucket, Key, path, journal, partSize };
  return fork(join(import.meta.dirname, '../test/support/journalled-upload.js'), [], {
    execArgv: ['--no-warnings'],
    env: { ...process.env, SEALPIPE_TEST_UPLOAD: JSON.stringify(job) },
    // A refusal is expected of some; what it says is not for the reader of this run.
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once('exit', resolve));
}

/**
 * Kills an upload that has not asked for its object yet. A kill that came later is no round, whether or not the process was still
 * there to be killed: its journal may be gone, and the same call then begins a new upload, of whatever the source is by then.
 */
async function killedBeforeComplete(local: LocalEndpoint, source: Source): Promise<void> {
  do local.requests.clear();
  while (!(await killedUpload(local, source)) || local.requests.count('CompleteMultipartUpload') > 0);
}

/** @returns whether the kill came before the end of the process */
async function killedUpload(local: LocalEndpoint, source: Source): Promise<boolean> {
  const child = start(local, source);
  const status = ended(child);
  await killAtRandom(child, local);
  const signalled = (await status) === null;
  // What it had written by then may not have been read yet.
  await sleep(100);
  await local.requests.settled();
  return signalled;
}

/** A part of one upload that arrived with two contents: two ciphertexts under the same counters. */
function counterUsedTwice(sends: readonly RequestLogEntry[]): string | undefined {
  const seen = new Map<string, string>();
  for (const { uploadId, partNumber, bodySha256, complete } of sends) {
    if (!complete || bodySha256 === undefined) continue;
    const place = `${uploadId} ${partNumber}`;
    if ((seen.get(place) ?? bodySha256) !== bodySha256) return `part ${partNumber} was sent with two contents`;
    seen.set(place, bodySha256);
  }
  return undefined;
}
