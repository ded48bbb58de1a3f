import { runEngineUploads } from './engine-uploads.ts';
import { runKilledUploads } from './killed-uploads.ts';
import { knownFailures, knownFlakes } from './known-failures.ts';
import { Matrix } from './matrix.ts';
import { spec } from './objects.ts';
import { type OfficialPeerName, officialPeers, type Peer } from './peer.ts';
import { startPeer } from './peers.ts';
import { Plaintexts } from './plaintexts.ts';
import { SealpipePeer } from './sealpipe-peer.ts';
import type { Verdict } from './tally.ts';
import { localWorld, type World, worldAt } from './world.ts';

/** Uploads that are killed: twenty that are finished, and four whose source is changed then. */
const killedRounds = 24;

export interface SessionOptions {
  /** The official clients beside sealpipe. */
  readonly names: readonly OfficialPeerName[];
  /** S3; undefined: a local endpoint of its own. */
  readonly endpointUrl: string | undefined;
  readonly kmsEndpointUrl: string | undefined;
  /** Print every case, not only what went wrong. */
  readonly verbose: boolean;
}

/** Runs the whole matrix and prints what came of it. False when a case failed. */
export async function runSession(options: SessionOptions): Promise<boolean> {
  const started = performance.now();
  const plaintexts = new Plaintexts();
  const peers: Peer[] = [];
  let world: World | undefined;
  try {
    world =
      options.endpointUrl === undefined
        ? await localWorld()
        : await worldAt(options.endpointUrl, options.kmsEndpointUrl);
    const { s3, kms, store, keyrings, service } = world;
    peers.push(new SealpipePeer({ s3, kms }));
    // Every peer that did start is kept, so that it is closed when another did not.
    const starts = await Promise.allSettled(options.names.map((name) => startPeer(name, service)));
    peers.push(...starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : [])));
    for (const start of starts) if (start.status === 'rejected') throw start.reason;
    const ready = performance.now();
    console.log(`interop on ${world.title}, ready after ${seconds(started, ready)} s:`);
    for (const { client, runtime } of peers) console.log(`  ${client} on ${runtime}`);

    const report = reporter(options.verbose);
    const matrix = new Matrix({
      peers,
      store,
      keyrings,
      plaintexts,
      report,
    });
    await matrix.run();
    const held = summarize(matrix, peers, ready);
    return (await runUploads({ world, peers, plaintexts, verbose: options.verbose })) && held;
  } finally {
    await Promise.all(peers.map((peer) => peer.close()));
    await world?.close();
    plaintexts.remove();
  }
}

function reporter(verbose: boolean): (line: string, verdict: Verdict) => void {
  return (line, verdict) => {
    if (verdict === 'failed') console.error(line);
    else if (verbose) console.log(line);
  };
}

/** What sealpipe alone can write, read by one official client: Java where it is there, as it has the most to say about an object. */
async function runUploads({
  world,
  peers,
  plaintexts,
  verbose,
}: {
  readonly world: World;
  readonly peers: readonly Peer[];
  readonly plaintexts: Plaintexts;
  readonly verbose: boolean;
}): Promise<boolean> {
  const name = officialPeers.find((each) => peers.some((peer) => peer.name === each));
  const readers = peers.filter((peer) => peer.name === name);
  if (name === undefined) return true;
  const report = reporter(verbose);
  const keyring = world.keyrings.of(spec({ length: 0 }));
  if (keyring.type !== 'kms') throw new Error('internal error: no KMS key');
  const { s3, kms, store } = world;
  const since = performance.now();
  const engines = await runEngineUploads({ s3, kms, bucket: store.bucket, keyring, plaintexts, readers, report });
  console.log(
    `uploads by threads and by lib-storage, read by ${name}: ${engines.passed} passed, ${engines.failed} failed in ${seconds(since, performance.now())} s`,
  );
  const then = performance.now();
  const killed = await runKilledUploads({ reader: name, rounds: killedRounds, report });
  console.log(
    `journalled uploads killed at random moments, read by ${name}: ${killed.passed} passed, ${killed.failed} failed in ${seconds(then, performance.now())} s`,
  );
  return engines.failed + killed.failed === 0;
}

function summarize(matrix: Matrix, peers: readonly Peer[], since: number): boolean {
  const names = peers.map(({ name }) => name);
  const tallies = [matrix.writes, matrix.reads, matrix.refusals];
  const total = (verdict: Verdict): number => tallies.reduce((sum, tally) => sum + tally.total(verdict), 0);
  console.log(`\n${matrix.writes.table(names, ['writes'])}\n`);
  console.log(`${matrix.reads.table(names, names)}\n`);
  console.log(`${matrix.refusals.table(names, names)}\n`);
  const seen = [...knownFailures, ...knownFlakes].map(({ id }) => id).filter((id) => matrix.seen.has(id));
  if (seen.length > 0) console.log(`k: known failures, see docs/interop.md: ${seen.join(', ')}\n`);
  console.log(`${total('passed') + total('known')} cases in ${seconds(since, performance.now())} s`);
  console.log(`interop: ${total('passed') + total('known')} passed, ${total('failed')} failed`);
  return total('failed') === 0;
}

function seconds(from: number, to: number): string {
  return ((to - from) / 1000).toFixed(1);
}
