/**
 * The official clients, started. For the interop matrix, and for other tests that want a second opinion on an object:
 *
 * ```ts
 * const skip = missingPrograms('java').length > 0 && 'Java is not installed';
 * const java = await startPeer('java', { endpoint, region, credentials });
 * const { sha256, length } = await java.read({ bucket, key, keyring: { type: 'kms', keyId } });
 * await java.close();
 * ```
 */
import type { OfficialPeerName, Peer } from './peer.ts';
import { startProgramPeer } from './program-peer.ts';
import { buildProgram } from './toolchains.ts';

export { type Digest, type KeyringSpec, type Peer, PeerError, type ReadJob, type WriteJob } from './peer.ts';
export { missingPrograms, missingToolchainLine } from './toolchains.ts';

/** Where the clients find S3 and KMS. */
export interface Service {
  /** URL. An IP address as host: the Go client reads instruction files with virtual-host addressing otherwise. */
  readonly endpoint: string;
  /** Default: the S3 endpoint. */
  readonly kmsEndpoint?: string | undefined;
  readonly region: string;
  readonly credentials: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string | undefined;
  };
}

/** Builds (once) and starts an official client. The caller closes it. */
export async function startPeer(name: OfficialPeerName, service: Service): Promise<Peer> {
  return startProgramPeer({ name, ...(await buildProgram(name)), env: environment(service) });
}

/** What the SDKs of all three languages read by themselves, and nothing of the caller's own configuration. */
function environment(service: Service): Record<string, string> {
  const inherited = ['PATH', 'HOME', 'TMPDIR', 'JAVA_HOME'].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const { accessKeyId, secretAccessKey, sessionToken } = service.credentials;
  return {
    ...Object.fromEntries(inherited),
    LANG: 'C.UTF-8',
    AWS_ENDPOINT_URL_S3: service.endpoint,
    AWS_ENDPOINT_URL_KMS: service.kmsEndpoint ?? service.endpoint,
    AWS_REGION: service.region,
    AWS_DEFAULT_REGION: service.region,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    ...(sessionToken === undefined ? {} : { AWS_SESSION_TOKEN: sessionToken }),
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
    NO_PROXY: '127.0.0.1,localhost,::1',
  };
}
