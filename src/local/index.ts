/**
 * S3 and KMS on one loopback port, in this process: for trying out, and for tests of whatever uses S3. Not a production server.
 *
 * ```ts
 * import { S3Client } from '@aws-sdk/client-s3';
 * import { startLocalEndpoint } from 'sealpipe/local';
 *
 * await using local = await startLocalEndpoint();
 * const s3 = new S3Client(local.s3Config);
 * …
 * assert.deepEqual(local.requests.counts(), { GetObject: 1, 'KMS.Decrypt': 1 });
 * ```
 */
import { existsSync, readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { dirname, join } from 'node:path';
import { SealpipeError } from '../errors.ts';
import { Authenticator, type LocalCredentials } from './auth/authenticator.ts';
import type { EndpointDescription } from './control.ts';
import { FaultRules, type Faults } from './faults.ts';
import { type EndpointFolder, takeFolder } from './folder.ts';
import { KmsKeys } from './kms/keys.ts';
import { type CheckedOptions, checkOptions, type LocalEndpointOptions } from './options.ts';
import { type RequestLog, RequestRecorder } from './request-log.ts';
import { LocalServer } from './server.ts';
import { BucketStore } from './storage/store.ts';
import { LocalCertificates } from './tls/certificates.ts';

export type { LocalCredentials } from './auth/authenticator.ts';
export { type LocalEndpointProcess, startLocalEndpointProcess } from './child.ts';
export type { FaultEffect, FaultRule, FaultSelection, Faults, InstalledFault } from './faults.ts';
export type { LocalEndpointOptions } from './options.ts';
export type { RequestLog, RequestLogEntry } from './request-log.ts';

/** What `new S3Client(…)` and `new KMSClient(…)` take. */
export interface LocalClientConfig {
  readonly endpoint: string;
  readonly region: string;
  readonly credentials: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
  /**
   * Only with `tls`: makes the client trust the endpoint's authority. An agent rather than options for one, since for bodies above
   * 2 MiB the SDK puts an agent of its own, which trusts nobody here, in place of one that it made from options.
   */
  readonly requestHandler?: { readonly httpsAgent: Agent };
}

/** A running endpoint. */
export interface LocalEndpoint extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`, or `https://localhost:<port>` with `tls`. For both S3 and KMS. */
  readonly endpoint: string;
  readonly port: number;
  readonly region: string;
  readonly accountId: string;
  /** The first key pair. */
  readonly credentials: LocalClientConfig['credentials'];
  /** For `new S3Client(…)`; addresses buckets by path. */
  readonly s3Config: LocalClientConfig & { readonly forcePathStyle: true };
  /** For `new KMSClient(…)`. */
  readonly kmsConfig: LocalClientConfig;
  /** PEM of the authority to trust, with `tls`. */
  readonly ca?: string;
  /** The folder that holds buckets and keys. */
  readonly dir: string;
  readonly requests: RequestLog;
  readonly faults: Faults;
  /** Lets this process end although the endpoint is open. */
  unref(): void;
  /**
   * Stops it: requests in progress may finish for `graceMs` (default 1 000), then they are cut. Frees the folder, or removes a
   * temporary one. Calling it again changes nothing.
   */
  close(options?: { readonly graceMs?: number }): Promise<void>;
}

/** Version of this package, for what describes itself. */
function packageVersion(): string {
  // However deep this file lies below the package's folder, which differs between the package and a build of its tests.
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    const path = join(folder, 'package.json');
    if (existsSync(path)) return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
  }
  return 'unknown';
}

function publicCredentials(pair: LocalCredentials): LocalClientConfig['credentials'] {
  const { accessKeyId, secretAccessKey, sessionToken } = pair;
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

class RunningEndpoint implements LocalEndpoint {
  readonly port: number;
  readonly region: string;
  readonly accountId: string;
  readonly endpoint: string;
  readonly credentials: LocalClientConfig['credentials'];
  readonly s3Config: LocalClientConfig & { readonly forcePathStyle: true };
  readonly kmsConfig: LocalClientConfig;
  declare readonly ca?: string;
  readonly dir: string;
  readonly requests: RequestLog;
  readonly faults: Faults;
  readonly #server: LocalServer;
  readonly #store: BucketStore;
  readonly #folder: EndpointFolder;
  #closing: Promise<void> | undefined;

  constructor(parts: {
    readonly options: CheckedOptions;
    readonly port: number;
    readonly folder: EndpointFolder;
    readonly store: BucketStore;
    readonly server: LocalServer;
    readonly certificates: LocalCertificates | undefined;
    readonly requests: RequestLog;
    readonly faults: Faults;
  }) {
    const { options, port, certificates } = parts;
    this.port = port;
    this.region = options.region;
    this.accountId = options.accountId;
    // By name with TLS, as some clients check no IP addresses in certificates.
    this.endpoint =
      certificates === undefined ? `http://${urlHost(options.host)}:${port}` : `https://localhost:${port}`;
    this.credentials = publicCredentials(options.credentials[0]);
    this.kmsConfig = {
      endpoint: this.endpoint,
      region: options.region,
      credentials: this.credentials,
      ...(certificates === undefined
        ? {}
        : { requestHandler: { httpsAgent: new Agent({ ca: certificates.ca, keepAlive: true }) } }),
    };
    this.s3Config = { ...this.kmsConfig, forcePathStyle: true };
    if (certificates !== undefined) this.ca = certificates.ca;
    this.dir = parts.folder.path;
    this.requests = parts.requests;
    this.faults = parts.faults;
    this.#server = parts.server;
    this.#store = parts.store;
    this.#folder = parts.folder;
  }

  unref(): void {
    this.#server.unref();
  }

  close(options: { readonly graceMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.graceMs ?? 1000);
    return this.#closing;
  }

  async #close(graceMs: number): Promise<void> {
    await this.#server.close({ graceMs });
    this.#store.close();
    this.#folder.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

// What listens on all addresses is reached by the loopback one.
function urlHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}

/**
 * Starts an endpoint.
 *
 * @throws TypeError, RangeError for options that make no sense
 * @throws SealpipeError `LOCAL_BUSY` for a folder that is in use; `CONFIG_INVALID` for one that is not an endpoint's; `NETWORK` for a
 *   port that cannot be had
 */
export async function startLocalEndpoint(options: LocalEndpointOptions = {}): Promise<LocalEndpoint> {
  const checked = checkOptions(options);
  const folder = takeFolder(checked.dir);
  let store: BucketStore | undefined;
  try {
    store = new BucketStore(folder.path, { sweep: folder.tookOver });
    return await openEndpoint(checked, folder, store);
  } catch (problem) {
    store?.close();
    folder.release();
    throw problem;
  }
}

async function openEndpoint(
  options: CheckedOptions,
  folder: EndpointFolder,
  store: BucketStore,
): Promise<LocalEndpoint> {
  const kms = new KmsKeys({
    path: join(folder.path, 'kms.json'),
    accountId: options.accountId,
    createAliases: options.createAliases,
  });
  const certificates = options.tls ? new LocalCertificates(join(folder.path, 'tls.json')) : undefined;
  const recorder = new RequestRecorder();
  const faults = new FaultRules();
  const description: EndpointDescription = {
    product: 'sealpipe local',
    version: packageVersion(),
    region: options.region,
    accountId: options.accountId,
    services: ['s3', 'kms'],
    control: options.control,
  };
  const { credentials, region, strictRegion, latency, hashBodies, host, up, down } = options;
  const server = new LocalServer({
    host,
    port: options.port,
    certificates,
    up,
    down,
    exchange: {
      authenticator: new Authenticator({ credentials, region, strictRegion }),
      recorder,
      faults,
      latency,
      hashBodies,
    },
    s3: { store, kms, settings: options },
    control: { description, recorder, faults },
  });
  let port: number;
  try {
    port = await server.listen();
  } catch (cause) {
    throw new SealpipeError('NETWORK', `port ${options.port} of ${host} cannot be listened on: give another, or none`, {
      cause,
    });
  }
  return new RunningEndpoint({ options, port, folder, store, server, certificates, requests: recorder, faults });
}
