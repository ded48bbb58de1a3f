/** Where the budgets are taken: an S3 and a KMS whose requests are counted, and the objects that are read there. */
import { randomBytes } from 'node:crypto';
import type { KMSClient } from '@aws-sdk/client-kms';
import { CreateBucketCommand, type S3Client } from '@aws-sdk/client-s3';
import { EncryptedS3, type EncryptedS3Options, type Keyring } from '../../src/index.ts';
import { startLocalEndpoint } from '../../src/local/index.ts';
import type { World } from '../case-spec.ts';
import { keyringOf, plainClient } from '../cases/clients.ts';
import { undoing } from '../leaving.ts';
import type { BenchOptions } from '../options.ts';
import { removeObjects } from '../surroundings.ts';
import type { RequestCounts } from './budget-spec.ts';
import { ClientTally, countLog } from './counting.ts';
import { type FileParts, streamOf } from './file-parts.ts';

/** Counts what is sent between two looks. */
interface Counter {
  start(): Promise<void>;
  counts(): Promise<RequestCounts>;
}

export class BudgetPlace {
  readonly client: S3Client;
  readonly kms: KMSClient;
  readonly keyring: Keyring;
  readonly bucket: string;
  /** Begins every key. */
  readonly prefix: string;
  readonly #counter: Counter;
  readonly #close: () => Promise<void>;
  readonly #staged = new Map<string, Promise<unknown>>();

  constructor(world: World, parts: { readonly counter: Counter | ClientTally; readonly close: () => Promise<void> }) {
    this.client = plainClient(world);
    const { keyring, kms } = keyringOf(world);
    this.kms = kms;
    this.keyring = keyring;
    this.bucket = world.bucket;
    this.prefix = world.prefix;
    const { counter } = parts;
    if (counter instanceof ClientTally) counter.watch(this.client, kms);
    this.#counter = counter;
    this.#close = parts.close;
  }

  encrypted(options: Partial<EncryptedS3Options> = {}): EncryptedS3 {
    return new EncryptedS3({ client: this.client, keyring: this.keyring, ...options });
  }

  /** The address of an object of this place. */
  at(name: string): { Bucket: string; Key: string } {
    return { Bucket: this.bucket, Key: this.prefix + name };
  }

  /** Makes something once, however many scenarios need it. */
  once<T>(name: string, make: () => Promise<T>): Promise<T> {
    let made = this.#staged.get(name) as Promise<T> | undefined;
    if (made === undefined) {
      made = make();
      this.#staged.set(name, made);
    }
    return made;
  }

  /** Encrypts a file and puts it there, once. */
  async put(name: string, parts: () => FileParts, { segmentIndex = false } = {}): Promise<void> {
    await this.once(name, async () => {
      const pieces = parts();
      const upload = this.encrypted().upload({ ...this.at(name), Body: () => streamOf(pieces) }, { segmentIndex });
      await upload.done();
    });
  }

  /** The requests that `run` makes. */
  async requestsOf(run: () => Promise<void>): Promise<RequestCounts> {
    await this.#counter.start();
    await run();
    return this.#counter.counts();
  }

  async close(): Promise<void> {
    this.client.destroy();
    this.kms.destroy();
    await this.#close();
  }
}

/** A local endpoint of its own, whose log counts; or the endpoint that was named, where the clients count what they send. */
export async function openBudgetPlace(
  options: Pick<BenchOptions, 'endpointUrl' | 'kmsEndpointUrl' | 'bucket' | 'kmsKey'>,
): Promise<BudgetPlace> {
  const { endpointUrl } = options;
  const prefix = `sealpipe-budgets-${randomBytes(4).toString('hex')}/`;
  const common = { bucket: options.bucket, prefix, servedPrefix: prefix, folder: '', digests: {} };
  if (endpointUrl !== undefined) {
    const world: World = {
      ...common,
      endpoint: endpointUrl,
      kmsEndpoint: options.kmsEndpointUrl ?? endpointUrl,
      kmsKeyId: options.kmsKey,
      region: process.env['AWS_REGION'] ?? 'us-east-1',
    };
    const removal = undoing(() => removeObjects(world));
    return new BudgetPlace(world, { counter: new ClientTally(), close: () => removal.now() });
  }
  const local = await startLocalEndpoint({ etags: 'random', hashBodies: false });
  const { endpoint, region, credentials } = local;
  const world: World = {
    ...common,
    endpoint,
    kmsEndpoint: endpoint,
    kmsKeyId: 'alias/sealpipe',
    region,
    credentials,
  };
  const place = new BudgetPlace(world, {
    counter: countLog(local.requests),
    close: () => local.close({ graceMs: 0 }),
  });
  await place.client.send(new CreateBucketCommand({ Bucket: world.bucket }));
  return place;
}
