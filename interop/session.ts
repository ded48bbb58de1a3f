import { knownFailures, knownFlakes } from './known-failures.ts';
import { Matrix } from './matrix.ts';
import type { OfficialPeerName, Peer } from './peer.ts';
import { startPeer } from './peers.ts';
import { Plaintexts } from './plaintexts.ts';
import { SealpipePeer } from './sealpipe-peer.ts';
import type { Verdict } from './tally.ts';
import { localWorld, type World, worldAt } from './world.ts';

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

    const matrix = new Matrix({
      peers,
      store,
      keyrings,
      plaintexts,
      report: (line, verdict) => {
        if (verdict === 'failed') console.error(line);
        else if (options.verbose) console.log(line);
      },
    });
    await matrix.run();
    return summarize(matrix, peers, ready);
  } finally {
    await Promise.all(peers.map((peer) => peer.close()));
    await world?.close();
    plaintexts.remove();
  }
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
