/** The options of an endpoint, checked. */
import type { LocalCredentials } from './auth/authenticator.ts';

export interface LocalEndpointOptions {
  /**
   * Folder for buckets and keys, made if missing, kept from run to run, for one process at a time. Only an empty folder or one of
   * an earlier endpoint is taken. Default: a private temporary folder that is removed by `close`.
   */
  readonly dir?: string;
  /** TCP port. Default 0: any free one. */
  readonly port?: number;
  /** Address to listen on. Default `127.0.0.1`: nobody else on the network gets at it. */
  readonly host?: string;
  /** Serve HTTPS, with certificates of an authority that `ca` returns. Default false. */
  readonly tls?: boolean;
  /** Key pairs that are accepted; the first is the one that `credentials` and the configurations give. Default: one pair. */
  readonly credentials?: LocalCredentials | readonly LocalCredentials[];
  /** Region of buckets, and of the configurations that are returned. Default `us-east-1`. KMS serves every region, each with its own keys. */
  readonly region?: string;
  /** Twelve digits. Default `000000000000`. */
  readonly accountId?: string;
  /** Refuse S3 requests that are signed for another region than `region`. Default false. */
  readonly strictRegion?: boolean;
  /** Milliseconds from the arrival of each request until anything is done about it. Default 0. */
  readonly latency?: number;
  /** Bytes a second of each connection, in both directions or in each. Default: as fast as it goes. */
  readonly bandwidth?: number | { readonly up?: number; readonly down?: number };
  /** Serve the request log and the fault rules over HTTP, under `/_sealpipe`, to whoever reaches the port. Default false. */
  readonly control?: boolean;
  /** Keep a SHA-256 of every request body in the log. Costs about half a CPU second per GB. Default true. */
  readonly hashBodies?: boolean;
  /** Aliases for which KMS makes a key when they are first used. Default `['alias/sealpipe']`. */
  readonly createAliases?: readonly string[];
  /** Bytes that all parts but the last must have. Default 5 MiB, as S3; smaller for tests with small objects. */
  readonly minimumPartBytes?: number;
  /** Return metadata that is not ASCII as S3 does, encoded twice (`'s3'`, default), or as it came (`'raw'`), as other stores do. */
  readonly metadata?: 's3' | 'raw';
  /** ETags as S3 makes them (`'md5'`, default), or at random, which saves about one CPU second per GB. */
  readonly etags?: 'md5' | 'random';
  /** Compute a CRC64NVME for objects that come without a checksum, as S3 does. Default false, as it costs some 3 CPU seconds per GB. */
  readonly defaultChecksum?: boolean;
  /** Take SSE-C keys over plain HTTP from this machine; S3 refuses all plain HTTP. Default false. */
  readonly allowInsecureLoopback?: boolean;
  /** Let new buckets refuse SSE-C, as S3's do since April 2026. Default false. */
  readonly blockSseC?: boolean;
}

/** The options with their defaults. */
export interface CheckedOptions {
  readonly dir: string | undefined;
  readonly port: number;
  readonly host: string;
  readonly tls: boolean;
  readonly credentials: readonly [LocalCredentials, ...LocalCredentials[]];
  readonly region: string;
  readonly accountId: string;
  readonly strictRegion: boolean;
  readonly latency: number;
  readonly up: number | undefined;
  readonly down: number | undefined;
  readonly control: boolean;
  readonly hashBodies: boolean;
  readonly createAliases: readonly string[];
  readonly minimumPartBytes: number;
  readonly rawMetadata: boolean;
  readonly etags: 'md5' | 'random';
  readonly defaultChecksum: boolean;
  readonly allowInsecureLoopback: boolean;
  readonly blockSseC: boolean;
}

/** The key pair of an endpoint that was not given one. It protects nothing: what does is that only this machine reaches the port. */
const defaultCredentials: LocalCredentials = {
  accessKeyId: 'SEALPIPELOCALKEYPAIR',
  secretAccessKey: 'sealpipe-local-secret-access-key',
  userName: 'local',
};

function checkNumber(
  name: string,
  value: number,
  options: { readonly least: number; readonly whole: boolean },
): number {
  const { least, whole } = options;
  if (typeof value !== 'number') throw new TypeError(`${name} must be a number, got ${typeof value}`);
  if (!(value >= least) || (whole && !Number.isSafeInteger(value))) {
    throw new RangeError(`${name} must be ${whole ? 'a whole number ' : ''}from ${least}, got ${value}`);
  }
  return value;
}

function checkBandwidth(name: string, value: number | undefined): number | undefined {
  if (value === undefined || value === Number.POSITIVE_INFINITY) return undefined;
  return checkNumber(name, value, { least: 1, whole: false });
}

function checkCredentials(given: LocalEndpointOptions['credentials']): CheckedOptions['credentials'] {
  const list =
    given === undefined
      ? [defaultCredentials]
      : Array.isArray(given)
        ? (given as readonly LocalCredentials[])
        : [given as LocalCredentials];
  for (const pair of list) {
    if (typeof pair?.accessKeyId !== 'string' || typeof pair.secretAccessKey !== 'string' || pair.accessKeyId === '') {
      throw new TypeError('credentials must have an accessKeyId and a secretAccessKey');
    }
  }
  const [first, ...rest] = list;
  if (first === undefined) throw new RangeError('credentials must hold at least one key pair');
  if (new Set(list.map((pair) => pair.accessKeyId)).size !== list.length) {
    throw new RangeError('credentials must not hold two pairs with the same accessKeyId');
  }
  return [first, ...rest];
}

function choose<Value extends string>(
  name: string,
  value: string | undefined,
  values: readonly [Value, ...Value[]],
): Value {
  const chosen = value ?? values[0];
  const found = values.find((known) => known === chosen);
  if (found === undefined)
    throw new RangeError(`${name} must be one of ${values.join(', ')}, got ${JSON.stringify(value)}`);
  return found;
}

/** @throws TypeError, RangeError for a caller's mistake */
export function checkOptions(options: LocalEndpointOptions): CheckedOptions {
  const port = checkNumber('port', options.port ?? 0, { least: 0, whole: true });
  if (port > 65_535) throw new RangeError(`port must be at most 65535, got ${port}`);
  const accountId = options.accountId ?? '000000000000';
  if (!/^\d{12}$/.test(accountId))
    throw new RangeError(`accountId must be twelve digits, got ${JSON.stringify(accountId)}`);
  const createAliases = options.createAliases ?? ['alias/sealpipe'];
  const wrong = createAliases.find((name) => !/^alias\/[a-zA-Z0-9/_-]+$/.test(name) || name.startsWith('alias/aws/'));
  if (wrong !== undefined)
    throw new RangeError(`createAliases must hold names such as alias/sealpipe, got ${JSON.stringify(wrong)}`);
  const bandwidth =
    typeof options.bandwidth === 'number'
      ? { up: options.bandwidth, down: options.bandwidth }
      : (options.bandwidth ?? {});
  return {
    dir: options.dir,
    port,
    host: options.host ?? '127.0.0.1',
    tls: options.tls ?? false,
    credentials: checkCredentials(options.credentials),
    region: options.region ?? 'us-east-1',
    accountId,
    strictRegion: options.strictRegion ?? false,
    latency: checkNumber('latency', options.latency ?? 0, { least: 0, whole: false }),
    up: checkBandwidth('bandwidth', bandwidth.up),
    down: checkBandwidth('bandwidth', bandwidth.down),
    control: options.control ?? false,
    hashBodies: options.hashBodies ?? true,
    createAliases,
    minimumPartBytes: checkNumber('minimumPartBytes', options.minimumPartBytes ?? 5 * 1024 ** 2, {
      least: 0,
      whole: true,
    }),
    rawMetadata: choose('metadata', options.metadata, ['s3', 'raw']) === 'raw',
    etags: choose('etags', options.etags, ['md5', 'random']),
    defaultChecksum: options.defaultChecksum ?? false,
    allowInsecureLoopback: options.allowInsecureLoopback ?? false,
    blockSseC: options.blockSseC ?? false,
  };
}
