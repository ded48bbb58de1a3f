/** `npm run interop`: see docs/interop.md, or `npm run interop -- --help`. */
import { parseArgs } from 'node:util';
import { type OfficialPeerName, officialPeers } from './peer.ts';
import { BuildError, missingPrograms, missingToolchainLine } from './toolchains.ts';

const help = `Usage: npm run interop -- [options]

sealpipe and the official Amazon S3 Encryption Clients write objects, read each other's, and refuse changed ones.

  --only LIST              of java,go,python: these official clients alone
  --endpoint-url URL       S3 to run against (default: sealpipe's local endpoint, in this process)
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

// Exits in an orderly way, so that temporary files are removed; the clients' programs end with their input.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
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
  if (names.length === 0) {
    console.log('interop: no official client is left to compare with');
    return 0;
  }
  // Only now is what takes long to load needed.
  const { runSession } = await import('./session.ts');
  return (await runSession({ ...options, names })) ? 0 : 1;
}
