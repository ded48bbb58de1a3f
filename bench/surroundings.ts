/** Where cases run: the sinks of a session, and the local endpoint that uploads are verified against. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  DeleteObjectsCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3';
import { type LocalEndpoint, startLocalEndpoint } from '../src/local/index.ts';
import type { CaseSpec, World } from './case-spec.ts';
import { tunedClient } from './cases/clients.ts';
import { type Undoing, undoing } from './leaving.ts';
import type { BenchOptions } from './options.ts';
import { SinkControl } from './sink/sink-control.ts';
import { type SinkProcess, startOwnSink, startSinkCommand } from './sink/sink-process.ts';
import { stageObjects } from './stage.ts';

/** One place to run cases at. */
export interface Surroundings {
  readonly world: World;
  /** Absent where nothing counts. */
  readonly control: SinkControl | undefined;
  /** PEM file of the authority that clients have to trust. */
  readonly caFile: string | undefined;
  close(): Promise<void>;
}

const region = 'us-east-1';
const sinkCredentials = { accessKeyId: 'SEALPIPEBENCH', secretAccessKey: 'the sink looks at no signature' };

export interface StagePlan {
  readonly options: BenchOptions;
  readonly folder: string;
  /** Plaintext bytes of the object that ranges are read from. */
  readonly objectLength: number;
}

/** Starts the sink, or takes the endpoint that was named, and puts in place what the cases read there. */
export async function openSink(
  specs: readonly CaseSpec[],
  { tls, options, folder, objectLength }: StagePlan & { readonly tls: boolean },
): Promise<Surroundings> {
  const server = await startServer(options, tls);
  let removal: Undoing | undefined;
  const close = async (): Promise<void> => {
    try {
      await removal?.now();
    } finally {
      await server.close();
    }
  };
  try {
    const caFile = server.ca === undefined ? undefined : writeCa(folder, 'sink-ca.pem', server.ca);
    const found = new SinkControl(server.endpoint, server.ca);
    const control = (await found.exists()) ? found : undefined;
    const prefix = `sealpipe-bench-${randomBytes(4).toString('hex')}-`;
    const world: World = {
      endpoint: server.endpoint,
      kmsEndpoint: options.kmsEndpointUrl ?? server.endpoint,
      kmsKeyId: options.kmsKey,
      region: process.env['AWS_REGION'] ?? region,
      ...(options.endpointUrl === undefined && { credentials: sinkCredentials }),
      bucket: options.bucket,
      prefix,
      servedPrefix: options.servedPrefix + prefix,
      folder,
      digests: {},
    };
    // Nothing is kept where there is a sink's control interface.
    if (control === undefined) removal = undoing(() => removeObjects(world));
    // The cases' processes trust the authority as a whole; this one has to be told with each client.
    const trusting = { ...world, ...(server.ca !== undefined && { ca: server.ca }) };
    const digests = await stageObjects(specs, { world: trusting, control, objectLength });
    return { world: { ...world, digests }, control, caFile, close };
  } catch (error) {
    // What it failed with says more than that it could not be undone either.
    await close().catch(() => undefined);
    throw error;
  }
}

function writeCa(folder: string, name: string, pem: string): string {
  const path = join(folder, name);
  writeFileSync(path, pem);
  return path;
}

/** Leaves an endpoint that stores what it is sent as it was. */
export async function removeObjects(world: World): Promise<void> {
  const client = tunedClient(world);
  const { bucket: Bucket } = world;
  try {
    for (const Prefix of new Set([world.prefix, world.servedPrefix])) {
      for (let again = true; again; ) {
        const { Contents = [], IsTruncated = false } = await client.send(new ListObjectsV2Command({ Bucket, Prefix }));
        const Objects = Contents.map(({ Key }) => ({ Key }));
        if (Objects.length > 0)
          await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }));
        again = IsTruncated;
      }
      await abortUploads(client, { Bucket, Prefix });
    }
  } finally {
    client.destroy();
  }
}

/** Of what was ended in the middle. Up to 1 000, which is more than can have been begun. */
async function abortUploads(client: S3Client, place: { Bucket: string; Prefix: string }): Promise<void> {
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand(place));
  for (const { Key, UploadId } of Uploads)
    await client.send(new AbortMultipartUploadCommand({ Bucket: place.Bucket, Key, UploadId }));
}

function startServer({ endpointUrl, sinkCommand }: BenchOptions, tls: boolean): Promise<SinkProcess> {
  if (endpointUrl !== undefined)
    return Promise.resolve({ endpoint: endpointUrl, ca: undefined, close: async () => undefined });
  return sinkCommand === undefined ? startOwnSink({ tls }) : startSinkCommand(sinkCommand);
}

/** The local endpoint: it stores what is uploaded, checks checksums and signatures, and gives it back. */
export async function openVerifier(
  { folder }: Pick<StagePlan, 'folder'>,
  { tls }: { readonly tls: boolean },
): Promise<Surroundings> {
  const local: LocalEndpoint = await startLocalEndpoint({ tls, etags: 'random', hashBodies: false });
  const bucket = 'sealpipe-bench';
  const client = new S3Client(local.s3Config);
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  return {
    world: {
      endpoint: local.endpoint,
      kmsEndpoint: local.endpoint,
      kmsKeyId: 'alias/sealpipe',
      region: local.region,
      credentials: local.credentials,
      bucket,
      prefix: 'bench-',
      servedPrefix: 'bench-',
      folder,
      digests: {},
    },
    control: undefined,
    caFile: local.ca === undefined ? undefined : writeCa(folder, 'local-ca.pem', local.ca),
    close: () => local.close({ graceMs: 0 }),
  };
}
