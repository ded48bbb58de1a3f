import { KMSClient } from '@aws-sdk/client-kms';
import { S3Client } from '@aws-sdk/client-s3';
import { startLocalEndpoint } from '../src/local/index.ts';
import { KeyringSpecs } from './keyring-specs.ts';
import { ObjectStore } from './object-store.ts';
import type { Service } from './peers.ts';

/** What a run works in: a service, a bucket and keys of its own. */
export interface World {
  /** What the service is, in a few words. */
  readonly title: string;
  readonly service: Service;
  readonly s3: S3Client;
  readonly kms: KMSClient;
  readonly store: ObjectStore;
  readonly keyrings: KeyringSpecs;
  /** Removes what the run has made. */
  close(): Promise<void>;
}

/** A world on a local endpoint of its own. */
export async function localWorld(): Promise<World> {
  const local = await startLocalEndpoint({ hashBodies: false });
  const { endpoint, region, credentials } = local;
  const world = await openWorld('the local endpoint', { endpoint, region, credentials });
  return {
    ...world,
    // What is in it goes with it.
    async close() {
      world.s3.destroy();
      world.kms.destroy();
      await local.close();
    },
  };
}

/** A world on a service that runs already; its credentials and region come from the usual environment variables. */
export async function worldAt(endpoint: string, kmsEndpoint: string | undefined): Promise<World> {
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION } = process.env;
  const credentials = {
    // What doubles of S3 commonly take.
    accessKeyId: AWS_ACCESS_KEY_ID ?? 'test',
    secretAccessKey: AWS_SECRET_ACCESS_KEY ?? 'test',
    ...(AWS_SESSION_TOKEN !== undefined && { sessionToken: AWS_SESSION_TOKEN }),
  };
  return openWorld(endpoint, { endpoint, kmsEndpoint, region: AWS_REGION ?? 'us-east-1', credentials });
}

async function openWorld(title: string, service: Service): Promise<World> {
  const { endpoint, kmsEndpoint = endpoint, region } = service;
  const { sessionToken, ...pair } = service.credentials;
  const credentials = sessionToken === undefined ? pair : { ...pair, sessionToken };
  const s3 = new S3Client({ endpoint, region, credentials, forcePathStyle: true });
  const kms = new KMSClient({ endpoint: kmsEndpoint, region, credentials });
  const store = await ObjectStore.create(s3);
  const keyrings = await KeyringSpecs.create(kms);
  return {
    title,
    service,
    s3,
    kms,
    store,
    keyrings,
    async close() {
      await store.discard();
      await keyrings.discard(kms);
      s3.destroy();
      kms.destroy();
    },
  };
}
