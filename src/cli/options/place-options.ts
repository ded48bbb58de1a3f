import { type Command, Option } from 'commander';
import { UsageError } from '../usage-error.ts';

/** Where S3 and KMS are. */
export interface PlaceOptions {
  readonly endpointUrl?: string;
  readonly kmsEndpointUrl?: string;
  readonly region?: string;
  readonly kmsRegion?: string;
  readonly local?: string;
}

const group = "Where S3 and KMS are (else: AWS_REGION, AWS_PROFILE and the rest of the SDK's environment and files):";

export function addPlaceOptions(command: Command, { kms }: { kms: boolean }): Command {
  command
    .addOption(new Option('--endpoint-url <url>', 'an S3-compatible store; asked in path style').helpGroup(group))
    .addOption(
      new Option('--region <region>', 'region of S3, and of KMS unless --kms-region says another')
        .argParser(regionName('--region'))
        .helpGroup(group),
    );
  if (kms) {
    command
      .addOption(
        new Option(
          '--kms-endpoint-url <url>',
          'an endpoint of KMS (not needed where --endpoint-url is a `sealpipe local` on this machine, which is both)',
        ).helpGroup(group),
      )
      .addOption(
        new Option('--kms-region <region>', 'region of KMS').argParser(regionName('--kms-region')).helpGroup(group),
      );
  }
  return command.addOption(
    new Option(
      '--local <folder>',
      'no server at all: S3 and KMS inside this command, kept in that folder; for trying out and tests (or the environment: SEALPIPE_LOCAL)',
    ).helpGroup(group),
  );
}

/** An empty one, as an unset variable of a script leaves it, would fail in the SDK. */
function regionName(option: string): (argument: string) => string {
  return (argument) => {
    if (/^[a-z0-9-]+$/i.test(argument)) return argument;
    throw new UsageError(`${option} is given ${JSON.stringify(argument)}: expected a region, such as eu-central-1`);
  };
}

/**
 * The folder of the embedded endpoint: that of --local, or of SEALPIPE_LOCAL where no option says another place.
 * @throws UsageError when --local is given beside another place
 */
export function localFolder({
  local,
  endpointUrl,
  kmsEndpointUrl,
  region,
  kmsRegion,
}: PlaceOptions): string | undefined {
  const elsewhere = Object.entries({
    '--endpoint-url': endpointUrl,
    '--kms-endpoint-url': kmsEndpointUrl,
    '--region': region,
    '--kms-region': kmsRegion,
  }).find(([, value]) => value !== undefined);
  if (elsewhere === undefined) return local ?? (process.env.SEALPIPE_LOCAL || undefined);
  if (local === undefined) return undefined;
  throw new UsageError(`--local is S3 and KMS in one, and has its own region: leave out ${elsewhere[0]}`);
}
