/** The SDK clients of one command: made from its options, counted, and closed at its end. */
import type { KMSClient } from '@aws-sdk/client-kms';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { SealpipeError } from '../index.ts';
import { isLocalEndpoint, isLoopbackUrl, parseEndpointUrl } from './endpoint-url.ts';
import { type LocalFolder, openLocalFolder } from './local-folder.ts';
import { localFolder, type PlaceOptions } from './options/place-options.ts';

/** Region of a store that has none, as every S3-compatible one takes it. */
const defaultRegion = 'us-east-1';

interface Middleware {
  add(
    middleware: (
      next: (args: object) => Promise<unknown>,
      context: { commandName?: string },
    ) => (args: object) => Promise<unknown>,
    options: object,
  ): void;
}

export interface SessionOptions {
  readonly place: PlaceOptions;
  /** Told of the first use of a local folder. */
  readonly note: (message: string) => void;
}

export class Session {
  readonly client: S3Client;
  /** The embedded endpoint, where `--local` is given. */
  readonly local: LocalFolder | undefined;
  readonly #place: PlaceOptions;
  #kms: KMSClient | undefined;
  #kmsCalls = 0;

  private constructor(client: S3Client, place: PlaceOptions, local: LocalFolder | undefined) {
    this.client = client;
    this.local = local;
    this.#place = place;
  }

  /** @throws SealpipeError CONFIG_INVALID when there is no region, or the local folder cannot be used */
  static async open({ place, note }: SessionOptions): Promise<Session> {
    const folder = localFolder(place);
    const local = folder === undefined ? undefined : await openLocalFolder(folder, note);
    const client = new S3Client(local === undefined ? s3Config(place) : local.endpoint.s3Config);
    try {
      await requireRegion(() => client.config.region());
    } catch (error) {
      client.destroy();
      await local?.endpoint.close();
      throw error;
    }
    return new Session(client, place, local);
  }

  /** The KMS client, made when it is first asked for. */
  async kms(): Promise<KMSClient> {
    if (this.#kms === undefined) {
      const { KMSClient } = await import('@aws-sdk/client-kms');
      const client = new KMSClient(
        this.local === undefined ? await kmsConfig(this.#place) : this.local.endpoint.kmsConfig,
      );
      await requireRegion(() => client.config.region());
      this.#count(client);
      this.#kms = client;
    }
    return this.#kms;
  }

  /** Requests to KMS that have been sent, repeats included. */
  get kmsCalls(): number {
    return this.#kmsCalls;
  }

  /** Whether nobody on the way to S3 can read a request's headers. */
  get confidential(): boolean {
    const url = s3Endpoint(this.#place);
    return this.local !== undefined || url === undefined || url.protocol === 'https:' || isLoopbackUrl(url);
  }

  async close(): Promise<void> {
    this.client.destroy();
    this.#kms?.destroy();
    await this.local?.endpoint.close();
  }

  /** Counts where every attempt passes, the SDK's own repeats too. */
  #count(client: { middlewareStack: unknown }): void {
    (client.middlewareStack as Middleware).add(
      (next) => (args) => {
        this.#kmsCalls += 1;
        return next(args);
      },
      { name: 'sealpipeCount', step: 'deserialize', priority: 'high' },
    );
  }
}

/** The endpoint of S3 that an option or the environment names. */
function s3Endpoint({ endpointUrl }: PlaceOptions): URL | undefined {
  const { AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL } = process.env;
  const url = endpointUrl ?? (AWS_ENDPOINT_URL_S3 || AWS_ENDPOINT_URL || undefined);
  return url === undefined ? undefined : parseEndpointUrl(url);
}

function s3Config(place: PlaceOptions): S3ClientConfig {
  const url = s3Endpoint(place);
  const region = place.region ?? (url === undefined ? undefined : (regionOfEnvironment() ?? defaultRegion));
  return {
    ...(region === undefined ? {} : { region }),
    ...(place.endpointUrl === undefined ? {} : { endpoint: place.endpointUrl }),
    // Few stores but Amazon's resolve bucket.host; all know host/bucket.
    ...(url === undefined || /(^|\.)amazonaws\.com(\.cn)?$/.test(url.hostname) ? {} : { forcePathStyle: true }),
  };
}

async function kmsConfig(place: PlaceOptions): Promise<{ endpoint?: string; region?: string }> {
  const { endpointUrl, kmsEndpointUrl, region, kmsRegion } = place;
  if (kmsEndpointUrl !== undefined) parseEndpointUrl(kmsEndpointUrl);
  const endpoint =
    kmsEndpointUrl ??
    (endpointUrl !== undefined && (await isLocalEndpoint(parseEndpointUrl(endpointUrl))) ? endpointUrl : undefined);
  const named = kmsRegion ?? region ?? (endpoint === undefined ? undefined : (regionOfEnvironment() ?? defaultRegion));
  return { ...(endpoint === undefined ? {} : { endpoint }), ...(named === undefined ? {} : { region: named }) };
}

function regionOfEnvironment(): string | undefined {
  return process.env.AWS_REGION || process.env.AWS_DEFAULT_REGION || undefined;
}

async function requireRegion(region: () => Promise<string>): Promise<void> {
  try {
    await region();
  } catch (cause) {
    throw new SealpipeError(
      'CONFIG_INVALID',
      'no region is set: give --region, set AWS_REGION, or name one in the profile',
      { cause },
    );
  }
}
