/** The SDK's clients, as they come and as fast as they get. */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { KMSClient } from '@aws-sdk/client-kms';
import { S3Client } from '@aws-sdk/client-s3';
import { type Keyring, kmsKeyring } from '../../src/index.ts';
import type { World } from '../case-spec.ts';

/** Nothing set but where to go. */
export function plainClient(world: World): S3Client {
  return new S3Client({ ...connection(world), endpoint: world.endpoint, forcePathStyle: true });
}

/**
 * The fastest that the SDK's own settings reach: no Expect (which costs a connection for each part above 2 MiB), no checksum that
 * nobody asked for, agents that keep connections, and no SHA-256 of payloads, as sealpipe sends none either where TLS or the
 * loopback protects them.
 */
export function tunedClient(world: World): S3Client {
  const agent = { keepAlive: true, maxSockets: 64, ca: world.ca };
  const client = new S3Client({
    ...connection(world),
    endpoint: world.endpoint,
    forcePathStyle: true,
    expectContinueHeader: false,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestStreamBufferSize: 65_536,
    requestHandler: { httpAgent: new HttpAgent(agent), httpsAgent: new HttpsAgent(agent) },
  });
  client.middlewareStack.add(
    (next) => (args) => {
      const { headers } = args.request as { headers: Record<string, string> };
      if ('body' in (args.request as object)) headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD';
      return next(args);
    },
    { step: 'build', name: 'benchUnsignedPayload', priority: 'low' },
  );
  return client;
}

export function clientOf(world: World, tuned: boolean): S3Client {
  return tuned ? tunedClient(world) : plainClient(world);
}

/** A KMS keyring and the client that has to be destroyed in the end. */
export function keyringOf(world: World): { keyring: Keyring; kms: KMSClient } {
  const kms = new KMSClient({ ...connection(world), endpoint: world.kmsEndpoint });
  return { keyring: kmsKeyring({ keyId: world.kmsKeyId, client: kms }), kms };
}

function connection({ region, credentials, ca }: World) {
  return {
    region,
    ...(credentials && { credentials }),
    ...(ca !== undefined && { requestHandler: { httpsAgent: new HttpsAgent({ ca, keepAlive: true }) } }),
  };
}
