/** `npm run interop`: see docs/interop.md, or `npm run interop -- --help`. */
import { parseArgs } from 'node:util';
import { knownFailures, knownFlakes } from './known-failures.ts';
import { Matrix } from './matrix.ts';
import { type OfficialPeerName, officialPeers, type Peer } from './peer.ts';
import { missingPrograms, missingToolchainLine, startPeer } from './peers.ts';
import { Plaintexts } from './plaintexts.ts';
import { SealpipePeer } from './sealpipe-peer.ts';
import { BuildError } from './toolchains.ts';
import { type World, worldAt } from './world.ts';

const help = `Usage: npm run interop -- [options]

sealpipe and the official Amazon S3 Encryption Clients write objects, read each other's, and refuse changed ones.

  --only LIST              of java,go,python: these official clients alone
  --endpoint-url URL       S3 to run against
  --kms-endpoint-url URL   KMS to run against (default: the same)
  --verbose                print every case, not only what went wrong
  --help

SEALPIPE_INTEROP_REQUIRE=java,go,python makes a missing toolchain an error.
With --endpoint-url, credentials and region come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION.
`;

interface Options {
  readonly only: readonly OfficialPeerName[];
  readonly required: readonly OfficialPeerName[];
  readonly endpointUrl: string | undefined;
  readonly kmsEndpointUrl: string | undefined;
  readonly verbose: boolean;
}

/** A mistake in how this program was called. */
class UsageError extends Error {}

process.exitCode = await main();

async function main(): Promise<number> {
  try {
    const options = parseOptions();
    if (options === undefined) {
      process.stdout.write(help);
      return 0;
    }
    return await interop(options);
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`interop: ${error.message} (--help shows the options)`);
      return 2;
    }
    console.error(error instanceof BuildError ? `interop: ${error.message}` : error);
    return 1;
  }
}

function parseOptions(): Options | undefined {
  const { values } = parsed();
  if (values.help) return undefined;
  const only = values.only === undefined ? [...officialPeers] : peerNames('--only', values.only);
  return {
    only,
    required: peerNames('SEALPIPE_INTEROP_REQUIRE', process.env['SEALPIPE_INTEROP_REQUIRE'] ?? ''),
    endpointUrl: values['endpoint-url'],
    kmsEndpointUrl: values['kms-endpoint-url'],
    verbose: values.verbose,
  };
}

function parsed() {
  try {
    return parseArgs({
      options: {
        only: { type: 'string' },
        'endpoint-url': { type: 'string' },
        'kms-endpoint-url': { type: 'string' },
        verbose: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function peerNames(source: string, list: string): OfficialPeerName[] {
  const names = list.split(',').filter((name) => name !== '');
  return names.map((name) => {
    const known = officialPeers.find((peer) => peer === name);
    if (known === undefined)
      throw new UsageError(`${source} names ${JSON.stringify(name)}, expected some of ${officialPeers.join(',')}`);
    return known;
  });
}

async function interop(options: Options): Promise<number> {
  const missing = options.only.filter((name) => missingPrograms(name).length > 0);
  for (const name of missing) console.error(missingToolchainLine(name));
  if (missing.some((name) => options.required.includes(name))) return 1;
  const names = options.only.filter((name) => !missing.includes(name));

  const started = performance.now();
  const plaintexts = new Plaintexts();
  const peers: Peer[] = [];
  let world: World | undefined;
  try {
    if (options.endpointUrl === undefined) throw new UsageError('--endpoint-url is missing');
    world = await worldAt(options.endpointUrl, options.kmsEndpointUrl);
    const { s3, kms, store, keyrings, service } = world;
    peers.push(new SealpipePeer({ s3, kms }));
    // Every peer that did start is kept, so that it is closed when another did not.
    const starts = await Promise.allSettled(names.map((name) => startPeer(name, service)));
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

function summarize(matrix: Matrix, peers: readonly Peer[], since: number): number {
  const names = peers.map(({ name }) => name);
  const tallies = [matrix.writes, matrix.reads, matrix.refusals];
  const total = (verdict: 'passed' | 'known' | 'failed'): number =>
    tallies.reduce((sum, tally) => sum + tally.total(verdict), 0);
  console.log(`\n${matrix.writes.table(names, ['writes'])}\n`);
  console.log(`${matrix.reads.table(names, names)}\n`);
  console.log(`${matrix.refusals.table(names, names)}\n`);
  const seen = [...knownFailures, ...knownFlakes].map(({ id }) => id).filter((id) => matrix.seen.has(id));
  if (seen.length > 0) console.log(`k: known failures, see docs/interop.md: ${seen.join(', ')}\n`);
  console.log(`${total('passed') + total('known')} cases in ${seconds(since, performance.now())} s`);
  console.log(`interop: ${total('passed') + total('known')} passed, ${total('failed')} failed`);
  return total('failed') === 0 ? 0 : 1;
}

function seconds(from: number, to: number): string {
  return ((to - from) / 1000).toFixed(1);
}
