/** What `npm run bench` can be told. */
import { parseArgs } from 'node:util';

export const help = `Usage: npm run bench -- [options]

Measures sealpipe beside the AWS SDK without encryption and with a hand-written cipher, in rounds (A B C, A B C, …), each case
in a process of its own, against a sink in another process that discards and serves. Cases named budgets/… are counted
and not timed: the requests of one reader each, at a local endpoint.

  --only LIST              cases whose name contains one of these, and what they are compared with
  --rounds N               default 5; the table has the medians
  --size SIZE              bytes of most uploads and downloads, and of the object of random reads (1GiB; KiB, MiB, GiB, MB, GB)
  --large-size SIZE        bytes of the large upload of the memory cases (four times --size)
  --operations N           small objects of a round (4000)
  --quick                  one round of little: does it run, not how fast
  --tls                    all requests over TLS, not only those of the TLS cases
  --json FILE              all figures, for programs
  --html FILE              one page with table and plots, nothing to load
  --profile DIR            a CPU profile of each measured process (of the last round)
  --list                   the names of the cases
  --help

  --sink-command COMMAND   another sink: a shell command, {port} where its port goes
  --endpoint-url URL       any S3 instead of a sink; without a sink's control interface nothing is counted, and paced cases are left out.
                           Requests of budgets are counted by the clients that send them, those to KMS too
  --bucket NAME            default sealpipe-bench; it has to exist
  --kms-endpoint-url URL   KMS (default: the same endpoint)
  --kms-key ID             default alias/sealpipe-bench
  --served-prefix PREFIX   begins the keys of the objects that are read, where only such are kept

With --endpoint-url, credentials come from where the SDK finds them, and the region from AWS_REGION (us-east-1); what was put into
the bucket is removed at the end, after Ctrl-C too. It exits with 0 when all cases ran and were
verified, 1 when one was not, 2 when it was called wrongly.
`;

/** A mistake in how the program was called. */
export class UsageError extends Error {}

export interface BenchOptions {
  readonly only: readonly string[];
  readonly rounds: number;
  readonly size: number;
  readonly largeSize: number;
  readonly operations: number;
  /** Milliseconds that each micro-benchmark runs. */
  readonly microTime: number;
  readonly tls: boolean;
  readonly json: string | undefined;
  readonly html: string | undefined;
  readonly profile: string | undefined;
  readonly list: boolean;
  readonly sinkCommand: string | undefined;
  readonly endpointUrl: string | undefined;
  readonly bucket: string;
  readonly kmsEndpointUrl: string | undefined;
  readonly kmsKey: string;
  readonly servedPrefix: string;
}

const MiB = 1024 * 1024;

/**
 * @returns the options, or undefined where help was asked for
 * @throws UsageError
 */
export function parseOptions(args: readonly string[]): BenchOptions | undefined {
  const values = parsed(args);
  if (values.help) return undefined;
  const { quick, tls } = values;
  const elsewhere = values['endpoint-url'] !== undefined || values['sink-command'] !== undefined;
  if (values['endpoint-url'] !== undefined && values['sink-command'] !== undefined)
    throw new UsageError('--endpoint-url and --sink-command name two places: give one');
  if (tls && elsewhere)
    throw new UsageError('--tls is for the sink of this program: give an https URL to --endpoint-url instead');
  const size = values.size === undefined ? (quick ? 96 * MiB : 1024 * MiB) : sizeOf('--size', values.size);
  const large = values['large-size'];
  return {
    only: values.only === undefined ? [] : namesOf(values.only),
    rounds: countOf('--rounds', values.rounds ?? (quick ? '1' : '5')),
    size,
    largeSize: large === undefined ? (quick ? 2 : 4) * size : sizeOf('--large-size', large),
    operations: countOf('--operations', values.operations ?? (quick ? '200' : '4000')),
    microTime: quick ? 30 : 500,
    tls,
    json: values.json,
    html: values.html,
    profile: values.profile,
    list: values.list,
    sinkCommand: values['sink-command'],
    endpointUrl: urlOf('--endpoint-url', values['endpoint-url']),
    bucket: values.bucket,
    kmsEndpointUrl: urlOf('--kms-endpoint-url', values['kms-endpoint-url']),
    kmsKey: values['kms-key'],
    servedPrefix: values['served-prefix'],
  };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        only: { type: 'string' },
        rounds: { type: 'string' },
        size: { type: 'string' },
        'large-size': { type: 'string' },
        operations: { type: 'string' },
        quick: { type: 'boolean', default: false },
        tls: { type: 'boolean', default: false },
        json: { type: 'string' },
        html: { type: 'string' },
        profile: { type: 'string' },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
        'sink-command': { type: 'string' },
        'endpoint-url': { type: 'string' },
        bucket: { type: 'string', default: 'sealpipe-bench' },
        'kms-endpoint-url': { type: 'string' },
        'kms-key': { type: 'string', default: 'alias/sealpipe-bench' },
        'served-prefix': { type: 'string', default: '' },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function namesOf(text: string): string[] {
  const names = text.split(',').filter((part) => part !== '');
  // Taken for no choice, it would run everything: an hour.
  if (names.length === 0) throw new UsageError(`--only is ${JSON.stringify(text)}, expected names or parts of names`);
  return names;
}

const units: Record<string, number> = { '': 1, KiB: 1024, MiB, GiB: 1024 * MiB, MB: 1e6, GB: 1e9 };

function sizeOf(name: string, text: string): number {
  const found = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text);
  const unit = units[found?.[2] ?? ''];
  const size = Math.floor(Number(found?.[1]) * (unit ?? Number.NaN));
  // One read of the ranges is 64 KiB, and there should be more than one place for it.
  if (!Number.isSafeInteger(size) || size < MiB)
    throw new UsageError(`${name} is ${JSON.stringify(text)}, expected at least 1MiB, such as 96MiB or 2GB`);
  return size;
}

function countOf(name: string, text: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1)
    throw new UsageError(`${name} is ${JSON.stringify(text)}, expected a whole number from 1 on`);
  return count;
}

function urlOf(name: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (!URL.canParse(text) || !/^https?:/.test(text))
    throw new UsageError(`${name} is ${JSON.stringify(text)}, expected an http or https URL`);
  return text;
}
